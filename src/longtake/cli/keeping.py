"""cli/keeping: the commands about what is kept of videos: watch, store list, size, prune, verify."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from longtake.cli.looking import open_looked_at
from longtake.cli.opening import parsed_count
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json, table
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, counted

if TYPE_CHECKING:
    from longtake.answer import Look
    from longtake.cli.asking import Choice
    from longtake.eye import Kept
    from longtake.store import Held, Store

_AGE = re.compile(r"(\d{1,9})\s*([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Keeping:
    """Whether and where what is made of videos is kept, as the user put it."""

    folder: str | None = None
    off: bool = False
    prefixes: bool = False

    def store(self) -> Store | None:
        """The store; None where nothing is to be kept.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        if self.off and self.folder is not None:
            reason, advice = "--store names a store", "give one of the two"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--no-store", reason, advice)
        if self.off or (self.folder is None and is_turned_off()):
            return None
        return replace(opened_store(self.folder), prefixes=self.prefixes)


def is_turned_off() -> bool:
    """Whether LONGTAKE_STORE is there and empty: then nothing is kept unless --store says where."""
    return os.environ.get("LONGTAKE_STORE") == ""


def opened_store(folder: str | None) -> Store:
    """The store that the user named, or the usual one."""
    from longtake.store import Store

    return Store() if folder is None else Store(Path(folder).expanduser())


def watch_and_print(files: Sequence[Looked], choice: Choice, *, show: Show) -> None:
    """`longtake watch`: features, and with --keep-prefix keys and values, are in the store before anybody asks.

    Raises:
        LongtakeError: `disk.write` if not all could be kept, after the others were; `usage.bad_option` where nothing
            is to be kept.
    """
    from longtake.cli.asking import loaded

    store = choice.keeping.store()
    if store is None:
        reason, advice = "LONGTAKE_STORE is empty, so nothing is kept", "say where with --store"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "watch", reason, advice)
    with ExitStack() as opened:
        with bars(wanted=show.talks) as progress:
            videos = [opened.enter_context(open_looked_at(looked, progress=progress)) for looked in files]
        from longtake import pipeline
        from longtake.cli.planning import fitted
        from longtake.methods import Query

        if choice.keeping.prefixes:
            fitted(files[0], videos, choice, query=Query("What?"), show=show)
        model = loaded(files[0], videos, choice)

        of_prefix = None
        with bars(wanted=show.talks) as progress:
            if choice.keeping.prefixes:
                watched = pipeline.watch(model, videos, progress=progress)
                looks, of_prefix = watched.looks, watched.kept
            else:
                looks = pipeline.look(model, videos, progress=progress)
    report = _Report(tuple(map(_told, looks)), None if of_prefix is None else _told_prefix(of_prefix))
    report.refuse_unkept()
    notes = [note for look in looks for note in look.notes]
    if show.as_json:
        say_json({"files": report.files, "prefix": report.prefix, "notes": notes})
        return
    for line in report.lines():
        say(line)
    if show.talks:
        remark("; ".join([f"in {store.folder}", *notes]))


@dataclass(frozen=True)
class _Report:
    """What was kept of each file, and of keys and values."""

    files: tuple[dict[str, Any], ...]
    prefix: dict[str, Any] | None

    def refuse_unkept(self) -> None:
        for row in (*self.files, *([self.prefix] if self.prefix else ())):
            if row["refused"]:
                reason, advice = f"could not be kept: {row['refused']}", "make room, or take another place with --store"
                raise LongtakeError(ErrorCode.DISK_WRITE, str(row["path"]), reason, advice)

    def lines(self) -> Iterator[str]:
        for row in self.files:
            written = f"{row['came']:,} of them kept before; {told_size(row['bytes'])} written"
            yield f"{row['path']}: {counted(row['frames'], 'frame')}, {written}"
        if self.prefix:
            written = f"{told_size(self.prefix['bytes'])} written" if self.prefix["bytes"] else "kept before"
            yield f"keys and values: {written}"


def _told(look: Look) -> dict[str, Any]:
    kept = look.kept
    assert kept is not None
    return {
        "path": look.path,
        "frames": len(look.numbers),
        "degraded": look.degraded,
        "came": kept.came,
        **_facts(kept),
    }


def _told_prefix(kept: Kept) -> dict[str, Any]:
    return {"path": kept.folder or "keys and values", **_facts(kept)}


def _facts(kept: Kept) -> dict[str, Any]:
    """What is empty where there is none is told as null."""
    return {
        "damaged": kept.damaged,
        "bytes": kept.bytes,
        "folder": kept.folder or None,
        "refused": kept.refused or None,
    }


