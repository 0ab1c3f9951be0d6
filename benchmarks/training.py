"""benchmarks: do the formulas of `longtake plan train` tell the truth? Held and sent by two processes, and counted.

    python benchmarks/training.py             minutes; 1 GB
    python benchmarks/training.py --smoke     tiny shapes: shows that it runs; peaks mean nothing; misses no target

One step made of the training's own parts (loss, way back, AdamW) in float32 over real processes that talk by gloo: one
alone, a ring of two that share a row, and two that read different rows; weights whole, sharded (FSDP2) or aside; with
and without recomputation. Sent is counted at torch's own doors, as what the usual ring algorithms send of what they are
handed. Held is the process's peak of resident memory over a step beyond what it had before, weights, gradients and
moments being there since a step of a short row: activations, logits, what is gathered and what goes round. The formulas
are costs/holding.py and costs/moving.py.

Ends with one line of JSON: {"figures", "targets", "ok"}.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed import TCPStore
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake.costs.holding import memory, states_bytes
from longtake.costs.learning import decoder_of
from longtake.costs.moving import sent_bytes
from longtake.costs.training import Arrangement, Load, Networks, Together
from longtake.parallel.attending import RING, ULYSSES
from longtake.parallel.joining import joined
from longtake.train.packing import Rows
from longtake.train.reading_on import ReadingOn
from longtake.train.schedule import Schedule
from longtake.train.sharding import sharded
from longtake.train.spread import Hold, spread_over

TARGETS = {"sent": 0.01, "held_over": 0.20, "held_under": 0.05}
"""At most: formula off what is sent, either way; over, and under, what is held. On cards the next layer's weights
are on their way while one is computed with; on a processor they are not, and the formulas are for cards.
"""
SHAPE = {
    "hidden_size": 384,
    "intermediate_size": 1920,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}
LENGTH, SHORT = 1536, 32
TINY = {**SHAPE, "hidden_size": 64, "intermediate_size": 320, "num_attention_heads": 4, "vocab_size": 512}
TINY_LENGTH = 128


@dataclass(frozen=True)
class Run:
    """One way to train, and on how many processes."""

    ranks: int
    ring: int
    hold: Hold
    recompute: bool
    together: Together = "ring"

    @property
    def name(self) -> str:
        if self.ranks == 1:
            read = "one rank"
        else:
            read = f"{self.together} of {self.ring}" if self.ring > 1 else f"{self.ranks} with rows of their own"
        return f"{read}, weights {self.hold}{', recompute' if self.recompute else ''}"


RUNS = (
    Run(1, 1, "whole", recompute=False),
    Run(1, 1, "whole", recompute=True),
    Run(2, 2, "sharded", recompute=False),
    Run(2, 2, "sharded", recompute=True),
    Run(2, 1, "whole", recompute=True),
    Run(2, 1, "sharded", recompute=True),
    Run(2, 2, "aside", recompute=True),
    Run(2, 2, "whole", recompute=False, together="ulysses"),
)


class Sending(TorchDispatchMode):
    """Inside, what this process hands to the others is counted, by what it is for."""

    def __init__(self, ranks: int) -> None:
        super().__init__()
        self.ranks = ranks
        self.sent: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if name.startswith("c10d."):
            self._count(name.split(".")[1], args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: Any) -> None:
        """Of an all-gather a rank sends its part to each other one; of a reduce-scatter each other's part."""
        others = self.ranks - 1
        if name == "send":
            self._add("ring", sum(tensor.nbytes for tensor in args[0]))
        elif name == "_allgather_base_":
            self._add("gathers", others * args[1].nbytes)
        elif name == "_reduce_scatter_base_":
            self._add("reduces", others / self.ranks * args[1].nbytes)
        elif name == "alltoall_base_":
            self._add("all_to_all", others / self.ranks * args[1].nbytes)
        elif name == "allreduce_":
            self._add("averages", 2 * others / self.ranks * sum(tensor.nbytes for tensor in args[0]))

    def _add(self, kind: str, count: float) -> None:
        self.sent[kind] = self.sent.get(kind, 0.0) + count


