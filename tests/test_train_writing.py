"""What was trained is written as it was read, whatever the family: same names, same numbers, other loaders read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import tiny
from longtake.checkpoint import stored_in
from longtake.errors import LongtakeError
from longtake.loading import load
from longtake.pipeline import watch
from longtake.prompt import question_ids
from longtake.train.looking import Looker
from longtake.train.writing import write_parts
from longtake.video.opening import open_video
from originals import CHECKPOINTS
from released import IMAGE, RECIPES
from test_released import ANSWER_IDS, QUESTION, Both, processed_pictures, their_prompt

ORIGINALS = ["LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny"]
EVERYTHING = ("vision", "projector", "language")
SHARD_BYTES = 40_000


def source(name: str, place: Path) -> Path:
    if name == "nano":
        return tiny.checkpoint(place / "nano", dtype=torch.bfloat16)
    if name in RECIPES:
        return RECIPES[name].save(place / "released", older=name.endswith("vicuna"))
    return Path(shutil.copytree(CHECKPOINTS, place / "originals")) / name


def opened(folder: Path) -> Looker:
    return Looker(load(str(folder), device="cpu", dtype="float32"), tiles=1, most_images=1, half=False)


def learn(looker: Looker, parts: tuple[str, ...]) -> None:
    """Other numbers, of which bfloat16 and float16 lose nothing."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name in parts:
            for parameter in looker.parts[name].parameters():
                noise = torch.randint(-8, 9, parameter.shape, generator=generator) / 64
                parameter.copy_(noise)


def numbers(looker: Looker) -> dict[str, torch.Tensor]:
    return {f"{part}.{name}": t for part in EVERYTHING for name, t in looker.parts[part].state_dict().items()}


@pytest.mark.parametrize("name", ["nano", *ORIGINALS, *(name for name in RECIPES if name != "video_llava")])
def test_it_loads_back_bit_for_bit_from_shards(tmp_path: Path, name: str) -> None:
    folder = source(name, tmp_path)
    looker = opened(folder)
    learn(looker, EVERYTHING)
    out = tmp_path / "elsewhere" / "model"
    write_parts(folder, out, looker.parts, EVERYTHING, shard_bytes=SHARD_BYTES)
    before, after = stored_in(folder), stored_in(out)
    assert before.keys() <= after.keys(), "the same names"
    assert all(name.startswith("model.vision_tower.") for name in after.keys() - before.keys())
    assert {name: before[name].dtype for name in before} == {name: after[name].dtype for name in before}
    shards = {tensor.path for tensor in after.values()}
    assert len(shards) > 1 and json.loads((out / "config.json").read_text())
    assert all(
        len([t for t in after.values() if t.path == p]) == 1 or p.stat().st_size < 2 * SHARD_BYTES for p in shards
    )
    # Where it was trained is gone: what it names of others has come along.
    folder.rename(tmp_path / "gone")
    again = numbers(opened(out))
    for tensor, expected in numbers(looker).items():
        assert torch.equal(again[tensor], expected), tensor


@pytest.mark.parametrize("name", ["LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava_next_video", "video_llava"])
def test_what_did_not_learn_is_copied_as_it_is_stored(tmp_path: Path, name: str) -> None:
    folder = source(name, tmp_path)
    looker = opened(folder)
    learn(looker, ("projector",))
    with torch.no_grad():
        looker.parts["language"].lm_head.weight.zero_()
    write_parts(folder, tmp_path / "out", looker.parts, ("projector",))
    before, after = stored_in(folder), stored_in(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = {n for n, tensor in before.items() if raw(tensor) != raw(after[n])}
    assert changed == {n for n in before if "projector" in n}
    assert len(changed) == 4


def raw(tensor: Any) -> bytes:
    data: bytes = tensor.path.read_bytes()[tensor.first_byte : tensor.first_byte + tensor.size_bytes]
    return data


def test_one_of_two_towers_is_refused(tmp_path: Path) -> None:
    folder = source("video_llava", tmp_path)
    with pytest.raises(LongtakeError, match="has 2 towers"):
        write_parts(folder, tmp_path / "out", opened(folder).parts, ("vision",))


CLASSES = ["llava_next vicuna", "llava_next_video", "llava_onevision", "llava_onevision tied"]


@pytest.mark.parametrize("name", CLASSES)
def test_transformers_own_class_loads_it_and_gives_the_same_logits(tmp_path: Path, name: str) -> None:
    recipe, folder = RECIPES[name], source(name, tmp_path)
    looker = opened(folder)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in EVERYTHING:
            for parameter in looker.parts[part].parameters():
                parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
    write_parts(folder, tmp_path / "out", looker.parts, EVERYTHING, shard_bytes=SHARD_BYTES)
    kind = getattr(transformers, f"{recipe.architecture}ForConditionalGeneration")
    theirs, told = kind.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 110, 3), np.uint8)).save(path)
    both = Both(name, recipe, looker.model, theirs.eval(), tmp_path / "out")
    watched = watch(looker.model, open_video(path))
    expected = their_prompt(both, IMAGE, watched.visual_tokens)
    with torch.inference_mode():
        seen = processed_pictures(recipe, path)
        logits_LV = both.theirs(input_ids=torch.tensor([expected + ANSWER_IDS]), **seen).logits[0]
    begin, answer = len(expected) - 1, torch.tensor(ANSWER_IDS)
    wanted = logits_LV[begin : begin + len(answer), : looker.model.tokenizer.vocabulary_size].log_softmax(-1)
    after = question_ids(watched.template, looker.model.tokenizer, QUESTION)
    found = looker.model.engine.logprobs(watched.prefix, after, ANSWER_IDS)
    torch.testing.assert_close(found, wanted.gather(1, answer[:, None])[:, 0], atol=1e-4, rtol=0)
