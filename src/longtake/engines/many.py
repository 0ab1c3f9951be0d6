"""engines: one prefix and many questions in, an answer to each out: all in one batch. Knows nothing of words.

The questions share the prefix: their rows attend to it as rows of one head, so each layer reads it once a step for all
of them. Behind it each has a few positions of its own, the question left-aligned: what lies behind a short one is
never looked at, and its answer is written there. Whoever has ended leaves the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache

from longtake.engines import GenerateOptions
from longtake.engines.cancelling import heed
from longtake.engines.drawing import chooser
from longtake.engines.kept import KeptPrefix, RoomyLayer, cache_of
from longtake.engines.segments import Seen, Segment
from longtake.engines.shelves import ROOM_TOKENS, ExactShelf
from longtake.networks import input_device

MOST_AT_ONCE = 64
"""Questions in one batch; more are answered in several."""


class Runner(Protocol):
    """What is used of an engine."""

    @property
    def language(self) -> Any: ...
    @property
    def stop_ids(self) -> tuple[int, ...]: ...
    @property
    def chunk_tokens(self) -> int: ...
    def logits(self, hidden_CD: torch.Tensor) -> torch.Tensor: ...
    def run(
        self, cache: Cache, embedded_BCD: torch.Tensor, *, whole_tokens: int, positions_BC: torch.Tensor | None = None
    ) -> torch.Tensor: ...


class ManyLayer(RoomyLayer):
    """One prefix, and behind it as many positions of each question as the longest has; then ends that differ."""

    def __init__(self, shared: tuple[Segment, ...], expected: int) -> None:
        super().__init__(shared, expected=expected)
        self.lengths_B: torch.Tensor | None = None

    @property
    def own(self) -> ExactShelf:
        """Of all questions."""
        assert isinstance(self.shelf, ExactShelf)
        return self.shelf

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        """A chunk of each question; once they are read, one token behind each."""
        if self.lengths_B is None:
            return super().update(key_states, value_states)
        heed()
        lengths_B = self.lengths_B.to(key_states.device)
        each_B = torch.arange(len(lengths_B), device=key_states.device)
        longest = int(lengths_B.max()) + 1
        while self.own.positions < longest:
            self.own.put(key_states, value_states)
        keys, values = (states[:, :, :longest] for states in self.own.dense())
        keys[each_B, :, lengths_B], values[each_B, :, lengths_B] = key_states[:, :, 0], value_states[:, :, 0]
        seen = Seen(self.shared, keys, values, lengths_B + 1)
        return seen, seen

    def stay(self, staying: Sequence[int]) -> None:
        """Only these questions are left."""
        rows = torch.tensor(staying)
        for kept in (self.own.keys, self.own.values):
            assert kept.buffer is not None
            kept.buffer = kept.buffer[rows.to(kept.buffer.device)]

    def rewind(self, length: int) -> None:
        """While questions are read, as ever; a token behind them is simply written again."""
        if self.lengths_B is None:
            super().rewind(length)


@torch.inference_mode()
def answers_to(
    engine: Runner, kept: KeptPrefix, questions: Sequence[Sequence[int]], options: GenerateOptions
) -> list[list[int]]:
    """New token ids for each question, as if each were asked alone.

    Raises:
        LongtakeError: `model.nonfinite`; `interrupted`.
    """
    answers: dict[int, list[int]] = {}
    alike = sorted(range(len(questions)), key=lambda place: len(questions[place]))
    for start in range(0, len(alike), MOST_AT_ONCE):
        places = alike[start : start + MOST_AT_ONCE]
        with kept.borrowed() as layers:
            batch = Batch(engine, kept, layers, [questions[place] for place in places])
            answers |= zip(places, batch.answered(options), strict=True)
    return [answers[place] for place in range(len(questions))]


@dataclass(frozen=True)
class Batch:
    """Questions that are answered together.

    Attributes:
        engine: that reads.
        kept: what comes before each question.
        layers: that hold `kept`.
        questions: token ids.
    """

    engine: Runner
    kept: KeptPrefix
    layers: tuple[RoomyLayer, ...]
    questions: Sequence[Sequence[int]]

    def answered(self, options: GenerateOptions) -> list[list[int]]:
        """New token ids for each; each draws with a generator of its own."""
        answers: list[list[int]] = [[] for _ in self.questions]
        choose = [chooser(options) for _ in self.questions]
        lengths_B = torch.tensor([len(question) for question in self.questions])
        expected = int(lengths_B.max()) + min(options.max_new_tokens, ROOM_TOKENS)
        many = tuple(ManyLayer(layer.shared, expected) for layer in self.layers)
        last_BD, asking = self._read(many), list(range(len(self.questions)))
        while True:
            chosen = [
                choose[place](logits_V) for place, logits_V in zip(asking, self.engine.logits(last_BD), strict=True)
            ]
            going_on = []
            for row, (place, token_id) in enumerate(zip(asking, chosen, strict=True)):
                if token_id not in self.engine.stop_ids:
                    answers[place].append(token_id)
                    if len(answers[place]) < options.max_new_tokens:
                        going_on.append(row)
            if not going_on:
                return answers
            if len(going_on) < len(asking):
                asking, lengths_B = [asking[row] for row in going_on], lengths_B[going_on]
                for layer in many:
                    layer.stay(going_on)
            last_BD = self._step(many, torch.tensor([chosen[row] for row in going_on]), lengths_B)
            lengths_B = lengths_B + 1

    def _read(self, many: tuple[ManyLayer, ...]) -> torch.Tensor:
        """Read all questions; returns the hidden state (B, D) of the last position of each."""
        lengths = [len(question) for question in self.questions]
        longest, device = max(lengths), input_device(self.engine.language.get_input_embeddings())
        if 0 in lengths and not len(self.kept.last_hidden_1D):
            raise ValueError("this prefix was cropped: its last position is not known, and no question follows")
        ids_BL = torch.zeros(len(lengths), longest, dtype=torch.int64)
        for row, question in enumerate(self.questions):
            ids_BL[row, : lengths[row]] = torch.tensor(question)
        last = [self.kept.last_hidden_1D[:1] for _ in lengths]
        cache, at_once = cache_of(many), max(1, self.engine.chunk_tokens // len(lengths))
        for start in range(0, longest, at_once):
            embedded_BCD = self.engine.language.get_input_embeddings()(ids_BL[:, start : start + at_once].to(device))
            hidden_BCD = self.engine.run(cache, embedded_BCD, whole_tokens=self.kept.length + longest)
            for row, length in enumerate(lengths):
                if start < length <= start + at_once:
                    last[row] = hidden_BCD[row, length - 1 - start][None]
        return torch.cat(last)

    def _step(self, many: tuple[ManyLayer, ...], ids_B: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        """Read one token behind each question and what was answered; the hidden state (B, D) of each."""
        for layer in many:
            layer.lengths_B = lengths_B
        embedding = self.engine.language.get_input_embeddings()
        device = input_device(embedding)
        embedded_B1D = embedding(ids_B[:, None].to(device))
        positions_B1 = (self.kept.length + lengths_B)[:, None].to(device)
        return self.engine.run(cache_of(many), embedded_B1D, whole_tokens=0, positions_BC=positions_B1)[:, 0]
