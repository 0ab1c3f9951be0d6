"""video/apart/child: a command in, a process with which messages are exchanged out. Knows nothing of what they say.

    parent:  send() -> [queue] -> sender thread  -> its standard input
             take() <- [queues] <- listener thread <- its standard output
                                   its standard error: the last of it is kept, for when it dies

Threads, since pipes cannot be waited for with a time limit on every system. The listener reaps the process.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from longtake.video.apart.wire import Message, WireError, packed, unpacked
from longtake.video.options import Guard

_LOOK_UP_S = 0.1
_START_S = 60.0
"""A process that has not said a first word yet is still importing: seconds from a cold disk."""
_END_S = 5.0
_KEPT_BYTES = 4096

ADVICE = "fetch or export the file again, or convert it: ffmpeg -i FILE -c:v libx264 out.mp4"


@dataclass(frozen=True)
class Failure:
    """Why a child is no more: what came, and what to do."""

    reason: str
    advice: str


def silent(seconds: float) -> Failure:
    """It gave no sign of life for that long."""
    reason = f"the process that decodes it gave no sign of life for {seconds:g} s and was ended"
    return Failure(reason, f"{ADVICE}; if it is only slow, raise --limit deadline=SECONDS")


def too_big(most_bytes: int) -> Failure:
    """It wanted more memory than that."""
    reason = f"decoding it wants more than {most_bytes / (1 << 20):,.0f} MiB of memory"
    return Failure(reason, "make its pictures smaller, or raise --limit memory=BYTES")


def died(status: int, last_words: bytes) -> Failure:
    """It ended by itself, or others ended it."""
    if status < 0:
        name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
        advice = f"free some memory; or {ADVICE}" if name == "SIGKILL" else ADVICE
        return Failure(f"the process that decodes it died of {name}", advice)
    lines = last_words.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return Failure(f"the process that decodes it ended with status {status}: {last}", ADVICE)


class Child:
    """One running process. Its requests have numbers; each has a queue for what is said of it."""

    def __init__(self, command: Sequence[str], guard: Guard, *, memory_status: int) -> None:
        """Start it; it imports while this returns.

        Raises:
            OSError: if the system starts no process.
        """
        self._guard, self._memory_status = guard, memory_status
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
        )
        self._to_send: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._boxes: dict[int, queue.SimpleQueue[Message | None]] = {}
        self._lock = threading.RLock()  # the garbage collector may close it inside
        self._last_words = b""
        self._signs = 0
        self._ready = False
        self._answered = threading.Condition(self._lock)
        self._unwanted: set[int] = set()
        self.failure: Failure | None = None
        self.spent = False
        self._threads = [
            threading.Thread(target=work, name=f"longtake-child-{work.__name__}", daemon=True)
            for work in (self._overhear, self._hand_over, self._listen)  # the listener waits for the others at the end
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def begin(self, number: int, message: Message) -> None:
        """Send request `number`; `take` gives what is said of it."""
        with self._lock:
            self._boxes[number] = queue.SimpleQueue()
            if self.failure is not None:
                self._boxes[number].put(None)
        self._to_send.put({**message, "id": number})

    def send(self, number: int, what: str) -> None:
        """Tell it something about request `number`."""
        self._to_send.put({"do": what, "id": number})

    def take(self, number: int) -> Message | None:
        """The next that it says of request `number`; None if it is no more, which `failure` explains.

        A child that is silent for the deadline is ended. Time in which this process was stopped does not count.
        """
        limit_s = self._guard.deadline_s
        look_up_s = min(_LOOK_UP_S, limit_s / 10)
        box, quiet_s, signs = self._boxes[number], 0.0, self._signs
        while True:
            try:
                return box.get(timeout=look_up_s)
            except queue.Empty:
                quiet_s = quiet_s + look_up_s if signs == self._signs else 0.0
                signs = self._signs
            if quiet_s >= (limit_s if self._ready else max(limit_s, _START_S)):
                self.end(silent(quiet_s if not self._ready else limit_s))

    def forget(self, number: int, *, ended: bool) -> None:
        """Nobody takes what is said of request `number` any more; unless it `ended`, tell the child to stop it."""
        with self._lock:
            del self._boxes[number]
            if ended or self.failure is not None:
                return
            self._unwanted.add(number)
        self.send(number, "close")

    def is_free(self, within_s: float) -> bool:
        """Whether nothing that was forgotten is still being made, after at most that long."""
        with self._answered:
            return self._answered.wait_for(lambda: not self._unwanted or self.failure is not None, within_s)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything of it."""
        return not self._boxes

    def end(self, failure: Failure) -> None:
        """Kill it, if it still lives; the first failure told is the one that counts."""
        with self._lock:
            if self.failure is None:
                self.failure = failure
            self._process.kill()
            for box in self._boxes.values():
                box.put(None)
            self._answered.notify_all()
        self._to_send.put(None)

    def close(self) -> None:
        """Kill it and wait until it is gone."""
        self.end(Failure("the process that decodes was closed", "open the file again"))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_END_S)

    def _listen(self) -> None:
        told = Failure("the process that decodes it sent what is no message", ADVICE)
        try:
            while True:
                self._hand_on(unpacked(self._fill, most_bytes=self._guard.memory_bytes))
        except EOFError:
            self._wait()
            told = self._told_by_death()
        except (WireError, KeyError, TypeError):
            pass
        except MemoryError:
            told = Failure("there is no memory left for its frames", "free some memory")
        self.end(told)
        self._process.wait()
        _pipe(self._process.stdout).close()

    def _hand_on(self, message: Message) -> None:
        said = message["said"]
        if said == "ready":
            self._ready = True
            return
        number = message["id"]
        with self._answered:
            self.spent = self.spent or message.get("spent", False) is True
            if number in self._boxes:
                self._boxes[number].put(message)
            elif said not in ("heard", "frame"):
                self._unwanted.discard(number)
                self._answered.notify_all()
        if said == "memory":
            self.end(too_big(self._guard.memory_bytes))

    def _fill(self, view: memoryview) -> None:
        stdout = _pipe(self._process.stdout)
        while len(view):
            count = stdout.readinto(view)
            if not count:
                raise EOFError
            self._signs += 1
            view = view[count:]

    def _wait(self) -> None:
        """Wait until the process is gone; a process that closed its standard output and lives on is killed."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _told_by_death(self) -> Failure:
        self._threads[0].join(_END_S)
        status = self._process.returncode
        # C++ and Rust libraries abort where there is no memory, and say so only on standard error.
        without_memory = b"bad_alloc" in self._last_words or b"memory allocation of" in self._last_words
        if status == self._memory_status or without_memory:
            return too_big(self._guard.memory_bytes)
        return died(status, self._last_words)

    def _hand_over(self) -> None:
        stdin = _pipe(self._process.stdin)
        with stdin:
            while (message := self._to_send.get()) is not None:
                try:
                    for part in packed(message):
                        rest = memoryview(part)
                        while len(rest):
                            rest = rest[stdin.write(rest) :]
                except OSError:  # it is gone, which the listener tells
                    return

    def _overhear(self) -> None:
        stderr, shown = _pipe(self._process.stderr), os.environ.get("LONGTAKE_TRACEBACK") == "1"
        with stderr:
            while part := stderr.read(_KEPT_BYTES):
                self._last_words = (self._last_words + part)[-_KEPT_BYTES:]
                if shown:
                    sys.stderr.write(part.decode(errors="replace"))


def _pipe(pipe: IO[bytes] | None) -> Any:
    """A raw pipe, of which typeshed knows neither `readinto` nor that it is there."""
    return pipe


def _environment() -> dict[str, str]:
    """Modules from where this process takes them; libraries that keep to one thread and one heap, for the limit."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    folders = os.pathsep.join(folder or os.curdir for folder in sys.path)
    return {**os.environ, **few, "PYTHONPATH": folders, "PYTHONSAFEPATH": "1"}
