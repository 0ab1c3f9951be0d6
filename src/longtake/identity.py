"""identity: a file in, the SHA-256 of its bytes out; large ones are remembered. Knows nothing of what is in them.

What is remembered lies in the user's cache folder, one line for each file that was hashed, and goes by device, inode,
size and both times of change: bytes that change under the same name, size and time of modification are hashed again.
To lose it, or a part of it, costs time only, so nobody locks it: processes append whole lines.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

WORTH_REMEMBERING_BYTES = 2**22
"""A smaller file is hashed in the time in which its sum would be looked up."""
SETTLED_NS = 2 * 10**9
"""A file that changed less than this before it was hashed is not remembered: a second change in the same tick of the
file system's clock (two seconds, on the coarsest) would leave no trace in its times."""
MOST_BYTES = 2**20
"""Of what is remembered: some thousand files. Beyond, the older half is forgotten."""

_CHUNK_BYTES = 2**20
_SUM = re.compile(r"[0-9a-f]{64}")

Heard = Callable[[int, int], None]
"""Called as heard(bytes_done, bytes_of_all)."""


def file_sha256(path: str | os.PathLike[str], *, heard: Heard | None = None) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; remembered, or reckoned.

    Args:
        path: a regular file.
        heard: told how far it has been read.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        stamp = _stamp(status)
        known = _remembered(stamp) if status.st_size >= WORTH_REMEMBERING_BYTES else None
        if known is not None:
            return known
        begun_ns = time.time_ns()
        sum_, done = hashlib.sha256(), 0
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while count := file.readinto(buffer):
            sum_.update(buffer[:count])
            done += count
            if heard is not None:
                heard(done, status.st_size)
        settled = begun_ns - max(status.st_mtime_ns, status.st_ctime_ns) >= SETTLED_NS
        if status.st_size >= WORTH_REMEMBERING_BYTES and settled and _stamp(os.fstat(file.fileno())) == stamp:
            _remember(stamp, sum_.hexdigest())
    return sum_.hexdigest()


def told_sha256(told: object) -> str:
    """The SHA-256 of what JSON can tell, whatever the order of its keys.

    Raises:
        TypeError, ValueError: JSON cannot tell it.
    """
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _memory_path() -> Path:
    return user_cache_path("longtake") / "sums.txt"


def _remembered(stamp: str) -> str | None:
    try:
        text = "\n" + _memory_path().read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    _, found, behind = text.rpartition(f"\n{stamp} ")
    sum_ = behind.partition("\n")[0]
    return sum_ if found and _SUM.fullmatch(sum_) else None


def _remember(stamp: str, sum_: str) -> None:
    """Append one line; a cache folder that may not be written is left alone."""
    path = _memory_path()
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            lines = path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            fresh.write_text("".join(lines[len(lines) // 2 :]), encoding="ascii", errors="ignore")
            fresh.replace(path)
        with path.open("ab", buffering=0) as file:
            # One write, so that lines of two processes never mix.
            file.write(f"{stamp} {sum_}\n".encode("ascii"))
