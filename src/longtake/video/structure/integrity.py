"""video/structure/integrity: a file and its packets in, which of them a damaged container has made doubtful out.

FFmpeg looks for the next sound part of a damaged file and goes on from there without a word. So its structure is gone
through once more here, for those containers, and packets are placed before, in and behind what is broken.

    stored:   P0  P1 [P2  ####  ####] P5  P6  I7  P8      [ ] a break; #### never seen; P2 may not be whole
    in doubt:          x               x   x              up to the next key frame: they refer to what is not there
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video import LostSpan
from longtake.video.choosing import codec_name
from longtake.video.container import check_whole, opened, packets_of, regular_file
from longtake.video.decoding.reading import video_stream
from longtake.video.options import ReadOptions
from longtake.video.packets.clock import NO_TIME
from longtake.video.packets.scanning import FrameTable, PacketTable
from longtake.video.structure import flash, matroska, ogg, riff
from longtake.video.structure.breaks import Break, Window
from longtake.video.times import format_time

_WALKS: dict[bytes, Callable[[Window], list[Break]]] = {
    b"\x1a\x45\xdf\xa3": matroska.breaks,
    b"OggS": ogg.breaks,
    b"FLV\x01": flash.breaks,
    b"RIFF": riff.breaks,
}
_COUNTED = frozenset({"avi", "ogg"})
"""Here a frame has no time of its own, but its place: what stands behind a break of unknown length has none."""

_LENGTHLESS = frozenset({"ogg"})
"""Here the header says nothing; FFmpeg takes the last time in the file for its length."""

_UNCHECKED = frozenset({"vp8", "vp9", "av1"})
"""Their decoders hardly ever notice that bytes were changed."""

_GAP = 1.5
"""Longer than so many steps from frame to frame is not just the rounding of times."""

_NEAR = 16
"""Decoders hold back at most so many frames (ITU-T H.264, A.3.1), so that much order of storing and showing differ."""

_ADVICE = "fetch or export the file again, or take what is whole with --on-corrupt skip"


@dataclass(frozen=True)
class _Loss:
    """What one break takes: frames between two times by the file's own clock, in ticks.

    Attributes:
        after: the frame of this time is there; None if there is none before the break.
        before: frames of later times are not concerned; None if the break reaches to the end.
        last: time of the last frame that is there, but in doubt.
    """

    broken: Break
    after: int | None
    before: int | None
    last: int | None


@dataclass(frozen=True)
class Damage:
    """Packets of a damaged file, those in doubt hidden, and what to say of it."""

    packets: PacketTable
    error: LongtakeError | None
    notes: tuple[str, ...]
    claimed_s: float | None
    losses: tuple[_Loss, ...]
    tick_s: float
    counted: bool

    def told(self, table: FrameTable) -> FrameTable:
        """The table of those packets, and in it what is lost."""
        spans = {span for loss in self.losses for span in self._spans(loss, table)}
        lost_s = (*table.lost_s, *sorted(spans, key=lambda span: span[0]))
        return dataclasses.replace(table, lost_s=lost_s, notes=(*table.notes, *self.notes))

    def _spans(self, loss: _Loss, table: FrameTable) -> list[LostSpan]:
        """The gaps in the times of `table` around a loss, and what is missing before the first or after the last."""
        times_s = table.times_s.tolist()
        step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
        low_s = -np.inf if loss.after is None else loss.after * self.tick_s - table.offset_s
        high_s = np.inf if loss.before is None else loss.before * self.tick_s - table.offset_s
        spans: list[LostSpan] = [
            (sooner + step_s, later)
            for sooner, later in pairwise(times_s)
            if later > low_s and sooner < high_s and later - sooner > _GAP * step_s
        ]
        if loss.after is None or low_s < 0:
            spans += [(-table.offset_s, 0.0)] if table.offset_s > 0 else []
        last_s = -np.inf if loss.last is None else loss.last * self.tick_s - table.offset_s
        if loss.before is None or last_s > times_s[-1]:
            claimed_s = self.claimed_s if self.claimed_s and not self.counted else 0.0
            spans.append((table.end_s, max(claimed_s, last_s) + step_s if claimed_s > table.end_s else None))
        return spans


def container_breaks(path: str, options: ReadOptions) -> list[Break]:
    """Where the container at `path` is broken, in the order of the file; nothing for containers that FFmpeg checks.

    A file that is known to be cut off has no break at its end.
    """
    with regular_file(path) as file:
        head = file.read(12)
        file.seek(0, 2)
        size = file.tell()
        walk = _WALKS.get(head[:4])
        if walk is None or (head[:4] == b"RIFF" and head[8:] != b"AVI "):
            return []
        breaks = walk(Window(file, size, lambda position: options.heard("scan", position, size)))
    if breaks and check_whole(path) is not None:
        breaks = [broken for broken in breaks if broken.kind not in ("end", "open")]
    return breaks


def damage_among(
    packets: PacketTable, stream: VideoStream, path: str, *, claimed_s: float | None, options: ReadOptions
) -> Damage | None:
    """What a damaged container does to the packets of `stream`; None if its structure is sound.

    Args:
        claimed_s: where the header says that the stream ends.
    """
    breaks = container_breaks(path, options)
    if not breaks:
        return None
    position_P = _positions(path, stream.index, packets, options)
    tick_s = float(stream.time_base) if stream.time_base else 1.0
    if stream.container.format.name in _LENGTHLESS:
        claimed_s = None
    counted = _is_counted(packets, stream)
    judge = _Judge(packets, position_P, tick_s, claimed_s, counted=counted)
    unchecked = codec_name(stream) in _UNCHECKED
    losses, doubtful_P, notes = [], np.zeros(len(packets), dtype=np.bool_), []
    for broken in breaks:
        if broken.kind == "open":
            notes.append("nothing marks its end: it may be cut off, or the recording of a broadcast")
            continue
        if broken.kind == "checksum" and not unchecked:
            notes.append(
                f"a checksum says that bytes between {broken.start:,} and {broken.end:,} were changed: frames that "
                "the decoder takes for sound there may still show wrong pictures"
            )
            continue
        loss = judge.loss(broken, doubtful_P)
        if loss is not None:
            losses.append(loss)
            notes.append(_reason(loss, packets, tick_s))
        else:
            notes.append(f"its container is damaged at byte {broken.start:,}, but no frame is missing there")
    hidden = dataclasses.replace(packets, hidden_P=packets.hidden_P | doubtful_P)
    return Damage(
        hidden, _refusal(path, breaks, losses, notes), tuple(notes), claimed_s, tuple(losses), tick_s, counted
    )


def _is_counted(packets: PacketTable, stream: VideoStream) -> bool:
    return stream.container.format.name in _COUNTED or bool((packets.pts_P == NO_TIME).any())


def _positions(path: str, index: int, packets: PacketTable, options: ReadOptions) -> NDArray[np.int64]:
    """The byte at which each packet begins; the scan does not keep that for all the files that are sound."""
    with opened(path, options) as (container, _):
        found = [packet.pos or 0 for packet in packets_of(container, video_stream(container, index)) if packet.size]
    if len(found) != len(packets):
        reason = "gives other packets when it is read again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, path, reason, "fetch or export the file again")
    position_P = np.array(found, dtype=np.int64)
    # Behind damage FFmpeg may begin again from the start of an AVI: what comes a second time stands nowhere.
    back = np.flatnonzero(np.diff(position_P) < 0)
    position_P[back[0] + 1 if len(back) else len(found) :] = np.iinfo(np.int64).max
    return position_P


class _Judge:
    """Says which packets a break makes doubtful, if any."""

    def __init__(
        self,
        packets: PacketTable,
        position_P: NDArray[np.int64],
        tick_s: float,
        claimed_s: float | None,
        *,
        counted: bool,
    ) -> None:
        self._packets, self._position_P, self._counted = packets, position_P, counted
        shown = np.sort((packets.dts_P if counted else packets.pts_P)[~packets.hidden_P])
        self._step = float(np.median(np.diff(shown))) if len(shown) > 1 else 1.0
        self._first, self._last = (int(shown[0]), int(shown[-1])) if len(shown) else (0, 0)
        claimed = None if claimed_s is None else claimed_s / tick_s
        self._ends_early = claimed is None or claimed - (self._last - self._first) > (1 + _GAP) * self._step

    def loss(self, broken: Break, doubtful_P: NDArray[np.bool_]) -> _Loss | None:
        """What the break takes; the packets that are in doubt for it are marked. None if it takes nothing."""
        count = len(self._packets)
        before = np.flatnonzero(self._position_P < broken.start)
        first = int(before[-1]) + 1 if len(before) else 0
        behind = np.flatnonzero(self._position_P[first:] >= broken.end)
        behind_it = first + int(behind[0]) if len(behind) else count
        if not self._takes(first, behind_it):
            return None
        in_doubt = self._in_doubt(first, behind_it)
        doubtful_P[in_doubt] = True
        times = self._packets.pts_P[in_doubt]
        last = int(times.max()) if len(times) and not self._counted else None
        if self._counted or behind_it == count:
            return _Loss(broken, self._time_after(first), None, last)
        before_it = max(self._time_before(behind_it), last if last is not None else NO_TIME)
        return _Loss(broken, self._time_after(first), before_it, last)

    def _takes(self, first: int, behind: int) -> bool:
        """Whether frames are missing or doubtful between the packets before `first` and those from `behind` on."""
        if behind > first:
            return True
        if behind == len(self._packets):
            return self._ends_early
        if self._counted:
            return True
        if first == 0:
            return self._first > _GAP * self._step
        around = slice(max(first - _NEAR, 0), behind + _NEAR)
        times = np.sort(self._packets.pts_P[around])
        steps = np.diff(times)
        low, high = self._time_after(first), self._time_before(behind)
        near = (times[1:] > (NO_TIME if low is None else low)) & (times[:-1] < high)
        usual = min(self._step, float(np.median(steps))) if len(steps) else self._step
        return bool((steps[near] > _GAP * usual).any())

    def _in_doubt(self, first: int, behind: int) -> NDArray[np.int64]:
        """The packets in a break, and those that need what is missing; all later ones where frames are counted."""
        packets, places = self._packets, np.arange(len(self._packets))
        keys = np.flatnonzero(packets.key_P)
        if self._counted:
            # Frames may be shown later than others that are stored behind them: only whole groups keep their places.
            reorders = bool((np.diff(packets.pts_P) < 0).any()) or bool((packets.pts_P == NO_TIME).any())
            earlier = keys[keys <= first]
            return places[int(earlier[-1]) if reorders and len(earlier) else first :]
        later = keys[keys >= behind]
        # The third refresh is whole (see `scanning`).
        whole = later[2:] if len(later) and packets.gradual_P[later[0]] else later
        if not len(whole):
            return places[first:]
        start, end = int(whole[0]), int(whole[1]) if len(whole) > 1 else len(places)
        leading = places[start:end][packets.pts_P[start:end] < packets.pts_P[start]]
        return np.concatenate([places[first:start], leading])

    def _time_after(self, first: int) -> int | None:
        """No frame of a packet from `first` on is shown before this time: each is decoded later."""
        if first == 0:
            return None
        pts, dts = int(self._packets.pts_P[first - 1]), int(self._packets.dts_P[first - 1])
        return dts if dts != NO_TIME else pts

    def _time_before(self, behind: int) -> int:
        """No frame of a packet before `behind` is shown after this time."""
        pts_P, dts_P = self._packets.pts_P, self._packets.dts_P
        near = slice(max(behind - _NEAR, 0), behind + _NEAR)
        timed = dts_P[near] != NO_TIME
        delay = int((pts_P[near][timed] - dts_P[near][timed]).max()) if timed.any() else 0
        start = int(dts_P[behind]) if dts_P[behind] != NO_TIME else int(pts_P[behind])
        return start + max(delay, 0)


def _reason(loss: _Loss, packets: PacketTable, tick_s: float) -> str:
    times = packets.pts_P[packets.pts_P != NO_TIME]
    start = int(times.min()) if len(times) else 0
    low = "the beginning" if loss.after is None else format_time(max(loss.after - start, 0) * tick_s)
    high = "the end" if loss.before is None else format_time(max(loss.before - start, 0) * tick_s)
    if loss.broken.kind == "end":
        return f"is cut off inside the part that begins at byte {loss.broken.start:,}; frames after {low} are missing"
    return f"its container is damaged at byte {loss.broken.start:,}: frames between {low} and {high} may be missing"


def _refusal(path: str, breaks: list[Break], losses: list[_Loss], notes: list[str]) -> LongtakeError | None:
    """For a file that may not be damaged: why it is refused; None if no frame is concerned."""
    wrong = [broken for broken in breaks if broken.kind == "checksum"]
    if not losses and not wrong:
        return None
    cut = not wrong and all(loss.broken.kind == "end" for loss in losses)
    harmful = {loss.broken for loss in losses} | set(wrong)
    first = next(note for broken, note in zip(breaks, notes, strict=True) if broken in harmful)
    more = f" (and {len(harmful) - 1:,} more)" if len(harmful) > 1 else ""
    return LongtakeError(ErrorCode.MEDIA_TRUNCATED if cut else ErrorCode.MEDIA_CORRUPT, path, first + more, _ADVICE)
