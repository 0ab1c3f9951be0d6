"""methods.tree: frames that look alike stand for one another; what matters to the question is looked at closer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from longtake.answer import Answer, Caption, Look
from longtake.clock import Clock
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.methods import NOBODY, Cost, Hear, Query, Team
from longtake.methods._captioning import Captioner, Made, summed
from longtake.methods._clusters import Cluster, clusters
from longtake.methods._held import read_sets
from longtake.methods._reading import (
    LINES,
    Grounds,
    Ledger,
    answer,
    line_of,
    lines_of,
    page,
    put_together,
    question_of,
    refuse_too_long,
)
from longtake.readers import Reader
from longtake.video import Video
from longtake.video.decoding.ahead import ahead
from longtake.video.seen import Seen

SCORES = ("1", "2", "3")
"""Not, somewhat and highly relevant."""
READ_FRAMES = 32
READ_AHEAD = 2


@dataclass(frozen=True)
class Glimpse:
    """A frame: which file, which number, and when."""

    file: int
    number: int
    time_s: float


@dataclass(frozen=True)
class Glimpsed:
    """Videos as features of their frames; captions are added as questions want them, and kept.

    Attributes:
        team: who looks, and who reads.
        files: stay open: frames that are to be put in words are read again.
        seen: what came of each file.
        frames: in order.
        features_TD: one vector of length 1 for each.
        seconds: what that took, by stage.
        made: captions so far, by the place of the frame in `frames`.
    """

    team: Team
    files: tuple[Video, ...]
    seen: tuple[Seen, ...]
    frames: tuple[Glimpse, ...]
    features_TD: torch.Tensor
    seconds: Mapping[str, float]
    made: dict[int, Made] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A cluster, and how relevant the caption of its centre is."""

    cluster: Cluster
    relevance: int


