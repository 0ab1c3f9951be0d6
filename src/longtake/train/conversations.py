"""train/conversations: shots and questions in, token ids with weights out: frames first, then questions and answers.

A frame is four places, which hold the words of its caption (text) or nano's visual tokens of a picture (images).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from longtake.prompt import ChatTemplate, HubTokenizer, segment_ids
from longtake.world.films import Source, draw_counted, draw_shots
from longtake.world.questions import Asked, ask_about, can_ask
from longtake.world.scenes import Shot

KIND_SHARES = {
    "value": 0.22,
    "colour": 0.14,
    "shape": 0.13,
    "letter": 0.17,
    "order": 0.12,
    "missing": 0.10,
    "several": 0.07,
    "motion": 0.05,
}
ANSWER_WEIGHT = 3.0
OTHER_WEIGHT = 0.1
"""Weight of a token that is read rather than answered: the loss on it teaches repeats, no more."""
TOKENS_A_FRAME = 4
TOKENS_A_TURN = 26
"""About what a question and its answer take (measured over the wordings)."""

Talk = tuple[Sequence[Shot], Sequence[Asked]]
"""A film, frame by frame, and what is asked about it."""


@dataclass(frozen=True)
class Batch:
    """Conversations side by side, padded on the right.

    Attributes:
        ids_BL: int64 token ids.
        weights_BL: how much the loss on each token counts; 0 for padding.
        frame_places: (F, 2) conversation and position of each frame's first token.
        shots: (F) what each of these frames shows.
    """

    ids_BL: torch.Tensor
    weights_BL: torch.Tensor
    frame_places: torch.Tensor
    shots: list[Shot]


@dataclass(frozen=True)
class Writer:
    """Writes conversations in one chat template with one tokenizer.

    Attributes:
        word_ids: the token of each word of a caption.
    """

    template: ChatTemplate
    tokenizer: HubTokenizer
    word_ids: dict[str, int]

    def write(self, talks: Sequence[Talk]) -> Batch:
        """One row for each of `talks`."""
        rows: list[tuple[list[int], list[float]]] = []
        places: list[tuple[int, int]] = []
        for number, (shots, questions) in enumerate(talks):
            ids = segment_ids(self.tokenizer, self.template.opening)
            places += [(number, len(ids) + TOKENS_A_FRAME * frame) for frame in range(len(shots))]
            ids += [self.word_ids[word] for shot in shots for word in shot.caption]
            weights = [OTHER_WEIGHT] * len(ids)
            for turn, asked in enumerate(questions):
                self._write_turn(asked, ids, weights, first=turn == 0)
            rows.append((ids, weights))
        length = max(len(ids) for ids, _ in rows)
        ids_BL = torch.zeros(len(rows), length, dtype=torch.int64)
        weights_BL = torch.zeros(len(rows), length)
        for row, (ids, weights) in enumerate(rows):
            ids_BL[row, : len(ids)] = torch.tensor(ids)
            weights_BL[row, : len(weights)] = torch.tensor(weights)
        return Batch(ids_BL, weights_BL, torch.tensor(places), [shot for shots, _ in talks for shot in shots])

    def _write_turn(self, asked: Asked, ids: list[int], weights: list[float], *, first: bool) -> None:
        opening = self.template.between if first else (*self.template.opening, *self.template.between)
        question = segment_ids(self.tokenizer, (*opening, asked.question, *self.template.closing))
        answer = [*self.tokenizer.encode(asked.answer), self.tokenizer.control(self.template.stop[0])]
        ids += question + answer
        weights += [OTHER_WEIGHT] * len(question) + [ANSWER_WEIGHT] * len(answer)


def draw_talks(
    rng: np.random.Generator, source: Source, lengths: tuple[int, int], *, turns: int, tokens: int
) -> list[Talk]:
    """Films of `lengths` (fewest, most) frames with `turns` questions each: about `tokens` tokens in all."""
    mean_tokens = TOKENS_A_FRAME * sum(lengths) / 2 + turns * TOKENS_A_TURN
    return [
        draw_talk(rng, source, int(rng.integers(lengths[0], lengths[1] + 1)), turns=turns)
        for _ in range(max(2, round(tokens / mean_tokens)))
    ]


def draw_talk(rng: np.random.Generator, source: Source, frames: int, *, turns: int) -> Talk:
    """One film of `frames` frames with `turns` questions."""
    shots = draw_shots(rng, frames, source)
    return shots, [pick_question(rng, shots) for _ in range(turns)]


def draw_counts(rng: np.random.Generator, source: Source, lengths: tuple[int, int], *, tokens: int) -> list[Talk]:
    """Films made for counting, with one question each: what was asked before would be counted with the rest.

    Short films are more frequent than long ones (the logarithm of the length is uniform).
    """
    talks: list[Talk] = []
    left = tokens
    while left > 0:
        frames = round(lengths[0] * (lengths[1] / lengths[0]) ** rng.random())
        shots = draw_counted(rng, frames, source)
        talks.append((shots, [ask_about(rng, shots, "count")]))
        left -= TOKENS_A_FRAME * frames + TOKENS_A_TURN
    return talks


def pick_question(rng: np.random.Generator, shots: Sequence[Shot]) -> Asked:
    """A question of a random kind about `shots`, counting left out."""
    shares = np.array([share * can_ask(shots, kind) for kind, share in KIND_SHARES.items()])
    return ask_about(rng, shots, list(KIND_SHARES)[rng.choice(len(shares), p=shares / shares.sum())])


def answer_loss(
    hidden_BLD: torch.Tensor, to_logits: Callable[[torch.Tensor], torch.Tensor], batch: Batch
) -> torch.Tensor:
    """Weighted cross-entropy of the tokens that count; only these become logits.

    Args:
        hidden_BLD: the language model's last hidden states.
        to_logits: (M, D) hidden states to (M, V) logits.
    """
    counts_BL = batch.weights_BL[:, 1:] > 0
    logits_MV = to_logits(hidden_BLD[:, :-1][counts_BL]).float()
    losses_M = torch.nn.functional.cross_entropy(logits_MV, batch.ids_BL[:, 1:][counts_BL], reduction="none")
    weights_M = batch.weights_BL[:, 1:][counts_BL]
    return (losses_M * weights_M).sum() / weights_M.sum()


def answered(hidden_BLD: torch.Tensor, to_logits: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> torch.Tensor:
    """(B,) whether every answer token of a row is the likeliest one (teacher forcing). See `answer_loss`."""
    asked_BL = batch.weights_BL[:, 1:] == ANSWER_WEIGHT
    guessed_M = to_logits(hidden_BLD[:, :-1][asked_BL]).argmax(-1)
    right_BL = torch.ones_like(asked_BL)
    right_BL[asked_BL] = guessed_M == batch.ids_BL[:, 1:][asked_BL]
    return right_BL.all(1)
