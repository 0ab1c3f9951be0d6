"""cli: an argument list in, an exit status out. Imports what a command needs when it runs. Knows nothing of tensors.

Whatever goes wrong anywhere ends here, as one line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from longtake.errors import ErrorCode, LongtakeError, writing

CLOSED_PIPE_STATUS = 141
"""What a shell reports of a program that SIGPIPE ended (128 + 13): the reader has seen enough."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `longtake` with `arguments` (default: the process's own) and return its exit status (docs/errors.md)."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in (given[: given.index("--")] if "--" in given else given)
    try:
        return _run_or_refuse(given)
    except LongtakeError as error:
        return _tell(error, as_json=as_json)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        advice = "run the same command again to start over"
        return _tell(LongtakeError(ErrorCode.INTERRUPTED, "", "stopped by Ctrl-C", advice), as_json=as_json)
    except (BrokenPipeError, SystemExit):
        # SystemExit is rich's answer to a closed pipe, when it prints help.
        _drop_output()
        return CLOSED_PIPE_STATUS


def _run_or_refuse(arguments: list[str]) -> int:
    """Run a command; whatever nobody foresaw becomes `internal.bug`."""
    if sys.stdout is None:
        advice = "leave it open, or send it to a file"
        raise LongtakeError(ErrorCode.DISK_WRITE, "standard output", "is closed", advice)
    try:
        status = _run(arguments)
        with writing("standard output"):
            sys.stdout.flush()
        return status
    except (LongtakeError, BrokenPipeError):
        raise
    except OSError as error:
        if error.filename is not None:
            raise _bug(error) from error
        # Help is printed by typer and rich; a refusal there names no file.
        with writing("standard output"):
            raise
    except Exception as error:
        raise _bug(error) from error


def _bug(error: Exception) -> LongtakeError:
    advice = "please report it, with the output of LONGTAKE_TRACEBACK=1"
    return LongtakeError(ErrorCode.INTERNAL_BUG, "", f"{type(error).__name__}: {error}", advice)


def _run(arguments: list[str]) -> int:
    import typer

    from longtake.cli.app import app

    command = typer.main.get_command(app)
    try:
        with command.make_context("longtake", arguments) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.exceptions.TyperException as error:
        reason = " ".join(error.format_message().rstrip(".").split())
        asked = getattr(error, "ctx", None)
        advice = f"see {asked.command_path if asked else 'longtake'} --help"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", reason, advice) from error
    return 0


def _tell(error: LongtakeError, *, as_json: bool) -> int:
    """Say what went wrong: one line on standard error, or with --json the object on standard output."""
    if os.environ.get("LONGTAKE_TRACEBACK") == "1":
        import traceback

        traceback.print_exception(error)
    if error.code in (ErrorCode.RANKS_LOST, ErrorCode.USAGE_BAD_OPTION) and os.environ.get("RANK", "0") != "0":
        # Started by torchrun, and not as the first, which is told the same and says it for all.
        return int(error.code.value.exit_status)
    stream, text = (sys.stdout, json.dumps(error.as_dict(), indent=2)) if as_json else (sys.stderr, str(error))
    try:
        if stream is not None:
            encoding = stream.encoding or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()
    except OSError:
        # Nobody can be told any more; the exit status still speaks.
        _drop_output()
    return error.code.value.exit_status


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
