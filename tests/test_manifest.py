"""What a manifest holds: the truth about each frame, hashes that any tool can check, the same bytes each time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import longtake
import tiny
from longtake.engines import GenerateOptions
from longtake.errors import LongtakeError
from longtake.families import Model
from longtake.layouts.image_grid import ImageGrid
from longtake.manifests import (
    AnswerTold,
    ChoiceTold,
    DrawingTold,
    FileTold,
    FrameTold,
    Made,
    Manifest,
    ModelTold,
    PartTold,
    PromptTold,
)
from longtake.manifests.making import manifest_of
from longtake.pipeline import ask, watch
from longtake.prompt import question_ids
from longtake.samplers.uniform import Uniform
from longtake.video.apart import DecodingProcess
from longtake.video.fingerprint import pixel_sha256
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from media import corpus, numbered
from media.numbered import Coding
from running import Cli

QUESTION = "what number is on the red star?"
FEW = GenerateOptions(max_new_tokens=5)
HASHING = ReadOptions(hash_pixels=True)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(scope="module")
def model(folder: str) -> Model:
    return longtake.load(folder, device="cpu")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, each showing its number."""
    return numbered.write(tmp_path_factory.mktemp("film") / "film.mp4")


def made(cli: Cli, path: Path, *arguments: str | Path) -> dict[str, Any]:
    """What `longtake ask --manifest` writes."""
    status, _, err = cli("ask", *arguments, "--manifest", path, "--max-new-tokens", "5", "--quiet")
    assert (status, err) == (0, "")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def ppm(image_HWC: NDArray[np.uint8]) -> bytes:
    """A picture as Pillow writes a binary PPM."""
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "ppm")
    return file.getvalue()


def test_a_hash_is_that_of_a_picture_file(bunny: Path) -> None:
    """Two roads: Pillow writes the frame as PPM; against what is told while it is made small."""
    numbers = [0, 43, 131]
    small = open_video(bunny, options=HASHING).read(numbers, chunk=2, shrink=lambda image: image[:4, :4].transpose())
    told = [sum_ for some in small for sum_ in some.hashes]
    whole = [some.pixels_TCHW[0].transpose(1, 2, 0) for some in open_video(bunny).read(numbers, chunk=1)]
    assert told == [hashlib.sha256(ppm(np.ascontiguousarray(image))).hexdigest() for image in whole]
    changed = whole[0].copy()
    changed[700, 1200, 2] ^= 1
    assert pixel_sha256(changed) != told[0]
    assert pixel_sha256(whole[0].transpose(1, 0, 2)) != told[0]


def test_hashes_are_told_only_if_asked_and_the_same_apart(film: Path) -> None:
    numbers = [1, 2, 30]
    assert [some.hashes for some in open_video(film).read(numbers, chunk=2)] == [(), ()]
    here = [some.hashes for some in open_video(film, options=HASHING).read(numbers, chunk=2)]
    with DecodingProcess() as process:
        apart = [some.hashes for some in process.open_video(film, options=HASHING).read(numbers, chunk=2)]
    assert here == apart and [len(hashes) for hashes in here] == [2, 1]


def test_the_same_run_writes_the_same_bytes(cli: Cli, film: Path, folder: str, tmp_path: Path) -> None:
    asked = (film, QUESTION, "--model", folder, "--frames", "7")
    texts = []
    for name, more in (("a.json", ()), ("b.json", ()), ("c.json", ("--isolate",))):
        made(cli, tmp_path / name, *asked, *more)
        text, _, end = (tmp_path / name).read_text("ascii").partition('\n "made": ')
        assert json.loads("{" + '"made": ' + end)["made"]["at"] and text.startswith('{\n "longtake_manifest": 1,')
        texts.append(text)
    assert texts[0] == texts[1] == texts[2]
    assert Manifest.read(tmp_path / "a.json") == Manifest.read(tmp_path / "c.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json", "c.json"]


