"""cli/partial: what was not done out of all that was asked in; the end with `partial.failed` out. Prints nothing."""

from __future__ import annotations

from typing import NoReturn

import typer

from longtake.cli.options import Show
from longtake.errors import ErrorCode, LongtakeError


def end_partial(subject: str, reason: str, advice: str, *, show: Show) -> NoReturn:
    """Ends a command that has told what it found, but not of everything; with --json that has said so.

    Raises:
        LongtakeError: `partial.failed`.
        typer.Exit: the same status with --json.
    """
    if show.as_json:
        raise typer.Exit(ErrorCode.PARTIAL_FAILED.value.exit_status)
    raise LongtakeError(ErrorCode.PARTIAL_FAILED, subject, reason, advice)
