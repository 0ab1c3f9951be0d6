"""video/apart/worker: messages on standard input, frames and facts of videos on standard output. Knows not who asks.

`video.apart` starts it as a process of its own:

    {"do": "open", id, path, stream, options}                   -> "opened" with the facts of a `VideoFile`, or "error"
    {"do": "read", id, facts, options, asked, credit}           -> "frame" ..., "end" or "error"
    {"do": "more", id}      one more frame may be made          -> "frame"
    {"do": "close", id}     nothing more is wanted of it        -> "end"

and at any time "heard": it lives, and so far it came. Any number of reads may be under way; they are served in turn,
and no read is more frames ahead than it has credit. It ends with its standard input, whatever it is doing.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader

from longtake.errors import LongtakeError
from longtake.video.apart.memory import MemoryLimit, limit_memory
from longtake.video.apart.wire import Message, packed, unpacked
from longtake.video.decoding.sources import Here, Shown
from longtake.video.opening import open_video
from longtake.video.options import Guard, Heard, ReadOptions
from longtake.video.video_file import VideoFile

Say = Callable[[Message], None]

FACTS = tuple(field.name for field in dataclasses.fields(VideoFile) if field.name not in ("options", "source"))
OPTIONS = tuple(field.name for field in dataclasses.fields(ReadOptions) if field.name != "heard")
"""What of a `VideoFile` and of `ReadOptions` goes over the wire, each by its name."""

MEMORY_STATUS = 12
"""Exit status of a worker that has not even the memory to say so (12 is ENOMEM)."""

_HEARD_EVERY_S = 0.1
_MOST_TIMER_S = 1e8
"""More than three years; systems take no timers without end."""
_BUSY_DEADLINES = 4
"""So many deadlines of processor time without a sign of life and the system ends the process: a codec that keeps
Python's lock would otherwise outlive a parent that is gone. Processor time, since a stopped terminal job takes none."""


class _Unwanted(Exception):
    """Nobody wants the rest of what is being made."""


@dataclass
class _Read:
    """A read under way: its frames, those asked for that did not come yet, and how many may be made now."""

    shown: Shown
    video: VideoFile
    owed: Iterator[int]
    credit: int


class Worker:
    """Serves requests, one step at a time."""

    def __init__(self, say: Say, memory: MemoryLimit, guard: Guard) -> None:
        self._say, self._memory, self._guard = say, memory, guard
        self._reads: dict[int, _Read] = {}
        self._heard_s = 0.0
        self.requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.unwanted: set[int] = set()

    def serve(self) -> None:
        """Answer requests for ever."""
        self._say({"said": "ready"})
        while True:
            ready = next((number for number, read in self._reads.items() if read.credit), None)
            if ready is None:
                _allow_processor_s(0)
            try:
                request = self.requests.get(block=ready is None)
            except queue.Empty:
                request = {"do": "step", "id": ready}
            self._allow_time()
            with self._answering(request):
                self._do(request)

    def _do(self, request: Message) -> None:
        number, what = request["id"], request["do"]
        if what == "open":
            self._open(number, request)
        elif what == "read":
            self._read(number, request)
        elif number not in self._reads:
            return
        elif what == "more":
            self._reads[number].credit += 1
        elif what == "close":
            self._reads[number].shown.close()
            self._end(number)
        else:
            self._step(number)

    def _open(self, number: int, request: Message) -> None:
        _go_to(request["folder"])
        options = self._options(number, request)
        video = open_video(request["path"], stream=request["stream"], options=options)
        if video.lost_s and self._is_near_limit():
            raise MemoryError
        facts = {name: getattr(video, name) for name in FACTS}
        self._say({"said": "opened", "id": number, "spent": self._is_near_limit(), **facts})

    def _read(self, number: int, request: Message) -> None:
        _go_to(request["folder"])
        facts = {name: request[name] for name in FACTS}
        video = VideoFile(**facts, options=self._options(number, request), source=Here())
        asked = request["asked"].tolist()
        self._reads[number] = _Read(video.source.shown(video, asked), video, iter(asked), request["credit"])

    def _step(self, number: int) -> None:
        """Make the next frame of one read, which then goes behind the others."""
        read = self._reads[number]
        place, image_HWC = next(read.shown, (None, None))
        while (owed := next(read.owed, None)) != place:
            # A frame may be left out for damage, but not where too little memory may be what was wrong with it.
            if owed is None or self._is_near_limit():
                raise MemoryError
        if place is None:
            self._end(number)
            return
        self._reads[number] = self._reads.pop(number)
        read.credit -= 1
        self._say({"said": "frame", "id": number, "number": place, "image": image_HWC})

    def _is_near_limit(self) -> bool:
        return self._memory.is_near(max((_pixels(read.video) for read in self._reads.values()), default=0))

    def _end(self, number: int) -> None:
        spent = self._is_near_limit()
        self._reads.pop(number, None)
        self._say({"said": "end", "id": number, "spent": spent})

    def _options(self, number: int, request: Message) -> ReadOptions:
        return ReadOptions(**{name: request[name] for name in OPTIONS}, heard=self._heard(number))

    def _heard(self, number: int) -> Heard:
        def heard(stage: str, done: int, total: int) -> None:
            if number in self.unwanted:
                raise _Unwanted
            if time.monotonic() - self._heard_s >= min(_HEARD_EVERY_S, self._guard.deadline_s / 10):
                self._heard_s = time.monotonic()
                self._allow_time()
                self._say({"said": "heard", "id": number, "stage": stage, "done": done, "total": total})

        return heard

    def _allow_time(self) -> None:
        _allow_processor_s(_BUSY_DEADLINES * self._guard.deadline_s)

    @contextmanager
    def _answering(self, request: Message) -> Iterator[None]:
        """Tells every error that serving `request` ends in."""
        number = request["id"]
        try:
            yield
        except _Unwanted:
            self._end(number)
        except MemoryError:
            self._say({"said": "memory", "id": number})
        except LongtakeError as error:
            code, *parts = error.code.value.code, error.subject, error.reason, error.advice
            self._refuse(number, {"said": "error", "code": code, "parts": tuple(parts)})
        except Exception as error:  # noqa: BLE001  whatever it is, the parent tells it
            if os.environ.get("LONGTAKE_TRACEBACK") == "1":
                traceback.print_exception(error)
            self._refuse(number, {"said": "bug", "what": f"{type(error).__name__}: {error}"})
        if request["do"] == "close":
            self.unwanted.discard(number)

    def _refuse(self, number: int, message: Message) -> None:
        """Tell an error; near the limit it is most likely a refused allocation in disguise."""
        near = self._is_near_limit() and not message.get("code", "").startswith("limit.")
        self._reads.pop(number, None)
        self._say({"said": "memory", "id": number} if near else {**message, "id": number})


