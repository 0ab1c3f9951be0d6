"""answer: what was looked at, what was watched and what was answered, as values. Knows nothing of how it came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longtake.engines import Engine, GenerateOptions, Prefix
from longtake.eye import Kept
from longtake.prompt import VISUAL_PLACE, ChatTemplate
from longtake.video import LostSpan, Video
from longtake.video.seen import Seen
from longtake.video.times import format_time


@dataclass(frozen=True)
class Look:
    """One file as a model looked at it.

    Attributes:
        path: the file, as the user named it.
        duration_s: of the video; a still picture's is its frame's.
        still: whether the file is one picture.
        asked_frames: how many the sampler picked; fewer were read only where damage may be skipped.
        candidates: how many were read for the sampler to choose from; None where it chose without looking, and all that
            were read are seen.
        numbers: (T,) numbers of the frames that the model sees.
        times_s: (T,) their presentation times in seconds.
        lost_s: stretches of the video that nobody could see; an end of None is one that nobody knows.
        degraded: whether anything is missing that the video should show.
        visual_tokens: how many positions of the prompt show this file.
        parts: sampler and layout by name, with their options.
        notes: what is worth saying about file and reading.
        kept: what a store had of it, and has now; None without a store.
        hashes: (T,) of the frames' pixels as displayed (`video.fingerprint`); empty where the file was not opened to
            tell them.
        missing: numbers of the frames that the sampler picked and that did not come.
    """

    path: str
    duration_s: float
    still: bool
    asked_frames: int
    candidates: int | None
    numbers: NDArray[np.int64]
    times_s: NDArray[np.float64]
    lost_s: tuple[LostSpan, ...]
    degraded: bool
    visual_tokens: int
    parts: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...]
    kept: Kept | None = None
    hashes: tuple[str, ...] = ()
    missing: tuple[int, ...] = ()

    @classmethod
    def at(
        cls,
        video: Video,
        seen: Seen,
        visual_tokens: int,
        *,
        parts: Mapping[str, Mapping[str, object]],
        kept: Sequence[int] | None = None,
    ) -> Look:
        """What came of `video`; `kept` of the frames that passed, where a sampler chose among them."""
        numbers = np.asarray(seen.numbers if kept is None else kept, dtype=np.int64)
        return cls(
            path=video.path,
            duration_s=video.duration_s,
            still=len(video.times_s) == 1,
            asked_frames=len(seen.asked),
            candidates=None if kept is None else len(seen.numbers),
            numbers=numbers,
            times_s=video.times_s[numbers],
            lost_s=seen.lost_s,
            degraded=seen.degraded,
            visual_tokens=visual_tokens,
            parts=parts,
            notes=(*video.notes, *seen.notes()),
            hashes=seen.hashes_of(numbers.tolist()),
            missing=tuple(sorted(set(seen.asked) - set(seen.numbers))),
        )

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        frames = zip(self.numbers.tolist(), self.times_s.tolist(), strict=True)
        return {
            "path": self.path,
            "still": self.still,
            "frames": [{"number": number, "time_s": time_s} for number, time_s in frames],
            "asked_frames": self.asked_frames,
            "kept_frames": self.kept.came if self.kept else 0,
            "candidates": self.candidates,
            "degraded": self.degraded,
            "lost_s": [list(span) for span in self.lost_s],
            "visual_tokens": self.visual_tokens,
            "parts": {room: dict(part) for room, part in self.parts.items()},
        }


@dataclass(frozen=True, eq=False)
class Shown:
    """Which positions of a prompt show which frames: runs of positions beside each other that show the same.

    Attributes:
        starts_R, stops_R: (R,) a run's first position, and the one behind its last.
        files_R: (R,) which of the files, from 0.
        frames_R2: (R, 2) the first and the last of the file's frames that it shows, by their places among those read.
    """

    starts_R: NDArray[np.int64]
    stops_R: NDArray[np.int64]
    files_R: NDArray[np.int64]
    frames_R2: NDArray[np.int64]

    @classmethod
    def by(cls, prompt_ids_L: NDArray[np.int64], frames: Sequence[NDArray[np.int64]]) -> Shown:
        """What each position of a prompt shows.

        Args:
            prompt_ids_L: (L,) of the prompt, which begins with the files; VISUAL_PLACE where a visual token is.
            frames: for each file, (N, 2), what `layouts.frames_shown` says of its visual tokens.
        """
        positions_N = np.flatnonzero(prompt_ids_L == VISUAL_PLACE)
        files_N = np.repeat(np.arange(len(frames)), [len(own) for own in frames])
        told_N4 = np.column_stack([positions_N - np.arange(len(positions_N)), files_N, np.concatenate(frames)])
        begins_R = np.flatnonzero(np.r_[True, (told_N4[1:] != told_N4[:-1]).any(axis=1)])
        ends_R = np.r_[begins_R[1:], len(positions_N)] - 1
        return cls(positions_N[begins_R], positions_N[ends_R] + 1, files_N[begins_R], told_N4[begins_R, 2:])


@dataclass(frozen=True)
class Watched:
    """Files that a model has read, ready for any number of questions.

    Attributes:
        looks: one for each file, in the order in which the model read them.
        template: that the prompt was begun with.
        prefix: what the engine keeps.
        engine: that read it; no other can read on.
        seconds: wall time by stage: read, encode, prefill.
        prompt_ids_L: (L,) the ids that were read, VISUAL_PLACE where a visual token was.
        shown: which positions of the prefix show which frames.
        notes: what is worth saying about keeping the prefix.
        kept: what a store has of the prefix; None where none is kept.
    """

    looks: tuple[Look, ...]
    template: ChatTemplate
    prefix: Prefix
    engine: Engine
    seconds: Mapping[str, float]
    prompt_ids_L: NDArray[np.int64] = field(repr=False)
    shown: Shown = field(repr=False)
    notes: tuple[str, ...] = ()
    kept: Kept | None = None

    @property
    def asides(self) -> tuple[str, ...]:
        """Notes that tell how a store helped."""
        of_files = (note for look in self.looks if look.kept for note in look.kept.notes())
        return (*of_files, *self.notes)

    @property
    def visual_tokens(self) -> int:
        """How many positions of the prefix show frames."""
        return sum(look.visual_tokens for look in self.looks)


@dataclass(frozen=True)
class Asked:
    """A question as the model got it, and the ids on both sides of its answer's beginning.

    Attributes:
        question: in plain words.
        options: how the answer's tokens were chosen.
        template: that the prompt was written in.
        prompt_ids_L: (L,) ids of the whole prompt, VISUAL_PLACE where a visual token was.
        answer_ids: what was generated, the token that ends an answer excluded.
        turn: which question of a conversation it was, from 0.
    """

    question: str
    options: GenerateOptions
    template: ChatTemplate
    prompt_ids_L: NDArray[np.int64] = field(repr=False)
    answer_ids: tuple[int, ...] = ()
    turn: int = 0


@dataclass(frozen=True)
class Offered:
    """One choice of a question of multiple choice.

    Attributes:
        letter: that stands before it in the prompt.
        text: as the user gave it.
        probability: that it is the answer, given that one of the choices is; None where whoever chose does not tell.
    """

    letter: str
    text: str
    probability: float | None


@dataclass(frozen=True)
class Span:
    """A time that an answer rests on.

    Attributes:
        file: which of the files, from 0.
        start_s, end_s: times of its first and its last frame; the same where it is one.
        score: from 0 to 1, the share of the answer's probability that is lost without it (see `evidence`).
        numbers: of its frames, of those that were read.
    """

    file: int
    start_s: float
    end_s: float
    score: float
    numbers: tuple[int, ...]

    @property
    def told(self) -> str:
        """Its times, to a tenth of a second: `0:16:29 to 0:16:31.5`, or the one time."""
        start, end = format_time(round(self.start_s, 1)), format_time(round(self.end_s, 1))
        return start if start == end else f"{start} to {end}"


@dataclass(frozen=True)
class Caption:
    """What a model says of a stretch of a video.

    Attributes:
        file: which of the files, from 0.
        start_s, end_s: of the stretch; both the same where one frame was looked at.
        text: the words.
        relevance: to the question, from 1 (not) to 3 (highly), where a method had it judged.
        named: whether the answer names a time in this stretch.
    """

    file: int
    start_s: float
    end_s: float
    text: str
    relevance: int | None = None
    named: bool = False


@dataclass(frozen=True)
class Reading:
    """How an answer was read from captions instead of frames.

    Attributes:
        method: its name and options.
        reader: the name of whoever read.
        captions: that were read, in order of time.
        rounds: how often the reader was asked, the answer included.
    """

    method: Mapping[str, object]
    reader: str
    captions: tuple[Caption, ...]
    rounds: int

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        told = [dataclasses.asdict(caption) for caption in self.captions]
        return {**self.method, "reader": self.reader, "rounds": self.rounds, "captions": told}


@dataclass(frozen=True)
class Answer:
    """What a model says, and what that rests on.

    Attributes:
        text: the answer.
        looks: each file with the frames that the model saw of it.
        tokens: counts: visual, text (template and question), new.
        seconds: wall time by stage: read, encode and prefill, spent once for all questions; generate for this one, or
            for all that were asked together.
        peak_memory_bytes: the most that this process has held so far; None where the system does not tell.
        peak_device_memory_bytes: the same of the accelerator's memory; None without one.
        model: its name, as the user asked for it.
        beyond_trained_context: whether there were more tokens than the model was trained to read.
        notes: what is worth saying.
        choices: that the question offered, in their order; `text` is one of them then.
        reading: where captions were read; None where the model answered from what it saw.
        asked: question and ids; None where captions were read.
        asides: those of the notes that tell how a store helped, or how many frames fitted: not what the answer rests
            on, but how it was come by.
        evidence: the times that the answer rests on, the best first; none where nothing stands out; None where nobody
            looked for them.
    """

    text: str
    looks: tuple[Look, ...]
    tokens: Mapping[str, int]
    seconds: Mapping[str, float]
    peak_memory_bytes: int | None
    peak_device_memory_bytes: int | None
    model: str
    beyond_trained_context: bool
    notes: tuple[str, ...]
    choices: tuple[Offered, ...] = ()
    reading: Reading | None = None
    asked: Asked | None = None
    asides: tuple[str, ...] = ()
    evidence: tuple[Span, ...] | None = None

    @property
    def degraded(self) -> bool:
        """Whether anything is missing that the files should show."""
        return any(look.degraded for look in self.looks)

    def as_dict(self) -> dict[str, object]:
        """The object that `--json` prints."""
        return {
            "answer": self.text,
            "choices": [dataclasses.asdict(offered) for offered in self.choices] or None,
            "method": self.reading and self.reading.as_dict(),
            "evidence": None if self.evidence is None else [dataclasses.asdict(span) for span in self.evidence],
            "files": [look.as_dict() for look in self.looks],
            "degraded": self.degraded,
            "tokens": dict(self.tokens),
            "seconds": {stage: round(spent_s, 4) for stage, spent_s in self.seconds.items()},
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_device_memory_bytes": self.peak_device_memory_bytes,
            "model": self.model,
            "beyond_trained_context": self.beyond_trained_context,
            "notes": list(self.notes),
        }
