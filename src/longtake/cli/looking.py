"""cli/looking: the commands that look but do not ask: info, frames, list, doctor."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from longtake.cli.opening import Way, opened_video
from longtake.cli.options import Looked, Show
from longtake.cli.output import remark, say, say_json, table
from longtake.cli.progress import Progress, bars
from longtake.errors import ErrorCode, LongtakeError, counted, printable, writing

if TYPE_CHECKING:
    from longtake.video import Frames, Video
    from longtake.video.seen import Seen
    from longtake.video.video_file import VideoFile

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tiff")
PARTS_TOLD = {
    "samplers": "--sampler",
    "layouts": "--layout",
    "ropes": "--rope",
    "methods": "--method",
    "families": "--model",
}
"""Each room with parts, and the option that names one (a family is recognised by its checkpoint)."""


@contextmanager
def open_looked_at(looked: Looked, *, progress: Progress) -> Iterator[VideoFile]:
    """The video, cut to the stretch that the user asked for.

    Args:
        progress: hears how far the file has been scanned.

    Raises:
        LongtakeError: `media.*`, `limit.*`, `usage.bad_span`.
    """
    from longtake.video.times import parse_time

    start_s = None if looked.start is None else parse_time(looked.start)
    end_s = None if looked.end is None else parse_time(looked.end)
    with opened_video(looked.path, looked.way, heard=scanning(progress)) as video:
        yield video if start_s is None and end_s is None else video.stretch(start_s, end_s)


def scanning(progress: Progress) -> Progress:
    """What passes on to `progress` only how far a file has been scanned: the rest is counted in frames."""

    def heard(stage: str, done: int, total: int) -> None:
        if stage == "scan":
            progress(stage, done, total)

    return heard


def print_info(path: str, way: Way, *, as_json: bool) -> None:
    """`longtake info`."""
    from longtake.cli.describing import described
    from longtake.video.info import info

    with bars(wanted=not as_json) as progress, opened_video(path, way, heard=scanning(progress)) as video:
        found = info(video)
    if as_json:
        say_json(found.as_dict())
    else:
        say(table(described(found)))


def save_sheet(looked: Looked, output: str, *, model: str | None, show: Show) -> None:
    """`longtake frames`: a contact sheet of what the sampler picks; `model` is who looks, where it looks first."""
    from longtake import parts
    from longtake.cli.glancing import choose

    suffix_fits(output)
    sampler = parts.build("samplers", looked.sampler or "uniform", looked.sampler_settings, label="sampler")
    with bars(wanted=show.talks) as progress, open_looked_at(looked, progress=progress) as video:
        chosen = choose(sampler, video, model, progress=progress)
        seen = draw_sheet(video, Sheet(chosen.numbers, chosen.among), Path(output), progress=progress)
    times_s = video.times_s[seen.numbers].tolist()
    notes = list(dict.fromkeys([*video.notes, *chosen.notes, *seen.notes()]))
    if show.as_json:
        frames = [{"number": number, "time_s": time_s} for number, time_s in zip(seen.numbers, times_s, strict=True)]
        lost_s = [list(span) for span in seen.lost_s]
        came = {"degraded": seen.degraded, "lost_s": lost_s, **chosen.told}
        say_json({"sheet": output, "frames": frames, **came, "notes": notes})
    if show.talks:
        span = f"{counted(len(seen.numbers), 'frame')} from {times_s[0]:.3f} s to {times_s[-1]:.3f} s in {output}"
        remark("; ".join([span, *notes]))


@dataclass(frozen=True)
class Sheet:
    """What goes on a contact sheet.

    Attributes:
        numbers: of the frames, ascending.
        among: out of what they were chosen, for the title; else all frames of the video.
        marked: those that stand out.
    """

    numbers: Sequence[int]
    among: str = ""
    marked: Collection[int] = ()


def draw_sheet(video: Video, sheet: Sheet, path: Path, *, progress: Progress) -> Seen:
    """Write a contact sheet of some frames; returns what was seen of them.

    Raises:
        LongtakeError: `disk.write`, before any frame is read where there is no such folder; `media.*`.
    """
    from longtake.pictures import contact_sheet
    from longtake.video.seen import Seen

    with writing(str(path)):
        os.scandir(path.parent).close()
    numbers = sheet.numbers
    among = sheet.among or f"{len(video.times_s):,} frames"
    title = f"{printable(Path(video.path).name)}: {len(numbers)} of {among}"
    seen = Seen(video, numbers)
    # One by one, for frames may change size inside a video.
    frames = seen.passing(video.read(numbers, chunk=1))
    drawn = contact_sheet(_counted(frames, len(numbers), progress), title=title, marked=sheet.marked)
    with writing(str(path)):
        drawn.save(path)
    return seen


def _counted(chunks: Iterator[Frames], total: int, progress: Progress) -> Iterator[Frames]:
    """The same chunks; `progress` hears how many frames have come."""
    done = 0
    for frames in chunks:
        yield frames
        done += len(frames.numbers)
        progress("frames", done, total)


def suffix_fits(output: str) -> None:
    """Refuse a picture's name whose ending says no picture format, before any frame is read.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    if Path(output).suffix.lower() not in SHEET_SUFFIXES or output.endswith(os.sep):
        reason = "its ending names no kind of picture that a sheet is written as"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, output, reason, f"end it in {', '.join(SHEET_SUFFIXES)}")


