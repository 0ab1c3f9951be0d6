"""video/apart: a path in, a video whose frames another process decodes out; it may crash, hang or grow, this one not.

    DecodingProcess -- one warm `video.apart.worker` at a time, started anew when it was ended
    Apart           -- the `FrameSource` of its videos

It guards against codecs that fail, not against those that were taken over: the other process may do whatever this may.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.video.apart.child import Child, Failure
from longtake.video.apart.wire import Message
from longtake.video.apart.worker import FACTS, MEMORY_STATUS, OPTIONS
from longtake.video.decoding.sources import Shown
from longtake.video.options import AS_IS, Guard, Heard, ReadOptions
from longtake.video.video_file import VideoFile

_AHEAD_FRAMES = 2
"""So many frames may be made before they are wanted: one on its way while the next is decoded."""
_FREE_S = 0.5
"""So long a read that nobody wants any more may take to stop; a new process takes no longer (benchmarks/faults.py)."""

_CODES = {code.value.code: code for code in ErrorCode}
_NOT_A_MESSAGE = Failure("the process that decodes it sent what is no message", "please report it, with the file")


class DecodingProcess:
    """Opens videos and decodes their frames in a process of its own, with a deadline and a memory limit.

    One process serves any number of videos, whose frames may be read in turn. When it crashes, hangs or takes more than
    it may, whatever is being read ends in `media.decoder_failed`, and the next open or read starts a new one. Videos
    stay good meanwhile. Usable from several threads.

    Args:
        guard: the deadline and the memory limit; only Linux keeps a process to the latter (`video.apart.memory`).
    """

    module: ClassVar[str] = "longtake.video.apart.worker"
    """What runs in the other process."""

    def __init__(self, guard: Guard | None = None) -> None:
        self._guard = guard or Guard()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._child: Child | None = None
        self._last_resort: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        child = self._child
        return None if child is None or child.failure else child.pid

    def start(self) -> None:
        """Start the process if there is none, and do not wait for it: it takes a while to import what it needs.

        Raises:
            LongtakeError: `media.decoder_failed` if the system starts no process.
        """
        with self._lock:
            self._living("")

    def close(self) -> None:
        """End the process and wait until it is gone; a later open or read starts a new one."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.close()

    def open_video(
        self, path: str | os.PathLike[str], *, stream: int | None = None, options: ReadOptions = AS_IS
    ) -> VideoFile:
        """As `video.opening.open_video`, in the other process; so is what is read of the video.

        Raises:
            LongtakeError: what `open_video` raises, and `media.decoder_failed`.
        """
        name = os.fsdecode(path)
        request = {"do": "open", "path": name, "stream": stream, **_parts(options)}
        with self._asked(request, name, options.heard) as talk:
            said = talk.next()
            with talk.understood():
                facts = {fact: said[fact] for fact in FACTS}
                return VideoFile(**facts, options=options, source=Apart(self))

    def shown(self, video: VideoFile, numbers: Sequence[int]) -> Shown:
        """As `FrameSource.shown`; raises `media.decoder_failed` too."""
        asked = np.array(numbers, dtype=np.int64)
        facts = {fact: getattr(video, fact) for fact in FACTS}
        request = {"do": "read", "asked": asked, "credit": _AHEAD_FRAMES, **facts, **_parts(video.options)}
        owed = iter(numbers)
        with self._asked(request, video.path, video.options.heard) as talk:
            while (said := talk.next())["said"] == "frame":
                with talk.understood():
                    number, image_HWC = int(said["number"]), _picture(said["image"])
                    if number not in owed:
                        raise ValueError(number)
                talk.want_more()
                yield number, image_HWC

    @contextmanager
    def _asked(self, request: Message, path: str, heard: Heard) -> Iterator[_Talk]:
        folder = os.getcwd() if not os.path.isabs(path) else None
        with self._lock:
            child, number = self._living(path), next(self._numbers)
            child.begin(number, {**request, "folder": folder})
        talk = _Talk(child, number, path, heard)
        try:
            yield talk
        except KeyboardInterrupt:
            child.close()
            raise
        finally:
            child.forget(number, ended=talk.ended)

    def _living(self, path: str) -> Child:
        """The child that takes the next request. A fresh one where the last has failed, is spent, or does not stop."""
        child = self._child
        if child is not None and child.is_idle and child.failure is None:
            if child.spent or not child.is_free(_FREE_S):
                child.close()
        if child is None or child.failure is not None:
            arguments = (repr(self._guard.deadline_s), repr(self._guard.memory_bytes))
            try:
                child = Child((sys.executable, "-m", self.module, *arguments), self._guard, memory_status=MEMORY_STATUS)
            except OSError as error:
                reason = f"no process could be started to decode it: {error.strerror}"
                raise LongtakeError(ErrorCode.MEDIA_DECODER_FAILED, path, reason, "free some memory") from error
            if self._last_resort is not None:
                self._last_resort.detach()
            self._child, self._last_resort = child, weakref.finalize(self, child.close)
        return child


@dataclass(frozen=True)
class Apart:
    """Decodes in another process."""

    process: DecodingProcess

    def shown(self, video: VideoFile, numbers: Sequence[int]) -> Shown:
        """As `FrameSource.shown`; raises `media.decoder_failed` too."""
        return self.process.shown(video, numbers)


class _Talk:
    """What is said about one request."""

    def __init__(self, child: Child, number: int, path: str, heard: Heard) -> None:
        self._child, self._number, self._path, self._heard = child, number, path, heard
        self.ended = False

    def next(self) -> Message:
        """The next that is said, once what was heard is handed on.

        Raises:
            LongtakeError: what the other side ended in, or `media.decoder_failed`.
        """
        while (said := self._child.take(self._number)) is not None:
            self.ended = said["said"] not in ("heard", "frame")
            if said["said"] == "heard":
                with self.understood():
                    stage, done, total = str(said["stage"]), int(said["done"]), int(said["total"])
                self._heard(stage, done, total)
            elif said["said"] in ("error", "bug"):
                with self.understood():
                    error = self._error(said)
                raise error
            elif said["said"] != "memory":
                return said
        raise self.failed()

    def _error(self, said: Message) -> LongtakeError:
        if said["said"] == "bug":
            advice = "please report it, with the output of LONGTAKE_TRACEBACK=1"
            return LongtakeError(ErrorCode.INTERNAL_BUG, self._path, str(said["what"]), advice)
        subject, reason, advice = said["parts"]
        return LongtakeError(_CODES[said["code"]], subject, reason, advice)

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Ends the process if what it said has not the parts that are looked for within the `with`."""
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            self._child.end(_NOT_A_MESSAGE)
            raise self.failed() from error

    def want_more(self) -> None:
        """One more frame may be made."""
        self._child.send(self._number, "more")

    def failed(self) -> LongtakeError:
        """The error that tells how the process ended."""
        failure = self._child.failure or _NOT_A_MESSAGE
        return LongtakeError(ErrorCode.MEDIA_DECODER_FAILED, self._path, failure.reason, failure.advice)


def _parts(options: ReadOptions) -> Message:
    return {name: getattr(options, name) for name in OPTIONS}


def _picture(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture of {image.dtype} {image.shape}")
    return image
