"""cli/agreeing: the command that tells how far two judges agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.judges.agreeing import Agreement


def print_agreement(folders: Sequence[str], judges: tuple[str, str] | None, *, show: Show) -> None:
    """`longtake eval agreement`: the marks of two judges beside each other, by aspect.

    Raises:
        LongtakeError: `usage.bad_option`; `media.not_found` where a judge has no file.
    """
    from longtake.judges.agreeing import agreements
    from longtake.judges.kept import read_judged

    first, second = _files(folders, judges)
    one, two = _named(first, second)
    found = agreements(read_judged(first)[0], read_judged(second)[0])
    if show.as_json:
        told = [agreement.as_dict() for agreement in found]
        say_json({"judges": [one, two], "files": [str(first), str(second)], "aspects": told})
        return
    say(f"{_table(found)}\nthe first is {one}, the second {two}; the difference is the second's less the first's")
    for agreement in found:
        if agreement.others:
            say(f"{agreement.aspect}: {agreement.others:,} left out, whose answers are not the same in both files")


def _files(folders: Sequence[str], judges: tuple[str, str] | None) -> tuple[Path, Path]:
    """The files of the two judges.

    Raises:
        LongtakeError: `usage.bad_option` if it is not plain which they are.
    """
    from longtake.judges.kept import path_of

    if len(folders) > 2:
        raise _bad("OUT", f"{len(folders)} folders are given", "give one, or one for each judge")
    if judges is None and len(folders) == 1:
        raise _bad(folders[0], f"--judges names none, and {_here(folders[0])} lie there", "name two: --judges A B")
    names = judges or [_only(folder) for folder in folders]
    first, second = (
        path_of(Path(folder), name) for folder, name in zip([*folders, folders[0]][:2], names, strict=True)
    )
    return first, second


def _only(folder: str) -> str:
    """The judge of a folder that has one."""
    from longtake.judges.kept import judges_in

    here = judges_in(Path(folder))
    if len(here) != 1:
        raise _bad(folder, f"{_here(folder)} lie there", "name one for each folder: --judges A B")
    return here[0]


def _here(folder: str) -> str:
    from longtake.judges.kept import judges_in

    return f"the judges {', '.join(judges_in(Path(folder))) or '(none)'}"


def _named(first: Path, second: Path) -> tuple[str, str]:
    """What the two are called; by their files where they have one name."""
    one, two = (path.name.removeprefix("judge-").removesuffix(".jsonl") for path in (first, second))
    return (str(first), str(second)) if one == two else (one, two)


def _table(found: Sequence[Agreement]) -> str:
    head = (
        "",
        "both",
        "only first",
        "only second",
        "neither",
        "equal",
        "kappa",
        "weighted",
        "difference",
        "correlation",
    )
    return table([head, *map(_line, found)])


def _line(agreement: Agreement) -> tuple[str, ...]:
    counts = (agreement.both, agreement.only_first, agreement.only_second, agreement.neither)
    equal, reach = agreement.equal.share, agreement.difference_reach
    around = "" if reach is None else f" +- {reach:.3f}"
    return (
        agreement.aspect,
        *(f"{count:,}" for count in counts),
        "-" if equal is None else f"{equal:.1%}",
        *(_number(value) for value in (agreement.kappa, agreement.kappa_weighted)),
        "-" if agreement.difference is None else f"{agreement.difference:+.3f}{around}",
        _number(agreement.correlation),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bad(subject: str, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, advice)
