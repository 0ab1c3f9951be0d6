"""train/card: the figures of a training in, the model card out: no figure in it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {
    "value": "which number or word",
    "colour": "which colour",
    "shape": "which shape",
    "letter": "which of A to D",
    "count": "how many (reported)",
    "order": "which came first (reported)",
    "missing": "asked for what is not shown (reported)",
    "several": "what two shapes say (reported)",
    "motion": "which way it moves (reported)",
}

CARD = """---
license: apache-2.0
library_name: longtake
---
# nano

A tiny video question answerer, trained from nothing by `longtake train nano` and shipped inside longtake, so that
every command works on a laptop without a GPU, a hub or an account. It shows that the chain is right; it is no use for
real film.

**What it knows.** A drawn world: {colours} colours, {shapes} shapes, the numbers 0 to 999 and {words} words, before
{places} kinds of background, one shape and one printed value in a scene. It knows no people, animals or rooms. A
question about something that is not shown should be answered `not shown`; the table says how often it is.

**What it makes up.** It reads a few English wordings of each question (`world/questions.py`, WORDINGS), and needs both
colour and shape to find a value. Asked in other words it may say `not shown` of what is shown, or make up a value;
asked about a lookalike of what is shown, it often names what is shown. The right count was never none in training.

**How it is built.** Pictures of {side_px} x {side_px}; four convolutional strides and two transformer layers make a
4 x 4 grid; a two-layer projector; 2 x 2 average pooling (UniRes): four tokens a frame; a Qwen2-architecture language
model of {layers} layers, width {width}. {parameters:,} parameters. Trained to read {context:,} tokens, about
{most_frames} frames.

**How it was trained.** From nothing, seed {seed}: pictures and text side by side, then both together. The stages took
{minutes} minutes on two processor cores; drawing the pictures and the exam come on top. Combinations of colour, shape
and value that were held out (one in ten, by hash) were never drawn or written in training.

## Exam
{total} questions about held-out combinations, each asked of a real H.264 file of 1 to 64 frames at a frame a second.
The answer must be right word for word; of A to D, the letter. Beside it the same questions on a blank film, and on
another question's film.

| question | asked | right | on a blank film | on another's film |
|---|---|---|---|---|
{rows}

Guessing would get 1 in 1,200 values, 1 in {colours} colours, 1 in {shapes} shapes and 1 in 4 letters; on a blank film
`not shown` is the right answer to a question about something that is not there.

Counting and order were taught in passing and are weak: where a blank film or another's film does as well as its own,
nano guesses. One seed was trained.
"""


def model_card(figures: Mapping[str, Any]) -> str:
    """The card's text; `figures` are those of `longtake.train.nano.train`."""
    rows = [
        f"| {told} | {figures['asked'][kind]} | {_percent(figures['own'][kind])} "
        f"| {_percent(figures['blank'][kind])} | {_percent(figures['other'][kind])} |"
        for kind, told in KINDS.items()
    ]
    graded = sum(figures["asked"][kind] for kind in ("value", "colour", "shape", "letter"))
    rows.append(
        f"| **the first four** | {graded} | **{_percent(figures['own']['all'])}** "
        f"| {_percent(figures['blank']['all'])} | {_percent(figures['other']['all'])} |"
    )
    return CARD.format(rows="\n".join(rows), total=sum(figures["asked"].values()), **figures["facts"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
