"""measure.films: a video file in, what it is known by out, so that a run does not go on with another. Decodes nothing.

Its size and a digest of its beginning and its end: an hour of video is not read through for it. Where a file is encoded
anew, cut or damaged these change; a few bytes that are changed in its middle are not noticed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.measure.grouping import Groups
from longtake.measure.rows import Folder

END_BYTES = 1 << 20
"""So much of the beginning and of the end is read."""


def print_of(path: Path) -> str:
    """`SIZE-SHA256`, in bytes and in hex; "" of what cannot be read, such as a folder of pictures."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = hashlib.sha256(file.read(END_BYTES))
            file.seek(max(END_BYTES, size - END_BYTES))
            found.update(file.read(END_BYTES))
    except OSError:
        return ""
    return f"{size}-{found.hexdigest()}"


def refuse_changed(folder: Folder, groups: Groups) -> None:
    """Refuse to go on where a file that has answers is another one now. One that is gone is not asked about again.

    Raises:
        LongtakeError: `data.bad`, naming the first such file, and how many there are.
    """
    there = {group.file: group.path for group in groups.all if group.file is not None and group.path is not None}
    before = {row.file: row.file_print for row in folder.done if row.file_print and row.error is None}
    changed = [path for file, path in there.items() if file in before and print_of(path) not in ("", before[file])]
    if changed:
        more = f", and {len(changed) - 1:,} more have" if len(changed) > 1 else ""
        reason = f"has changed since questions about it were answered into {folder.path}{more}"
        advice = "put the file back as it was, or give another --out; --force-new throws that run away"
        raise LongtakeError(ErrorCode.DATA_BAD, str(changed[0]), reason, advice)
