"""docs: writes errors.md, parts.md, cli.md and parity.md beside this file from code and tests.

`--check` only says which are stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

HERE = Path(__file__).resolve().parent
HEAD = "<!-- Written by docs/generate.py from the code: do not edit; `make docs`. -->\n\n"


def errors_page() -> str:
    """Every code that a run can end with, from the enum."""
    from longtake.errors import ErrorCode

    rows = [f"| `{kind.code}` | {kind.exit_status} | {kind.meaning} |" for kind in (code.value for code in ErrorCode)]
    return f"""{HEAD}# Errors

A refusal is one line on standard error, and the exit status says of what kind it is:

    error[CODE]: SUBJECT: reason (what to do)

With `--json` nothing goes to standard error and standard output carries one JSON object, either the answer or
`{{"error": {{"code", "exit_status", "subject", "reason", "advice"}}}}`. File names are shown with control characters
and undecodable bytes escaped, so that a line stays one line. `LONGTAKE_TRACEBACK=1` adds the traceback.
Of processes that torchrun started the first tells what all have met. What another has met alone goes to standard error,
also with `--json`, with `rank N: ` before it.
A reader that closes the pipe early (`longtake info film.mp4 | head -1`) ends the run in silence with status 141.

| code | exit status | meaning |
|---|---|---|
{chr(10).join(rows)}
"""


def parts_page() -> str:
    """Every part of every room, from the folders."""
    from longtake import parts
    from longtake.prompt.templates import TEMPLATES

    sections = []
    for room in parts.ROOMS_WITH_PARTS:
        rows = [f"## {room}\n", "| name | what it does | options |", "|---|---|---|"]
        for name in parts.names(room):
            part = parts.find(room, name)
            options = ", ".join(f"`{option}={value}`" for option, value in parts.defaults(part).items())
            rows.append(f"| `{name}` | {parts.summary(part)} | {options} |")
        sections.append("\n".join(rows) + "\n")
    names = ", ".join(f"`{name}`" for name in TEMPLATES)
    sections.append(f"## templates\n\nThe format of a prompt, for `ask --template`: {names}.\n")
    return f"""{HEAD}# Parts

The file `samplers/uniform.py` is the sampler `uniform`, and so on: a part exists by lying in its room's folder
([CONTRIBUTING.md](../CONTRIBUTING.md)). Options are given like `--set sampler.frames=64`; `package.module:Class` names
a part that lives elsewhere. `longtake list` prints this page. Methods: [methods.md](methods.md).

{chr(10).join(sections)}"""


def cli_page() -> str:
    """Every command with its arguments and options, from typer's own tree."""
    import typer

    from longtake.cli.app import app

    group: Any = typer.main.get_command(app)
    return f"""{HEAD}# Command line

Results go to standard output, everything else to standard error. Exit statuses: [errors.md](errors.md).

{chr(10).join(_sections("longtake", group))}"""


def _sections(name: str, command: Any) -> list[str]:
    """A command's section, or those of the commands under it."""
    if not hasattr(command, "commands"):
        return [_command_section(name, command)]
    return [section for below, inner in command.commands.items() for section in _sections(f"{name} {below}", inner)]


def _command_section(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *(argument.metavar for argument in arguments)])
    rows = []
    for option in options:
        nothing = option.default is None or option.default is False or option.required
        default = "required" if option.required else "" if nothing else f"`{option.default}`"
        metavar = f" {option.metavar}" if option.metavar else ""
        words = ", ".join(f"`{word}`" for word in _words(option.type_descriptor.annotation))
        meaning = f"{option.help} One of {words}." if words else option.help
        rows.append(f"| `{', '.join(option.opts)}{metavar}` | {meaning} | {default} |")
    table = ["| option | meaning | default |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"## {usage}\n", command.help or "", "", *table]) + "\n"


def _words(annotation: Any) -> list[str]:
    """What an option may be, where it is one of some words."""
    inner = get_args(annotation)
    return list(inner) if get_origin(annotation) is Literal else [word for part in inner for word in _words(part)]


def parity_page() -> str:
    """What is equal to the originals, from the registry that their tests are made from."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from parity import page

    return f"{HEAD}{page()}"


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "parts.md": parts_page,
    "cli.md": cli_page,
    "parity.md": parity_page,
}


def main() -> int:
    """Write the pages, or with --check tell which differ from what the code says; 1 if any does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    stale = []
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    if stale:
        print(f"stale: {', '.join(stale)} (run: make docs)", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
