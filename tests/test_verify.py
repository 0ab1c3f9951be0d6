"""`longtake verify`: files, frames, weights and answers held against a manifest; each thing that differs is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

import tiny
from longtake.errors import ErrorCode, LongtakeError
from longtake.manifests import Manifest
from media import numbered
from running import ONE_LINE, Cli

QUESTION = "what number is on the red star?"
FRAMES = 20


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a lossless film and a picture."""
    home = tmp_path_factory.mktemp("home")
    tiny.checkpoint(home / "model")
    lossless(home / "film.mkv")
    Image.fromarray(numbered.draw(3, width=90, height=60)).save(home / "photo.png")
    return home


def lossless(
    path: Path, *, changed: int | None = None, frames: int = FRAMES, late_ms: int = 0, codec: str = "ffv1"
) -> Path:
    """A film each frame of which stands for itself; of one, one value of one pixel may be one step off."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "bgr0" if codec == "ffv1" else "yuv420p"
        for number in range(frames):
            picture = numbered.draw(number).copy()
            if number == changed:
                picture[100, 70, 1] ^= 1
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = 40 * number + (late_ms if number >= 10 else 0), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def ask(cli: Cli, home: Path, name: str, *files: str, more: tuple[str, ...] = ()) -> Path:
    path = home / name
    if not path.exists():
        named = [home / file for file in files or ("film.mkv",)]
        asked = ["--model", home / "model", "--max-new-tokens", "4", "--quiet", "--manifest", path]
        asked += [] if "--fit" in more else ["--frames", "20"]
        status, _, err = cli("ask", *named, QUESTION, *asked, *more)
        assert (status, err) == (0, "")
    return path


def verified(cli: Cli, home: Path, path: Path, *more: str | Path) -> dict[str, tuple[bool | None, str]]:
    """What `verify --json` finds, by subject."""
    status, out, err = cli("verify", path, *(() if "--model" in more else ("--model", home / "model")), *more, "--json")
    assert err == ""
    found = json.loads(out)
    assert found["equal"] is (status == 0) and status in (0, 8)
    assert ("error" in found) is (status == 8)
    return {one["subject"]: (one["equal"], one["found"]) for one in found["findings"]}


def test_all_is_equal(cli: Cli, home: Path) -> None:
    path = ask(cli, home, "plain.json")
    found = verified(cli, home, path)
    assert list(found) == ["film.mkv", "film.mkv: frames", "weights", "build", "answer"]
    assert {equal for equal, _ in found.values()} == {True}
    assert found["film.mkv: frames"][1] == "all 20 have the number, time and pixels that are told"
    assert found["answer"][1] == "asked again: the same 4 tokens"
    assert cli("verify", path, "--model", home / "model", "--isolate", "--quiet") == (0, "", "")
    assert list(verified(cli, home, path, "--media-only")) == ["film.mkv", "film.mkv: frames"]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "one step of one pixel": ({"changed": 13}, "1 of 20 differ; the first, number 13 at 0:00:00.52, has other pixels"),
    "trimmed": ({"frames": 15}, "5 of 20 differ; the first, number 15, is not there: there are 15"),
    "later from frame 10 on": (
        {"late_ms": 200},
        "10 of 20 differ; the first, number 10, is shown at 0:00:00.6, where 0:00:00.4 is told",
    ),
    "encoded again": ({"codec": "mpeg4"}, "20 of 20 differ; the first, number 0 at 0:00:00, has other pixels"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_film(cli: Cli, home: Path, tmp_path: Path, name: str) -> None:
    how, tells = OTHERS[name]
    found = verified(cli, home, ask(cli, home, "plain.json"), "--video", lossless(tmp_path / "other.mkv", **how))
    assert found["film.mkv"][0] is False
    assert found["film.mkv: frames"] == (False, tells)
    assert found["answer"] == (None, "not asked again: the frames are others")


def test_the_same_film_in_another_container(cli: Cli, home: Path, tmp_path: Path) -> None:
    """Other bytes, the same frames: said so, and the answer is the same."""
    other = numbered.remux(home / "film.mkv", tmp_path / "other.nut")
    found = verified(cli, home, ask(cli, home, "plain.json"), "--video", other)
    assert found["film.mkv"][0] is False and " bytes where " in found["film.mkv"][1]
    assert found["film.mkv: frames"][0] is found["answer"][0] is True


def test_the_line_and_the_status(cli: Cli, home: Path, tmp_path: Path) -> None:
    path = ask(cli, home, "plain.json")
    other = lossless(tmp_path / "other.mkv", changed=7)
    status, out, err = cli("verify", path, "--media-only", "--video", other)
    assert status == 8 and ONE_LINE.fullmatch(err) and err.startswith(f"error[verify.differs]: {path}: film.mkv: ")
    assert [line.split()[0] for line in out.splitlines()] == ["DIFFERS", "DIFFERS"]
    assert "number 7 at" in out.splitlines()[1]


Change = Callable[[dict[str, Any]], object]


CHANGES: list[tuple[Change, str, str]] = [
    (lambda told: frame(told, 3).update(sha256="0" * 64), "film.mkv: frames", "number 3 at 0:00:00.12, has other"),
    (lambda told: frame(told, 2).update(time_s=0.081), "film.mkv: frames", "number 2, is shown at 0:00:00.08"),
    (lambda told: told["files"][0].update(sha256="0" * 64), "film.mkv", "other "),
    (lambda told: told["answer"].update(text="seven"), "answer", "where 'seven' is told"),
    (lambda told: told["answer"].update(token_ids=[1]), "answer", "token 0 is "),
    (lambda told: told["prompt"].update(sha256="0" * 64), "answer", "another prompt"),
    (lambda told: told.update(question="what is on the star?"), "answer", "another prompt"),
    (lambda told: told["model"].update(weights_sha256="0" * 64), "weights", "other weights"),
    (lambda told: visual(told, 1), "answer", "files[0].visual_tokens is "),
    (lambda told: told["prompt"].update(tokens=7), "answer", "prompt.tokens is "),
    (lambda told: told["model"].update(trained_context=7), "answer", "model.trained_context is "),
    (lambda told: told["notes"].append("watched twice"), "answer", "notes is "),
]


def visual(told: dict[str, Any], more: int) -> None:
    told["files"][0]["visual_tokens"] += more
    told["prompt"]["visual_tokens"] += more


def frame(told: dict[str, Any], place: int) -> dict[str, Any]:
    found: dict[str, Any] = told["files"][0]["frames"][place]
    return found


@pytest.mark.parametrize("case", range(len(CHANGES)))
def test_a_manifest_that_was_changed(cli: Cli, home: Path, tmp_path: Path, case: int) -> None:
    change, subject, tells = CHANGES[case]
    told = json.loads(ask(cli, home, "plain.json").read_text())
    change(told)
    (tmp_path / "changed.json").write_text(json.dumps(told))
    more = ("--media-only",) if subject.startswith("film") else ()
    found = verified(cli, home, tmp_path / "changed.json", "--video", home / "film.mkv", *more)
    equal, said = found[subject]
    assert equal is False and tells in said
    assert [name for name, (same, _) in found.items() if same is False] == [subject]


def test_other_weights(cli: Cli, home: Path, tmp_path: Path) -> None:
    other = tiny.checkpoint(tmp_path / "other", seed=1)
    found = verified(cli, home, ask(cli, home, "plain.json"), "--model", other)
    assert found["weights"] == (False, "other weights, configuration or tokenizer")
    assert found["answer"] == (None, "not asked again: the model is another")


def test_another_build_is_not_compared_bit_by_bit(cli: Cli, home: Path, tmp_path: Path) -> None:
    told = json.loads(ask(cli, home, "plain.json").read_text())
    told["build"]["torch"] = "1.0"
    (tmp_path / "older.json").write_text(json.dumps(told))
    found = verified(cli, home, tmp_path / "older.json", "--video", home / "film.mkv")
    equal, said = found["build"]
    assert equal is None and said.startswith("another: torch 2.") and said.endswith("(told: 1.0)")
    assert found["answer"] == (True, "not compared bit by bit, since the build is another; it reads the same")
    bfloat16 = verified(cli, home, ask(cli, home, "plain.json"), "--dtype", "bfloat16")
    assert bfloat16["build"] == (None, "another: dtype bfloat16 (told: float32)")
    assert bfloat16["answer"][1].startswith("not compared bit by bit, since the build is another; it reads ")
    told["prompt"]["tokens"] += 1
    (tmp_path / "older.json").write_text(json.dumps(told))
    found = verified(cli, home, tmp_path / "older.json", "--video", home / "film.mkv")
    assert found["answer"][0] is False and "prompt.tokens is " in found["answer"][1]


def test_several_files_and_choices(cli: Cli, home: Path, tmp_path: Path) -> None:
    more = ("--choice", "red", "--choice", "blue")
    path = ask(cli, home, "two.json", "photo.png", "film.mkv", more=more)
    found = verified(cli, home, path)
    assert list(found)[:4] == ["photo.png", "photo.png: frames", "film.mkv", "film.mkv: frames"]
    assert found["answer"] == (True, "asked again: the same choice, with the same chances")
    swapped = verified(cli, home, path, "--video", home / "film.mkv", "--video", home / "photo.png")
    assert [equal for equal, _ in swapped.values()] == [False, False, False, False, True, True, None]
    told = json.loads(path.read_text())
    told["answer"]["choices"][0]["probability"] += 1e-3
    (tmp_path / "changed.json").write_text(json.dumps(told))
    both = ("--video", home / "photo.png", "--video", home / "film.mkv")
    assert verified(cli, home, tmp_path / "changed.json", *both)["answer"][1] == "the choices have other probabilities"
    status, _, err = cli("verify", path, "--video", home / "film.mkv", "--media-only")
    assert status == 2 and "give one for each, in order: photo.png, film.mkv" in err


@pytest.mark.parametrize(
    "more",
    [
        (
            "--layout",
            "slowfast",
            "--set",
            "layout.slow_frames=2",
            "--set",
            "layout.fast_width=1",
            "--set",
            "layout.fast_height=1",
        ),
        ("--rope", "dynamic", "--set", "rope.factor=2"),
        ("--sampler", "middles", "--start", "0.3", "--temperature", "1.5", "--seed", "3"),
        ("--dtype", "int8"),
        ("--fit", "memory=4GiB"),
        ("--sampler", "distinct"),
        ("--dtype", "bfloat16", "--beyond-trained-context"),
    ],
    ids=["slowfast", "rope", "drawn", "int8", "fitted", "distinct", "bfloat16"],
)
def test_options_of_all_kinds_are_answered_again(cli: Cli, home: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    shutil.copy(home / "film.mkv", tmp_path)
    shutil.copytree(home / "model", tmp_path / "model")
    found = verified(cli, tmp_path, ask(cli, tmp_path, "m.json", more=more))
    assert {equal for equal, _ in found.values()} == {True}
    assert found["answer"][1].startswith("asked again: the same ")


def test_a_part_from_elsewhere_is_not_imported(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payload_of_a_manifest.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = json.loads(ask(cli, home, "plain.json").read_text())
    told["files"][0]["layout"]["name"] = "payload_of_a_manifest:Layout"
    (tmp_path / "m.json").write_text(json.dumps(told))
    found = verified(cli, home, tmp_path / "m.json", "--video", home / "film.mkv")
    assert found["answer"][0] is None and "no part of longtake's own" in found["answer"][1]
    assert not (tmp_path / "ran").exists()


def test_where_files_are_looked_for(cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shutil.copy(ask(cli, home, "plain.json"), tmp_path)
    status, _, err = cli("verify", path, "--media-only")
    assert status == 3 and err.startswith("error[media.not_found]: film.mkv: ") and "--video FILE" in err
    status, _, err = cli("verify", path, "--video", home / "film.mkv")
    assert status == 4 and err.startswith("error[model.not_found]: model: ") and "with --model" in err
    monkeypatch.chdir(home)
    assert cli("verify", path, "--quiet") == (0, "", "")  # the film and the folder of the model lie here


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of all values inside, objects and lists among them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, each in inside for found in places(each, (*place, key)))]


OPEN = {"build", "options", "seconds"}
"""Objects whose keys are anybody's."""


