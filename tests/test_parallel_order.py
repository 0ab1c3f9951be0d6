"""Which positions each rank holds, and which products it computes: by hand, and against the recorded originals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtake.parallel import ALONE, Ranks
from longtake.parallel.order import gathered, in_order, padded, share, zigzag
from longtake.parallel.row import row_of

CPU = torch.device("cpu")
DOCUMENTS = {
    "one": lambda length: None,
    "two": lambda length: torch.tensor([[0] * (length // 3) + [1] * (length - length // 3)]),
    "of one token each": lambda length: torch.arange(length)[None],
    "other in each row": lambda length: torch.stack([torch.arange(length) // 5, torch.arange(length) // 8]),
    "numbers that come again": lambda length: torch.arange(length)[None] // 4 % 2,
}


def among(size: int) -> list[Ranks]:
    return [Ranks(rank, size, CPU) for rank in range(size)]


def test_zigzag_by_hand() -> None:
    assert [zigzag(16, ranks).tolist() for ranks in among(2)] == [[0, 1, 2, 3, 12, 13, 14, 15], [*range(4, 12)]]
    assert [zigzag(9, ranks).tolist() for ranks in among(2)] == [[0, 1, 2, 9, 10, 11], [3, 4, 5, 6, 7, 8]]
    assert zigzag(3, ALONE).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("length", "size", "whole"), [(1, 1, 2), (8, 4, 8), (9, 4, 16), (224_000, 8, 224_000)])
def test_a_row_is_padded_to_the_next_multiple_of_two_chunks_a_rank(length: int, size: int, whole: int) -> None:
    assert padded(length, size) == whole


def test_zigzag_is_the_originals(golden: Path) -> None:
    told = [case for case in json.loads((golden / "i_longtext" / "zigzag.json").read_text()) if "local" in case]
    assert len(told) == 15 and all(case["undo_is_identity"] for case in told)
    for case in told:
        length, size = case["seq_len"], case["world_size"]
        assert [zigzag(length, ranks).tolist() for ranks in among(size)] == case["local"]
        shares = torch.tensor([place for local in case["local"] for place in local])
        assert shares[in_order(length, size)].tolist() == case["undone"]


def test_where_the_original_fails_a_row_of_any_length_is_shared(golden: Path) -> None:
    """24 positions on 8 ranks are no multiple of 16, and undoing the original's order raises: here are 8 of padding."""
    (case,) = [case for case in json.loads((golden / "i_longtext" / "zigzag.json").read_text()) if "error" in case]
    length, size = case["seq_len"], case["world_size"]
    assert case["error"] == "IndexError" and length % (2 * size)
    row = torch.arange(length)
    shares = [share(row, ranks, dim=0, pad=-1) for ranks in among(size)]
    assert torch.cat(shares)[in_order(length, size)].tolist() == [*range(length), *[-1] * 8]
    assert {len(one) for one in shares} == {padded(length, size) // size}


def test_no_block_of_padding_where_a_row_is_even_as_the_original_adds(golden: Path) -> None:
    told = json.loads((golden / "i_longtext" / "niah_padding.json").read_text())
    too_many = 0
    for case in told:
        length, size = case["len_before"], case["world_size"]
        ours = padded(length, size) - length
        assert (length + case["pad"]) % (2 * size) == 0 and 0 <= ours < 2 * size
        assert case["pad"] == (ours or 2 * size)
        too_many += ours == 0
    assert too_many == 5


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 7, 24, 41])
def test_shares_are_the_row_and_nothing_else(length: int, size: int) -> None:
    shares = torch.cat([zigzag(length, ranks) for ranks in among(size)])
    assert sorted(shares.tolist()) == list(range(padded(length, size)))


def test_a_share_of_any_dimension_is_padded_behind() -> None:
    x = torch.arange(12.0).reshape(2, 3, 2)
    last = share(x, Ranks(0, 2, CPU), dim=1, pad=-1.0)
    assert last.tolist() == [[[0, 1], [-1, -1]], [[6, 7], [-1, -1]]]
    assert share(x, Ranks(1, 2, CPU), dim=-2).tolist() == x[:, 1:].tolist()


def test_the_gradient_of_a_share_is_that_of_its_positions() -> None:
    x = torch.zeros(1, 5, requires_grad=True)
    share(x, Ranks(0, 2, CPU), pad=3.0).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 1, 0, 0, 0]]


def test_one_alone_gathers_what_it_shared() -> None:
    x = torch.randn(2, 7, requires_grad=True)
    back = gathered(share(x, ALONE), ALONE, 7)
    back.backward(torch.arange(14.0).reshape(2, 7))
    assert torch.equal(back, x) and x.grad is not None and x.grad.tolist() == [[*range(7)], [*range(7, 14)]]
    with pytest.raises(ValueError, match="7 positions over 1 ranks are 8 on each; here are 7"):
        gathered(x, ALONE, 7)


@pytest.mark.parametrize("documents", DOCUMENTS)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("length", [3, 21, 40])
def test_the_blocks_of_all_ranks_are_what_causal_rows_see_once_each(length: int, size: int, documents: str) -> None:
    documents_BL = DOCUMENTS[documents](length)
    batch = 1 if documents_BL is None else len(documents_BL)
    whole = padded(length, size)
    seen = torch.zeros(batch, whole, whole, dtype=torch.int64)
    for ranks in among(size):
        row, mine = row_of(ranks, length, documents_BL), zigzag(length, ranks)
        for other, blocks in enumerate(row.blocks):
            theirs = zigzag(length, replace(ranks, rank=other))
            for block in blocks:
                rows, keys = mine[block.rows], theirs[block.keys]
                ones = torch.ones(len(rows), len(keys), dtype=torch.int64)
                seen[block.batch, rows[:, None], keys] += ones.tril() if block.triangle else ones
    wanted = torch.zeros_like(seen)
    wanted[:, :length, :length] = 1
    if documents_BL is not None:
        # A number that comes again later is another document.
        nth = torch.cat([torch.zeros(batch, 1), documents_BL.diff(dim=1) != 0], 1).cumsum(1)
        wanted[:, :length, :length] *= nth[:, :, None] == nth[:, None]
    assert torch.equal(seen, wanted.tril())


@pytest.mark.parametrize("size", [2, 4, 8])
def test_every_rank_has_the_same_to_do_with_each_other(size: int) -> None:
    """With one document: two chunks of rows by one of keys, or one by two; so nobody waits for anybody."""
    chunk = 6
    for ranks in among(size):
        for other, blocks in enumerate(row_of(ranks, 2 * size * chunk).blocks):
            (block,) = blocks
            shape = [block.rows.stop - block.rows.start, block.keys.stop - block.keys.start]
            assert sorted(shape) == ([2 * chunk, 2 * chunk] if other == ranks.rank else [chunk, 2 * chunk])


def test_documents_are_numbers_of_all_positions() -> None:
    with pytest.raises(ValueError, match=r"documents of shape \(1, 4\); wanted is one number for each of 5 positions"):
        row_of(ALONE, 5, torch.zeros(1, 4))
    with pytest.raises(ValueError, match="a row of 0 positions"):
        row_of(ALONE, 0)
