"""methods.captions: every few seconds of a video are put in words, and a reader answers from all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from longtake.answer import Answer, Caption, Look
from longtake.engines import GenerateOptions
from longtake.methods import NOBODY, Cost, Hear, Query, Team
from longtake.methods._captioning import Captioner, Made, summed
from longtake.methods._held import read_sets
from longtake.methods._reading import (
    LINES,
    PARTS,
    Grounds,
    Ledger,
    answer,
    line_of,
    lines_of,
    page,
    put_together,
    question_of,
    refuse_too_long,
    summaries,
)
from longtake.video import Video
from longtake.video.seen import Seen


@dataclass(frozen=True)
class Clip:
    """A stretch of a video, and the frames of it that are looked at.

    Attributes:
        start_s, end_s: of the stretch.
        numbers: of the frames, ascending.
    """

    start_s: float
    end_s: float
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Captioned:
    """Videos in words; any number of questions may be asked of them.

    Attributes:
        team: who looked, and who reads.
        looks: each file.
        made: the captions of all files, in order.
        lost: stretches of which nothing could be seen, so that they have no caption.
    """

    team: Team
    looks: tuple[Look, ...]
    made: tuple[Made, ...]
    lost: int


@dataclass(frozen=True)
class Captions:
    """LLoVi (arXiv 2312.17235), without its LaViLa and GPT-4: captions of short clips are read, and answered from.

    Source: section 3: clips of 0.5 to 8 s, and the summary that the question guides. It is made without what LLoVi
    takes: captions are the asked model's own, not those of LaViLa, BLIP-2 or another captioner, and the reader is the
    same model or the one that is named, not GPT-3.5 or GPT-4. The words of all prompts are other ones.

    Attributes:
        clip_s: seconds that one caption is about.
        every_s: from the beginning of one clip to that of the next; none: clips without gaps.
        frames: that are looked at of one clip, at most.
        prompt: what the model is asked of each clip; none: what its family knows.
        caption_tokens: a caption ends here at the latest.
        summarise: let the reader sum up what matters for the question first, in as many parts as it needs.
        summary_tokens: a summary ends here at the latest.
    """

    clip_s: float = 4.0
    every_s: float | None = None
    frames: int = 4
    prompt: str | None = None
    caption_tokens: int = 48
    summarise: bool = False
    summary_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.clip_s > 0:
            raise ValueError(f"clip_s is {self.clip_s}; want more than 0")
        if self.every_s is not None and not self.every_s > 0:
            raise ValueError(f"every_s is {self.every_s}; want more than 0, or none")
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; want at least 1")
        for name in ("caption_tokens", "summary_tokens"):
            GenerateOptions(max_new_tokens=getattr(self, name))

    def cost(self, team: Team, files: Sequence[Video], query: Query) -> Cost:
        """What `watch` and one `ask` will cost at most; decodes nothing.

        Raises:
            LongtakeError: `limit.context` if a clip is too much for the model, or all captions, as long as they may be,
                for the reader; `usage.*` for the query.
        """
        captioner, reader = self._captioner(team), team.who_reads
        clips = [(number, video, clip) for number, video in enumerate(files) for clip in self.clips(video)]
        plans = [captioner.plan(video, clip.numbers) for _, video, clip in clips]
        places = [Caption(number, clip.start_s, clip.end_s, "") for number, _, clip in clips]
        times = sum(reader.count(line_of(place) + "\n") for place in places)
        captions = times + len(places) * self.caption_tokens
        question = reader.count_prompt(page(LINES, [], question_of(reader, query)))
        if not self.summarise:
            refuse_too_long(reader, captions + question, query.options, advice=self._advice())
        summed_up = captions + self.summary_tokens if self.summarise else 0
        return Cost(
            captions=len(plans),
            frames=sum(len(plan.numbers) for plan in plans),
            visual_tokens=sum(plan.tokens for plan in plans),
            reader_tokens=captions + question + summed_up + query.options.max_new_tokens,
        )

    def watch(self, team: Team, files: Sequence[Video], *, hear: Hear = NOBODY) -> Captioned:
        """Put every clip in words. No question is needed: what comes out serves any.

        Raises:
            LongtakeError: `limit.context`, before anything is decoded; then whatever the frames are refused for.
        """
        captioner = self._captioner(team)
        clips = [self.clips(video) for video in files]
        for video, own in zip(files, clips, strict=True):
            for clip in own:
                captioner.plan(video, clip.numbers)
        total = sum(map(len, clips))
        looks: list[Look] = []
        made: list[Made] = []
        asked = 0
        for file, (video, own) in enumerate(zip(files, clips, strict=True)):
            seen = Seen(video, sorted({number for clip in own for number in clip.numbers}))
            before = len(made)
            sets = read_sets(seen, video, [clip.numbers for clip in own])
            for clip, held in zip(own, sets, strict=True):
                if held.frames:
                    made.append(captioner.caption(held, Caption(file, clip.start_s, clip.end_s, "")))
                asked += 1
                hear.progress("caption", asked, total)
            looks.append(captioner.look(video, seen, made[before:]))
        return Captioned(team, tuple(looks), tuple(made), lost=total - len(made))

    def ask(self, watched: Captioned, query: Query, *, hear: Hear = NOBODY) -> Answer:
        """Let the reader answer from all captions, or from what it sums up of them.

        Raises:
            LongtakeError: as the reader; `usage.*` for the query.
        """
        ledger = Ledger(watched.team.who_reads)
        question = question_of(ledger.reader, query)
        captions = tuple(each.caption for each in watched.made)
        lines, heading = lines_of(captions, len(watched.looks)), LINES
        if self.summarise:
            options = replace(query.options, max_new_tokens=self.summary_tokens)
            lines, heading = summaries(ledger, lines, query, options, hear), PARTS
        text = page(heading, lines, question)
        refuse_too_long(ledger.reader, ledger.reader.count_prompt(text), query.options, advice=self._advice())
        said = answer(ledger, text, query, hear)
        tokens = {kind: int(count) for kind, count in summed([each.tokens for each in watched.made]).items()}
        seconds = summed([each.seconds for each in watched.made])
        beyond = any(each.beyond for each in watched.made)
        grounds = Grounds(watched.looks, captions, tokens, seconds, self, beyond, list(_notes(watched)))
        return put_together(watched.team, grounds, ledger, said)

    def clips(self, video: Video) -> list[Clip]:
        """The clips of a video, or of a stretch of it. Those that show the same frames as the one before are one."""
        inside_s = video.times_s[video.numbers]
        behind = int(video.numbers[-1]) + 1
        end_s = float(video.times_s[behind]) if behind < len(video.times_s) else video.duration_s
        begin_s, every_s = float(inside_s[0]), self.every_s or self.clip_s
        found: list[Clip] = []
        for number in range(max(1, math.ceil((end_s - begin_s) / every_s - 1e-9))):
            start_s = begin_s + number * every_s
            until_s = min(start_s + self.clip_s, end_s)
            first = int(np.searchsorted(inside_s, start_s + 1e-9, side="right")) - 1
            last = max(first + 1, int(np.searchsorted(inside_s, until_s - 1e-9, side="left")))
            numbers = tuple(int(video.numbers[place]) for place in _middles(first, last, self.frames))
            if found and found[-1].numbers == numbers:
                found[-1] = replace(found[-1], end_s=until_s)
            else:
                found.append(Clip(start_s, until_s, numbers))
        return found

    def _captioner(self, team: Team) -> Captioner:
        prompt = team.model.caption_prompt if self.prompt is None else self.prompt
        return Captioner(team.model, prompt, GenerateOptions(max_new_tokens=self.caption_tokens))

    def _advice(self) -> str:
        longer = f"take longer clips (clip_s is {self.clip_s:g}) or shorter captions (caption_tokens is "
        summary = "" if self.summarise else "--set method.summarise=true, "
        return f"{longer}{self.caption_tokens}), {summary}or a --reader that reads more"


def _middles(first: int, last: int, count: int) -> list[int]:
    """At most `count` places of [first, last): the middles of parts of equal length."""
    total = last - first
    taken = min(count, total)
    return [first + int((part + 0.5) * total / taken) for part in range(taken)]


def _notes(watched: Captioned) -> list[str]:
    cut = sum(each.cut for each in watched.made)
    notes = [f"{cut:,} of {len(watched.made):,} captions were cut short"] if cut else []
    return [*notes, f"{watched.lost:,} clips could not be seen and have no caption"] if watched.lost else notes
