"""parallel/engine: a prompt in, token ids out, by ranks that share what is read. Knows nothing of video or words.

One video is read by all ranks: of each chunk of the prompt each rank reads its rows and keeps their keys and values, so
that both the work and what is kept are a share of the whole. Rows look at what others hold by `parallel.sharing`.

The first rank leads. It alone knows prompts, questions and answers; the others (`parallel.following`) do what it orders
on their shares. A question and its answer are read by the first rank alone, which keeps their few keys and values, and
asks the others, layer by layer, what the rows see of the share that each holds. So there is one choice of each token,
one that decides when to stop, and nothing in which ranks could part.

Every rank has all of the model's weights; ranks share what is read, not the model.
"""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields

import torch

from longtake.engines import Keeping, Prefix, Progress
from longtake.engines.cancelling import heed
from longtake.engines.kept import KeptPrefix, RoomyLayer, followed, kept_of, length_of
from longtake.engines.language import embedded
from longtake.engines.local import LocalEngine
from longtake.engines.merging import Part, Span, left_of
from longtake.errors import ErrorCode, LongtakeError
from longtake.parallel.dealing import most_of
from longtake.parallel.shards import DTYPES, KEEPING_DTYPES, KEEPING_PLACES, About, Order, Shards, Told
from longtake.parallel.talking import Talk, lost
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.ropes import Rope


@dataclass(frozen=True)
class Lead:
    """The first rank: orders all, and does what it orders itself. One order at a time, whichever thread gives it.

    Attributes:
        shards: this rank's.
    """

    shards: Shards
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)
    _gone: deque[int] = field(default_factory=deque, repr=False)
    _broken: list[BaseException] = field(default_factory=list, repr=False)

    @contextmanager
    def ordered(self, order: Order, *numbers: float) -> Iterator[Shards]:
        """Order something, and do the first rank's part of it inside.

        Whatever goes wrong inside leaves the others in the middle of it: no order can follow.

        Raises:
            LongtakeError: `ranks.lost` if one of them has ended, now or before.
        """
        with self._lock:
            if self._broken:
                raise lost(f"they were left in the middle of something: {self._broken[0]}")
            try:
                while self._gone:
                    self.shards.talk.order([Order.DROP, number := self._gone.popleft()])
                    self.shards.drop(number)
                self.shards.talk.order([order, *numbers])
                yield self.shards
            except BaseException as error:
                self._broken.append(error)
                raise

    def new(self, expected: int, keeping: Keeping) -> Held:
        """An empty text; each rank takes room for `expected` positions."""
        number = next(self._numbers)
        told = (number, expected, KEEPING_DTYPES.index(keeping.dtype), KEEPING_PLACES.index(keeping.where))
        with self.ordered(Order.NEW, *told) as shards:
            shards.new(*told)
        return self._held(number)

    def fork(self, held: Held, keep: int, expected: int) -> Held:
        """The first `keep` positions of a text, shared."""
        told = (next(self._numbers), held.number, keep, expected)
        with self.ordered(Order.FORK, *told) as shards:
            shards.fork(*told)
        return self._held(told[0])

    def rewind(self, held: Held, length: int) -> None:
        """Forget every position of a text from `length` on."""
        with self.ordered(Order.REWIND, held.number, length) as shards:
            shards.rewind(held.number, length)

    def read(self, held: Held, embedded_CD: torch.Tensor, whole_tokens: int) -> torch.Tensor:
        """Read a chunk behind a text; the last position's hidden state, (1, D).

        Raises:
            LongtakeError: `model.nonfinite` on any rank; `ranks.lost`.
        """
        told = (held.number, len(embedded_CD), whole_tokens, DTYPES.index(embedded_CD.dtype))
        with self.ordered(Order.READ, *told) as shards:
            last_1D, error = shards.read(*told, embedded_CD)
        if error is not None:
            raise error
        return last_1D

    def attend(self, about: About, query_BHQD: torch.Tensor, hidden: Sequence[Span]) -> Part:
        """What rows see of a text."""
        with self.ordered(Order.ATTEND, *astuple(about)) as shards:
            part = shards.attend(about, query_BHQD, hidden)
        assert part is not None
        return part

    def weigh(self, about: About, query_BHQD: torch.Tensor, lse_BHQ: torch.Tensor) -> torch.Tensor:
        """(Q, positions): what rows give to each position of a text."""
        with self.ordered(Order.WEIGH, *astuple(about)) as shards:
            given_QP = shards.weigh(about, query_BHQD, lse_BHQ)
        assert given_QP is not None
        return given_QP

    def told(self) -> list[Told]:
        """How all ranks are."""
        with self.ordered(Order.TELL) as shards:
            return shards.tell()

    def end(self) -> None:
        """No more orders. Where something broke, nobody would understand this one; what ends then is the process."""
        if not self._broken:
            with self.ordered(Order.END):
                self._broken.append(LongtakeError(ErrorCode.RANKS_LOST, "", "they have ended", "start them again"))

    def _held(self, number: int) -> Held:
        held = Held(self, number)
        weakref.finalize(held, self._gone.append, number).atexit = False
        return held


