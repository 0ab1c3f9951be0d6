"""cli/playing: the command that plays the demo: the bundled film watched once, its questions asked, a sheet drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.looking import Sheet, draw_sheet
from longtake.cli.options import Show
from longtake.cli.output import say
from longtake.cli.progress import bars
from longtake.errors import ErrorCode, LongtakeError, writing

if TYPE_CHECKING:
    from longtake.answer import Watched
    from longtake.demo import Asked
    from longtake.families import Model
    from longtake.video import Video


def play_demo(folder: str, *, show: Show) -> None:
    """`longtake demo`: say what will be read, watch the bundled film once, ask its questions, draw what was seen.

    Raises:
        LongtakeError: `partial.failed` if an answer is wrong, after all were asked.
    """
    from longtake.video.opening import open_video
    from longtake.video.times import format_time

    begin_s = time.perf_counter()
    from longtake import demo, pipeline
    from longtake.loading import load

    video = open_video(demo.FILM)
    say(f"{demo.FILM.name}: {format_time(video.duration_s)}, {len(video.times_s):,} frames")
    model = demo.looking(load("nano"))
    say(_plan(model, video))
    with bars(wanted=show.talks) as progress:
        watched = pipeline.watch(model, video, progress=progress)
    stages = ", ".join(f"{stage} {spent_s:.1f}" for stage, spent_s in watched.seconds.items())
    say(f"watched once, in {sum(watched.seconds.values()):.1f} s ({stages})\n")
    wrong = 0
    for asked in demo.ask_all(model, watched):
        wrong += not asked.right
        said = " ".join(asked.answer.text.split())
        say(f"  {asked.question.question}\n  {said}  [{_verdict(asked, watched)}]\n")
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / "sheet.png"
    numbers, answering = demo.sheet_numbers(watched)
    among = f"the {len(watched.looks[0].numbers):,} frames that were seen; marked: the {len(answering)} that answer"
    with bars(wanted=show.talks) as progress:
        draw_sheet(video, Sheet(numbers, among, answering), path, progress=progress)
    say(f"what was seen, the moments that answer marked: {path}")
    say(f"all in {time.perf_counter() - begin_s:.1f} s, loading included")
    if wrong:
        reason, advice = f"{wrong} answers are wrong", "please report it, with the output of longtake doctor"
        raise LongtakeError(ErrorCode.PARTIAL_FAILED, demo.FILM.name, reason, advice)


def _plan(model: Model, video: Video) -> str:
    """What will be read, before any of it is."""
    from longtake.plan import plan_of

    planned = plan_of(model, video, "")
    frames, tokens = len(planned.numbers), planned.tokens
    reads = model.engine.trained_context
    beyond = f", of which it was trained to read {reads:,}" if tokens > reads else ""
    return f"{model.name} looks every {video.duration_s / frames:.3g} s: {frames:,} frames, {tokens:,} tokens{beyond}"


def _verdict(asked: Asked, watched: Watched) -> str:
    from longtake.video.times import format_time

    question = asked.question
    seen = question.seen_in(watched)
    return "; ".join(
        [
            "right" if asked.right else f"wrong: {question.expected}",
            f"on screen from {format_time(question.start_s)} to {format_time(question.end_s)}, "
            f"in {len(seen)} of the frames",
            f"{sum(asked.answer.tokens.values()):,} tokens",
            f"{asked.seconds:.2f} s",
        ]
    )