def resident(peak: bool) -> int:
    """Bytes of this process now, or the most since the last `forget`; 0 where Linux is not there to tell."""
    status = Path("/proc/self/status")
    found = re.search(rf"Vm{'HWM' if peak else 'RSS'}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def forget() -> None:
    """Peaks begin anew (proc(5))."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def step(run: Run, shape: dict[str, Any], length: int) -> dict[str, Any]:
    """One rank's measured step."""
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        torch.manual_seed(0)
        language = Qwen2ForCausalLM(Qwen2Config(**shape)).train()
        if run.recompute:
            language.activation_checkpointing_enable()
        how = ULYSSES if run.together == "ulysses" else RING
        spread = sharded(
            [language], replace(spread_over(ranks, ring=run.ring, hold=run.hold), attending=how), half=False
        )
        optimiser = torch.optim.AdamW(language.parameters(), lr=1e-4, foreach=False)
        work(stage(language, SHORT, spread), optimiser)
        before = resident(peak=False)
        forget()
        long = stage(language, length, spread)
        with Sending(run.ranks) as sending:
            work(long, optimiser)
        return {"held": resident(peak=True) - before, "sent": sending.sent}


def stage(language: Any, length: int, spread: Any) -> ReadingOn:
    """A stage of `longtake train text` that reads rows of so many tokens."""
    generator, words = torch.Generator().manual_seed(3), language.config.vocab_size
    rows = Rows(lambda: iter(lambda: torch.randint(0, words, (length,), generator=generator).tolist(), None))
    more = {
        "rows_at_once": 1,
        "span": 0,
        "pieces": 1,
        "half": False,
        "exam_NL": torch.zeros(0, length),
        "spread": spread,
    }
    return ReadingOn("step", 1, Schedule(0.0, 1e-4), language, rows, **more)


def work(reading: ReadingOn, optimiser: torch.optim.Optimizer) -> None:
    """What the loop does in a step, gradients being there already."""
    optimiser.zero_grad(set_to_none=False)
    reading.loss(np.random.default_rng(0)).mean().backward()
    reading.spread.average(reading.module)
    optimiser.step()


def told(run: Run, shape: dict[str, Any], length: int) -> tuple[int, dict[str, float]]:
    """By formula: held at the widest moment of a step beside what always is, and sent."""
    decoder = decoder_of(Qwen2ForCausalLM(Qwen2Config(**shape)))
    load = Load("step", 1, run.ranks // run.ring, 1, length, half=False)
    arranged, networks = Arrangement(run.ranks, run.ring, run.together, run.hold, run.recompute), Networks(decoder, {})
    always = 0 if run.hold == "aside" else sum(states_bytes(networks, load, arranged).values())
    moments = [moment.total_bytes for moment in memory(networks, load, arranged) if moment.name != "start"]
    return max(moments) - always, sent_bytes(networks, load, arranged)


def measured(run: Run, shape: dict[str, Any], length: int, folder: Path) -> list[dict[str, Any]]:
    """What each rank found, each a process of its own."""
    # The system chooses the port, and nobody else can have it meanwhile.
    meeting = TCPStore("127.0.0.1", 0, run.ranks, is_master=True, wait_for_workers=False)
    # Of a new process large blocks come from the system one by one and go back to it: what is resident is what is held.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**16)
    spawn = multiprocessing.get_context("spawn")
    places = [folder / f"{rank}.json" for rank in range(run.ranks)]
    running = [spawn.Process(target=rank_step, args=(run, shape, length, place, meeting.port)) for place in places]
    for process in running:
        process.start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        sys.exit(f"{run.name}: a process ended with {[process.exitcode for process in running]}")
    return [json.loads(place.read_text()) for place in places]


def rank_step(run: Run, shape: dict[str, Any], length: int, place: Path, port: int) -> None:
    os.environ |= {"RANK": place.stem, "LOCAL_RANK": place.stem, "WORLD_SIZE": str(run.ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    place.write_text(json.dumps(step(run, shape, length)))


def is_well(row: dict[str, Any]) -> bool:
    off = row["held"] / row["held_counted"] - 1 if row["held_counted"] else 0.0
    sent = all(
        abs(row["sent"].get(kind, 0.0) - count) <= TARGETS["sent"] * max(count, 1.0)
        for kind, count in row["sent_counted"].items()
    )
    return sent and -TARGETS["held_under"] <= off <= TARGETS["held_over"]


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny shapes")
    parser.add_argument("--only", default="", help="runs whose name has this in it")
    asked = parser.parse_args()
    shape, length = (TINY, TINY_LENGTH) if asked.smoke else (SHAPE, LENGTH)
    figures: dict[str, dict[str, Any]] = {}
    print(f"{'':<44}{'held':>8}{'counted':>9} MiB        sent, counted MiB")
    for run in RUNS:
        if asked.only not in run.name:
            continue
        with tempfile.TemporaryDirectory(prefix="longtake-training-") as folder:
            found = measured(run, shape, length, Path(folder))
        held, sent = told(run, shape, length)
        row = figures[run.name] = {
            "held": held,
            "held_counted": max(one["held"] for one in found),
            "sent": sent,
            "sent_counted": found[0]["sent"],
        }
        words = ", ".join(
            f"{kind} {sent.get(kind, 0) / 2**20:.1f} {count / 2**20:.1f}" for kind, count in row["sent_counted"].items()
        )
        off = row["held"] / max(1, row["held_counted"]) - 1
        print(
            f"{run.name:<44}{held / 2**20:>8.0f}{row['held_counted'] / 2**20:>9.0f} {off:>+7.1%}   {words}", flush=True
        )
    ok = None if asked.smoke else all(map(is_well, figures.values()))
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 1 if ok is False else 0


if __name__ == "__main__":
    sys.exit(main())
