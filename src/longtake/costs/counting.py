"""costs.counting: an outline of a model and plans for some files in; bytes and seconds of each stage out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longtake.costs import ROOM_TOKENS, Cost, Stage
from longtake.costs.outlining import Outline
from longtake.costs.rates import Rates
from longtake.costs.reading import ReadPace, decoder_bytes, read_pace, read_seconds
from longtake.costs.rehearsing import Rehearsal, Step
from longtake.costs.work import Work
from longtake.engines import PLAIN, Keeping
from longtake.eye import READ_AHEAD_FRAMES
from longtake.layouts import view_of
from longtake.plan import Plan, TextNeed
from longtake.video import Video

READ_THROUGH_BYTES = 2**24 + 2**22
"""What a weight is read and made narrow through (checkpoint/filling)."""
TOKENIZER_TIMES = 12
"""A tokenizer in memory, by its files on disk; measured (docs/plan.md)."""
UNMEASURED_PROCESS_BYTES = 420 * 2**20
"""What a run holds beside its model where nothing was measured: about what it was on the machine of docs/plan.md."""


@dataclass
class Counter:
    """Counts what plans for one model cost; what has been rehearsed once is kept.

    Attributes:
        outline: the model without weights.
        rates: of this machine; None: seconds are not told.
        rehearsal: of the model.
        timed: whether seconds are wanted; they want a look into the files.
        keeping: how keys and values are kept.
        ranks: how many processes read together: each has the weights, and they share keys and values. Those that
            share a processor are counted together.
    """

    outline: Outline
    rates: Rates | None
    rehearsal: Rehearsal
    timed: bool = True
    keeping: Keeping = PLAIN
    ranks: int = 1
    _paces: dict[str, ReadPace] = field(default_factory=dict)

    @classmethod
    def of(cls, outline: Outline, rates: Rates | None) -> Counter:
        """With nothing rehearsed yet."""
        return cls(outline, rates, Rehearsal(outline.model, outline.made))

    @property
    def tells_seconds(self) -> bool:
        """Whether what computes has been measured."""
        return self.timed and self.rates is not None and not self.outline.apart

    def cost(self, videos: Sequence[Video], plans: Sequence[Plan], text: TextNeed) -> Cost:
        """What reading these files as planned, and one question, take.

        Raises:
            LongtakeError: where seconds are told, `media.*` if the beginning of a file cannot be read.
        """
        stages = self._stages(videos, plans, text)
        told = None
        if self.rates is not None and self.tells_seconds:
            told = self._seconds(videos, plans, text, self.rates)
        return Cost(tuple(stages), self.outline.apart, told)

    def operations(self, plans: Sequence[Plan], text: TextNeed) -> Mapping[str, float]:
        """Floating point operations of matrices, attention and convolutions by stage: they tell how long a device takes
        that nobody has measured, by how many it does in a second. `watch` is once for a video, `ask` for each question.
        """
        length = text.opening_tokens + sum(plan.tokens for plan in plans)
        watching = self._prefill(length).work
        for plan in plans:
            encoder: Any = plan.encoder
            at_once = min(encoder.chunk_frames, plan.shape.views)
            watching += self.rehearsal.views(encoder, at_once).work * (plan.shape.views / at_once)
            watching += self.rehearsal.arranged(plan.layout, plan.shape)[0].work
        step = self.rehearsal.chunk(1, length) + self.rehearsal.head()
        question = self.rehearsal.chunk(max(1, text.question_tokens), length) + self.rehearsal.head()
        asking = question.work + step.work * (text.answer_tokens - 1)
        return {"watch": watching.operations, "ask": asking.operations}

    @property
    def process_bytes(self) -> int:
        """Python, torch, decoder, tokenizer: what is there whatever is asked."""
        measured = UNMEASURED_PROCESS_BYTES if self.rates is None else self.rates.process_bytes
        return measured + TOKENIZER_TIMES * self.outline.text_bytes

    @property
    def _position_bytes(self) -> float:
        kept, numbers = self.keeping, self.rehearsal.key_value_numbers
        steps = self.rehearsal.layers * self.rehearsal.key_value_heads
        whole = kept.bytes_of(numbers, steps, self.rehearsal.dtype.itemsize, apart=self.outline.apart)
        return whole / self.ranks if self.outline.apart else whole

    def _stages(self, videos: Sequence[Video], plans: Sequence[Plan], text: TextNeed) -> list[Stage]:
        each = 1 if self.outline.apart else self.ranks
        always = {"process": each * self.process_bytes, "weights": each * self.outline.weights_bytes}
        stages = [Stage("load", {**always, "activations": READ_THROUGH_BYTES})]
        kept = 0
        for video, plan in zip(videos, plans, strict=True):
            made, arranged = self._looked(video, plan, kept)
            stages += [Stage(name, {**always, **counts}) for name, counts in made.items()]
            kept += arranged
        length = text.opening_tokens + sum(plan.tokens for plan in plans)
        rows = min(self._chunk_tokens, length)
        reading = self.rehearsal.chunk(rows, length - rows).peak_bytes
        keys = round((length + ROOM_TOKENS) * self._position_bytes)
        twice = kept if len(plans) > 1 else 0
        stages.append(Stage("join", {**always, "features": kept + twice}))
        counts = {"features": kept, "key-values": keys, "activations": round(reading)}
        stages.append(Stage("prefill", {**always, **counts}))
        after = text.question_tokens + text.answer_tokens
        asking = (
            self.rehearsal.chunk(max(1, text.question_tokens), length).peak_bytes + self.rehearsal.head().peak_bytes
        )
        grown = max(0, after - ROOM_TOKENS) + (ROOM_TOKENS if after > ROOM_TOKENS else 0)
        keys += round(grown * self._position_bytes)
        stages.append(Stage("ask", {**always, "key-values": keys, "activations": round(asking)}))
        return stages

    def _looked(self, video: Video, plan: Plan, kept: int) -> tuple[Mapping[str, Mapping[str, int]], int]:
        """Bytes of one file's stages by kind, beside those of files before it; and those of its visual tokens."""
        encoder: Any = plan.encoder
        side, views, width = encoder.recipe.side_px, plan.shape.views, self.rehearsal.width
        each = (plan.shape.height * plan.shape.width + plan.shape.class_token) * width * self.rehearsal.dtype.itemsize
        at_once = min(encoder.chunk_frames, views)
        per_picture = views / max(1, len(plan.numbers)) if plan.shape.tilings else 1
        waiting = min(views, READ_AHEAD_FRAMES * per_picture + 2 * at_once)
        pixels = round(waiting * 3 * side * side) + decoder_bytes(video, plan.numbers)
        seen = self.rehearsal.views(encoder, at_once).peak_bytes
        arranging, arranged = self.rehearsal.arranged(plan.layout, plan.shape)
        made = {
            "encode": {
                "pixels": pixels,
                "features": kept + (views - at_once) * each,
                "activations": round(seen),
            },
            "arrange": {
                "features": kept + views * each,
                "activations": max(at_once * each, round(arranging.peak_bytes)),
            },
        }
        return made, arranged

    @property
    def _chunk_tokens(self) -> int:
        engine: Any = self.outline.model.engine
        return int(engine.chunk_tokens)

    def _seconds(
        self, videos: Sequence[Video], plans: Sequence[Plan], text: TextNeed, rates: Rates
    ) -> Mapping[str, float]:
        length = text.opening_tokens + sum(plan.tokens for plan in plans)
        encoding, reading_s = Work(), 0.0
        for video, plan in zip(videos, plans, strict=True):
            encoder: Any = plan.encoder
            at_once = min(encoder.chunk_frames, plan.shape.views)
            encoding += self.rehearsal.views(encoder, at_once).work * (plan.shape.views / at_once)
            encoding += self.rehearsal.arranged(plan.layout, plan.shape)[0].work
            reading_s += read_seconds(video, plan.numbers, self._pace(video, plan))
        step = self.rehearsal.chunk(1, length) + self.rehearsal.head()
        question = self.rehearsal.chunk(max(1, text.question_tokens), length) + self.rehearsal.head()
        # `ask` too builds and rehearses the model without weights; to build it again, imports done, is short.
        built_s = self.outline.built_s + self.rehearsal.spent_s
        loading_s = built_s + self.outline.weights * rates.seconds[f"load {self.outline.dtype}"]
        return {
            "start": rates.seconds["start"],
            "load": loading_s,
            "read": reading_s,
            "encode": encoding.seconds(rates.seconds),
            "prefill": self._prefill(length).work.seconds(rates.seconds),
            "question": question.work.seconds(rates.seconds),
            "answer": (text.answer_tokens - 1) * step.work.seconds(rates.seconds),
        }

    def _prefill(self, length: int) -> Step:
        """All chunks: the past of each is what the ones before it read."""
        rows = self._chunk_tokens
        whole, rest = divmod(length, rows)
        # 0, 1, 2, ... chunks before each add up to so many positions.
        past = rows * (whole - 1) / 2
        read = self.rehearsal.chunk(rows, round(past)) * whole if whole else Step(Work(), 0.0)
        return read + self.rehearsal.chunk(rest, whole * rows) if rest else read

    def _pace(self, video: Video, plan: Plan) -> ReadPace:
        if video.path not in self._paces:
            encoder: Any = plan.encoder
            self._paces[video.path] = read_pace(video, encoder.shrinker(tiled=view_of(plan.layout).tiled))
        return self._paces[video.path]
