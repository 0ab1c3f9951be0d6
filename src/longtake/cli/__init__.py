"""cli: an argument list in, an exit status out. Imports what a command needs when it runs. Knows nothing of tensors.

Whatever goes wrong anywhere ends here, as one line.
Exit statuses: docs/errors.md. With `--json` standard output carries one JSON object, the answer or the error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from longtake.errors import ErrorCode, LongtakeError, printable, writing

CLOSED_PIPE_STATUS = 141
"""What a shell reports of a program that SIGPIPE ended (128 + 13): the reader has seen enough."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `longtake` with `arguments` (default: the process's own) and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(given)
        with writing("standard output"):
            sys.stdout.flush()
        return status
    except LongtakeError as error:
        return _tell(error, given)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        advice = "run the same command again to start over"
        return _tell(LongtakeError(ErrorCode.INTERRUPTED, "", "stopped by Ctrl-C", advice), given)
    except BrokenPipeError:
        _drop_output()
        return CLOSED_PIPE_STATUS
    except Exception as error:  # noqa: BLE001 (the outermost boundary: a user never sees a traceback unasked)
        return _tell_bug(error, given)


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
        reason = error.format_message().rstrip(".").replace("\n", " ")
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "", reason, "see longtake --help") from error
    return 0


def _tell(error: LongtakeError, arguments: Sequence[str]) -> int:
    """Say what went wrong: one line on standard error, or the object on standard output with --json."""
    try:
        if "--json" in arguments:
            sys.stdout.write(json.dumps(error.as_dict(), indent=2) + "\n")
            sys.stdout.flush()
        else:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
    except OSError:
        # Nobody can be told any more; the exit status still speaks.
        _drop_output()
    return error.code.value.exit_status


def _tell_bug(error: Exception, arguments: Sequence[str]) -> int:
    if os.environ.get("LONGTAKE_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
    reason = f"{type(error).__name__}: {printable(str(error))}"
    advice = "please report it, with the output of LONGTAKE_TRACEBACK=1"
    return _tell(LongtakeError(ErrorCode.INTERNAL_BUG, "", reason, advice), arguments)


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
