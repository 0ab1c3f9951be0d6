"""niah.looking: pictures and videos in, their features out, each encoded once and kept. Knows no layout by name.

What is kept of a frame is what the layout needs: its visual tokens where the layout goes frame by frame (3,000 frames
of a 7B model are 3 GB so, and 12 GB as the grid that is pooled), else its whole grid of features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.layouts import Piece, View, Visual, goes_frame_by_frame, view_of
from longtake.niah import Cell, Progress, Trial
from longtake.niah.haystack import Cuts, Source, order_of
from longtake.prompt import Prompt, prefix
from longtake.video import Frames
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen
from longtake.vision import FeatureGrid

CHUNK_FRAMES = 32
"""Frames that are encoded together."""


@dataclass(frozen=True)
class Haystack:
    """Frames that were read and encoded once, and the order in which they make the haystack.

    Attributes:
        kept_THWD: what is kept of each different frame, as `Eye` keeps it.
        order_F: (F,) place in `kept_THWD` of each frame of the longest haystack; shorter ones are its beginnings.
        origin: where the frames come from, for the summary.
        notes: what is worth saying about the files.
        newline_D: the vector that the model learned to read at the end of a row of a picture; None where it has none.
    """

    kept_THWD: torch.Tensor
    order_F: NDArray[np.int64]
    origin: Mapping[str, object]
    notes: tuple[str, ...] = ()
    newline_D: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.order_F)

    def part(self, start: int, stop: int) -> torch.Tensor:
        """What is kept of the frames from `start` up to `stop`, in order."""
        return self.kept_THWD[torch.from_numpy(self.order_F[start:stop])]


@dataclass(frozen=True)
class Eye:
    """A model's eye and layout: frames in, what is kept of them out, and kept frames laid out for the prompt.

    Raises:
        LongtakeError: `usage.bad_option` for a layout that looks at anything but whole frames.
    """

    model: Model

    def __post_init__(self) -> None:
        layout = self.model.layout
        if view_of(layout) != View():
            reason = "looks at tiles, or at several frames on one picture; a needle is hidden among whole frames"
            advice = "take a layout that looks at frames as they are, like grid or slowfast"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"layout {type(layout).__name__}", reason, advice)

    def keep(self, grid: FeatureGrid) -> torch.Tensor:
        """(T, H, W, D) on the processor: the grid itself, or (T, 1, N, D) visual tokens of each frame."""
        values_THWD = grid.values_THWD
        if goes_frame_by_frame(self.model.layout):
            tokens_ND = _visual(self.model.layout.arrange(grid))
            values_THWD = tokens_ND.reshape(len(values_THWD), 1, -1, tokens_ND.shape[-1])
        return values_THWD.cpu()

    def arrange(self, kept_THWD: torch.Tensor, newline_D: torch.Tensor | None = None) -> list[Piece]:
        """The pieces of the prompt; frame k is at second k."""
        times_s = np.arange(len(kept_THWD), dtype=np.float64)
        if not goes_frame_by_frame(self.model.layout):
            return self.model.layout.arrange(FeatureGrid(kept_THWD, times_s, newline_D))
        return [Visual(kept_THWD.flatten(0, 2), np.repeat(times_s, kept_THWD.shape[2]))]

    def look(self, frames: Iterable[Frames]) -> Iterator[FeatureGrid]:
        """What is kept of small frames, a chunk at a time."""
        for chunk in frames:
            grid = self.model.encoder.encode([chunk])
            yield replace(grid, values_THWD=self.keep(grid))

    def look_at_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """What is kept of (H, W, 3) uint8 pictures of any sizes."""
        shrink = self.model.encoder.shrinker(tiled=False)
        small_TCHW = np.stack([shrink(picture) for picture in pictures])
        chunks = [small_TCHW[start : start + CHUNK_FRAMES] for start in range(0, len(small_TCHW), CHUNK_FRAMES)]
        frames = (Frames(chunk, np.zeros(len(chunk)), _numbers(chunk)) for chunk in chunks)
        return torch.cat([grid.values_THWD for grid in self.look(frames)])


def read_haystack(
    eye: Eye, chosen: Sequence[Source], wanted: int, *, seed: int, progress: Progress | None = None
) -> Haystack:
    """Read and encode the chosen frames, each once, and put them in order; memory holds what is kept and few frames.

    Raises:
        LongtakeError: what a video's frames are refused for.
    """
    asked = sum(len(source.numbers) for source in chosen)
    cuts, kept, files, notes = Cuts(), list[torch.Tensor](), list[dict[str, object]](), list[str]()
    done, newline_D = 0, None
    for source in chosen:
        seen = Seen(source.video, source.numbers)
        read = source.video.read(source.numbers, chunk=CHUNK_FRAMES, shrink=eye.model.encoder.shrinker(tiled=False))
        with closing(ahead(read, depth=2)) as chunks:
            for grid in eye.look(cuts.passing(seen.passing(chunks))):
                kept.append(grid.values_THWD)
                newline_D = None if grid.newline_D is None else grid.newline_D.cpu()
                done += len(grid.values_THWD)
                if progress is not None:
                    progress("haystack", done, asked)
        files.append({"path": source.video.path, "frames": len(seen.numbers), "degraded": seen.degraded})
        notes += [f"{source.video.path}: {note}" for note in (*source.video.notes, *seen.notes())]
    order_F = order_of(cuts.shots, wanted, seed)
    origin = {
        "frames": wanted,
        "different_frames": min(done, wanted),
        "shots": len(cuts.shots),
        "shuffled_by_shot": done < wanted,
        "most_repeats": int(np.bincount(order_F).max()),
        "files": files,
    }
    return Haystack(torch.cat(kept), order_F, origin, tuple(notes), newline_D)


@dataclass(frozen=True)
class Laid:
    """Haystack and needles, encoded: any cell's prompt can be put together.

    Attributes:
        eye: that looked at both.
        haystack: as long as the longest cell's.
        needles: for each trial's name, what is kept of each insertion's pictures.
    """

    eye: Eye
    haystack: Haystack
    needles: Mapping[str, Sequence[torch.Tensor]]

    def prompt(self, cell: Cell) -> Prompt:
        """All that is read before the question: the haystack's first frames with the insertions in their places."""
        parts, begin = [], 0
        needles = self.needles[cell.trial.name]
        for place, needle in sorted(zip(cell.places, needles, strict=True), key=lambda placed: placed[0]):
            parts += [self.haystack.part(begin, place), needle]
            begin = place
        parts.append(self.haystack.part(begin, cell.frames))
        model = self.eye.model
        return prefix(model.template, model.tokenizer, self.eye.arrange(torch.cat(parts), self.haystack.newline_D))