@dataclass(frozen=True)
class Tree:
    """VideoTree (arXiv 2405.19209), without its EVA-CLIP and GPT-4: clusters of frames, finer where it matters.

    Source: section 3: breadth adapted by the relevance, from 1 to 3, that a language model gives the caption of each
    cluster's centre; then depth, one level more for a score of 2 and two for 3; the captions of all centres, in order
    of time, are read for the answer. It is made without what VideoTree takes: frames are told apart by the asked
    model's own vision tower and projector, averaged over the frame, not by EVA-CLIP; captions are its own, not those
    of LaViLa or CogAgent; the reader is the same model or the one that is named, not GPT-4. The reader judges one
    caption at a time, a model by the probability of the three scores. The words of all prompts are other ones, and so
    are the numbers below. What the reader has no room for is left out, the deepest first, and told.

    Attributes:
        every_s: a frame is looked at so often.
        breadth: clusters to begin with; doubled until enough are highly relevant.
        most_breadth: clusters at the most.
        relevant: so many highly relevant clusters are enough.
        width: clusters that one is split into.
        depth: levels at most; 1 splits nothing.
        prompt: what the model is asked of each frame; none: what its family knows.
        caption_tokens: a caption ends here at the latest.
        seed: of the clusters.
    """

    every_s: float = 1.0
    breadth: int = 8
    most_breadth: int = 32
    relevant: int = 4
    width: int = 4
    depth: int = 3
    prompt: str | None = None
    caption_tokens: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise ValueError(f"every_s is {self.every_s}; want more than 0")
        if not 1 <= self.breadth <= self.most_breadth:
            raise ValueError(
                f"breadth is {self.breadth}, most_breadth {self.most_breadth}; want 1 or more, and no less"
            )
        if self.relevant < 1 or self.width < 2 or not 1 <= self.depth <= 3:
            raise ValueError(
                f"relevant is {self.relevant}, width {self.width}, depth {self.depth}; want at least 1, at least 2, "
                "and 1 to 3"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}; want 0 to 2**63 - 1")
        GenerateOptions(max_new_tokens=self.caption_tokens)

    def cost(self, team: Team, files: Sequence[Video], query: Query) -> Cost:
        """What `watch` and one `ask` will cost at most; decodes nothing.

        Raises:
            LongtakeError: `limit.context` if one frame is too much for the model, or the captions of the first level,
                as long as they may be, for the reader; `usage.*` for the query.
        """
        captioner, reader = self._captioner(team), team.who_reads
        numbers = [self.numbers(video) for video in files]
        frames = sum(map(len, numbers))
        # Each frame has at most one caption, whatever clusters it is the centre of.
        most = min(frames, self.most_breadth)
        finer = sum(self.width**level for level in range(1, self.depth))
        deeper = min(frames - most, self.most_breadth * finer)
        room = self._room(reader, query, files, most)
        read = most + (deeper if room is None else min(deeper, room))
        captions = min(frames, sum(self._breadths()) + read - most)
        plans = [captioner.plan(video, own[:1]) for video, own in zip(files, numbers, strict=True)]
        judged = reader.count_prompt(_judging(query.question, "")) + self.caption_tokens + 1
        pages = self._page_tokens(reader, query, files, read) + query.options.max_new_tokens
        return Cost(
            captions=captions,
            frames=frames,
            visual_tokens=captions * max(plan.tokens for plan in plans),
            reader_tokens=pages + min(frames, sum(self._breadths())) * judged,
        )

    def watch(self, team: Team, files: Sequence[Video], *, hear: Hear = NOBODY) -> Glimpsed:
        """Make one feature of each frame.

        Raises:
            LongtakeError: whatever the files' frames are refused for.
        """
        clock, features, places, came = Clock(), list[torch.Tensor](), list[Glimpse](), list[Seen]()
        numbers = [self.numbers(video) for video in files]
        total, encoder = sum(map(len, numbers)), team.model.encoder
        for file, (video, own) in enumerate(zip(files, numbers, strict=True)):
            seen = Seen(video, own)
            chunks = video.read(own, chunk=READ_FRAMES, shrink=encoder.shrinker(tiled=False))
            with clock.stage("encode", without="read"), closing(ahead(chunks, depth=READ_AHEAD)) as read:
                for frames in seen.passing(clock.each("read", read)):
                    means_TD = encoder.encode([frames]).values_THWD.float().mean(dim=(1, 2)).cpu()
                    features.append(torch.nn.functional.normalize(means_TD, dim=1))
                    shown = zip(frames.numbers.tolist(), frames.times_s.tolist(), strict=True)
                    places += [Glimpse(file, number, time_s) for number, time_s in shown]
                    hear.progress("look", len(places), total)
            came.append(seen)
        features_TD = torch.cat(features)
        if not bool(torch.isfinite(features_TD).all()):
            reason, advice = "features of frames are not finite", "try --dtype float32"
            raise LongtakeError(ErrorCode.MODEL_NONFINITE, team.model.name, reason, advice)
        return Glimpsed(team, tuple(files), tuple(came), tuple(places), features_TD, clock.seconds)

    def ask(self, watched: Glimpsed, query: Query, *, hear: Hear = NOBODY) -> Answer:
        """Grow the tree for this question, and let the reader answer from the captions of its centres.

        Raises:
            LongtakeError: as the reader; `usage.*` for the query; whatever frames are refused for.
        """
        ledger = Ledger(watched.team.who_reads)
        question = question_of(ledger.reader, query)
        growing = _Growing(self, watched, query, self._captioner(watched.team), ledger, hear)
        relevance, left_out = growing.grown()
        centres = sorted(relevance)
        captions = tuple(replace(watched.made[place].caption, relevance=relevance[place]) for place in centres)
        text = page(LINES, lines_of(captions, len(watched.files)), question)
        refuse_too_long(ledger.reader, ledger.reader.count_prompt(text), query.options, advice=self._advice())
        said = answer(ledger, text, query, hear)
        made = [watched.made[place] for place in centres]
        tokens = {kind: int(count) for kind, count in summed([each.tokens for each in made]).items()}
        seconds = summed([watched.seconds, *(each.seconds for each in made)])
        looks = tuple(growing.look(file, made) for file in range(len(watched.files)))
        cut = sum(each.cut for each in made)
        notes = [f"{cut:,} of {len(made):,} captions were cut short"] if cut else []
        notes += [f"{left_out:,} more frames would have been put in words, had the reader room"] if left_out else []
        beyond = any(each.beyond for each in made)
        grounds = Grounds(looks, captions, tokens, seconds, self, beyond, notes)
        return put_together(watched.team, grounds, ledger, said)

    def numbers(self, video: Video) -> list[int]:
        """The frames that are looked at: on screen every `every_s`, from the first; none twice."""
        inside_s = video.times_s[video.numbers]
        behind = int(video.numbers[-1]) + 1
        end_s = float(video.times_s[behind]) if behind < len(video.times_s) else video.duration_s
        at_s = np.arange(float(inside_s[0]), max(end_s - 1e-9, float(inside_s[0]) + 1e-9), self.every_s)
        places = np.unique(np.searchsorted(inside_s, at_s + 1e-9, side="right") - 1)
        return [int(video.numbers[place]) for place in places]

    def _captioner(self, team: Team) -> Captioner:
        prompt = team.model.caption_prompt if self.prompt is None else self.prompt
        return Captioner(team.model, prompt, GenerateOptions(max_new_tokens=self.caption_tokens))

    def _breadths(self) -> Iterator[int]:
        """How many clusters are tried, one after the other."""
        breadth = self.breadth
        while breadth < self.most_breadth:
            yield breadth
            breadth *= 2
        yield self.most_breadth

    def _room(self, reader: Reader, query: Query, files: Sequence[Video], first: int) -> int | None:
        """How many captions the reader has room for beside those of the first level, as long as they may be.

        Raises:
            LongtakeError: `limit.context` if not even those fit.
        """
        tokens = self._page_tokens(reader, query, files, first)
        refuse_too_long(reader, tokens, query.options, advice=self._advice())
        if reader.context_tokens is None or reader.goes_beyond:
            return None
        left = reader.context_tokens - tokens - query.options.max_new_tokens
        return left // self._line_tokens(reader, files)

    def _page_tokens(self, reader: Reader, query: Query, files: Sequence[Video], captions: int) -> int:
        """What a page of so many captions makes at most."""
        heads = [f"File {number + 1}:" for number in range(len(files))]
        empty = reader.count_prompt(page(LINES, heads, question_of(reader, query)))
        return empty + captions * self._line_tokens(reader, files)

    def _line_tokens(self, reader: Reader, files: Sequence[Video]) -> int:
        """What the line of one caption makes at most. A time has the most digits at the end, with a fraction."""
        ends_s = [int(video.duration_s) + 0.9 for video in files]
        times = [line_of(Caption(0, end_s, end_s, "")) + "\n" for end_s in ends_s]
        return max(map(reader.count, times)) + self.caption_tokens

    def _advice(self) -> str:
        return (
            f"take fewer clusters (most_breadth is {self.most_breadth}), shorter captions (caption_tokens is "
            f"{self.caption_tokens}) or a --reader that reads more"
        )