def test_a_manifest_of_another_shape_is_refused(cli: Cli, home: Path, tmp_path: Path) -> None:
    """Each value in turn is left out, or one that fits nowhere."""
    whole = json.loads(ask(cli, home, "plain.json").read_text())
    assert Manifest.read(home / "plain.json").as_dict() == whole
    path = tmp_path / "m.json"
    wrong = 0
    for place in places({name: value for name, value in whole.items() if name != "longtake_manifest"})[1:]:
        for left_out in (True, False):
            told = json.loads(json.dumps(whole))
            inside = told
            for key in place[:-1]:
                inside = inside[key]
            if left_out and (type(inside) is list or place[-2:-1] and place[-2] in OPEN):
                continue
            if left_out:
                del inside[place[-1]]
            else:
                inside[place[-1]] = {"odd": []}
            path.write_text(json.dumps(told))
            with pytest.raises(LongtakeError) as caught:
                Manifest.read(path)
            assert caught.value.code is ErrorCode.MANIFEST_BAD
            assert str(place[-1]) in caught.value.reason, (place, caught.value.reason)
            wrong += 1
    assert wrong > 200


@pytest.mark.parametrize(
    ("change", "tells"),
    [
        ({"missing": [3]}, "each once"),
        ({"missing": [25]}, "asked_frames and got_frames"),
        ({"got_frames": 19}, "asked_frames and got_frames"),
        ({"name": ".."}, "no file's name"),
        ({"name": "../film.mkv"}, "no file's name"),
        ({"name": ""}, "no file's name"),
        ({"on_corrupt": "guess"}, "is 'guess'; want error or skip"),
        ({"stream": True}, "is True; want a whole number"),
        ({"stream": 0.0}, "is 0.0; want a whole number"),
        ({"lost_s": [[1.0]]}, "has 1 items; want 2"),
        ({"frames": []}, "at least one of frames"),
        ({"still": 0}, "is 0; want true or false"),
    ],
)
def test_values_that_contradict(cli: Cli, home: Path, tmp_path: Path, change: dict[str, Any], tells: str) -> None:
    told = json.loads(ask(cli, home, "plain.json").read_text())
    told["files"][0].update(change)
    (tmp_path / "m.json").write_text(json.dumps(told))
    with pytest.raises(LongtakeError, match=r"error\[manifest.bad\].*files\[0\]") as caught:
        Manifest.read(tmp_path / "m.json")
    assert tells in caught.value.reason


