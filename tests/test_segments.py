"""Segments: what is shared, cropped, counted in eight bits or mapped from disk, against attention written out."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from longtake.engines import merging
from longtake.engines.attention import Seen, causal, seeing
from longtake.engines.keeping import Keeping
from longtake.engines.segments import BLOCK_TOKENS, POSITIONS, WIDTH, Eight, Exact, Segment, cropped, in_steps
from longtake.engines.shelves import ExactShelf, shelf_of
from longtake.errors import ErrorCode, LongtakeError

HEADS, GROUPS, CHANNELS = 6, 2, 16


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


def written_out(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
    """In double precision; `sees` (B, 1, rows, positions): which positions a row sees."""
    groups = query.shape[1] // key.shape[1]
    key, value = (states.double().repeat_interleave(groups, dim=1) for states in (key, value))
    products = query.double() @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return products.masked_fill(~sees, float("-inf")).softmax(-1) @ value


@pytest.fixture(params=["own function", "written out"])
def summing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as on devices for which torch has no function that tells the sums."""
    if request.param == "written out":
        monkeypatch.setattr(merging, "SUMMING", ())


@pytest.mark.usefixtures("summing")
@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("own", [0, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_pieces_are_attended_to_as_the_whole(rows: int, own: int, batch: int) -> None:
    """Two shared pieces, then own positions and the chunk's: every batch element sees the pieces and its own."""
    shared = [Exact(drawn(1, GROUPS, n, CHANNELS, seed=n), drawn(1, GROUPS, n, CHANNELS, seed=n + 1)) for n in (40, 7)]
    query = drawn(batch, HEADS, rows, CHANNELS, seed=3)
    key, value = (drawn(batch, GROUPS, own + rows, CHANNELS, seed=seed) for seed in (4, 5))
    found = seeing(query, Seen(tuple(shared), key, value))
    keys = torch.cat([*(s.keys_1KSD.expand(batch, -1, -1, -1) for s in shared), key], dim=2)
    values = torch.cat([*(s.values_1KSD.expand(batch, -1, -1, -1) for s in shared), value], dim=2)
    sees = torch.ones(batch, 1, rows, keys.shape[2], dtype=torch.bool).tril(keys.shape[2] - rows)
    torch.testing.assert_close(found.double(), written_out(query, keys, values, sees), atol=2e-5, rtol=2e-5)


def test_each_question_of_a_batch_sees_as_far_as_it_goes() -> None:
    """Own positions beyond a question's end are rubbish, even infinite, and change nothing."""
    lengths = torch.tensor([1, 4, 6])
    shared = Exact(drawn(1, GROUPS, 30, CHANNELS, seed=1), drawn(1, GROUPS, 30, CHANNELS, seed=2))
    query = drawn(3, HEADS, 1, CHANNELS, seed=3)
    key, value = (drawn(3, GROUPS, 6, CHANNELS, seed=seed) for seed in (4, 5))
    for row, length in enumerate(lengths):
        key[row, :, length:] = 1e30
    found = seeing(query, Seen((shared,), key, value, lengths))
    for row, length in enumerate(lengths):
        own = [torch.cat([kept, states[row : row + 1, :, :length]], dim=2) for kept, states in
               ((shared.keys_1KSD, key), (shared.values_1KSD, value))]  # fmt: skip
        sees = torch.ones(1, 1, 1, 30 + int(length), dtype=torch.bool)
        wanted = written_out(query[row : row + 1], *own, sees)
        torch.testing.assert_close(found[row : row + 1].double(), wanted, atol=2e-5, rtol=2e-5)


def test_a_piece_that_has_all_the_weight() -> None:
    far, near = Exact(torch.full((1, 1, 1, 1), 90.0), torch.ones(1, 1, 1, 1)), torch.zeros(1, 1, 1, 1)
    query = torch.full((1, 1, 1, 1), 40.0)
    assert seeing(query, Seen((far,), near, near), scaling=1.0).item() == 1
    flat = Exact(torch.zeros(1, 1, 3, 1), torch.ones(1, 1, 3, 1))
    assert seeing(query, Seen((flat,), near, near), scaling=1.0).item() == pytest.approx(3 / 4)


@pytest.mark.parametrize("keeping", [Keeping("int8"), Keeping("int8", "disk"), Keeping("auto", "disk")], ids=str)
def test_what_is_put_on_a_shelf_in_chunks_is_what_is_taken_from_it(keeping: Keeping) -> None:
    """Whole numbers of steps: eight bits lose nothing then."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randint(-126, 127, (1, GROUPS, 60, CHANNELS), generator=generator).float()
    states[:, :, ::5] = 127.0  # the largest of each channel in each chunk, and of each position that has it
    states[..., 0] = 127.0
    shelf = shelf_of(keeping, expected=20)
    cuts = [0, 10, 15, 40, 60]
    for start, stop in itertools.pairwise(cuts):
        shelf.put(states[:, :, start:stop], -states[:, :, start:stop])
    keys, values = (torch.cat(pieces, dim=2) for pieces in zip(*(s.dense() for s in shelf.segments()), strict=True))
    assert torch.equal(keys, states) and torch.equal(values, -states)
    shelf.rewind(12)
    shelf.put(-states[:, :, 40:45], states[:, :, 40:45])
    keys, _ = (torch.cat(pieces, dim=2) for pieces in zip(*(s.dense() for s in shelf.segments()), strict=True))
    assert torch.equal(keys, torch.cat([states[:, :, :12], -states[:, :, 40:45]], dim=2))
    assert shelf.positions == 17


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("over", [POSITIONS, WIDTH])
def test_eight_bits_are_off_by_half_a_step(over: int, dtype: torch.dtype) -> None:
    """A step is a 127th of the largest; bfloat16 rounds it by at most 2**-9, and the largest is cut off."""
    states = drawn(1, GROUPS, 200, CHANNELS, dtype=dtype)
    states[:, 0, :, 3] = 0
    counted, steps = in_steps(states, over)
    assert counted.dtype == torch.int8 and steps.dtype == dtype
    most = states.float().abs().amax(dim=over, keepdim=True)
    error = (counted.float() * steps.float() - states.float()).abs()
    assert bool((error <= most * (0.5001 / 127 + (2**-8 if dtype == torch.bfloat16 else 0))).all())
    assert error.max() > 0.3 * most.max() / 127, "this must be able to fail"


def test_eight_bits_are_widened_a_block_at_a_time_and_never_all() -> None:
    states = drawn(1, GROUPS, 2 * BLOCK_TOKENS + 5, CHANNELS)
    keys, key_steps = in_steps(states, POSITIONS)
    values, value_steps = in_steps(states, WIDTH)
    eight = Eight(keys, values, key_steps, value_steps)
    lengths = [block.shape[2] for block, _ in eight.blocks(states)]
    assert lengths == [BLOCK_TOKENS, BLOCK_TOKENS, 5]
    assert torch.equal(torch.cat([block for block, _ in eight.blocks(states)], dim=2), eight.dense()[0])
    query = drawn(1, HEADS, 4, CHANNELS, seed=9)
    own = drawn(1, GROUPS, 4, CHANNELS, seed=8)
    found = seeing(query, Seen((eight,), own, own))
    whole = causal(query, *(torch.cat([dense, own], dim=2) for dense in eight.dense()))
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def test_what_lies_elsewhere_is_brought_a_block_at_a_time() -> None:
    """Another dtype stands for another device here."""
    states = drawn(1, GROUPS, BLOCK_TOKENS + 5, CHANNELS)
    blocks = list(Exact(states, -states).blocks(torch.empty(0, dtype=torch.float64)))
    assert [keys.shape[2] for keys, _ in blocks] == [BLOCK_TOKENS, 5]
    assert torch.equal(torch.cat([values for _, values in blocks], dim=2), -states.double())


def test_crops_are_views() -> None:
    one, other = (Exact(drawn(1, 1, 10, 2, seed=seed), drawn(1, 1, 10, 2)) for seed in (1, 2))
    counted, steps = in_steps(drawn(1, 1, 10, 2), WIDTH)
    eight = Eight(counted, counted, torch.ones(1, 1, 1, 2), steps)
    pieces: tuple[Segment, ...] = (one, other, eight)
    for length, parts in ((0, []), (4, [4]), (10, [10]), (17, [10, 7]), (25, [10, 10, 5]), (30, [10, 10, 10])):
        assert [piece.positions for piece in cropped(pieces, length)] == parts
    kept = cropped(pieces, 17)[1].dense()[0]
    assert kept.data_ptr() == other.keys_1KSD.data_ptr()


def test_what_is_on_disk_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shelf = ExactShelf(Keeping(where="disk"), expected=100)
    shelf.put(drawn(1, 1, 50, 4), drawn(1, 1, 50, 4, seed=1))
    assert torch.equal(shelf.dense()[1], drawn(1, 1, 50, 4, seed=1))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_on_disk_by_a_process_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, torch; from longtake.engines.keeping import Keeping\n"
        "room = Keeping(where='disk').empty((1000, 1000), torch.float32, torch.device('cpu')); room.fill_(3)\n"
        "assert room.sum() == 3e6; os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -9
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(LongtakeError, match="No space left") as caught:
        Keeping(where="disk").empty((10, 10), torch.float32, torch.device("cpu"))
    assert caught.value.code is ErrorCode.DISK_WRITE


def test_other_ways_to_keep_are_refused() -> None:
    with pytest.raises(ValueError, match="want auto or int8"):
        Keeping("int4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="want device, memory or disk"):
        Keeping(where="cloud")  # type: ignore[arg-type]
