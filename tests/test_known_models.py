"""list --models: what the families know to be published, with figures that follow from shapes; none typed twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtake import parts
from longtake.checkpoint import weights_bytes
from longtake.families import Family, Release, releases_of
from longtake.layouts.frames_as_images import FramesAsImages
from longtake.layouts.image_grid import ImageGrid
from longtake.loading import family_of, folder_of, known_models, load
from released import RECIPES
from running import Cli

FAMILIES: dict[str, Family] = {name: parts.find("families", name)() for name in parts.names("families")}
RELEASES = [(name, release) for name, family in FAMILIES.items() for release in releases_of(family)]
each = pytest.mark.parametrize(("family", "release"), RELEASES, ids=lambda one: getattr(one, "name", ""))

CLIP_L = 303_507_456
"""Parameters of openai/clip-vit-large-patch14-336's tower without its projection, as its makers count them."""
PARAMETERS = {
    "lmms-lab/LongVA-7B": 7_615_616_512 + CLIP_L + (1024 + 1 + 3584 + 1) * 3584,
    "liuhaotian/llava-v1.6-vicuna-7b": 6_738_415_616 + CLIP_L + (1024 + 1 + 4096 + 1) * 4096 + 4096,
    "liuhaotian/llava-v1.6-mistral-7b": 7_241_732_096 + CLIP_L + (1024 + 1 + 4096 + 1) * 4096 + 4096,
    "llava-hf/llava-v1.6-vicuna-7b-hf": 6_738_415_616 + 2 * 64 * 4096 + CLIP_L + (1024 + 1 + 4096 + 1) * 4096 + 4096,
    "liuhaotian/llava-v1.6-34b": 34_388_917_248 + CLIP_L + (1024 + 1 + 7168 + 1) * 7168 + 7168,
}
"""Language models as the hub counts them: Qwen2-7B, Llama-2-7b, Mistral-7B, Yi-34B; projector; newline."""


@each
def test_a_release_is_of_its_family_and_of_no_other(family: str, release: Release) -> None:
    assert [name for name, one in FAMILIES.items() if one.fits(dict(release.config))] == [family]


def test_memory_follows_from_shapes_and_is_that_of_the_published_counts() -> None:
    found = {known.release.name: known.weights_bytes for known in known_models()}
    assert {name: found[name] for name in PARAMETERS} == {name: 2 * count for name, count in PARAMETERS.items()}


def test_what_is_known_of_nano_is_what_loads() -> None:
    known = next(known for known in known_models() if known.release.name == "nano")
    model, release = load("nano", device="cpu", dtype="bfloat16"), known.release
    shape = model.encoder.shape_of(model.sampler.frames, (180, 320), tiled=False)  # type: ignore[attr-defined]
    assert (release.context, release.layout) == (model.engine.trained_context, model.layout)
    assert (release.frames, release.side, release.side) == (shape.views, shape.height, shape.width)
    assert release.tokens_a_frame * release.frames == model.layout.count(shape)
    networks = {"vision": model.encoder.tower, "language": model.engine.language, "p": model.encoder.projector}  # type: ignore[attr-defined]
    assert known.weights_bytes == weights_bytes(networks, torch.bfloat16)
    assert known.here and folder_of("nano")


@pytest.mark.parametrize("name", ["LongVA-tiny", "llava-v1.6-vicuna-tiny"])
def test_layouts_and_frames_that_are_told_are_those_of_loaded_models(shared: Path, name: str) -> None:
    """The tiny ones have the files of the real ones; their family decides layout and frames for both."""
    folder = shared / "golden" / "checkpoints" / name
    family, _ = family_of(name, folder)
    model = load(str(folder), device="cpu")
    for release in releases_of(family):
        assert release.layout == model.layout
        assert release.frames == model.sampler.frames  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["llava_next mistral", "llava_onevision", "video_llava"])
def test_so_are_those_of_transformers_layout(tmp_path: Path, name: str) -> None:
    folder = RECIPES[name].save(tmp_path / "model")
    family, config = family_of(name, folder)
    model = load(str(folder), device="cpu")
    for release in releases_of(family):
        assert release.layout == model.layout
        assert release.frames == model.sampler.frames  # type: ignore[attr-defined]
        whole, told = dict(release.config["vision_config"]), config["vision_config"]
        assert whole["model_type"] == told["model_type"]


def test_tokens_a_frame() -> None:
    """LongVA: 24 x 24 features by twos. SlowFast: 10 of 50 frames in 24 x 12, all 50 in 4 x 4."""
    found = {release.name: release.tokens_a_frame for _, release in RELEASES}
    assert found["lmms-lab/LongVA-7B"] == 144
    assert found["llava-hf/LLaVA-NeXT-Video-7B-hf"] == 144
    assert found["LanguageBind/Video-LLaVA-7B-hf"] == 257
    assert found["llava-hf/llava-onevision-qwen2-7b-ov-hf"] == (32 * 14 * 14 + 1) / 32
    assert found["llava-hf/llava-v1.6-34b-hf"] == found["liuhaotian/llava-v1.6-vicuna-7b"] == (10 * 288 + 50 * 16) / 50
    release = next(release for _, release in RELEASES if release.name == "liuhaotian/llava-v1.6-vicuna-7b")
    assert replace(release, layout=ImageGrid(rows=2, columns=3), frames=6, newline=False).tokens_a_frame == 576 / 6
    assert replace(release, layout=FramesAsImages()).tokens_a_frame > 0


def test_a_family_may_know_nothing() -> None:
    class Silent:
        pass

    assert releases_of(Silent()) == ()  # type: ignore[arg-type]


def test_by_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys)
    told = cli.json("list", "--models")["models"]
    assert [(row["family"], row["name"]) for row in told] == [(family, release.name) for family, release in RELEASES]
    assert all(row["licence"] and row["context"] > 0 and row["weights_bytes_bfloat16"] > 0 for row in told)
    status, out, _ = cli("list", "--models")
    assert status == 0
    assert "longva lmms-lab/LongVA-7B 224,000 144 14.8 GiB" in " ".join(out.split())
