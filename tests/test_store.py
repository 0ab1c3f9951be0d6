"""What was watched is kept, found again and trusted only as far as its sums go (FAULTS J5 to J7), in one process."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import longtake
import tiny
from longtake import identity
from longtake.engines.keeping import Keeping
from longtake.eye.records import Glances, Records
from longtake.families import Model
from longtake.layouts.image_grid import ImageGrid
from longtake.layouts.slowfast import SlowFast
from longtake.pipeline import look
from longtake.ropes.dynamic import Dynamic
from longtake.samplers.uniform import Uniform
from longtake.store import Pruned, Store, files
from longtake.store import room as rooms
from longtake.store.files import Damaged, files_of, header_of, salvage, tensors_of, write_tensors
from longtake.video import Frames
from longtake.video.options import ReadOptions
from longtake.vision.projector import Projector
from watching import QUESTION, Counting, film_of, flip, kept_files, locked, same, unprivileged, watched, with_store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model")))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twelve seconds, ten frames a second."""
    return film_of(tmp_path / "film.mp4", range(120))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_the_second_watch_reads_nothing_and_comes_to_the_same(model: Model, film: Path, folder: Path) -> None:
    fresh = watched(with_store(model, folder), film)
    assert fresh.read == list(range(0, 120, 10)) and fresh.look.kept.came == 0
    again = watched(with_store(model, folder), film)
    assert again.read == [] and again.look.kept.came == 12
    assert all(torch.equal(*pair) for pair in zip(fresh.keys, again.keys, strict=True))
    assert again.text == fresh.text and "from the store" in again.notes
    assert set(again.seconds) == {"store", "prefill"}
    without = watched(replace(with_store(model, folder), store=None), film)
    assert all(torch.equal(*pair) for pair in zip(without.keys, again.keys, strict=True))
    assert without.look.kept is None and len(without.read) == 12


def test_a_watch_that_grows_makes_only_what_is_missing(model: Model, film: Path, folder: Path) -> None:
    watched(with_store(model, folder, seconds=2), film)
    grown = watched(with_store(model, folder, seconds=1), film)
    assert grown.read == list(range(10, 120, 20))
    assert "features of 6 of 12 frames are from the store" in grown.notes
    assert same(grown, watched(replace(with_store(model, folder, seconds=1), store=None), film))
    assert watched(with_store(model, folder, seconds=1), film).read == []
    assert watched(with_store(model, folder, seconds=1), film, start_s=6.0).read == []


def test_another_layout_and_another_question_make_nothing(model: Model, film: Path, folder: Path) -> None:
    watched(with_store(model, folder), film)
    other = replace(with_store(model, folder), layout=SlowFast(slow_frames=2, fast_height=1, fast_width=1))
    assert watched(other, film).read == []


@pytest.mark.parametrize("what", ["bytes", "weights", "dtype", "recipe", "projector", "view", "deinterlace", "skip"])
def test_whatever_decides_features_is_in_the_key(
    model: Model, film: Path, folder: Path, tmp_path: Path, what: str
) -> None:
    """J7: a video that changed under its name, its size and time kept; other weights; other ways of reading."""
    kept = with_store(model, folder)
    watched(kept, film)
    options = ReadOptions()
    if what == "bytes":
        before = film.stat()
        data = film.read_bytes()
        place = data.index(b"Lavf")
        film.write_bytes(data[:place] + b"LAVF" + data[place + 4 :])
        os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert film.stat().st_size == before.st_size
    elif what in ("weights", "dtype"):
        seed, dtype = (1, "auto") if what == "weights" else (0, "bfloat16")
        loaded = longtake.load(str(tiny.checkpoint(tmp_path / "other", seed=seed)), dtype=dtype)
        kept = with_store(loaded, folder)
    elif what == "recipe":
        encoder: Any = model.encoder
        kept = replace(kept, encoder=replace(encoder, recipe=replace(encoder.recipe, fit="crop")))
    elif what == "projector":
        encoder = model.encoder
        projector = Projector(in_width=16, hidden_width=24, out_width=32).eval().requires_grad_(False)
        kept = replace(kept, encoder=replace(encoder, projector=projector))
    elif what == "view":
        kept = replace(kept, layout=ImageGrid(rows=2, columns=2))
    elif what == "deinterlace":
        options = ReadOptions(deinterlace="auto")
    else:
        options = ReadOptions(on_corrupt="skip")
    changed = watched(kept, film, options=options)
    assert len(changed.read) == 12
    assert same(changed, watched(replace(kept, store=None), film, options=options))
    if what == "projector":
        assert any(note.startswith("not kept: the model's eye was put together by hand") for note in changed.notes)


