"""cli/verifying: the command that holds a manifest against the world again: verify."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from longtake.cli.looking import scanning
from longtake.cli.opening import Way, opened_video
from longtake.cli.options import Show
from longtake.cli.output import say, say_json, table
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, printable

if TYPE_CHECKING:
    from longtake.manifests import FileTold, Manifest
    from longtake.manifests.verifying import Verdict

MARKS = {True: "ok", False: "DIFFERS", None: "-"}


@dataclass(frozen=True)
class Again:
    """With what a manifest is verified, as the user put it.

    Attributes:
        videos: where the files lie now, if not where they are looked for.
        model, device, dtype: what answers again.
        media_only: nothing does.
        limits, isolate: as in `Way`.
    """

    videos: tuple[str, ...]
    model: str | None
    media_only: bool
    device: str
    dtype: str
    limits: tuple[str, ...]
    isolate: bool

    def way(self, told: FileTold) -> Way:
        """How a file is read again."""
        return Way(told.stream, told.on_corrupt, told.deinterlace, self.limits, isolate=self.isolate)


def verify_and_print(path: str, again: Again, *, show: Show) -> None:
    """`longtake verify`.

    Raises:
        LongtakeError: `verify.differs` if something differs, after all findings are printed; `manifest.bad`;
            `media.not_found` for a file that is neither named nor found.
        typer.Exit: with the status of `verify.differs` with --json, where the findings say it all.
    """
    from longtake.manifests import Manifest

    manifest = Manifest.read(path)
    places = list(_places(manifest, path, again.videos))
    with ExitStack() as opened, bars(wanted=show.talks) as progress:
        heard = scanning(progress)
        videos = [
            opened.enter_context(opened_video(place, again.way(told), heard=heard))
            for place, told in zip(places, manifest.files, strict=True)
        ]
        from longtake.manifests.verifying import model_as_told, verify

        model = None
        if not again.media_only:
            model = model_as_told(manifest.model, name=again.model, device=again.device, dtype=again.dtype)
        verdict = verify(manifest, videos, model, progress=progress)
    _print(path, verdict, show=show)


def _places(manifest: Manifest, path: str, videos: Sequence[str]) -> Sequence[str]:
    """Where each file of the manifest lies: as named; else beside the manifest, or here."""
    if videos and len(videos) != len(manifest.files):
        reason = f"{len(videos)} given; the manifest tells of {len(manifest.files)}"
        names = ", ".join(told.name for told in manifest.files)
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--video", reason, f"give one for each, in order: {names}")
    return videos or [_found(told.name, path) for told in manifest.files]


def _found(name: str, path: str) -> str:
    beside = str(Path(path).parent / name)
    for place in (beside, name):
        if os.path.isfile(place):
            return place
    reason, advice = "lies neither beside the manifest nor here", "say where with --video FILE"
    raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, name, reason, advice)


def _print(path: str, verdict: Verdict, *, show: Show) -> None:
    error = None if verdict.equal else _differs(path, verdict)
    if show.as_json:
        found = {"equal": verdict.equal, "findings": [asdict(finding) for finding in verdict.findings]}
        say_json(found if error is None else {**found, **error.as_dict()})
        if error is not None:
            raise typer.Exit(error.code.value.exit_status)
        return
    if not show.quiet:
        rows = [(MARKS[each.equal], printable(each.subject), printable(each.found)) for each in verdict.findings]
        say(table(rows))
    if error is not None:
        raise error


def _differs(path: str, verdict: Verdict) -> LongtakeError:
    differing = verdict.differing
    first, more = differing[0], len(differing) - 1
    reason = f"{first.subject}: {first.found}" + (f"; and {more} more" if more else "")
    advice = "something is not what the answer rested on; name other files with --video, another model with --model"
    return LongtakeError(ErrorCode.VERIFY_DIFFERS, path, reason, advice)