STRANGE: list[tuple[Change, str]] = [
    (lambda told: told["files"][0]["sampler"].update(name="nosuch"), "nosuch"),
    (lambda told: told["files"][0]["layout"].update(name="nosuch"), "nosuch"),
    (lambda told: told["files"][0]["layout"]["options"].update(nosuch=1), "layout.nosuch"),
    (lambda told: told["files"][0]["sampler"]["options"].update(frames="many"), "sampler.frames"),
    (lambda told: told["model"].update(rope={"name": "nosuch", "options": {}}), "nosuch"),
    (lambda told: told["prompt"].update(template="nosuch"), "nosuch"),
    (lambda told: told["model"].update(dtype="float99"), "model.dtype: is 'float99'"),
    (lambda told: told["prompt"].update(visual_tokens=7), "prompt.visual_tokens"),
]


@pytest.mark.parametrize("case", range(len(STRANGE)))
def test_a_part_that_longtake_has_not_is_the_manifests_fault(cli: Cli, home: Path, tmp_path: Path, case: int) -> None:
    change, tells = STRANGE[case]
    told = json.loads(ask(cli, home, "plain.json").read_text())
    change(told)
    path = tmp_path / "m.json"
    path.write_text(json.dumps(told))
    status, out, err = cli("verify", path, "--video", home / "film.mkv", "--media-only")
    assert (status, out) == (3, "") and ONE_LINE.fullmatch(err)
    assert err.startswith(f"error[manifest.bad]: {path}: ") and tells in err


