"""The whole runs of the originals, recorded in golden/f_e2e: what each was given, and how it is given to us."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from longtake.families import Model
from longtake.layouts import Layout, view_of
from longtake.layouts.anyres import Anyres
from longtake.layouts.grid import Grid
from longtake.layouts.slowfast import SlowFast
from longtake.layouts.unires_image import UniresImage
from longtake.prompt import ChatTemplate, Prompt, joined, prefix
from longtake.ropes import Rope
from longtake.ropes.dynamic import Dynamic
from longtake.video import Frames
from longtake.vision import FeatureGrid

FOLDER = Path(__file__).parent / "golden" / "f_e2e"
CHECKPOINTS = FOLDER.parent / "checkpoints"

Images = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Case:
    """One recorded run.

    Attributes:
        name: of its files in golden/f_e2e.
        what: it is, in words.
        question: that was asked.
        template: by its name here.
        layout: that comes to the same; None for a prompt without pictures.
        still: each image is a picture; else all are frames of one video.
        choices: that may be answered in.
        rope: that comes to the same.
        shown: how many of the recorded images reach the language model; None: all.
        quirk: what the original did that nobody would want, and what is done here instead; "" where nothing is.
    """

    name: str
    what: str
    question: str
    template: str
    layout: Layout | None = None
    still: bool = False
    choices: Sequence[str] = ()
    rope: Rope | None = None
    shown: int | None = None
    quirk: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """What was recorded in words."""
        return dict(json.loads((FOLDER / f"{self.name}.json").read_text()))

    @property
    def recorded(self) -> dict[str, NDArray[Any]]:
        """What was recorded in numbers."""
        return dict(np.load(FOLDER / f"{self.name}.npz"))

    def images(self) -> Images:
        """The frames or pictures, as many as are shown."""
        return self._all()[: self.shown]

    def _all(self) -> Images:
        told = self.told
        if self.name == "longva_two_images":
            both = np.load(FOLDER / "longva_two_images_in.npz")
            return [both["image_a"], both["image_b"]]
        if "frames_from" in told:
            return list(np.load(FOLDER / told["frames_from"].partition(":")[0])["input_uint8"])
        pixels = self.recorded.get("input_uint8", np.zeros((0, 1, 1, 3), np.uint8))
        frames = [pixels] if pixels.ndim == 3 else list(pixels)
        if self.name == "longva_niah_sampling":
            needle = load_file(FOLDER / "longva_niah_sampling_needle.safetensors")["needle_uint8"]
            frames.insert(len(frames) // 2, needle)
        return frames


MAN = "What is the man doing?"
WEDDING = (
    "Find the frame of a couple in a wedding. In side the frame, there is a balloon on the bridegroom's head. What is"
    " the color of that ballon?\nAnswer the question using a single word or phrase."
)
STOPPED, OPTIONS = "why did he stop", ("tired", "happy", "dog")
SLOWFAST = SlowFast(slow_frames=4)
SHORT = SlowFast(slow_frames=2, slow_pool="square_average", fast_height=1, fast_width=1)
JOINED = SlowFast(slow_frames=4, slow_pool="square_average", fast_height=0, fast_width=0)
WHOLE_FRAME = SlowFast(slow_frames=1, slow_pool="none", fast_height=0, fast_width=0)
UNPAD = Anyres(merge="spatial_unpad")
NTK = Dynamic(factor=2.0)

TRUNCATED = Case(
    "longva_video_truncated",
    "LongVA, a video of more tokens than `tokenizer_model_max_length`",
    "What happens in the video?",
    "chatml",
    Grid(),
    quirk="the original cuts the prompt off after 60 positions, in the middle of a frame, question and all, and says"
    " nothing; here that is refused with `limit.context` before anything is decoded",
)
LEAK_1 = Case(
    "sf_leak_1_long",
    "SlowFast-LLaVA, dynamic RoPE: a long prompt, before the next row's",
    MAN,
    "slowfast",
    SLOWFAST,
    rope=NTK,
)
LEAK_2 = Case(
    "sf_leak_2_short_same_model",
    "SlowFast-LLaVA, dynamic RoPE: a short prompt right after a long one",
    STOPPED,
    "slowfast_choice",
    SHORT,
    choices=OPTIONS,
    rope=NTK,
    quirk="the base that the long prompt left behind turns the short one, so its answer depends on what was asked"
    " before; here nothing is left behind, and the answer is that of `sf_mc_short`, which is the same prompt to a"
    " fresh model",
)
TEXT_ONLY = Case(
    "longva_text_only",
    "LongVA, a question without a picture",
    "Hello, who are you?",
    "chatml",
    quirk="equal from the engine on; `longtake ask` wants a video or a picture to answer about",
)

SAME = [
    Case("longva_video", "LongVA, a video", "What happens in the video?", "chatml", Grid()),
    Case(
        "longva_video_maxpool",
        "LongVA, a video, maxima pooled",
        "Give a detailed caption of the video as if I am blind.",
        "chatml",
        Grid(mode="max"),
    ),
    Case(
        "longva_image_anyres0",
        "LongVA, one picture in tiles",
        "Describe the image in details.",
        "chatml",
        UniresImage(),
        still=True,
    ),
    Case(
        "longva_image_anyres1",
        "LongVA, one narrow picture in tiles",
        "What is the color of that ballon?",
        "chatml",
        UniresImage(),
        still=True,
    ),
    Case("longva_two_images", "LongVA, two pictures", "Compare the two images.", "chatml", UniresImage(), still=True),
    Case("longva_niah_sampling", "LongVA, a needle among frames, V-NIAH's sampling script", WEDDING, "chatml", Grid()),
    TEXT_ONLY,
    Case("sf_slowfast", "SlowFast-LLaVA, dynamic RoPE at work", MAN, "slowfast", SLOWFAST, rope=NTK),
    Case("sf_slowfast_norope", "SlowFast-LLaVA, no RoPE scaling", MAN, "slowfast", SLOWFAST),
    Case("sf_concat", "SlowFast-LLaVA, frames pooled 2 x 2", "how many?", "slowfast", JOINED, rope=NTK),
    Case(
        "sf_mc_short",
        "SlowFast-LLaVA, multiple choice, dynamic RoPE idle",
        STOPPED,
        "slowfast_choice",
        SHORT,
        choices=OPTIONS,
        rope=NTK,
    ),
    Case(
        "sf_noagg",
        "SlowFast-LLaVA, frames without an aggregation",
        "how many?",
        "vicuna",
        WHOLE_FRAME,
        rope=NTK,
        shown=1,
        quirk="of four frames the original shows the first only, and says nothing; equal where that frame alone is"
        " given here, and all four are shown here where four are given",
    ),
    Case(
        "sf_image_anyres",
        "LLaVA-1.6, one picture in tiles, dynamic RoPE at work",
        "What is shown?",
        "vicuna",
        UNPAD,
        still=True,
        rope=NTK,
    ),
    LEAK_1,
    Case("sf34_slowfast", "SlowFast-LLaVA, 34B's format", MAN, "slowfast_yi", SLOWFAST, rope=NTK),
]
"""Prompt, embeddings, logits and tokens are equal."""

REFUSED = [TRUNCATED, LEAK_2]
"""What the original did is not done; `quirk` says why."""


def grids_of(model: Model, case: Case) -> list[FeatureGrid]:
    """The features of a case's pictures one by one, or of all frames of its video."""
    assert case.layout is not None
    tiled = view_of(case.layout).tiled
    shrink = model.encoder.shrinker(tiled=tiled)
    images = case.images()
    grids = []
    for some in [[image] for image in images] if case.still else [images]:
        shape = model.encoder.shape_of(len(some), some[0].shape[:2], tiled=tiled)
        small_TCHW = np.stack([shrink(image) for image in some])
        times = np.arange(len(some), dtype=np.float64)
        grid = model.encoder.encode([Frames(small_TCHW, times, times.astype(np.int64))], tilings=shape.tilings)
        assert grid.shape == shape
        assert case.layout.count(shape) == sum(len(piece.tokens_ND) for piece in case.layout.arrange(grid))  # type: ignore[union-attr]
        grids.append(grid)
    return grids


def prompt_of(model: Model, template: ChatTemplate, case: Case) -> Prompt:
    """A case's pictures or frames laid out in a prompt, as `watch` does."""
    layout = case.layout
    assert layout is not None
    pieces = [layout.arrange(grid) for grid in grids_of(model, case)]
    return prefix(template, model.tokenizer, joined(template, pieces))


def embedded(model: Model, prompt: Prompt, after: Sequence[int], place: int) -> torch.Tensor:
    """(L, D): what the language model reads, where `place` stands for visual tokens."""
    embedding: Callable[[torch.Tensor], torch.Tensor] = model.engine.language.get_input_embeddings()  # type: ignore[attr-defined]
    ids_L = torch.cat([prompt.token_ids_L, torch.tensor(after)])
    embedded_LD = embedding(ids_L.clamp(min=0))
    embedded_LD[ids_L == place] = prompt.visual_ND
    return embedded_LD