def test_what_it_holds(cli: Cli, film: Path, folder: str, model: Model, tmp_path: Path) -> None:
    found = made(cli, tmp_path / "m.json", film, QUESTION, "--model", folder, "--frames", "4", "--seed", "9")
    (file,) = found["files"]
    assert (file["name"], file["bytes"]) == ("film.mp4", film.stat().st_size)
    assert file["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
    assert (file["stream"], file["height_px"], file["width_px"], file["table_frames"]) == (0, 128, 160, 60)
    assert [(frame["number"], frame["time_s"]) for frame in file["frames"]] == [
        (0, 0),
        (19, 0.76),
        (39, 1.56),
        (59, 2.36),
    ]
    assert file["sampler"] == {"name": "uniform", "options": {"frames": 4}}
    assert found["drawing"] == {"max_new_tokens": 5, "temperature": 0.0, "seed": 9}
    assert {"dtype": "float32", "device": "cpu", "tower": "torch", "rope": None}.items() <= found["model"].items()
    assert found["model"]["weights_sha256"] == model.origin.sha256  # type: ignore[union-attr]
    assert {"longtake", "torch", "transformers", "av", "libavcodec", "threads"} < set(found["build"])

    watched = watch(replace(model, sampler=Uniform(4)), open_video(film))
    answer = ask(model, watched, QUESTION, FEW)
    assert found["answer"]["text"] == answer.text == model.tokenizer.decode(found["answer"]["token_ids"])
    opening = [model.tokenizer.control("<|im_start|>"), *model.tokenizer.encode("user\n")]
    ids = [*opening, *[-1] * 4, *question_ids(model.template, model.tokenizer, QUESTION)]
    assert found["prompt"]["tokens"] == len(ids) and found["prompt"]["visual_tokens"] == 4
    assert found["prompt"]["sha256"] == hashlib.sha256(np.array(ids, dtype="<i8").tobytes()).hexdigest()


def test_it_holds_no_folder_and_no_user(cli: Cli, film: Path, folder: str, tmp_path: Path) -> None:
    found = json.dumps(made(cli, tmp_path / "m.json", film, QUESTION, "--model", folder))
    private = {
        str(film.parent),
        film.parent.name,
        str(tmp_path),
        os.getcwd(),
        str(Path.home()),
        str(Path(folder).parent),
    }
    assert not [text for text in private if len(text) > 1 and text in found]
    assert json.loads(found)["model"]["name"] == "model"
    names = {"longtake_manifest", "question", "answer", "degraded", "files", "model", "prompt", "drawing", "build"}
    assert set(json.loads(found)) == names | {"notes", "made"}


@pytest.mark.parametrize("sound", corpus.SOUND, ids=lambda sound: sound.name)
def test_each_told_frame_shows_its_number_at_its_time(sound: corpus.Sound, model: Model, tmp_path: Path) -> None:
    """Promise 2, through ask, manifest and file: the truth is how the video was written."""
    written = corpus.write(sound, tmp_path, frames=40, width=96, height=80)
    video = open_video(written.path, options=HASHING)
    watched = watch(replace(model, sampler=Uniform(9)), video)
    manifest_of(model, video, ask(model, watched, QUESTION, FEW)).write(tmp_path / "m.json")
    (told,) = Manifest.read(tmp_path / "m.json").files
    assert told.got_frames == min(9, len(written.numbers))
    shown = [image for some in open_video(written.path).read(told.asked) for image in some.pixels_TCHW]
    for frame, image_CHW in zip(told.frames, shown, strict=True):
        image_HWC = np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
        assert written.read(image_HWC) == written.numbers[frame.number]
        assert frame.time_s == pytest.approx(written.times_s[frame.number], abs=0.0011)
        assert frame.sha256 == hashlib.sha256(ppm(image_HWC)).hexdigest()
        assert image_HWC.shape[:2] == (told.height_px, told.width_px)


def test_frames_that_lie_on_a_sheet_and_pictures_in_tiles(cli: Cli, film: Path, folder: str, tmp_path: Path) -> None:
    """Hashes are those of whole frames, however they are laid out."""
    Image.fromarray(numbered.draw(5, width=110, height=70)).save(tmp_path / "photo.png")
    model = longtake.load(folder, device="cpu")
    video = open_video(film, options=HASHING)
    grid = replace(model, layout=ImageGrid(tiled=False), sampler=Uniform(8))
    plain = replace(model, sampler=Uniform(8))
    hashes = [watch(one, video).looks[0].hashes for one in (grid, plain)]
    assert len(set(hashes[0])) == 8 and hashes[0] == hashes[1]
    found = made(cli, tmp_path / "m.json", tmp_path / "photo.png", QUESTION, "--model", folder, "--layout", "anyres")
    (file,) = found["files"]
    assert (file["still"], file["got_frames"], file["layout"]["name"]) == (True, 1, "anyres")
    photo = hashlib.sha256(ppm(numbered.draw(5, width=110, height=70))).hexdigest()
    assert file["frames"] == [{"number": 0, "time_s": 0.0, "sha256": photo}]


def test_lost_frames_are_counted(cli: Cli, folder: str, tmp_path: Path) -> None:
    """Promise 3: asked and got, and what was lost."""
    path = numbered.write(tmp_path / "whole.mp4", Coding(options={"g": "10", "bf": "0"}))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 3000 : start + 5000] = bytes(2000)
    (tmp_path / "bad.mp4").write_bytes(data)
    asked = (tmp_path / "bad.mp4", QUESTION, "--model", folder, "--frames", "60", "--on-corrupt", "skip")
    found = made(cli, tmp_path / "m.json", *asked)
    (file,) = found["files"]
    assert found["degraded"] is file["degraded"] is True and file["on_corrupt"] == "skip"
    assert file["asked_frames"] == 60 == file["got_frames"] + len(file["missing"]) and 0 < file["got_frames"] < 60
    assert len(file["frames"]) == file["visual_tokens"] == file["got_frames"]
    for start_s, end_s in file["lost_s"]:
        assert any(start_s <= number * 0.04 < end_s for number in file["missing"])
    assert cli("verify", tmp_path / "m.json", "--quiet", "--model", folder) == (0, "", "")
    status, out, _ = cli("verify", tmp_path / "m.json", "--media-only", "--video", path)
    assert status == 8 and f"number {file['missing'][0]}, can be decoded, which it could not be then" in out


