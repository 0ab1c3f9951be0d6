"""Processes find each other, tell each other things, and one that fails does not leave the others waiting."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from longtake.errors import LongtakeError
from longtake.parallel import Ranks
from longtake.parallel.joining import joined
from ranks import place_of, run_ranks


def _summed(ranks: Ranks, offset: int) -> float:
    mine = torch.tensor([float(ranks.rank + offset)])
    dist.all_reduce(mine, group=ranks.group)
    return float(mine)


def _failing(ranks: Ranks) -> None:
    if ranks.leads:
        raise ValueError("this one falls")
    dist.barrier(group=ranks.group)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_know_their_place(size: int) -> None:
    assert run_ranks(place_of, size) == [(rank, size) for rank in range(size)]


def test_ranks_hear_each_other() -> None:
    assert run_ranks(_summed, 2, 10) == [21.0, 21.0]


def test_a_rank_that_fails_is_told() -> None:
    with pytest.raises(AssertionError, match="this one falls"):
        run_ranks(_failing, 2)


def test_nobody_started_others() -> None:
    with joined(torch.device("cpu")) as ranks:
        assert (ranks.rank, ranks.size, ranks.group, ranks.leads) == (0, 1, None, True)
    with pytest.raises(LongtakeError, match="2 ranks are wanted, and 1"), joined(torch.device("cpu"), ranks=2):
        pass