def test_hashes_that_are_wanted_later_cost_no_encoding(model: Model, film: Path, folder: Path) -> None:
    """They are of the pixels as displayed, so the frames are read; but what the encoder made of them is kept."""
    hashing = ReadOptions(hash_pixels=True)
    plain = watched(with_store(model, folder), film)
    later = watched(with_store(model, folder), film, options=hashing)
    assert later.read == plain.read and later.look.kept.came == 12 and "encode" not in later.seconds
    fresh = watched(replace(with_store(model, folder), store=None), film, options=hashing)
    assert later.look.hashes == fresh.look.hashes and len(later.look.hashes) == 12
    assert same(later, plain)
    again = watched(with_store(model, folder), film, options=hashing)
    assert again.read == [] and again.look.hashes == fresh.look.hashes
    assert watched(with_store(model, folder), film).read == []


def test_a_model_without_an_origin_keeps_nothing(model: Model, film: Path, folder: Path) -> None:
    by_hand = replace(with_store(model, folder), origin=None)
    assert len(watched(by_hand, film).read) == len(watched(by_hand, film).read) == 12
    assert not folder.exists()


def test_a_file_that_changes_between_opening_and_watching_is_not_kept(model: Model, film: Path, folder: Path) -> None:
    video = longtake.open_video(film)
    os.utime(film)
    with pytest.raises(longtake.LongtakeError):
        longtake.watch(with_store(model, folder), video)
    assert not kept_files(folder)


def spoilt_value(path: Path) -> None:
    flip(path, from_end=7000)


def spoilt_header(path: Path) -> None:
    flip(path, from_end=path.stat().st_size - 300)


def torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def of_another_schema(path: Path) -> None:
    header = header_of(path)
    tensors = {name: tensor.clone() for name, tensor in tensors_of(header) if tensor is not None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "SCHEMA", "longtake store 0")
        write_tensors(path.parent, tensors, header.told, records=12)
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "lost"), [(spoilt_value, 1), (spoilt_header, 12), (torn, 12), (emptied, 12), (of_another_schema, 12)]
)
def test_what_is_damaged_is_made_again_and_counted(
    model: Model, film: Path, folder: Path, spoil: Callable[[Path], None], lost: int
) -> None:
    """J5."""
    kept = with_store(model, folder)
    fresh = watched(kept, film)
    (path,) = kept_files(folder)
    spoil(path)
    again = watched(kept, film)
    assert len(again.read) == lost and same(again, fresh)
    assert again.look.kept.damaged == lost
    told = "1 record of the store was" if lost == 1 else f"{lost} records of the store were"
    assert f"{told} damaged and made again where needed" in again.notes
    healed = watched(kept, film)
    assert healed.read == [] and healed.look.kept.damaged == 0 and same(healed, fresh)
    assert not path.exists() or spoil is emptied or header_of(path)


def test_a_record_under_another_name_is_damaged(model: Model, film: Path, folder: Path) -> None:
    kept = with_store(model, folder)
    watched(kept, film)
    (path,) = kept_files(folder)
    path.rename(path.with_name("12-" + "0" * 32 + ".safetensors"))
    assert watched(kept, film).look.kept.damaged == 12