@dataclass(frozen=True, eq=False)
class Held:
    """A text that all ranks hold their shares of, until nobody has this any more."""

    lead: Lead
    number: int


@dataclass(frozen=True)
class SpreadSegment:
    """Keys and values of one layer that lie on all ranks (`engines.segments.Segment`).

    Attributes:
        held: of which text.
        layer: of the model.
        positions: of the text, from its first.
    """

    held: Held
    layer: int
    positions: int

    def parts(self, query_BHQD: torch.Tensor, scaling: float | None, hidden: Sequence[Span] = ()) -> Iterator[Part]:
        """Attention of rows that see all of it, but for hidden positions."""
        if left_of(self.positions, hidden):
            yield self.held.lead.attend(self._about(query_BHQD, scaling, len(hidden)), query_BHQD, hidden)

    def weights(self, query_BHQD: torch.Tensor, lse_BHQ: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """(Q, positions) float32: what each row gives to each, added up over heads."""
        return self.held.lead.weigh(self._about(query_BHQD, scaling), query_BHQD, lse_BHQ)

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Refused: together they may be more than one rank's memory."""
        raise ValueError("keys and values that are spread over ranks are not brought together")

    def cropped(self, length: int) -> SpreadSegment:
        """The first `length` positions."""
        return SpreadSegment(self.held, self.layer, length)

    def _about(self, query_BHQD: torch.Tensor, scaling: float | None, spans: int = 0) -> About:
        batch, _, rows, _ = query_BHQD.shape
        scale, dtype = math.nan if scaling is None else scaling, DTYPES.index(query_BHQD.dtype)
        return About(self.held.number, self.layer, self.positions, batch, rows, dtype, scale, spans)


@dataclass(frozen=True)
class SpreadEngine(LocalEngine):
    """Runs a transformers causal language model on several ranks, of which this is the first; made by `leading`.

    Each rank reads `chunk_tokens` positions at once. What is asked about a prefix is as with a LocalEngine: tokens and
    log-probabilities are the same but for the order in which numbers are added up.
    """

    lead: Lead = field(kw_only=True)

    def with_rope(self, rope: Rope) -> SpreadEngine:
        """Refused: the other ranks turn as they did when they began.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        reason = "positions are turned as they were when the ranks began"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--rope", reason, "choose it before")

    def restored(self, state: Mapping[str, torch.Tensor]) -> KeptPrefix:
        """Refused, as is the state of what ranks share.

        Raises:
            ValueError: always.
        """
        raise ValueError("what several ranks share is not kept elsewhere, and nothing kept is dealt out to them")

    def prefill(
        self, prompt: Prompt, *, after_tokens: int = 0, room_tokens: int = 0, progress: Progress | None = None
    ) -> KeptPrefix:
        """Read a prompt from its first position, in chunks; each rank reads, and keeps, its share of each.

        Args:
            prompt, after_tokens, room_tokens, progress: as for a LocalEngine.
        """
        length = length_of(prompt)
        held = self.lead.new(self._expected(length + room_tokens), self.keeping)
        return self._read_into(held, 0, prompt, (length + after_tokens, self._by_length(prompt)), progress)

    def fork(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> KeptPrefix:
        """The first `keep` positions of `prefix`, shared, and `prompt` read after them; `prefix` stays as it is.

        Raises:
            ValueError: `prefix` is spent, it has no `keep` positions, or `prompt` has none.
        """
        kept, length = kept_of(prefix), length_of(prompt)
        kept.forked(keep)
        together = None if kept.prompt is None else followed(kept.prompt, keep, prompt)
        if keep == 0 or (together is not None and not self._alike(kept.whole_tokens, keep + length)):
            return self.prefill(together or prompt, progress=progress)
        held = self.lead.fork(_held_in(kept), keep, self._expected(length))
        return self._read_into(held, keep, prompt, (keep + length, together), progress)

    def extend(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> KeptPrefix:
        """Forget all but the first `keep` positions of `prefix`, and read `prompt` after them, in the same memory.

        Raises:
            ValueError: `prefix` is spent or in use, it has no `keep` positions, or `prompt` has none.
        """
        kept, length = kept_of(prefix), length_of(prompt)
        held, whole = _held_in(kept), keep + length
        in_place = kept.handed_on(keep, length) is kept.layers
        together = None if kept.prompt is None else followed(kept.prompt, keep, prompt)
        anew = together is not None and not self._alike(kept.whole_tokens, whole)
        if in_place:
            self.lead.rewind(held, 0 if anew else keep)
        elif anew and together is not None:
            return self.prefill(together, progress=progress)
        else:
            held = self.lead.fork(held, keep, self._expected(length))
        if anew and together is not None:
            return self._read_into(held, 0, together, (whole, together), progress)
        return self._read_into(held, keep, prompt, (whole, together), progress)

    def told(self) -> list[Told]:
        """How all ranks are: the bytes that each holds, and its processor seconds."""
        return self.lead.told()

    def _read_into(
        self, held: Held, keep: int, prompt: Prompt, part: tuple[int, Prompt | None], progress: Progress | None
    ) -> KeptPrefix:
        """Read a prompt behind `keep` positions; it is part of so many positions, and of this prompt."""
        (whole, together), length = part, len(prompt.token_ids_L)
        last_1D, used = prompt.visual_ND, 0
        for start in range(0, length, self._step):
            heed()
            ids_C = prompt.token_ids_L[start : start + self._step]
            places = int((ids_C == VISUAL_PLACE).sum())
            with torch.inference_mode():
                embedded_CD = embedded(self.language, ids_C, prompt.visual_ND[used : used + places])
            last_1D = self.lead.read(held, embedded_CD, whole)
            used += places
            if progress:
                progress(start + len(ids_C), length)
        count = self.language.config.num_hidden_layers
        layers = tuple(RoomyLayer((SpreadSegment(held, layer, keep + length),)) for layer in range(count))
        return KeptPrefix(layers, keep + length, last_1D, whole, together)

    @property
    def _step(self) -> int:
        """Positions that are read at once, by all ranks."""
        return self.chunk_tokens * self.lead.shards.talk.ranks.size

    def _expected(self, positions: int) -> int:
        """Of so many positions, most that a rank will hold: one more where a last chunk does not divide."""
        return most_of(positions, self.lead.shards.talk.ranks.size) + 1

    def _by_length(self, prompt: Prompt) -> Prompt | None:
        return prompt if self._steering is not None and self._steering.rope.by_length else None


def _held_in(kept: KeptPrefix) -> Held:
    """The text of a prefix.

    Raises:
        ValueError: another engine has read it, or it was cropped to nothing.
    """
    for piece in kept.layers[0].shared:
        if isinstance(piece, SpreadSegment):
            return piece.held
    raise ValueError("ranks read on from what these ranks have read")


@contextmanager
def leading(engine: LocalEngine, talk: Talk) -> Iterator[SpreadEngine]:
    """On the first rank: the same model on all ranks, the others of which `follow` with that same model meanwhile.

    Raises:
        LongtakeError: `usage.bad_option` for a model that attends by transformers' own functions.
    """
    refuse_unshared(engine)
    lead = Lead(Shards(engine, talk))
    told = {each.name: getattr(engine, each.name) for each in fields(engine)}
    try:
        yield SpreadEngine(**told, lead=lead)
    finally:
        lead.end()


def refuse_unshared(engine: LocalEngine) -> None:
    """Refuse a model whose attention cannot be shared.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    if not engine.tells_attention:
        reason = "this model attends to a sliding window, which is not shared between ranks"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--ranks", reason, "leave it out")
