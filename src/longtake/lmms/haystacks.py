"""lmms/haystacks: long videos and needles in, a film for each length, depth and needle out, with rows for lmms-eval.

    python -m longtake.lmms.haystacks FILE... --out DIR [--needles PATH] [--frames 50:200:50] [--depths 0:1:0.25]

V-NIAH (LongVA, arXiv 2406.16852) hands frames to a model; lmms-eval hands files. So each haystack is a file of one
frame a second, which a model sees whole if it takes as many frames as there are. What differs from `longtake niah`: all
frames have the haystack's size, needles are fitted into it, and both have been through an encoder. Knows no model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from longtake.errors import ErrorCode, LongtakeError, counted, writing
from longtake.lmms.rows import ROWS
from longtake.niah import Cell, Trial
from longtake.niah.drawn import draw_trials
from longtake.niah.haystack import Source, sources
from longtake.niah.needles import read_needles
from longtake.niah.ranges import depths, frame_counts
from longtake.video.opening import open_video
from longtake.world.film import write_film

CRF = 16
"""Of the encoder: what is written in a needle stays legible."""
Picture = NDArray[np.uint8]


def make(files: Sequence[str], cells: Sequence[Cell], folder: Path) -> int:
    """Write the film of each cell, and the rows; how many there are.

    Args:
        files: whose frames, one a second and one file after the other, make the haystack.
        cells: lengths, depths and needles.
        folder: is made if need be.

    Raises:
        LongtakeError: `media.*`; `data.bad` where the files are shorter than the longest haystack; `disk.write`.
    """
    longest = max(cell.frames for cell in cells)
    hay = sources([open_video(file) for file in files], longest, every_frame=False)
    have = sum(len(source.numbers) for source in hay)
    if have < longest:
        reason = f"{counted(have, 'frame')} a second apart, and the longest haystack has {longest:,}"
        raise LongtakeError(ErrorCode.DATA_BAD, files[0], reason, "give longer files, more files, or a lesser --frames")
    height, width = _even_size(hay)
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ROWS, "w", encoding="utf-8") as rows:
            for number, cell in enumerate(cells):
                name = f"{cell.frames:06}-{cell.depth:.3f}-{number:05}.mp4"
                write_film(folder / name, _film(hay, cell, (width, height)), fps=Fraction(1), crf=CRF)
                rows.write(json.dumps(_row(cell, name)) + "\n")
    return len(cells)


def _film(hay: Sequence[Source], cell: Cell, size: tuple[int, int]) -> Iterator[Picture]:
    """The haystack's frames, the needle's before the frame that its depth says (`Cell.places`)."""
    insertions = zip(cell.places, cell.trial.insertions, strict=True)
    put = sorted(((at, picture) for at, one in insertions for picture in one.pictures), key=lambda pair: pair[0])
    for number, picture in enumerate(_hay(hay, cell.frames, size)):
        while put and put[0][0] <= number:
            yield _fitted(put.pop(0)[1], size)
        yield picture
    yield from (_fitted(picture, size) for _, picture in put)


def _hay(hay: Sequence[Source], wanted: int, size: tuple[int, int]) -> Iterator[Picture]:
    for source in hay:
        numbers = source.numbers[:wanted]
        wanted -= len(numbers)
        for frames in source.video.read(list(numbers), chunk=1) if numbers else ():
            yield _fitted(np.ascontiguousarray(frames.pixels_TCHW[0].transpose(1, 2, 0)), size)


def _fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """Of the film's size, black beside it where the shapes differ."""
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(ImageOps.pad(Image.fromarray(picture), size, Image.Resampling.BICUBIC))


def _even_size(hay: Sequence[Source]) -> tuple[int, int]:
    """(height, width) of the first file's frames, as encoders want them."""
    (frames,) = hay[0].video.read([hay[0].numbers[0]], chunk=1)
    height, width = frames.pixels_TCHW.shape[2:]
    return height - height % 2, width - width % 2


def _row(cell: Cell, name: str) -> dict[str, object]:
    return {
        "benchmark": "",
        "id": f"{cell.frames}/{cell.depth:g}/{cell.trial.name}",
        "video": name,
        "question": cell.trial.question,
        "options": [],
        "labels": [],
        "right": -1,
        "reference": cell.trial.answer,
        "categories": [f"depth {cell.depth:g}", f"{cell.frames} frames"],
    }


def main(typed: Sequence[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m longtake.lmms.haystacks", description="Films for V-NIAH.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="videos whose frames make the haystack")
    parser.add_argument("--out", required=True, help="the folder to write: LONGTAKE_BENCHMARKS/vniah")
    parser.add_argument("--needles", help="a dataset.json as LongVA's, its folder, or parquet; else needles are drawn")
    parser.add_argument("--trials", type=int, default=20, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn needles")
    parser.add_argument("--frames", default="50:200:50", help="lengths, as of longtake niah")
    parser.add_argument("--depths", default="0:1:0.25", help="0 is before the first frame, 1 behind the last")
    given = parser.parse_args(typed)
    try:
        trials = _trials(given.needles, given.trials, given.seed)
        lengths, shares = frame_counts(given.frames), depths(given.depths)
        cells = [Cell(length, share, trial) for length in lengths for share in shares for trial in trials]
        sys.stdout.write(f"{counted(make(given.files, cells, Path(given.out)), 'film')} in {given.out}\n")
    except LongtakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.code.value.exit_status
    return 0


def _trials(needles: str | None, count: int, seed: int) -> Sequence[Trial]:
    return read_needles(needles) if needles else draw_trials("find", count, seed=seed).trials


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