@dataclass(frozen=True)
class _Growing:
    """One tree, for one question."""

    tree: Tree
    watched: Glimpsed
    query: Query
    captioner: Captioner
    ledger: Ledger
    hear: Hear
    scores: dict[int, int] = field(default_factory=dict)

    def grown(self) -> tuple[dict[int, int | None], int]:
        """The centres of the tree's clusters, with the relevance of those that were judged; and how many were left out
        because the reader has no room for them.
        """
        level = self._first_level()
        found: dict[int, int | None] = {node.cluster.centre: node.relevance for node in level}
        new = [place for place in dict.fromkeys(self._below(level)) if place not in found]
        first = min(len(self.watched.frames), self.tree.most_breadth)
        room = self.tree._room(self.ledger.reader, self.query, self.watched.files, first)
        kept = new if room is None else new[:room]
        self._put_in_words(sorted(kept))
        return found | dict.fromkeys(kept), len(new) - len(kept)

    def _below(self, level: Sequence[Node]) -> Iterator[int]:
        """The centres of clusters below the first level: the second before the third, what matters most before."""
        order = sorted((node for node in level if node.relevance >= 2), key=lambda node: -node.relevance)
        splits = [(node, self._split(node.cluster)) for node in order if self.tree.depth >= 2]
        for _, split in splits:
            yield from (cluster.centre for cluster in split)
        for node, split in splits:
            if node.relevance == 3 and self.tree.depth >= 3:
                yield from (finer.centre for cluster in split for finer in self._split(cluster))

    def _first_level(self) -> list[Node]:
        everything = tuple(range(len(self.watched.frames)))
        level: list[Node] = []
        for breadth in self.tree._breadths():
            found = clusters(self.watched.features_TD, everything, breadth, seed=self.tree.seed)
            centres = [cluster.centre for cluster in found]
            self._put_in_words(centres)
            scores = self._judged(centres)
            level = [Node(cluster, scores[cluster.centre]) for cluster in found]
            if sum(node.relevance == 3 for node in level) >= self.tree.relevant or len(found) < breadth:
                break
        return level

    def _split(self, cluster: Cluster) -> list[Cluster]:
        return clusters(self.watched.features_TD, cluster.members, self.tree.width, seed=self.tree.seed)

    def _put_in_words(self, centres: Sequence[int]) -> None:
        """Caption the frames that have no caption yet, each file in one pass."""
        watched, made = self.watched, self.watched.made
        new, done = [place for place in centres if place not in made], 0
        for file, video in enumerate(watched.files):
            own = [place for place in new if watched.frames[place].file == file]
            sets = [[watched.frames[place].number] for place in own]
            seen = Seen(video, [numbers[0] for numbers in sets])
            for place, held in zip(own, read_sets(seen, video, sets) if sets else (), strict=True):
                if not held.frames:
                    raise _changed(video, watched.frames[place])
                time_s = watched.frames[place].time_s
                made[place] = self.captioner.caption(held, Caption(file, time_s, time_s, ""))
                done += 1
                self.hear.progress("caption", done, len(new))

    def _judged(self, centres: Sequence[int]) -> dict[int, int]:
        """The relevance of each caption; nothing is judged twice."""
        options = replace(self.query.options, max_new_tokens=self.tree.caption_tokens)
        for done, place in enumerate(centres):
            self.hear.progress("judge", done, len(centres))
            if place not in self.scores:
                text = _judging(self.query.question, self.watched.made[place].caption.text)
                with self.ledger.clock.stage("judge captions"):
                    picked = self.ledger.reader.pick(text, SCORES, options)
                self.ledger.add(picked.read_tokens, picked.new_tokens)
                self.scores[place] = picked.place + 1
        return {place: self.scores[place] for place in centres}

    def look(self, file: int, made: Sequence[Made]) -> Look:
        """A file as its frames were seen, with the tokens of those captions that were read."""
        own = [each for each in made if each.caption.file == file]
        return self.captioner.look(self.watched.files[file], self.watched.seen[file], own)


def _judging(question: str, caption: str) -> str:
    """What a reader is asked to judge a caption by."""
    return (
        f"A frame of a video shows: {caption}\nThe question is: {question}\n"
        "How relevant is the frame to the question? 1: not, 2: somewhat, 3: highly. Answer with the number alone."
    )


def _changed(video: Video, glimpse: Glimpse) -> LongtakeError:
    reason = f"the frame at {glimpse.time_s:.3f} s could be decoded before, and cannot be now"
    return LongtakeError(ErrorCode.MEDIA_CORRUPT, video.path, reason, "see that nobody writes to it, and ask again")
