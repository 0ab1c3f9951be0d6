"""train/card: the figures of a training in, the model card out: no figure in it is written by hand."""

from __future__ import annotations

from collections import defaultdict
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

{note}**What it knows.** A drawn world: {colours} colours, {shapes} shapes, the numbers 0 to 999 and {words} words,
before {places} kinds of background, one shape and one printed value in a scene, or one shape that moves. It knows no
people, animals or rooms. A question about something that is not shown should be answered `not shown`; the table says
how often it is.

**What it makes up.** It reads a few English wordings of each question (`world/questions.py`, WORDINGS), and needs both
colour and shape to find a value. Asked in other words it may say `not shown` of what is shown, or make up a value;
asked about a lookalike of what is shown, it often names what is shown. It counts to five.

**How it is built.** Pictures of {side_px} x {side_px}; four convolutional strides and two transformer layers make a
4 x 4 grid; a two-layer projector; 2 x 2 average pooling (UniRes): four tokens a frame; a Qwen2-architecture language
model of {layers} layers, width {width}. {parameters:,} parameters. Trained to read {context:,} tokens, about
{most_frames:,} frames.

**How it was trained.** From nothing, seed {seed}, in two lanes side by side. Words: a language model read short films
as text ({base_steps:,} steps; {base_frames} frames at most, RoPE base {base_theta:,.0f}), then haystacks of up to
{long_frames:,} frames whose places were numbered as if they lay within {context:,} tokens (PoSE, arXiv 2309.10400;
RoPE base {long_theta:,.0f}). Eyes: tower and projector learned to caption single pictures, then the projector
alone to answer, through the language model of short films, about samples of one to {most_pictures} pictures. No picture
ever trained the language model, and no sample had more than {most_pictures}: what nano does with thousands of frames it
learned from text. The stages took {minutes} minutes on two processor cores; drawing the pictures and the exam come on
top. Combinations of colour, shape and value that were held out (one in ten, by hash) were never drawn or written there.

## Exam
{total} questions about held-out combinations, each asked of a real H.264 file, every frame of which was seen at a frame
a second. The answer must be right word for word; of A to D, the letter. Beside it the same questions on a blank film,
and on another question's film.

| question | asked | right | {lengths} | on a blank film | on another's film |
|---|---|---|{ruler}---|---|
{rows}

Guessing would get 1 in 1,200 values, 1 in {colours} colours, 1 in {shapes} shapes and 1 in 4 letters; on a blank film
`not shown` is the right answer to a question about something that is not there.

Where a blank film or another's film does as well as its own, nano guesses.
{needles}"""

NEEDLES = """
## Needles in haystacks
One picture is put into a film of so many frames, at depths from the first frame to the last, and asked for (V-NIAH;
LongVA, arXiv 2406.16852); or more than one, as the sweep's name says (docs/niah.md). With half symbols, half of the
frames show other scenes. Needles are held-out combinations; the haystack is never a film that nano learned from, but
what failed in these films told what to draw and write for the training. Shares of right answers (generated word for
word), all depths together; 95 % intervals of the means, over cells: the needles are few, and each is asked in every
column and at every depth.

{tables}
{controls}"""

CONTROLS = """
**The controls** branch from the same base and look through the same eyes; they read the same things as nano in as many
steps, but in films of at most 48 frames. A: at the RoPE base of short films. B: A, asked with nano's RoPE base. C:
trained at nano's RoPE base. Where nano finds more than C, that is for having read long text.
"""


def model_card(figures: Mapping[str, Any]) -> str:
    """The card's text; `figures` are those of `longtake.train.nano.train`."""
    rows = [_row(figures, kind, told, figures["asked"][kind]) for kind, told in KINDS.items()]
    graded = sum(figures["asked"][kind] for kind in ("value", "colour", "shape", "letter"))
    rows.append(_row(figures, "all", "**the first four**", graded))
    lengths = list(figures["by_length"])
    return CARD.format(
        rows="\n".join(rows),
        total=sum(figures["asked"].values()),
        lengths=" | ".join(f"{frames} frames" for frames in lengths),
        ruler="---|" * len(lengths),
        needles=_needles(figures.get("niah", {})),
        note=f"**Note.** {figures['note']}\n\n" if "note" in figures else "",
        **figures["facts"],
    )


def _needles(sweeps: Mapping[str, Any]) -> str:
    """The section about V-NIAH: sweeps that asked at the same lengths share a table."""
    by_lengths: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for name, sweep in sweeps.items():
        unit = sweep.get("haystack", {}).get("unit", "frames")
        by_lengths[unit, tuple(column["frames"] for column in sweep["frames"])].append(name)
    tables = []
    for (unit, lengths), names in by_lengths.items():
        lines = [f"| sweep, by {unit} | {' | '.join(f'{frames:,}' for frames in lengths)} | mean | asked |"]
        lines.append("|---|" + "---|" * (len(lengths) + 2))
        lines += [f"| {name} | {_sweep_row(sweeps[name])} |" for name in names]
        tables.append("\n".join(lines))
    controls = CONTROLS if any(name.startswith("control") for name in sweeps) else ""
    return NEEDLES.format(tables="\n\n".join(tables), controls=controls) if tables else ""


def _sweep_row(sweep: Mapping[str, Any]) -> str:
    mean = sweep["mean"]["generated"]
    cells = [_percent(column["generated"]["share"]) for column in sweep["frames"]]
    interval = f"{100 * mean['low']:.1f} to {100 * mean['high']:.1f}"
    return " | ".join([*cells, f"**{_percent(mean['share'])}** ({interval})", f"{mean['asked']:,}"])


def _row(figures: Mapping[str, Any], kind: str, told: str, asked: int) -> str:
    shares = [figures["own"][kind], *(of_length[kind] for of_length in figures["by_length"].values())]
    shares += [figures["blank"][kind], figures["other"][kind]]
    return f"| {told} | {asked} | {' | '.join(_percent(share) for share in shares)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