def test_verify_finds_what_is_damaged_removes_it_and_leaves_the_rest(model: Model, film: Path, folder: Path) -> None:
    kept = with_store(model, folder)
    watched(kept, film)
    store = Store(folder)
    assert [(good, bad) for _, good, bad in store.verify()] == [(12, 0)]
    spoilt_value(kept_files(folder)[0])
    assert [(good, bad) for _, good, bad in store.verify()] == [(11, 1)]
    assert [(good, bad) for _, good, bad in store.verify()] == [(11, 0)]
    assert len(watched(kept, film).read) == 1
    about = next(folder.glob("features/*/entry.json"))
    about.write_text(about.read_text().replace("film.mp4", "film.mp4").replace("on cpu", "on gpu"))
    assert [(good, bad) for _, good, bad in store.verify()] == [(12, 1)]
    assert watched(kept, film).read == []


def test_a_degraded_video_is_as_degraded_from_the_store(model: Model, film: Path, folder: Path) -> None:
    data = bytearray(film.read_bytes())
    start = len(data) // 2
    data[start : start + 1500] = bytes(1500)
    film.write_bytes(data)
    skip = ReadOptions(on_corrupt="skip")
    for layout in (model.layout, ImageGrid(rows=2, columns=2)):
        kept = replace(with_store(model, folder, seconds=0.2), layout=layout)
        without = watched(replace(kept, store=None), film, options=skip)
        fresh, again = watched(kept, film, options=skip), watched(kept, film, options=skip)
        assert without.look.degraded and 0 < len(without.look.numbers) < 60
        assert again.read == [] and fresh.read == without.read
        for one in (fresh, again):
            assert same(one, without)
            assert one.look.lost_s == without.look.lost_s
            assert one.look.numbers.tolist() == without.look.numbers.tolist()
            assert [note for note in one.look.notes if "store" not in note] == list(without.look.notes)


def test_a_frozen_film_is_as_frozen_from_the_store(model: Model, tmp_path: Path, folder: Path) -> None:
    still = film_of(tmp_path / "still.mp4", [7] * 40)
    frozen = "low information: all 4 seen frames show the same picture"
    assert frozen in watched(with_store(model, folder), still).notes
    assert frozen in watched(with_store(model, folder), still).notes
    grown = watched(with_store(model, folder, seconds=0.5), still)
    assert frozen.replace("4", "8") in grown.notes and len(grown.read) == 4


def test_sheets_are_kept_by_the_frames_that_they_show(model: Model, film: Path, folder: Path) -> None:
    kept = replace(with_store(model, folder), layout=ImageGrid(rows=2, columns=2))
    fresh = watched(kept, film)
    again = watched(kept, film)
    assert again.read == [] and same(again, fresh)
    moved = watched(kept, film, start_s=1.0)
    assert moved.read == list(range(10, 120, 10))
    assert same(moved, watched(replace(kept, store=None), film, start_s=1.0))


def test_pictures_cut_into_tiles_are_kept_whole(golden: Path, bunny: Path, folder: Path) -> None:
    model = longtake.load(str(golden / "checkpoints" / "llava-v1.6-vicuna-tiny"), dtype="float32")
    kept = replace(model, store=Store(folder), layout=model.image_layout, sampler=Uniform(frames=2))
    kept = replace(kept, beyond_trained_context=True)
    fresh, again = watched(kept, bunny), watched(kept, bunny)
    assert len(fresh.read) == 2 and again.read == [] and same(again, fresh)
    assert same(again, watched(replace(kept, store=None), bunny))