def needles_of(eye: Eye, trials: Sequence[Trial], *, progress: Progress | None = None) -> dict[str, list[torch.Tensor]]:
    """What is kept of each trial's insertions, by the trial's name."""
    found = {}
    for number, trial in enumerate(trials):
        found[trial.name] = [eye.look_at_pictures(insertion.pictures) for insertion in trial.insertions]
        if progress is not None:
            progress("needles", number + 1, len(trials))
    return found


def stand_in(laid_by: Eye, trials: Sequence[Trial], frames: int) -> Laid:
    """The same haystack and needles in numbers of width 1, no two frames alike: what a cell shares with another can be
    counted before anything is decoded, for any layout.
    """
    rng = np.random.default_rng(0)
    shape = laid_by.model.encoder.shape_of(1, (1, 1), tiled=False)
    newline_D = torch.zeros(1) if shape.newline else None

    def unlike(count: int) -> torch.Tensor:
        values = torch.from_numpy(rng.random((count, shape.height, shape.width, 1)))
        class_TD = values[:, 0, 0] if shape.class_token else None
        return laid_by.keep(FeatureGrid(values, np.arange(count, dtype=np.float64), newline_D, class_TD=class_TD))

    needles = {trial.name: [unlike(len(one.pictures)) for one in trial.insertions] for trial in trials}
    haystack = Haystack(unlike(frames), np.arange(frames, dtype=np.int64), {}, newline_D=newline_D)
    return Laid(laid_by, haystack, needles)


def _visual(pieces: Sequence[Piece]) -> torch.Tensor:
    return torch.cat([piece.tokens_ND for piece in pieces if isinstance(piece, Visual)])


def _numbers(chunk: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.arange(len(chunk), dtype=np.int64)