def test_drawing_that_cannot_be(cli: Cli, home: Path, tmp_path: Path) -> None:
    told = json.loads(ask(cli, home, "plain.json").read_text())
    told["drawing"]["max_new_tokens"] = 0
    (tmp_path / "m.json").write_text(json.dumps(told))
    with pytest.raises(LongtakeError, match=r"error\[manifest.bad\].*drawing: max_new_tokens is 0"):
        Manifest.read(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("data", "tells"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "it holds no object"),
        (b'{"answer": "red"}', "it has no longtake_manifest"),
        (b'{"longtake_manifest": 2}', "is a manifest of version 2; this longtake reads 1"),
        (b'{"longtake_manifest": true}', "is a manifest of version True"),
        (b'{"longtake_manifest": 1}', "lacks question, answer"),
        (b'{"longtake_manifest": 1, "longtake_manifest": 1}', "a key twice"),
        (b'{"longtake_manifest": NaN}', "NaN is no number"),
    ],
)
def test_what_is_no_manifest(cli: Cli, tmp_path: Path, data: bytes, tells: str) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(data)
    status, out, err = cli("verify", path)
    assert (status, out) == (ErrorCode.MANIFEST_BAD.value.exit_status, "")
    assert err.startswith(f"error[manifest.bad]: {path}: ") and tells in err and ONE_LINE.fullmatch(err)


def test_a_manifest_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "fifo"):
        status, out, err = cli("verify", path)
        assert (status, out) == (3, "") and err.startswith(f"error[manifest.bad]: {path}: cannot be read: ")


@pytest.mark.parametrize("fact", ["height_px", "table_frames", "duration_s", "still", "lost_s", "degraded"])
def test_what_is_told_of_a_file_is_held_against_it(cli: Cli, home: Path, tmp_path: Path, fact: str) -> None:
    told = json.loads(ask(cli, home, "plain.json").read_text())
    file = told["files"][0]
    if fact == "lost_s":
        file |= {"lost_s": [[0.5, 1.0]], "degraded": True}
        told["degraded"] = True
    else:
        file[fact] = not file[fact] if isinstance(file[fact], bool) else file[fact] + 1
    path = tmp_path / "other.json"
    path.write_text(json.dumps(told))
    status, out, err = cli("verify", path, "--video", home / "film.mkv", "--media-only")
    if fact == "degraded":
        assert (status, out) == (3, "") and "degraded does not follow from" in err
    else:
        assert status == 8 and fact in out
