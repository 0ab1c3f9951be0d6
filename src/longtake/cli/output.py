"""cli/output: results to standard output, remarks to standard error. Knows nothing of what they mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from longtake.errors import printable, writing


def shown(text: str) -> str:
    """`text` as a terminal may get it: control characters but line feeds are escaped."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str, *, end: str = "\n") -> None:
    """Write `text` to standard output at once, as `shown`.

    Raises:
        LongtakeError: `disk.write` if standard output does not take it.
    """
    encoding = sys.stdout.encoding or "utf-8"
    with writing("standard output"):
        sys.stdout.write(shown(text).encode(encoding, "backslashreplace").decode(encoding) + end)
        sys.stdout.flush()


def say_json(value: Mapping[str, object] | Sequence[Mapping[str, object]]) -> None:
    """Write one JSON object, or a list of them, to standard output.

    ASCII only, so that any name of a file survives any terminal.
    """
    say(json.dumps(value, indent=2, allow_nan=False))


def remark(text: str) -> None:
    """Write one dim line to standard error, if there is one that takes it: a lost remark spoils no result."""
    if sys.stderr is None:
        return
    from rich.console import Console

    with suppress(OSError):
        Console(stderr=True, soft_wrap=True, highlight=False).print(printable(text), style="dim", markup=False)


def table(rows: Sequence[Sequence[str]]) -> str:
    """`rows` as text in aligned columns, the last one ragged."""
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[-1]] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)