def main() -> None:
    """Serve whoever started this process; its arguments are the deadline in seconds and the memory limit in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    guard = Guard(float(sys.argv[1]), int(sys.argv[2]))
    # What others print must not get between the messages.
    answers, requests = os.dup(1), os.dup(0)
    os.dup2(2, 1)
    one_at_a_time = threading.Lock()  # frames are read in several threads, and each says that it lives

    def say(message: Message) -> None:
        with one_at_a_time:
            _write(answers, message)

    worker = Worker(say, limit_memory(guard.memory_bytes), guard)
    listening = threading.Thread(target=_listen, args=(os.fdopen(requests, "rb"), worker), daemon=True)
    try:
        listening.start()
    except RuntimeError:  # no thread can be started: the limit leaves no room for its stack
        os._exit(MEMORY_STATUS)
    try:
        worker.serve()
    except MemoryError:
        os._exit(MEMORY_STATUS)
    except BrokenPipeError:
        os._exit(0)


def _listen(requests: BufferedReader, worker: Worker) -> None:
    """Hand requests on as they come, and end the process when no more can come."""

    def fill(view: memoryview) -> None:
        while len(view):
            count = requests.readinto(view)
            if not count:
                raise EOFError
            view = view[count:]

    try:
        while True:
            request = unpacked(fill, most_bytes=sys.maxsize)
            if request["do"] == "close":
                worker.unwanted.add(request["id"])
            worker.requests.put(request)
    except MemoryError:
        os._exit(MEMORY_STATUS)
    finally:
        os._exit(0)


def _write(descriptor: int, message: Message) -> None:
    for part in packed(message):
        rest = memoryview(part)
        while len(rest):
            rest = rest[os.write(descriptor, rest) :]


def _go_to(folder: str | None) -> None:
    """A relative path means what it means to the parent now."""
    if folder is not None:
        os.chdir(folder)


def _pixels(video: VideoFile) -> int:
    return video.picture.coded_height_px * video.picture.coded_width_px


def _allow_processor_s(seconds: float) -> None:
    """Processor time until the system ends this process, from now; 0 for any. Windows has no such timer."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, min(seconds, _MOST_TIMER_S))


if __name__ == "__main__":
    main()
