"""Whole models in the original layout: prompt, embeddings, logits and greedy tokens are the originals'."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.layouts import Layout, view_of
from longtake.layouts.grid import Grid
from longtake.layouts.slowfast import SlowFast
from longtake.loading import load
from longtake.prompt import VISUAL_PLACE, ChatTemplate, Prompt, joined, prefix, question_ids
from longtake.prompt.templates import find_template
from longtake.video import Frames

OPTIONS = GenerateOptions(max_new_tokens=16)


@pytest.fixture(scope="module")
def models(shared: Path) -> dict[str, Model]:
    folder = shared / "golden" / "checkpoints"
    names = ("LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny")
    return {name: load(str(folder / name), device="cpu", dtype="float32") for name in names}


@dataclass(frozen=True)
class Case:
    """What an original was given, and what was asked."""

    name: str
    question: str
    template: str
    layout: Layout | None = None
    still: bool = False


def frames_of(case: Case, recorded: Any, folder: Path) -> list[NDArray[np.uint8]]:
    told = json.loads((folder / f"{case.name}.json").read_text())
    if "frames_from" in told:
        return list(np.load(folder / told["frames_from"].partition(":")[0])["input_uint8"])
    if case.name == "longva_two_images":
        both = np.load(folder / "longva_two_images_in.npz")
        return [both["image_a"], both["image_b"]]
    pixels = recorded["input_uint8"]
    return [pixels] if pixels.ndim == 3 else list(pixels)


def prompt_of(
    model: Model, template: ChatTemplate, layout: Layout, images: list[NDArray[np.uint8]], *, still: bool
) -> Prompt:
    """Pictures one by one, or the frames of one video, laid out in a prompt as `watch` does."""
    tiled = view_of(layout).tiled
    pieces = []
    for some in [[image] for image in images] if still else [images]:
        shape = model.encoder.shape_of(len(some), some[0].shape[:2], tiled=tiled)
        shrink = model.encoder.shrinker(tiled=tiled)
        small_TCHW = np.stack([shrink(image) for image in some])
        times = np.arange(len(some), dtype=np.float64)
        grid = model.encoder.encode([Frames(small_TCHW, times, times.astype(np.int64))], tilings=shape.tilings)
        assert grid.shape == shape
        pieces.append(layout.arrange(grid))
        assert layout.count(shape) == sum(len(piece.tokens_ND) for piece in pieces[-1])  # type: ignore[union-attr]
    return prefix(template, model.tokenizer, joined(template, pieces))


MAN = "What is the man doing?"
SLOWFAST = SlowFast(slow_frames=4)
CASES = [
    Case("longva_video", "What happens in the video?", "chatml"),
    Case("longva_video_maxpool", "Give a detailed caption of the video as if I am blind.", "chatml", Grid(mode="max")),
    Case("longva_image_anyres0", "Describe the image in details.", "chatml", still=True),
    Case("longva_image_anyres1", "What is the color of that ballon?", "chatml", still=True),
    Case("longva_two_images", "Compare the two images.", "chatml", still=True),
    Case("sf_slowfast_norope", MAN, "slowfast", SLOWFAST),
    Case(
        "sf_concat",
        "how many?",
        "slowfast",
        SlowFast(slow_frames=4, slow_pool="square_average", fast_height=0, fast_width=0),
    ),
    Case("sf34_slowfast", MAN, "slowfast_yi", SLOWFAST),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_original_is_reproduced(models: dict[str, Model], shared: Path, case: Case) -> None:
    folder = shared / "golden" / "f_e2e"
    recorded, told = np.load(folder / f"{case.name}.npz"), json.loads((folder / f"{case.name}.json").read_text())
    model, template = models[told["checkpoint"]], find_template(case.template)
    layout = case.layout or (model.image_layout if case.still else model.layout)
    images = frames_of(case, recorded, folder)
    begun = prompt_of(model, template, layout, images, still=case.still)
    after = question_ids(template, model.tokenizer, case.question)

    text = [token_id for token_id in begun.token_ids_L.tolist() if token_id != VISUAL_PLACE] + after
    expected = recorded["input_ids"].tolist()
    assert text == [token_id for token_id in expected if token_id != -200]
    assert expected.index(-200) == begun.token_ids_L.tolist().index(VISUAL_PLACE)

    embedding = model.engine.language.get_input_embeddings()  # type: ignore[attr-defined]
    ids_L = torch.cat([begun.token_ids_L, torch.tensor(after)])
    embedded_LD = embedding(ids_L.clamp(min=0))
    embedded_LD[ids_L == VISUAL_PLACE] = begun.visual_ND
    np.testing.assert_allclose(embedded_LD.numpy(), recorded["inputs_embeds"], atol=1e-4)

    kept = model.engine.prefill(begun)
    assert list(model.engine.generate(kept, after, OPTIONS)) == told["tokens"]
    forced = model.engine.force(kept, after, told["tokens"])
    steps = torch.from_numpy(recorded["step_logits"]).log_softmax(-1)
    ids = torch.tensor(told["tokens"])
    torch.testing.assert_close(forced.logprobs_A, steps.gather(1, ids[:, None])[:, 0], atol=1e-3, rtol=0)
    assert forced.likeliest_A.tolist() == steps.argmax(-1).tolist()


def test_chunks_of_the_prompt_do_not_show(models: dict[str, Model], shared: Path) -> None:
    """Two roads: the prompt of a golden case read at once, and seven positions at a time."""
    folder = shared / "golden" / "f_e2e"
    told = json.loads((folder / "longva_video.json").read_text())
    model = models["LongVA-tiny"]
    engine = replace(model.engine, chunk_tokens=7)  # type: ignore[type-var]
    images = list(np.load(folder / "longva_video.npz")["input_uint8"])
    begun = prompt_of(model, model.template, model.layout, images, still=False)
    after = question_ids(model.template, model.tokenizer, "What happens in the video?")
    assert list(engine.generate(engine.prefill(begun), after, OPTIONS)) == told["tokens"]
