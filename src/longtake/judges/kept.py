"""judges.kept: what a judge said, to and from a file, so that nobody is asked the same twice. Knows no way to ask.

judge-NAME.jsonl   a line for each request, written as its reply comes; a torn or damaged line is dropped
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.durable import Appended, alone, appending, write_whole
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.judges import Judged, Request, Settings

UNREACHED = "network.unreachable"
"""What begins the reason of a line whose judge could not be reached: it is asked again."""
Key = tuple[str, str]
"""Item and prompt."""
_FILE = re.compile(r"judge-(.+)\.jsonl")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Kept:
    """A judge's file, taken up.

    Attributes:
        path: of the file.
        done: the lines that answer what is asked now, by item and prompt.
        copied: lines to write for requests whose very words were answered for another question.
        left: what has to be asked, by digest: requests with the same words are asked once.
        dropped: how many lines were torn or damaged.
        replaced: how many lines were about other answers to the same questions, or are asked again.
        beside: lines about questions that are not asked now; they stay.
    """

    path: Path
    done: Mapping[Key, Judged]
    copied: tuple[Judged, ...]
    left: Mapping[str, tuple[Request, ...]]
    dropped: int = 0
    replaced: int = 0
    beside: tuple[Judged, ...] = ()

    @property
    def to_ask(self) -> list[Request]:
        """One of each of `left`."""
        return [together[0] for together in self.left.values()]

    @contextmanager
    def appending(self) -> Iterator[Appended[Judged]]:
        """The file, to write lines behind those that are kept.

        Raises:
            LongtakeError: `disk.write`.
        """
        if self.dropped or self.replaced:
            with writing(str(self.path)):
                write_whole(self.path, "".join(map(line_of, [*self.beside, *self.done.values()])))
        try:
            with appending(self.path, line_of) as file:
                yield file
        except BaseException:
            # A file without a line would be a judge that has said nothing.
            with suppress(OSError):
                if not self.path.stat().st_size:
                    self.path.unlink()
            raise


def line_of(judged: Judged) -> str:
    """A line of the file."""
    return json.dumps(judged.to_json()) + "\n"


def path_of(folder: Path, name: str) -> Path:
    """The file of the judge `name`.

    Raises:
        LongtakeError: `usage.bad_option` for a name that no file can have.
    """
    if not _NAME.fullmatch(name):
        reason, advice = "is no name for a judge", "letters, digits, dots and dashes, at most 100"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--name {name}", reason, advice)
    return folder / f"judge-{name}.jsonl"


def name_of(model: str) -> str:
    """What a judge is called without a name of its own: its model, as a file may be called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[:100] or "judge"


def judges_in(folder: Path) -> list[str]:
    """The names of the judges whose files lie in `folder`."""
    found = (_FILE.fullmatch(path.name) for path in folder.glob("judge-*.jsonl"))
    return sorted(match[1] for match in found if match)


def begin(path: Path, requests: Sequence[Request], settings: Settings, *, again: bool = False) -> Kept:
    """Take up a judge's file: a new one, or one in which the same judge was stopped. Writes nothing.

    Who then writes must have been alone at it (`alone_at`) since before.

    Args:
        requests: all of them.
        again: what has a reply without marks is asked once more too, not only what has no reply.

    Raises:
        LongtakeError: `usage.bad_option` where another judge, or one with other prompts, has written.
    """
    lines, dropped = read_judged(path) if path.exists() else ((), 0)
    _refuse_other(path, lines, requests, settings)
    wanted = {(request.id, request.prompt): request.digest(settings) for request in requests}
    replies = [line for line in lines if not _open(line, again=again)]
    done = {(line.id, line.prompt): line for line in replies if wanted.get((line.id, line.prompt)) == line.digest}
    beside = tuple(line for line in lines if (line.id, line.prompt) not in wanted)
    known = {line.digest: line for line in replies}
    left: dict[str, tuple[Request, ...]] = {}
    copied = []
    for request in requests:
        digest = request.digest(settings)
        if (request.id, request.prompt) in done:
            continue
        if digest in known:
            copied.append(known[digest].copied(request))
        else:
            left[digest] = (*left.get(digest, ()), request)
    replaced = len(lines) - len(done) - len(beside)
    return Kept(path, done, tuple(copied), left, dropped, replaced, beside)


def read_judged(path: Path) -> tuple[tuple[Judged, ...], int]:
    """The lines of a judge's file, and how many of it were torn or damaged.

    Raises:
        LongtakeError: `media.not_found`.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        there = ", ".join(judges_in(path.parent)) or "none"
        advice = f"judges of {path.parent}: {there}; longtake eval judge makes one"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path), error.strerror or str(error), advice) from error
    # Not splitlines: that cuts at characters which may stand in a string.
    written = [line for line in text.split("\n")[:-1] if line.strip()]
    torn = bool(text.rpartition("\n")[2].strip())
    read = [line for line in map(_judged, written) if line is not None]
    return tuple(read), len(written) - len(read) + torn


def scored_of(lines: Iterable[Judged]) -> dict[str, dict[str, Any]]:
    """By item: its `marks` by aspect, those of several requests together, and `why` some are missing ("" if none is).

    Of two lines for one request the later counts.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in latest_of(lines):
        scored = found.setdefault(line.id, {"marks": {}, "why": ""})
        scored["marks"] |= line.marks or {}
        if line.marks is None:
            reason = f"{line.prompt}: {line.reason}"
            scored["why"] = f"{scored['why']}; {reason}" if scored["why"] else reason
    return found


def latest_of(lines: Iterable[Judged]) -> list[Judged]:
    """The lines, but of several about one item by one prompt only the last."""
    return list({(line.id, line.prompt): line for line in lines}.values())


@contextmanager
def alone_at(path: Path) -> Iterator[None]:
    """Keeps other processes from writing there; the system lets go where this one dies.

    Raises:
        LongtakeError: `usage.bad_option` where another process is at it; `disk.write`.
    """
    reason, advice = "another process is writing there", "wait until it ends, or give another --name"
    with alone(path.with_name(f".{path.name}.lock"), path, reason, advice):
        yield


def _open(line: Judged, *, again: bool) -> bool:
    """Whether it is worth asking once more."""
    return line.reason.startswith(UNREACHED) or (again and line.marks is None)


def _refuse_other(path: Path, lines: Collection[Judged], requests: Sequence[Request], settings: Settings) -> None:
    """One file is one judge: marks of two would be averaged by whoever reads it."""
    own, prompts = settings.to_json(), {request.prompt: request.prompt_sha256 for request in requests}
    differing = {
        f"{name} ({line.judge.get(name)!r}, not {own.get(name)!r})"
        for line in lines
        for name in {*own, *line.judge}
        if line.judge.get(name, ...) != own.get(name, ...)
    }
    differing |= {
        f"the words of {line.prompt}"
        for line in lines
        if prompts.get(line.prompt, line.prompt_sha256) != line.prompt_sha256
    }
    if differing:
        reason = f"was written by another judge: {', '.join(sorted(differing))}"
        advice = "give this one a --name of its own, or remove the file"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(path), reason, advice)


def _judged(line: str) -> Judged | None:
    try:
        return Judged.from_json(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
