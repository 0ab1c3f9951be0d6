"""cli/means: what a run may take and what video is not at hand, as typed, in; the same as numbers out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtake.cli.opening import parsed_count, parsed_seconds
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.costs.machine import Room
    from longtake.video import Video

_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|min|h)", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_UNIT_S = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Means:
    """What a run may take, as the user put it.

    Attributes:
        fit: memory=SIZE or time=TIME, to be filled with frames; None: frames are as they are asked for.
        device_memory: so much memory may be used; None: what there is.
    """

    fit: str | None
    device_memory: str | None

    def fitted(self) -> tuple[str, float] | None:
        """`("memory", bytes)` or `("time", seconds)`.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        if self.fit is None:
            return None
        name, _, written = self.fit.partition("=")
        if name == "memory" and (count := parsed_count(written)):
            return name, float(count)
        if name == "time" and (span := _span(written)):
            return name, span
        reason = "is neither memory=SIZE nor time=TIME"
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION, f"--fit {self.fit}", reason, "write it like memory=16GiB or time=10min"
        )

    def room(self, *, device: str, apart: bool) -> Room | None:
        """How much memory may be used; None where nobody can say, or where several devices share a model.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.machine import Room, memory_room

        if self.device_memory is not None:
            count = parsed_count(self.device_memory)
            if not count:
                reason, advice = "is no size", "write it like 80GiB"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--device-memory {self.device_memory}", reason, advice)
            return Room(count, " (--device-memory)")
        if not apart:
            return memory_room()
        return None if device == "auto" or "," in device else _card_room(device)


@dataclass(frozen=True)
class Absent:
    """A video that is not at hand, as the user put it."""

    duration: str | None
    size: str

    def video(self) -> Video:
        """Something that can be planned for.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        from longtake.costs.imagined import ImaginedVideo

        found, seconds = _SIZE.fullmatch(self.size), parsed_seconds(self.duration or "")
        if self.duration is None:
            reason, advice = "no FILE and no --duration", "name a file, or say --duration 2:00:00"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", reason, advice)
        if not seconds:
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--duration", "is no time", "write it like 2:00:00")
        if found is None or not int(found[1]) * int(found[2]):
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--size", "is no size", "write it like 1280x720")
        return ImaginedVideo(seconds, int(found[1]), int(found[2]))


def _card_room(device: str) -> Room | None:
    import torch

    from longtake.costs.machine import Room

    if not torch.cuda.is_available():
        return None
    return Room(torch.cuda.get_device_properties(device).total_memory, "")


def _span(written: str) -> float | None:
    found = _SPAN.fullmatch(written.strip())
    return float(found[1]) * _UNIT_S[found[2]] if found else parsed_seconds(written)