def print_parts(*, as_json: bool) -> None:
    """`longtake list`."""
    from longtake import parts
    from longtake.prompt.templates import TEMPLATES

    found = {room: {name: parts.find(room, name) for name in parts.names(room)} for room in parts.ROOMS_WITH_PARTS}
    if as_json:
        rooms = {room: [_part_row(name, part) for name, part in members.items()] for room, members in found.items()}
        say_json({**rooms, "templates": [{"name": name} for name in TEMPLATES]})
        return
    for room, members in found.items():
        say(f"{room} ({PARTS_TOLD[room]})")
        for name, part in members.items():
            say(f"  {name}: {parts.summary(part)}")
            options = " ".join(f"{option}={value}" for option, value in parts.defaults(part).items())
            if options:
                say(f"      {options}")
    say(f"templates (--template)\n  {', '.join(TEMPLATES)}")


def _part_row(name: str, part: type) -> Mapping[str, object]:
    from longtake import parts

    options = {option: None if value is ... else value for option, value in parts.defaults(part).items()}
    return {"name": name, "summary": parts.summary(part), "options": options}


@dataclass(frozen=True)
class Running:
    """Whether a model that is examined is run, where and in what numbers, as the user put it."""

    wanted: bool
    device: str
    dtype: str

    def refuse_unfit(self, model: str | None) -> None:
        """Refuse options that would mean nothing, and devices or numbers that are not here.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        if self.wanted and model is None:
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--run", "there is no model to run", "name one before it")
        for option, given in (("--device", self.device), ("--dtype", self.dtype)):
            if not self.wanted and given != "auto":
                reason = "nothing is computed without --run"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, reason, "add --run, or leave it out")
        if self.wanted:
            from longtake.checkpoint import placement

            placement(self.device, self.dtype)


def print_doctor(model: str | None, running: Running, *, as_json: bool) -> None:
    """`longtake doctor`; a model is only run if nothing else is wrong with it.

    Raises:
        LongtakeError: if something is not well, after the findings are printed: `environment.missing`, or of a model
            `model.bad_checkpoint`; before, `model.not_found`, or `usage.bad_option`, see `Running`.
        typer.Exit: the same status with --json, where the findings say it all.
    """
    running.refuse_unfit(model)
    if model is None:
        from longtake.doctor import examine

        findings, code, wanted = list(examine()), ErrorCode.ENVIRONMENT_MISSING, "not as longtake needs it"
    else:
        from longtake.doctor.model import examine_model

        findings, code, wanted = list(examine_model(model)), ErrorCode.MODEL_BAD_CHECKPOINT, "not as a model needs it"
        if running.wanted and all(finding.well for finding in findings):
            from longtake.doctor.running import examine_running

            findings += examine_running(model, device=running.device, dtype=running.dtype)
    ill = [finding for finding in findings if not finding.well]
    if as_json:
        say_json({"ok": not ill, "findings": [finding.as_dict() for finding in findings]})
    else:
        say(table([("ok" if finding.well else "NO", finding.subject, finding.found) for finding in findings]))
        say("ok" if not ill else f"{len(ill)} of {len(findings)} not as they should be")
    if ill and as_json:
        raise typer.Exit(code.value.exit_status)
    if ill:
        subjects = ", ".join(finding.subject for finding in ill)
        advice = "; ".join(dict.fromkeys(finding.advice for finding in ill))
        raise LongtakeError(code, subjects, wanted, advice)
