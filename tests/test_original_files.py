"""Checkpoints in the original layout whose files do not describe a model that longtake knows: refused, never a bug."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.loading import load
from originals import CHECKPOINTS


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS, tmp_path / "checkpoints"))


def rewrite(path: Path, **change: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def refused(folder: Path) -> str:
    with pytest.raises(LongtakeError) as raised:
        load(str(folder), device="cpu", dtype="float32")
    assert raised.value.code is ErrorCode.MODEL_BAD_CHECKPOINT
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("LongVA-tiny", {"image_grid_pinpoints": "all"}, "want a range of grids like (1x1),...,(6x6)"),
        ("LongVA-tiny", {"image_grid_pinpoints": [[56, 100]]}, "want multiples of 56"),
        ("LongVA-tiny", {"image_grid_pinpoints": 3}, "TypeError"),
        ("LongVA-tiny", {"mm_spatial_pool_mode": "bilinear"}, "mode is 'bilinear'; want average or max"),
        ("LongVA-tiny", {"mm_spatial_pool_stride": 0}, "pool is 0"),
        ("LongVA-tiny", {"tokenizer_model_max_length": "long"}, "ValueError"),
        (
            "llava-v1.6-vicuna-tiny",
            {"image_aspect_ratio": "square"},
            "square; want anyres or pad",
        ),
        ("llava-v1.6-vicuna-tiny", {"mm_patch_merge_type": "unpad_best"}, "merge is 'unpad_best'; want one of"),
    ],
)
def test_a_config_that_describes_no_such_model(place: Path, name: str, change: dict[str, Any], told: str) -> None:
    rewrite(place / name / "config.json", **change)
    message = refused(place / name)
    assert "config.json: does not describe such a model" in message
    assert told in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "preprocessor_config.json: is not a JSON object"),
        ("{", "preprocessor_config.json: is not a JSON object"),
        ("{}", "preprocessor_config.json: does not describe such a model: KeyError 'image_mean'"),
        ('{"image_mean": null, "image_std": [1, 1, 1]}', "does not describe such a model: TypeError"),
    ],
)
def test_preprocessing_that_is_none(place: Path, text: str, told: str) -> None:
    tower = Path(json.loads((place / "LongVA-tiny" / "config.json").read_text())["mm_vision_tower"])
    (place / tower / "preprocessor_config.json").write_text(text)
    assert told in refused(place / "LongVA-tiny")


def test_a_llava_that_saw_whole_pictures_is_shown_whole_pictures(place: Path) -> None:
    """LLaVA-1.5 has LLaVA-1.6's architecture; its config tells `pad`, and no merge of tiles."""
    folder = place / "llava-v1.6-vicuna-tiny"
    tiled = load(str(folder), device="cpu", dtype="float32")
    rewrite(folder / "config.json", image_aspect_ratio="pad")
    whole: Any = load(str(folder), device="cpu", dtype="float32")
    assert whole.image_encoder.recipe.fit == "pad"
    side = whole.encoder.grid_height
    assert tiled.image_layout.count(tiled.encoder.shape_of(1, (720, 1280), tiled=True)) > 2 * side * side
    shape = whole.image_encoder.shape_of(1, (720, 1280), tiled=whole.image_layout.view.tiled)
    assert whole.image_layout.count(shape) == side * side + 1  # and the newline behind it
