"""parallel/shards: orders of the first rank in, each done on what this rank holds of what was read. Decides nothing.

Every rank has such shards, the first too. What is dealt is read by all at once (`read`); of what comes behind it, a
question and its answer, only the first rank knows, and asks the others what they see of it (`attend`, `weigh`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, cast

import torch
from torch import nn

from longtake.engines import Keeping
from longtake.engines.cancelling import cancelled_by
from longtake.engines.kept import RoomyLayer, cache_of
from longtake.engines.local import LocalEngine
from longtake.engines.merging import Part, Span, merged, nothing
from longtake.engines.noticing import noticing
from longtake.engines.segments import Seen, Segment, cropped
from longtake.errors import LongtakeError
from longtake.networks import input_device, is_finite, nonfinite
from longtake.parallel.dealing import Deal, most_of, share_of
from longtake.parallel.sharing import Sharing, packed, unpacked
from longtake.parallel.talking import Talk

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
KEEPING_DTYPES, KEEPING_PLACES = ("auto", "int8"), ("device", "memory", "disk")
"""What orders tell by number."""


class Order(IntEnum):
    """What the first rank may want; behind it in an order come the arguments of the method of that name."""

    END = 0
    NEW = 1
    FORK = 2
    REWIND = 3
    DROP = 4
    READ = 5
    ATTEND = 6
    WEIGH = 7
    TELL = 8


ARGUMENTS = {Order.NEW: 4, Order.FORK: 4, Order.REWIND: 2, Order.DROP: 1, Order.READ: 4, Order.TELL: 0}
"""How many numbers follow an order; those that ask are followed by `About`."""


class ShardLayer(RoomyLayer):
    """One layer's share of what was read; positions are those that this rank holds."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        """Put this rank's rows of a chunk away; what it holds of all before them, and these rows as they came."""
        self.is_initialized = True
        seen = Seen(self.segments, key_states, value_states)
        self.shelf.put(key_states, value_states)
        return seen, seen

    def fork(self, length: int, *, keeping: Keeping | None = None, expected: int = 0) -> ShardLayer:
        """The first `length` of these positions, shared, to read on from in memory of its own."""
        return ShardLayer(cropped(self.segments, length), keeping=keeping or self.keeping, expected=expected)


@dataclass(frozen=True)
class Shard:
    """What this rank holds of one text, and who holds what of it."""

    layers: tuple[ShardLayer, ...]
    deal: Deal


@dataclass(frozen=True)
class Told:
    """How a rank is.

    Attributes:
        kept_bytes: of keys and values, as much as memory is taken for.
        processor_s: spent by its process since that began.
    """

    kept_bytes: int
    processor_s: float


@dataclass(frozen=True)
class Shards:
    """All that this rank holds, by the number that the first rank gave each.

    Attributes:
        engine: the model; every rank has all of its weights.
        talk: with the other ranks, which do the same with theirs.
    """

    engine: LocalEngine
    talk: Talk
    held: dict[int, Shard] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the model reads."""
        return input_device(self.engine.language.get_input_embeddings())

    def new(self, number: int, expected: int, dtype: int, where: int) -> None:
        """An empty text; `expected` positions of this rank's."""
        keeping = Keeping(KEEPING_DTYPES[dtype], KEEPING_PLACES[where])  # type: ignore[arg-type]
        count = self.engine.language.config.num_hidden_layers
        layers = tuple(ShardLayer(keeping=keeping, expected=expected) for _ in range(count))
        self.held[number] = Shard(layers, Deal(self.talk.ranks.size))

    def fork(self, number: int, of: int, keep: int, expected: int) -> None:
        """The first `keep` positions of a text, shared."""
        shard, deal = self.held[of], self.held[of].deal.cropped(keep)
        mine = deal.before(self.talk.ranks.rank, keep)
        layers = tuple(layer.fork(mine, expected=expected).short_joined() for layer in shard.layers)
        self.held[number] = Shard(cast(tuple[ShardLayer, ...], layers), deal)

    def rewind(self, number: int, length: int) -> None:
        """Forget every position from `length` on."""
        shard, deal = self.held[number], self.held[number].deal.cropped(length)
        for layer in shard.layers:
            layer.rewind(deal.before(self.talk.ranks.rank, length))
        self.held[number] = replace(shard, deal=deal)

    def drop(self, number: int) -> None:
        """A text that nobody reads on from."""
        self.held.pop(number, None)

    @torch.inference_mode()
    def read(
        self, number: int, rows: int, whole_tokens: int, dtype: int, embedded_CD: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, LongtakeError | None]:
        """A chunk, each rank its rows; the last position's hidden state (1, D), or what went wrong on any of them.

        Args:
            number: of the text behind which it is read.
            rows: positions of the chunk.
            whole_tokens: of how many positions it is a part.
            dtype: of what is read.
            embedded_CD: all of it; None on all ranks but the first.
        """
        shard, ranks = self.held[number], self.talk.ranks
        start, stop = share_of(rows, ranks.rank, ranks.size)
        # A rank without a row reads one that is none, seen by nobody and not kept: layers take no empty chunk.
        mine_1CD = self._share(rows, DTYPES[dtype], embedded_CD)[None, : max(1, stop - start)]
        positions_1C = torch.arange(start, max(start + 1, stop), device=self.device)[None] + shard.deal.length
        before = shard.layers[0].get_seq_length()

        def forward() -> torch.Tensor:
            # Whoever wants to stop says so between chunks: inside of one, all ranks wait for each other.
            with noticing(Sharing(self.talk, rows)), cancelled_by(lambda: False):
                return self.engine.forward(
                    cache_of(shard.layers), mine_1CD, whole_tokens=whole_tokens, positions_BC=positions_1C
                )

        def rewound(held: int = before) -> None:
            for layer in shard.layers:
                layer.rewind(held)

        def again() -> None:
            rewound()
            forward()

        hidden_1CD = forward()
        last_1D = hidden_1CD.new_zeros(1, hidden_1CD.shape[-1])
        mine_is_finite = is_finite(hidden_1CD)
        if self.talk.any(not mine_is_finite):
            error = nonfinite({"language.model": cast(nn.Module, self.engine.language.model)}, again)
            rewound()
            found = self.talk.told(None if mine_is_finite else (error.subject, error.reason, error.advice))
            first: Any = next(one for one in found if one is not None)
            return last_1D, LongtakeError(error.code, *first)
        rewound(before + stop - start)
        self.held[number] = replace(shard, deal=shard.deal.grown(rows))
        if stop == rows:
            last_1D = hidden_1CD[:, -1].clone()
        return self.talk.sent(last_1D, ranks.size - 1), None

    def _share(self, rows: int, dtype: torch.dtype, embedded_CD: torch.Tensor | None) -> torch.Tensor:
        """This rank's rows of a chunk, filled up to as many as any has."""
        size, width = self.talk.ranks.size, self.engine.language.config.hidden_size
        most = most_of(rows, size)
        room = torch.zeros(most, width, dtype=dtype, device=self.device)
        if embedded_CD is None:
            return self.talk.dealt(None, room)
        shares_NMD = embedded_CD.new_zeros(size, most, width)
        for rank in range(size):
            start, stop = share_of(rows, rank, size)
            shares_NMD[rank, : stop - start] = embedded_CD[start:stop]
        return self.talk.dealt(shares_NMD, room)

    @torch.inference_mode()
    def attend(self, about: About, query_BHQD: torch.Tensor | None = None, hidden: Sequence[Span] = ()) -> Part | None:
        """What rows see of a text, put together for the first rank; None on the others."""
        query_BHQD = self.talk.sent(self._query(about) if query_BHQD is None else query_BHQD.contiguous())
        spans: list[Any] = []
        if about.spans:
            told_S2 = torch.tensor(hidden or [(0, 0)] * about.spans, device=self.device)
            spans = self.talk.sent(told_S2).tolist()
        pieces, deal = self._pieces(about)
        mine, begin, parts = deal.hidden(self.talk.ranks.rank, spans), 0, [nothing(query_BHQD)]
        for piece in pieces:
            parts += piece.parts(query_BHQD, about.scale, [(start - begin, stop - begin) for start, stop in mine])
            begin += piece.positions
        found_NBHQE = self.talk.collected(packed(merged(parts)))
        return None if found_NBHQE is None else merged(map(unpacked, found_NBHQE))

    @torch.inference_mode()
    def weigh(
        self, about: About, query_BHQD: torch.Tensor | None = None, lse_BHQ: torch.Tensor | None = None
    ) -> torch.Tensor | None:
        """(Q, positions) for the first rank: what rows give to each position of a text; None on the others."""
        query_BHQD = self.talk.sent(self._query(about) if query_BHQD is None else query_BHQD.contiguous())
        if lse_BHQ is None:
            lse_BHQ = query_BHQD.new_empty(query_BHQD.shape[:3], dtype=torch.float32)
        lse_BHQ = self.talk.sent(lse_BHQ.float().contiguous())
        pieces, deal = self._pieces(about)
        ranks, rows = self.talk.ranks, query_BHQD.shape[2]
        most = max(deal.before(rank, deal.length) for rank in range(ranks.size))
        mine_QM = torch.zeros(rows, most, device=query_BHQD.device)
        begin = 0
        for piece in pieces:
            mine_QM[:, begin : begin + piece.positions] = piece.weights(query_BHQD, lse_BHQ, about.scale)
            begin += piece.positions
        found_NQM = self.talk.collected(mine_QM)
        if found_NQM is None:
            return None
        given_QP = mine_QM.new_zeros(rows, deal.length)
        for rank in range(ranks.size):
            positions = deal.positions(rank).to(given_QP.device)
            given_QP[:, positions] = found_NQM[rank, :, : len(positions)]
        return given_QP

    def tell(self) -> list[Told]:
        """How all ranks are."""
        kept = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in self._tensors()}
        return cast(list[Told], self.talk.told(Told(sum(kept.values()), time.process_time())))

    def _tensors(self) -> list[torch.Tensor]:
        layers = [layer for shard in self.held.values() for layer in shard.layers]
        pieces: list[Any] = [piece for layer in layers for piece in layer.segments]
        return [value for piece in pieces for value in vars(piece).values() if isinstance(value, torch.Tensor)]

    def _query(self, about: About) -> torch.Tensor:
        """Room for rows that the first rank asks about."""
        config = self.engine.language.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (about.batch, config.num_attention_heads, about.rows, width)
        return torch.empty(shape, dtype=DTYPES[about.dtype], device=self.device)

    def _pieces(self, about: About) -> tuple[tuple[Segment, ...], Deal]:
        shard = self.held[about.number]
        deal = shard.deal.cropped(about.positions)
        mine = deal.before(self.talk.ranks.rank, about.positions)
        return cropped(shard.layers[about.layer].segments, mine), deal


@dataclass(frozen=True)
class About:
    """What rows are asked about.

    Attributes:
        number: of the text.
        layer: of the model.
        positions: of the text, from its first.
        batch, rows, dtype: of the queries; the dtype by its number.
        scaling: of the products; not a number for one over the root of the width.
        spans: how many spans are hidden.
    """

    number: int
    layer: int
    positions: int
    batch: int
    rows: int
    dtype: int
    scaling: float
    spans: int = 0

    @property
    def scale(self) -> float | None:
        """As attention takes it."""
        return None if math.isnan(self.scaling) else self.scaling

    @classmethod
    def of(cls, numbers: Sequence[float]) -> About:
        """What an order says."""
        number, layer, positions, batch, rows, dtype = map(int, numbers[:6])
        return cls(number, layer, positions, batch, rows, dtype, float(numbers[6]), int(numbers[7]))