def test_what_cannot_be_is_refused_before_any_work(cli: Cli, film: Path, tmp_path: Path) -> None:
    """No model of that name is looked for."""
    asked = ("ask", film, QUESTION, "--model", "no-such-model", "--manifest")
    status, out, err = cli(*asked, tmp_path / "nowhere" / "m.json")
    assert (status, out) == (7, "") and err.startswith("error[disk.write]: ")
    for place in (tmp_path, ""):
        status, out, err = cli(*asked, place)
        assert (status, out) == (7, "") and err.startswith("error[disk.write]: ") and "Is a directory" in err
    status, out, err = cli(*asked, tmp_path / "m.json", "--method", "captions")
    assert (status, out) == (2, "") and err.startswith("error[usage.bad_option]: --manifest: ")


def test_a_name_that_is_no_text(cli: Cli, film: Path, folder: str, tmp_path: Path) -> None:
    name = b"caf\xe9\n.mp4".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes(film.read_bytes())
    found = made(cli, tmp_path / "m.json", tmp_path / name, QUESTION, "--model", folder, "--frames", "2")
    assert found["files"][0]["name"] == name
    status, out, err = cli("verify", tmp_path / "m.json", "--media-only")
    assert (status, err) == (0, "") and [line.split()[1] for line in out.splitlines()] == [r"caf\udce9\n.mp4"] + [
        r"caf\udce9\n.mp4:"
    ]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    film: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = open_video(film, options=HASHING)
    manifest = manifest_of(model, video, ask(model, watch(model, video), QUESTION, FEW))
    path = tmp_path / "m.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LongtakeError, match=r"error\[disk.write\].*No space"):
        manifest.write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"] and path.read_text() == "old"


def test_no_manifest_of_what_is_not_known(film: Path, model: Model, tmp_path: Path) -> None:
    unhashed, video = open_video(film), open_video(film, options=HASHING)
    answer = ask(model, watch(model, unhashed), QUESTION, FEW)
    hashed = ask(model, watch(model, video), QUESTION, FEW)
    with pytest.raises(LongtakeError, match="without hashes"):
        manifest_of(model, unhashed, answer)
    with pytest.raises(LongtakeError, match="not as it was loaded"):
        manifest_of(replace(model, origin=None), video, hashed)
    with pytest.raises(LongtakeError, match="rests on captions"):
        manifest_of(model, video, replace(hashed, asked=None))
    forgotten = replace(watch(model, video), prompt_ids_L=np.empty(0, dtype=np.int64))
    with pytest.raises(LongtakeError, match="whose ids are not known"):
        manifest_of(model, video, ask(model, forgotten, QUESTION, FEW))
    with pytest.raises(ValueError, match="not the files"):
        manifest_of(model, [video, video], hashed)
    copy = tmp_path / "film.mp4"
    copy.write_bytes(film.read_bytes())
    video = open_video(copy, options=HASHING)
    hashed = ask(model, watch(model, video), QUESTION, FEW)
    copy.write_bytes(film.read_bytes() + b"more")
    with pytest.raises(LongtakeError, match=r"error\[media.container\].*changed after it was opened"):
        manifest_of(model, video, hashed)


def test_the_prompt_of_an_answer_is_kept(film: Path, model: Model) -> None:
    watched = watch(model, open_video(film))
    asked = ask(model, watched, QUESTION, FEW).asked
    assert asked is not None and len(asked.answer_ids) == 5
    after = question_ids(model.template, model.tokenizer, QUESTION)
    assert asked.prompt_ids_L.tolist() == [*watched.prompt_ids_L.tolist(), *after]
    assert len(watched.prompt_ids_L) == watched.prefix.length


def test_every_field_is_documented() -> None:
    """By its name, and nothing else is."""
    page = (Path(__file__).parents[1] / "docs" / "manifest.md").read_text()
    rows = [line for line in page.partition("## What it holds")[2].splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"P6"}
    told = [AnswerTold, ChoiceTold, FileTold, FrameTold, ModelTold, PartTold, PromptTold, DrawingTold, Made, Manifest]
    fields = {field.name for kind in told for field in dataclasses.fields(kind)}
    assert documented == fields | {"longtake_manifest"}
