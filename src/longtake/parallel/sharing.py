"""parallel/sharing: rows and keys of one chunk, each on its rank, in; what attention makes of them all out.

Each rank's rows go to all others, are attended to what each holds, and come back in parts, which are put together by
the log of the sum of their exponents (pass-Q, of arXiv 2411.01783): rows of a chunk are few, keys before them many.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch

from longtake.engines.merging import Part, merged, nothing, own, past
from longtake.engines.segments import Seen
from longtake.parallel.dealing import most_of, share_of
from longtake.parallel.talking import Talk


@dataclass(frozen=True)
class Sharing:
    """Attends, in place of the model's own attention, to what all ranks hold (`engines.noticing.Notice`).

    Attributes:
        talk: with the other ranks, which attend in the same layer of the same chunk.
        rows: of the chunk, of which each rank has those of `dealing.share_of`.
    """

    talk: Talk
    rows: int

    def attend(self, query_BHQD: torch.Tensor, seen: Seen, scaling: float | None) -> torch.Tensor:
        """(1, H, Q, D): this rank's rows, after all positions before them whoever holds these."""
        ranks, most, came = self.talk.ranks, most_of(self.rows, self.talk.ranks.size), query_BHQD.shape[2]
        start, stop = share_of(self.rows, ranks.rank, ranks.size)
        mine = stop - start
        padded_HMD = query_BHQD.new_zeros(query_BHQD.shape[1], most, query_BHQD.shape[3])
        padded_HMD[:, :mine] = query_BHQD[0, :, :mine]
        all_1HRD = self.talk.shared(padded_HMD).transpose(0, 1).flatten(1, 2)[None]
        held = (one.parts(all_1HRD, scaling) for one in seen.shared)
        out_1HRD, lse_1HR = merged(chain([nothing(all_1HRD)], *held))
        if mine:
            behind = (ranks.rank + 1) * most
            here = slice(behind - most, behind - most + mine)
            found = own(query_BHQD, *seen.own(mine), scaling)
            out_1HRD[:, :, here], lse_1HR[:, :, here] = merged([(out_1HRD[:, :, here], lse_1HR[:, :, here]), found])
            if behind < all_1HRD.shape[2]:
                found = past(all_1HRD[:, :, behind:], *seen.own(mine), scaling)
                already = (out_1HRD[:, :, behind:], lse_1HR[:, :, behind:])
                out_1HRD[:, :, behind:], lse_1HR[:, :, behind:] = merged([already, found])
        packed_HRE = packed((out_1HRD, lse_1HR))[0]
        for_each_NHME = packed_HRE.unflatten(1, (ranks.size, most)).transpose(0, 1)
        back_NHME = self.talk.exchanged(for_each_NHME)[:, :, :came]
        return merged(unpacked(one[None]) for one in back_NHME)[0].to(query_BHQD.dtype)


def packed(part: Part) -> torch.Tensor:
    """(B, H, Q, D + 1): a part in one tensor, to be sent."""
    return torch.cat([part[0], part[1][..., None]], dim=-1)


def unpacked(packed_BHQE: torch.Tensor) -> Part:
    """The other way round."""
    return packed_BHQE[..., :-1], packed_BHQE[..., -1]
