"""Processes find each other, tell each other things, and one that fails does not leave the others waiting."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from longtake.errors import LongtakeError
from longtake.parallel import Ranks
from longtake.parallel.joining import joined
from longtake.parallel.talking import Talk
from longtake.train.spread import Spread, heard
from ranks import place_of, run_ranks


def _summed(ranks: Ranks, offset: int) -> float:
    mine = torch.tensor([float(ranks.rank + offset)])
    dist.all_reduce(mine, group=ranks.group)
    return float(mine)


class _Mistaken:
    """Cannot be told to others."""

    def __reduce__(self) -> str:
        raise RuntimeError("a mistake of one's own")


def _telling_what_cannot_be_told(ranks: Ranks) -> None:
    Talk.among(ranks).told(_Mistaken())


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


def test_a_mistake_of_ones_own_is_not_told_as_the_loss_of_another() -> None:
    with pytest.raises(AssertionError, match="RuntimeError: a mistake of one's own"):
        run_ranks(_telling_what_cannot_be_told, 2)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("a mistake of one's own"), False),
        (torch.OutOfMemoryError("no room"), False),
        (RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer"), True),
        (RuntimeError("Gloo connectFullMesh failed with timeout"), True),
        (dist.DistBackendError("NCCL error"), True),
    ],
)
def test_only_what_torch_says_of_others_is_told_as_their_loss(error: RuntimeError, lost: bool) -> None:
    with pytest.raises(LongtakeError if lost else type(error)):
        with heard(Spread(Ranks(0, 2, torch.device("cpu"))), "train"):
            raise error
