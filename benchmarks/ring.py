"""benchmarks: attention to a row that ranks share: what each of them holds, sends and computes.

    python benchmarks/ring.py            # 2, 4 and 8 processes, 1,024 positions on each: a minute or two
    python benchmarks/ring.py --smoke    # 2 and 4, 128 positions on each

Three ways to attention and its gradient, in real processes (gloo, float32): keys and values go round (`ring`), heads
are dealt out (`ulysses`), or each rank gathers all keys and values and attends to them with its own rows (`gathered`,
what one would write first). Held is the most that was alive at once of what was made, counted tensor by tensor, over
a rank's own keys and values; sent is what one rank sends, over the same. With as many positions on each rank, what a
rank holds should not grow with the ranks. Of 4 heads of keys there are two copies on 8 ranks of Ulysses.

Then the products that ranks wait for, counted from the blocks themselves: each turn of the ring takes as long as the
rank that has most to do in it. In the order of the row (each rank a piece) somebody always has a whole block to do.

Ends with one line of JSON: {"figures", "targets", "ok"}; exits 1 if a target is missed, but for --smoke.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from longtake.costs.work import Watching
from longtake.parallel import ALONE, Ranks
from longtake.parallel.attending import RING, ULYSSES, WAYS
from longtake.parallel.joining import joined
from longtake.parallel.order import gathered
from longtake.parallel.ring import ring
from longtake.parallel.row import ALL, Block, row_of

HEADS, KEY_HEADS, WIDTH = 8, 4, 64
SIZES = (2, 4, 8)
SIDES = ("ring", "ulysses", "gathered")
TARGETS = {"ring held, 8 ranks over 4": 1.01, "zigzag waits, 8 ranks": 0.6}
"""At most: that a rank holds its share, whoever else there is; that ranks hardly wait for the one with most to do."""


class Counting(Watching):
    """What is alive, and what is sent: collectives count what goes to others."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.sent_bytes, self._size = 0.0, size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, others = str(func), (self._size - 1) / self._size
        if name.startswith("c10d.send"):
            self.sent_bytes += sum(one.nbytes for one in args[0])
        elif name.startswith("c10d.alltoall_base"):
            self.sent_bytes += args[1].nbytes * others
        elif name.startswith("c10d.allgather"):
            self.sent_bytes += sum(one.nbytes for one in args[1]) * (self._size - 1)
        elif name.startswith("c10d.allreduce"):
            # Round a ring, as gloo and NCCL do it for large ones.
            self.sent_bytes += sum(one.nbytes for one in args[0]) * 2 * others
        return super().__torch_dispatch__(func, types, args, kwargs)


@dataclass(frozen=True)
class AllKeys:
    """In the place of a `Row`: one rank's rows, and all keys in order, which it has gathered."""

    ranks: Ranks
    blocks: tuple[tuple[Block, ...], ...]


def all_keys(ranks: Ranks, length: int) -> AllKeys:
    chunk, blocks = length // ranks.size // 2, []
    for nth, start in enumerate((ranks.rank * chunk, (2 * ranks.size - 1 - ranks.rank) * chunk)):
        rows = slice(nth * chunk, (nth + 1) * chunk)
        blocks += [Block(ALL, rows, slice(0, start), triangle=False)] if start else []
        blocks += [Block(ALL, rows, slice(start, start + chunk), triangle=True)]
    return AllKeys(ALONE, (tuple(blocks),))


def attended(side: str, ranks: Ranks, states: list[torch.Tensor], length: int) -> torch.Tensor:
    query, key, value = states
    if side != "gathered":
        return WAYS[{"ring": RING, "ulysses": ULYSSES}[side]](query, key, value, row_of(ranks, length), None)
    key, value = (gathered(one, ranks, length, dim=2) for one in (key, value))
    return ring(query, key, value, all_keys(ranks, length), None)  # type: ignore[arg-type]


def measured(side: str, ranks: Ranks, held: int) -> tuple[dict[str, float], torch.Tensor]:
    """What a rank holds and sends over its own keys and values; and its output, to see that all ways find the same."""
    generator = torch.Generator().manual_seed(ranks.rank)
    states = [
        torch.randn(1, heads, held, WIDTH, generator=generator, requires_grad=True)
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]
    own = 2 * states[1].nbytes
    counting = Counting(ranks.size)
    with counting:
        out = attended(side, ranks, states, held * ranks.size)
        out.sum().backward()
    return {"held": counting.peak_bytes / own, "sent": counting.sent_bytes / own}, out.detach()


def as_rank(held: int) -> None:
    """One of the processes; the first tells."""
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        found, outs = {}, []
        for side in SIDES:
            found[side], out = measured(side, ranks, held)
            outs.append(out)
        for out in outs[1:]:
            torch.testing.assert_close(out, outs[0], atol=1e-5, rtol=1e-5)
        if ranks.leads:
            print(json.dumps(found))


def run(size: int, held: int) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
    done = subprocess.run(
        [*command, __file__, "--held", str(held)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def products(block: Block) -> int:
    rows, keys = block.rows.stop - block.rows.start, block.keys.stop - block.keys.start
    return rows * (rows + 1) // 2 if block.triangle else rows * keys


def waits(size: int, held: int) -> float:
    """Products that ranks wait for in all turns of the ring, zigzag over the order of the row."""
    rows = [row_of(Ranks(rank, size, torch.device("cpu")), size * held) for rank in range(size)]
    zigzag = sum(
        max(sum(products(block) for block in row.blocks[(row.ranks.rank - turn) % size]) for row in rows)
        for turn in range(size)
    )
    # In the order of the row: a triangle first, and then in each turn the last rank, at least, sees a whole block.
    in_order = held * (held + 1) // 2 + (size - 1) * held * held
    return zigzag / in_order


def main() -> int:
    """Measure, print a table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few positions")
    parser.add_argument("--held", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.held:
        as_rank(asked.held)
        return 0
    held, sizes = (128, SIZES[:2]) if asked.smoke else (1024, SIZES)
    found = {size: run(size, held) for size in sizes}
    figures: dict[str, float] = {"positions on each rank": held}
    for side in SIDES:
        for size in sizes:
            figures |= {f"{side} {what}, {size} ranks": round(one, 3) for what, one in found[size][side].items()}
        for fewer, more in pairwise(sizes):
            grown = found[more][side]["held"] / found[fewer][side]["held"]
            figures[f"{side} held, {more} ranks over {fewer}"] = round(grown, 3)
    figures |= {f"zigzag waits, {size} ranks": round(waits(size, held), 3) for size in SIZES}
    for name, figure in figures.items():
        print(f"{name:36} {figure:>10,}")
    ok = None if asked.smoke else all(figures[name] <= most for name, most in TARGETS.items())
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 1 if ok is False else 0


if __name__ == "__main__":
    sys.exit(main())