def test_what_a_killed_watch_had_made_is_there(
    model: Model, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.eye.remembering.KEPT_AT_LEAST_EVERY_S", 0.0)
    kept = with_store(model, folder, seconds=0.1)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "read" and done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(kept, longtake.open_video(film), progress=stop)
    assert watched(kept, film).look.kept.came in (64, 96)


def test_a_full_disk_costs_the_store_and_not_the_answer(
    model: Model, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_whole", full)
        fresh = watched(with_store(model, folder), film)
    assert f"not kept: {os.strerror(errno.ENOSPC)}" in fresh.notes
    assert not kept_files(folder) and not list(folder.rglob("*.tmp"))
    assert len(watched(with_store(model, folder), film).read) == 12


def test_a_place_that_is_no_folder_costs_the_store_and_not_the_answer(model: Model, film: Path, folder: Path) -> None:
    folder.write_text("no folder")
    assert any(note.startswith("not kept: ") for note in watched(with_store(model, folder), film).notes)


def test_a_store_that_may_only_be_read_is_read(
    model: Model, film: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nowhere"))
    watched(with_store(model, folder, seconds=2), film)
    before = sorted(folder.rglob("*"))
    with locked(folder, *(path for path in before if path.is_dir())), unprivileged(tmp_path):
        again = watched(with_store(model, folder, seconds=2), film)
        more = watched(with_store(model, folder, seconds=1), film)
    assert again.read == [] and len(more.read) == 6
    assert f"not kept: {os.strerror(errno.EACCES)}" in more.notes
    assert sorted(folder.rglob("*")) == before


def test_what_was_used_longest_ago_makes_room(model: Model, tmp_path: Path, folder: Path) -> None:
    films = [
        film_of(tmp_path / f"{name}.mp4", range(start, start + 40))
        for name, start in (("a", 0), ("b", 100), ("c", 200))
    ]
    for number, path in enumerate(films[:2]):
        watched(with_store(model, folder), path)
        for used in folder.glob("features/*/used"):
            if used.stat().st_mtime > 10_000:
                os.utime(used, (1000 + number, 1000 + number))
    assert watched(with_store(model, folder), films[0]).read == []  # so that b is the longest unused
    most = sum(one.bytes for one in Store(folder).held()) + 1000
    watched(with_store(model, folder, most_bytes=most), films[2])
    assert [one.label for one in Store(folder).held()] == ["a.mp4", "c.mp4"]


def test_a_video_larger_than_the_store_is_told_and_not_kept(model: Model, film: Path, folder: Path) -> None:
    seen = watched(with_store(model, folder, most_bytes=1000), film)
    assert any("the store may hold 1,000 bytes" in note for note in seen.notes)
    assert not kept_files(folder)


def test_what_a_killed_process_left_half_written_is_removed_when_room_is_made(
    model: Model, film: Path, folder: Path
) -> None:
    watched(with_store(model, folder, seconds=2), film)
    (entry,) = folder.glob("features/*")
    old, new = entry / ".1-aa.tmp", entry / ".2-bb.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * rooms.STALE_S,) * 2)
    watched(with_store(model, folder, seconds=1), film)
    assert not old.exists() and new.exists()


def test_prune_by_age_and_by_size(model: Model, tmp_path: Path, folder: Path) -> None:
    for name, start, used_s in (("old", 0, 1000), ("new", 100, time.time())):
        path = film_of(tmp_path / f"{name}.mp4", range(start, start + 20))
        watched(with_store(model, folder), path)
        newest = max(folder.glob("features/*"), key=lambda entry: entry.stat().st_mtime_ns)
        os.utime(newest / "used", (used_s, used_s))
    store = Store(folder)
    assert [one.label for one in store.held()] == ["old.mp4", "new.mp4"]
    assert store.prune(to_bytes=1 << 40).removed == []
    assert [one.label for one in store.prune(older_than_s=3600).removed] == ["old.mp4"]
    assert [one.label for one in store.prune(to_bytes=1).removed] == ["new.mp4"]
    assert store.held() == [] and store.prune() == Pruned([], [])


def test_a_whole_prefix_comes_back_as_it_was(model: Model, film: Path, folder: Path) -> None:
    kept = with_store(model, folder, prefixes=True)
    fresh = watched(kept, film)
    again = watched(kept, film)
    assert again.read == [] and set(again.seconds) == {"store"}
    assert all(torch.equal(*pair) for pair in zip(fresh.keys, again.keys, strict=True))
    assert again.text == fresh.text and "keys and values from the store" in again.notes
    assert again.look.numbers.tolist() == fresh.look.numbers.tolist()
    assert again.look.visual_tokens == fresh.look.visual_tokens
    # Found without being asked to keep any, and not for another layout.
    assert set(watched(with_store(model, folder), film).seconds) == {"store"}
    other = replace(with_store(model, folder), layout=SlowFast(slow_frames=2, fast_height=1, fast_width=1))
    assert "prefill" in watched(other, film).seconds


def test_a_damaged_prefix_is_read_again_and_counted(model: Model, film: Path, folder: Path) -> None:
    kept = with_store(model, folder, prefixes=True)
    fresh = watched(kept, film)
    (path,) = kept_files(folder, "prefixes")
    flip(path, from_end=500)
    again = watched(kept, film)
    assert again.read == [] and "prefill" in again.seconds and same(again, fresh)
    assert "keys and values: 1 record of the store was damaged and made again where needed" in again.notes
    assert set(watched(kept, film).seconds) == {"store"}


def test_a_prefix_of_a_degraded_video_says_so(model: Model, film: Path, folder: Path) -> None:
    data = bytearray(film.read_bytes())
    start = len(data) // 2
    data[start : start + 1500] = bytes(1500)
    film.write_bytes(data)
    skip = ReadOptions(on_corrupt="skip")
    kept = with_store(model, folder, seconds=0.2, prefixes=True)
    fresh, again = watched(kept, film, options=skip), watched(kept, film, options=skip)
    assert fresh.look.degraded and set(again.seconds) == {"store"}
    assert (again.look.lost_s, again.look.degraded) == (fresh.look.lost_s, True)
    assert next(iter(again.look.notes)) == next(iter(fresh.look.notes))


def test_the_film_is_hashed_once(model: Model, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(identity, "WORTH_REMEMBERING_BYTES", 1)
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    told: list[str] = []
    for _ in range(2):
        look(with_store(model, folder), longtake.open_video(film), progress=lambda stage, *_: told.append(stage))
    assert told.count("hash") == 1


def test_a_file_is_safetensors_named_by_its_bytes(tmp_path: Path) -> None:
    tensors = {
        "1 values": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        "2 values": torch.ones(3),
        "first": torch.arange(3, dtype=torch.uint8),
        "whole": torch.tensor(5),
    }
    size = write_tensors(tmp_path, tensors, {"facts": {"1": {"sha256": "é"}}}, records=2)
    (path,) = files_of(tmp_path)
    assert path.stat().st_size == size
    from safetensors.torch import load_file

    assert {name: tensor.tolist() for name, tensor in load_file(path).items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }
    header = header_of(path)
    assert header.told == {"facts": {"1": {"sha256": "é"}}}
    assert all(tensor is not None and torch.equal(tensor, tensors[name]) for name, tensor in tensors_of(header))
    assert write_tensors(tmp_path, tensors, header.told, records=2) == size and files_of(tmp_path) == [path]
    assert salvage(path) == (2, 0)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    write_tensors(tmp_path, {"1 values": torch.arange(64.0), "1 class": torch.ones(3)}, {"lost": [2]}, records=1)
    (path,) = files_of(tmp_path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).permutation(len(whole))[:200].tolist():
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        try:
            assert any(tensor is None for _, tensor in tensors_of(header_of(path)))
        except Damaged:
            pass
    path.write_bytes(whole)
    assert all(tensor is not None for _, tensor in tensors_of(header_of(path)))


def test_several_files_are_kept_each_by_itself_and_their_prefix_together(
    model: Model, film: Path, folder: Path, tmp_path: Path
) -> None:
    other = film_of(tmp_path / "other.mp4", range(200, 220))
    kept = with_store(model, folder, seconds=2, prefixes=True)

    def both() -> tuple[Any, list[int]]:
        videos = [Counting(longtake.open_video(path)) for path in (film, other)]
        seen = longtake.watch(kept, videos)
        return seen, [len(video.read_numbers) for video in videos]

    watched(with_store(model, folder, seconds=2), film)
    first, read = both()
    assert read == [0, 1] and [one.kept.came for one in first.looks if one.kept] == [6, 0]
    second, read = both()
    assert read == [0, 0] and set(second.seconds) == {"store"}
    assert longtake.ask(kept, second, QUESTION).text == longtake.ask(kept, first, QUESTION).text


@pytest.mark.parametrize("keeping", [Keeping(dtype="int8"), Keeping(where="disk")])
def test_a_prefix_is_kept_as_the_engine_keeps_it(model: Model, film: Path, folder: Path, keeping: Keeping) -> None:
    engine: Any = model.engine
    kept = replace(with_store(model, folder, prefixes=True), engine=engine.with_keeping(keeping))
    fresh, again = watched(kept, film), watched(kept, film)
    assert set(again.seconds) == {"store"} and again.text == fresh.text
    assert all(torch.equal(*pair) for pair in zip(fresh.keys, again.keys, strict=True))
    plain = watched(with_store(model, folder, prefixes=True), film)
    assert ("prefill" in plain.seconds) is (keeping.dtype == "int8"), (
        "other numbers are another prefix, another place not"
    )
    assert all(torch.equal(*pair) for pair in zip(fresh.keys, plain.keys, strict=True)) is (keeping.dtype == "auto")


def told_anew(path: Path, told: Any, *, without: str = "") -> None:
    """The same tensors, or all but one, in a whole file that tells something else of them."""
    tensors = {name: tensor.clone() for name, tensor in tensors_of(header_of(path)) if tensor is not None}
    tensors.pop(without, None)
    path.unlink()
    write_tensors(path.parent, tensors, told, records=files.records_in(path))


STRANGE_FEATURES: list[Any] = [
    {},
    {"facts": [], "lost": []},
    {"facts": {"nought": {}}, "lost": []},
    {"facts": {"0": "plain"}, "lost": []},
    {"facts": {"0": {"plain": 1}}, "lost": []},
    {"facts": {"0": {}}, "lost": []},
    {"facts": {str(number): {} for number in range(120)}, "lost": 7},
    {"facts": {str(number): {} for number in range(120)}, "lost": ["0"]},
]


@pytest.mark.parametrize("told", STRANGE_FEATURES, ids=str)
def test_features_that_are_told_of_in_another_form_are_made_again(
    model: Model, film: Path, folder: Path, told: Any
) -> None:
    fresh = watched(with_store(model, folder), film)
    (path,) = kept_files(folder)
    told_anew(path, told)
    again = watched(with_store(model, folder), film)
    assert again.read == fresh.read and same(again, fresh)
    assert any("12 records of the store were damaged" in note for note in again.notes)
    assert watched(with_store(model, folder), film).read == []


ALL_SEEN = {str(number): dict[str, str]() for number in range(0, 120, 10)}
STRANGE_PREFIXES: list[Any] = [
    {},
    {"files": {}},
    {"files": [{"facts": ALL_SEEN}]},
    {"files": [{"facts": {}, "chosen": None}]},
    {"files": [{"facts": {"5": {}}, "chosen": None}]},
    {"files": [{"facts": ALL_SEEN, "chosen": [7]}]},
    {"files": [{"facts": ALL_SEEN, "chosen": 7}]},
]


@pytest.mark.parametrize("told", [*STRANGE_PREFIXES, "layers.0.values", "prompt ids"], ids=str)
def test_a_prefix_that_is_told_of_in_another_form_is_read_again(
    model: Model, film: Path, folder: Path, told: Any
) -> None:
    kept = with_store(model, folder, prefixes=True)
    fresh = watched(kept, film)
    (path,) = kept_files(folder, "prefixes")
    lacking = told if isinstance(told, str) else ""
    told_anew(path, {"files": [{"facts": ALL_SEEN, "chosen": None}]} if lacking else told, without=lacking)
    again = watched(kept, film)
    assert "prefill" in again.seconds and same(again, fresh)
    assert "keys and values: 1 record of the store was damaged and made again where needed" in again.notes
    assert set(watched(kept, film).seconds) == {"store"}


def test_positions_turned_by_the_length_of_the_whole_come_back_too(model: Model, film: Path, folder: Path) -> None:
    kept = with_store(model, folder, prefixes=True)
    turned = replace(kept, engine=model.engine.with_rope(Dynamic(factor=4.0)))
    fresh, again = watched(turned, film), watched(turned, film)
    assert set(again.seconds) == {"store"} and again.text == fresh.text
    assert "prefill" in watched(kept, film).seconds, "another rope is another prefix"


def test_who_makes_room_makes_it_alone(tmp_path: Path) -> None:
    with rooms._alone(tmp_path) as first, rooms._alone(tmp_path) as second:
        assert (first, second) == (True, False)
    with rooms._alone(tmp_path) as third:
        assert third


def planted(folder: Path, header: bytes) -> Path:
    """A file with the name that its header wants."""
    text = header + b" " * (-len(header) % 8)
    whole = len(text).to_bytes(8, "little") + text
    path = folder / f"1-{hashlib.sha256(whole).hexdigest()[:32]}.safetensors"
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"no JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"__metadata__": {"schema": "longtake store 1"}}',
        b'{"__metadata__": {"schema": "longtake store 1", "told": "[1]", "sums": "{}"}}',
    ],
)
def test_a_header_that_longtake_never_wrote_is_damaged(tmp_path: Path, header: bytes) -> None:
    path = planted(tmp_path, header)
    with pytest.raises(Damaged):
        header_of(path)
    assert salvage(path) == (0, 1) and not path.exists()


def test_what_others_put_into_the_folder_is_no_entry(model: Model, film: Path, folder: Path) -> None:
    """A link is not followed, for what it leads to could not be removed; and a name counts as longtake writes it."""
    watched(with_store(model, folder), film)
    (one,) = Store(folder).held()
    (one.path / "²-0.safetensors").write_bytes(b"")
    (one.path.parent / ("a" * 64)).symlink_to(one.path)
    (again,) = Store(folder).held()
    assert (again.key, again.records) == (one.key, one.records)
    assert [gone.key for gone in Store(folder).prune().removed] == [one.key]


def test_hashes_of_a_killed_watch_are_there(
    model: Model, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.eye.remembering.KEPT_AT_LEAST_EVERY_S", 0.0)
    kept, hashing = with_store(model, folder, seconds=0.1), ReadOptions(hash_pixels=True)
    watched(kept, film)

    def read(numbers: Sequence[int], **options: Any) -> Iterator[Frames]:
        for frames in video.read(numbers, **options):
            if frames.numbers[-1] > 100:
                raise KeyboardInterrupt
            yield frames

    video = longtake.open_video(film, options=hashing)
    stopping = Counting(video)
    stopping.read = read  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        look(kept, stopping)
    later = watched(kept, film, options=hashing)
    assert 0 < len(later.read) < 120 and later.read[-1] == 119
    fresh = watched(replace(kept, store=None), film, options=hashing)
    assert later.look.hashes == fresh.look.hashes and len(fresh.look.hashes) == 120


def test_hashes_that_cannot_be_kept_are_tried_once(
    model: Model, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.eye.remembering.KEPT_AT_LEAST_EVERY_S", 0.0)
    kept, hashing, tried = with_store(model, folder, seconds=0.1), ReadOptions(hash_pixels=True), []
    watched(kept, film)

    def full(*_: object) -> None:
        tried.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_write_whole", full)
    later = watched(kept, film, options=hashing)
    assert len(tried) == 1 and f"not kept: {os.strerror(errno.ENOSPC)}" in later.notes
    assert len(later.look.hashes) == 120


def test_what_is_known_of_a_frame_that_is_kept_whole_and_as_a_glance_is_merged(folder: Path) -> None:
    store = Store(folder)
    entry, whole = (store.entry("features", {"of": name}, label=name) for name in ("glance", "whole"))
    Records(entry).put_facts({1: {"plain": "yes"}, 2: {"plain": "yes"}})
    Records(whole).put_facts({1: {"pixels": "abc"}, 3: {"pixels": "def"}})
    found = Glances(entry, Records(whole)).facts([1, 2, 3, 4])
    assert found == {1: {"plain": "yes", "pixels": "abc"}, 2: {"plain": "yes"}, 3: {"pixels": "def"}}
