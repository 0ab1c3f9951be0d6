"""train/preferring: pairs of answers with what they are about in, the loss of preferring one of each out (DPO).

    loss = -log sigmoid(margin),  margin = beta * ((chosen - its reference) - (rejected - its reference))

each of the four the log probability of a whole answer, the sum over its tokens and the one that ends it. The loss looks
at differences alone: where the chosen answer is very unlikely to begin with, both may become unlikelier and something
else be said. `chosen_weight` adds the chosen answer's own loss a token, which holds it up (arXiv 2404.19733).
Source: arXiv 2305.18290, equation 7. Label smoothing: E. Mitchell, A note on DPO with noisy preferences, 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from longtake.errors import LongtakeError
from longtake.families import Model
from longtake.prompt import ChatTemplate, prefix, question_ids, segment_ids
from longtake.train.corpus import bad_data
from longtake.train.dialogues import Dialogue
from longtake.train.looking import Looker
from longtake.train.order import Order
from longtake.train.preferences import Preference
from longtake.train.schedule import Schedule
from longtake.train.spread import Spread
from longtake.train.viewing import Viewed, kept_still, open_files, pieces_of

HELD_BYTES = 2**29
"""Of small pictures: 1,500 films of nano's, or 1,500 frames of CLIP's 336 x 336."""

Reference = Callable[[Preference], tuple[float, float]]
"""What the model that is not trained gives the two answers of a pair: their log probabilities."""


@dataclass(frozen=True)
class Pair:
    """A preference with what it is about, read; and what it takes.

    Attributes:
        viewed: what goes through the tower, file by file.
        template: of the model for such files.
        tokens: of the prompt with the longer answer; words that a layout puts between visual tokens are not counted.
        chosen_tokens: of the chosen answer, with the one that ends it.
    """

    preference: Preference
    viewed: tuple[Viewed, ...]
    template: ChatTemplate
    tokens: int
    chosen_tokens: int


def read_pair(model: Model, preference: Preference, *, most_tokens: int) -> Pair:
    """Read the files of a pair, if it is no longer than it may be: that is told before anything is decoded.

    Raises:
        LongtakeError: `data.bad`, naming the row.
    """
    try:
        opened = open_files(model, preference.files, preference.prompt)
        template, tokenizer = opened.template, model.tokenizer
        answers = [tokenizer.encode(answer) for answer in (preference.chosen, preference.rejected)]
        joints = segment_ids(tokenizer, [template.joint or ""]) * max(0, len(preference.files) - 1)
        words = [*segment_ids(tokenizer, template.opening), *joints]
        words += question_ids(template, tokenizer, preference.prompt)
        tokens = opened.tokens + len(words) + max(map(len, answers)) + 1
        if tokens > most_tokens:
            advice = "set frames to fewer, most_tokens to more, or leave such rows out with --on-bad skip"
            raise bad_data(preference.place, f"makes {tokens:,} tokens; at most {most_tokens:,} are trained on", advice)
        return Pair(preference, tuple(opened.read()), template, tokens, len(answers[0]) + 1)
    except LongtakeError as error:
        if error.subject == preference.place:
            raise
        told = f"{error.subject}: {error.reason}" if error.subject else error.reason
        advice = "mend it, or leave such rows out with --on-bad skip"  # its own is for `ask`
        raise bad_data(preference.place, told, advice) from error


def log_probabilities(looker: Looker, pairs: Sequence[Pair], *, learning: bool) -> torch.Tensor:
    """(P, 2) float32: of the chosen and of the rejected answer of each pair.

    Args:
        looker: the model, opened up.
        learning: whether the tower learns.
    """
    with torch.autocast(looker.device.type, torch.bfloat16, enabled=looker.half):
        dialogues = [one for pair in pairs for one in _dialogues(looker, pair, learning=learning)]
        losses_A = looker.losses(dialogues)
    of_answer = losses_A.split([int(one.answers_L.sum()) for one in dialogues])
    return -torch.stack([losses.sum() for losses in of_answer]).view(-1, 2)


def margins(log_P2: torch.Tensor, reference_P2: torch.Tensor, *, beta: float) -> torch.Tensor:
    """(P,) how much more the chosen answer has gained than the rejected one; see the head of this file."""
    gained_P2 = log_P2 - reference_P2
    return beta * (gained_P2[:, 0] - gained_P2[:, 1])


def preference_losses(margins_P: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """(P,) the loss of each pair, where a share `label_smoothing` of the preferences is held to be mistaken."""
    right_P, wrong_P = -F.logsigmoid(margins_P), -F.logsigmoid(-margins_P)
    return (1 - label_smoothing) * right_P + label_smoothing * wrong_P


@dataclass
class Tally:
    """What was seen of some pairs, for a row of the log."""

    margins: list[float] = field(default_factory=list)
    log_P2: list[list[float]] = field(default_factory=list)

    def add(self, log_P2: torch.Tensor, margins_P: torch.Tensor) -> None:
        """Count some pairs."""
        self.log_P2 += log_P2.detach().tolist()
        self.margins += margins_P.detach().tolist()

    def share(self, spread: Spread) -> Tally:
        """What all ranks have counted since the last time, in their order. Every rank calls it."""
        mine = Tally(self.margins, self.log_P2)
        self.margins, self.log_P2 = [], []
        told = spread.told(mine)
        return Tally([one for some in told for one in some.margins], [one for some in told for one in some.log_P2])

    def take(self) -> dict[str, float]:
        """The means since the last time; empty where nothing was counted.

        `margin`; `accuracy`: the share of pairs with a margin above nothing, that is, where the chosen answer has
        gained on the rejected one; `preferred`: where it is the likelier of both; `chosen`, `rejected`: log
        probabilities.
        """
        if not self.margins:
            return {}
        log_P2, margins_P = np.array(self.log_P2), np.array(self.margins)
        self.log_P2, self.margins = [], []
        return {
            "margin": round(float(margins_P.mean()), 4),
            "accuracy": round(float((margins_P > 0).mean()), 4),
            "preferred": round(float((log_P2[:, 0] > log_P2[:, 1]).mean()), 4),
            "chosen": round(float(log_P2[:, 0].mean()), 4),
            "rejected": round(float(log_P2[:, 1].mean()), 4),
        }


@dataclass
class Holding:
    """Reads pairs, and holds what it read as long as there is room: the next round then decodes nothing.

    Attributes:
        read: reads a pair's files.
        room_bytes: for small pictures; those that came first stay.
    """

    read: Callable[[Preference], Pair]
    room_bytes: int = HELD_BYTES
    _held: dict[str, Pair] = field(default_factory=dict, repr=False)

    def __call__(self, preference: Preference) -> Pair:
        """The pair.

        Raises:
            LongtakeError: `data.bad`.
        """
        held = self._held.get(preference.place)
        if held is not None:
            return held
        pair = self.read(preference)
        pair_bytes = sum(one.views_NCHW.nbytes for one in pair.viewed)
        if pair_bytes <= self.room_bytes:
            self.room_bytes -= pair_bytes
            self._held[preference.place] = pair
        return pair


@dataclass
class Deck:
    """Pairs in an order that follows from the seed, read when their turn comes."""

    pairs: Sequence[Preference]
    read: Callable[[Preference], Pair]
    seed: tuple[int, ...]
    next_place: int = 0
    _order: Order = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._order = Order(len(self.pairs), self.seed)

    def take(self, pairs: int) -> list[Pair]:
        """The next pairs.

        Raises:
            LongtakeError: `data.bad`.
        """
        taken = [self.read(self.pairs[self._order.at(self.next_place + place)]) for place in range(pairs)]
        self.next_place += pairs
        return taken


@dataclass(frozen=True)
class Preferring:
    """Some parts of a model learn to give the chosen answers rather than the rejected ones.

    Attributes:
        module: what learns.
        deck: where pairs come from.
        pairs: of one batch.
        reference: what the model gave before it learned anything.
        beta, label_smoothing, chosen_weight: see the head of this file.
        heard: hears how many tokens each batch has.
        tally: counts what figures are made of.
        exam: held-out pairs.
    """

    name: str
    steps: int
    rates: Schedule
    module: nn.ModuleDict
    looker: Looker
    deck: Deck
    pairs: int
    reference: Reference
    beta: float
    label_smoothing: float
    chosen_weight: float
    heard: Callable[[int], None]
    tally: Tally
    exam: Sequence[Preference]

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """The mean loss of the next pairs."""
        kept_still(list(self.looker.parts.values()))
        pairs = self.deck.take(self.pairs)
        log_P2 = log_probabilities(self.looker, pairs, learning="vision" in self.module)
        margins_P = margins(log_P2, self._references(pairs).to(log_P2), beta=self.beta)
        self.heard(2 * sum(pair.tokens for pair in pairs))
        self.tally.add(log_P2, margins_P)
        losses_P = preference_losses(margins_P, label_smoothing=self.label_smoothing)
        if self.chosen_weight:
            lengths_P = torch.tensor([pair.chosen_tokens for pair in pairs]).to(log_P2)
            losses_P = losses_P - self.chosen_weight * log_P2[:, 0] / lengths_P
        # Where nobody looked at anything and only the eye learns, nothing is learned, and nothing fails.
        return losses_P.mean() + (0 if losses_P.requires_grad else 0 * next(self.module.parameters()).sum())

    def figures(self) -> dict[str, float]:
        """What `Tally.take` says of the held-out pairs, and their loss."""
        return {f"held_out_{name}": value for name, value in self.examined().items()}

    @torch.no_grad()
    def examined(self) -> dict[str, float]:
        """The same under their plain names, one pair after the other, in evaluation mode."""
        for part in self.looker.parts.values():
            part.eval()
        tally, losses = Tally(), []
        for preference in self.exam:
            pair = self.deck.read(preference)
            log_P2 = log_probabilities(self.looker, [pair], learning=False)
            margins_P = margins(log_P2, self._references([pair]).to(log_P2), beta=self.beta)
            tally.add(log_P2, margins_P)
            losses.append(float(preference_losses(margins_P, label_smoothing=self.label_smoothing)[0]))
        return {"loss": round(float(np.mean(losses)), 4), **tally.take()} if losses else {}

    def _references(self, pairs: Sequence[Pair]) -> torch.Tensor:
        return torch.tensor([self.reference(pair.preference) for pair in pairs], dtype=torch.float32)


def _dialogues(looker: Looker, pair: Pair, *, learning: bool) -> list[Dialogue]:
    """The prompt with either answer; what it shows is encoded once."""
    template, tokenizer, told = pair.template, looker.model.tokenizer, pair.preference
    if pair.viewed:
        shown = prefix(template, tokenizer, pieces_of(pair.viewed, template, learning=learning))
        asked = shown.token_ids_L.tolist() + question_ids(template, tokenizer, told.prompt)
        visual_ND = shown.visual_ND
    else:
        asked = segment_ids(tokenizer, (*template.opening, told.prompt, *template.closing))
        visual_ND = torch.zeros(0, looker.parts["language"].config.hidden_size)
    written = []
    for words in (told.chosen, told.rejected):
        answer = [*tokenizer.encode(words), tokenizer.control(template.stop[0])]
        answers = [False] * len(asked) + [True] * len(answer)
        written.append(Dialogue(torch.tensor(asked + answer), visual_ND, torch.tensor(answers)))
    return written