def _there(folder: str | None) -> Store:
    """The store; one that the user named must be there, while the usual one may not have been begun.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    store = opened_store(folder)
    if folder is not None and not store.folder.is_dir():
        reason, advice = "there is no such folder", "name the one that watch or ask had"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--store {folder}", reason, advice)
    return store


def _nothing(store: Store) -> str:
    return f"nothing is kept in {store.folder}"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"


def list_store(folder: str | None, *, as_json: bool) -> None:
    """`longtake store list`: what is kept, the longest unused first."""
    store = _there(folder)
    held = store.held()
    if as_json:
        say_json({"store": str(store.folder), "entries": [_row(one) for one in held]})
        return
    if not held:
        say(_nothing(store))
        return
    head = ("kept", "records", "size", "last used", "of")
    say(table([head, *(_line(one) for one in held)]))


def _row(held: Held) -> dict[str, object]:
    facts = {"bytes": held.bytes, "records": held.records, "used_s": held.used_s}
    return {"kind": held.kind, "key": held.key, "label": held.label or None, **facts, "about": dict(held.about)}


def _line(held: Held) -> tuple[str, ...]:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(held.used_s))
    return held.kind, f"{held.records:,}", told_size(held.bytes), used, held.label or "(unreadable)"


def print_size(folder: str | None, *, as_json: bool) -> None:
    """`longtake store size`: how much is kept, and how much may be.

    Raises:
        LongtakeError: `disk.write` if the disk does not tell.
    """
    from longtake.errors import writing

    store = _there(folder)
    held = store.held()
    total = sum(one.bytes for one in held)
    with writing(str(store.folder)):
        most = store.may_hold()
    if as_json:
        say_json({"store": str(store.folder), "entries": len(held), "bytes": total, "most_bytes": most})
    else:
        say(f"{_entries(len(held))}, {told_size(total)} of at most {told_size(most)}, in {store.folder}")


def prune_store(folder: str | None, to: str | None, older_than: str | None, *, as_json: bool) -> None:
    """`longtake store prune`: remove what was used longest ago.

    Raises:
        LongtakeError: `usage.bad_option`; `partial.failed` if something cannot be removed, after all else was.
        typer.Exit: the same status with --json.
    """
    store = _there(folder)
    to_bytes = None if to is None else parsed_count(to)
    if to is not None and to_bytes is None:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--to {to}", "is no size", "write it like 5GiB")
    pruned = store.prune(to_bytes=to_bytes, older_than_s=None if older_than is None else _age_s(older_than))
    total = sum(one.bytes for one in pruned.removed)
    if as_json:
        rows = {"removed": [_row(one) for one in pruned.removed], "left": [_row(one) for one in pruned.left]}
        say_json({"store": str(store.folder), **rows, "bytes": total})
        if pruned.left:
            raise typer.Exit(ErrorCode.PARTIAL_FAILED.value.exit_status)
        return
    say(f"{_entries(len(pruned.removed))} removed, {told_size(total)}")
    for one in pruned.left:
        say(f"{one.kind} of {one.label or '(unreadable)'}: could not be removed: {one.path}")
    if pruned.left:
        reason = f"{_entries(len(pruned.left))} could not be removed, or not whole"
        raise LongtakeError(ErrorCode.PARTIAL_FAILED, str(store.folder), reason, "see who owns what is named above")


def _age_s(written: str) -> float:
    found = _AGE.fullmatch(written.strip())
    if found is None:
        advice = "write it like 12h, 30d or 8w"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--older-than {written}", "is no age", advice)
    return float(int(found[1]) * _SECONDS[found[2]])


def verify_store(folder: str | None, *, as_json: bool) -> None:
    """`longtake store verify`: read all that is kept and check its sums; what is damaged is removed.

    Raises:
        LongtakeError: `partial.failed` if something was damaged, after all was checked.
        typer.Exit: the same status with --json.
    """
    store = _there(folder)
    checked = list(store.verify())
    bad = sum(wrong for _, _, wrong in checked)
    good = sum(right for _, right, _ in checked)
    if as_json:
        rows = [{**_row(one), "good": right, "damaged": wrong} for one, right, wrong in checked]
        say_json({"store": str(store.folder), "entries": rows, "good": good, "damaged": bad})
        if bad:
            raise typer.Exit(ErrorCode.PARTIAL_FAILED.value.exit_status)
        return
    for one, _, wrong in checked:
        if wrong:
            say(f"{one.kind} of {one.label or '(unreadable)'}: {wrong:,} damaged, removed")
    if bad:
        reason, advice = f"{bad:,} of {good + bad:,} records were damaged, and are removed", "they are made again"
        raise LongtakeError(ErrorCode.PARTIAL_FAILED, str(store.folder), reason, f"{advice} when they are asked for")
    whole = f"{counted(good, 'record')} in {_entries(len(checked))} {'is' if good == 1 else 'are'} whole"
    say(whole if checked else _nothing(store))


def told_size(count: int) -> str:
    """Bytes in words."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{count} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
