"""What does a cross-entropy that never holds all logits cost and save? Memory and time beside a plain one.

    python benchmarks/entropy.py              152,064 words (Qwen2-7B's), width 896 (Qwen2-0.5B's); 8 minutes, 9 GB
    python benchmarks/entropy.py --smoke      small shapes, in one process: peaks mean nothing; misses no target

Loss and gradients of hidden states and weights, in float32 on one thread; each side in a process of its own, so that
its peak of memory is its own, longtake's before and after the plain one. Peaks are over what was held before and the
gradient of the weights, which nobody is spared. Times are a thread's own seconds, whatever else runs. The plain side is
`F.cross_entropy` of `head(hidden)`.
Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from longtake.train.entropy import IGNORED, cross_entropy

VOCABULARY, WIDTH, TOKENS, LONG = 152_064, 896, 4096, 16_384
SMALL = (3001, 32, 96, 200)
TIMED = (32_768, 896, 1024)
"""Words, width and tokens of what is timed, in turn in one process, where memory is no matter."""
MOST_SHARE = 0.1
"""Of the plain one's peak, at TOKENS."""
MOST_BYTES = 2**30
"""At LONG, which is not tried plainly: it would take 30 GB."""
MOST_ERROR = 1e-5
"""Relative, of loss and gradients: |got - wanted| / |wanted|."""


def peak_bytes() -> int:
    """Of this process, so far; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def plain(hidden_MD: torch.Tensor, labels_M: torch.Tensor, head: nn.Linear) -> torch.Tensor:
    return nn.functional.cross_entropy(head(hidden_MD).float(), labels_M, ignore_index=IGNORED)


SIDES = {"plain": plain, "longtake": cross_entropy}


def lose(folder: Path, side: str, words: int, width: int, tokens: int, name: str) -> None:
    """One loss and its gradients; leave them and the figures in the folder."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(2026)
    head = nn.Linear(width, words, bias=False)
    with torch.no_grad():
        head.weight.normal_(0, width**-0.5, generator=generator)
    hidden_MD = torch.randn(tokens, width, generator=generator, requires_grad=True)
    labels_M = torch.randint(0, words, (tokens,), generator=generator)
    labels_M[::7] = IGNORED
    small = nn.Linear(width, 64, bias=False)
    # What is set up once, at the first product, is nobody's.
    SIDES[side](hidden_MD[:64], labels_M[:64].clamp(max=63), small).backward()
    hidden_MD.grad = None
    before, started_s = psutil.Process().memory_info().rss, time.process_time()
    loss = SIDES[side](hidden_MD, labels_M, head)
    loss.backward()
    seconds = time.process_time() - started_s
    assert head.weight.grad is not None and hidden_MD.grad is not None
    over = peak_bytes() - before - head.weight.grad.nbytes
    np.save(folder / f"{name}-weight.npy", head.weight.grad.numpy())
    np.save(folder / f"{name}-hidden.npy", hidden_MD.grad.numpy())
    (folder / f"{name}.json").write_text(
        json.dumps({"loss": loss.item(), "peak_mib": over / 2**20, "seconds": seconds})
    )


def times(words: int, width: int, tokens: int) -> dict[str, float]:
    """Seconds of one thread for a loss and its gradients, the fastest of three, both sides in turn."""
    torch.set_num_threads(1)
    head = nn.Linear(width, words, bias=False)
    hidden_MD, labels_M = torch.randn(tokens, width, requires_grad=True), torch.randint(0, words, (tokens,))
    best = dict.fromkeys(SIDES, float("inf"))
    for _ in range(3):
        for side, loss in SIDES.items():
            head.weight.grad = hidden_MD.grad = None
            started_s = time.process_time()
            loss(hidden_MD, labels_M, head).backward()
            best[side] = min(best[side], time.process_time() - started_s)
    return best


def apart(target: Any, *arguments: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"a process ended with {process.exitcode}")


def call_here(target: Any, *arguments: Any) -> None:
    target(*arguments)


def relative(got: Path, wanted: Path) -> float:
    """|got - wanted| / |wanted|, some rows at a time."""
    one, other = np.load(got, mmap_mode="r"), np.load(wanted, mmap_mode="r")
    off = size = 0.0
    for start in range(0, len(one), 4096):
        a, b = (part[start : start + 4096].astype(np.float64) for part in (one, other))
        off, size = off + float(((a - b) ** 2).sum()), size + float((b**2).sum())
    return float((off / size) ** 0.5)


def main() -> int:
    """Measure, print a table and the JSON line; 1 if a target is missed by a run that is not the smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small shapes; misses no target")
    asked = parser.parse_args()
    words, width, tokens, long = SMALL if asked.smoke else (VOCABULARY, WIDTH, TOKENS, LONG)
    runs = (("longtake", tokens), ("plain", tokens), ("longtake", tokens), ("longtake", long))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="longtake-entropy-") as temporary:
        folder = Path(temporary)
        for side, length in runs:
            name = f"{side}-{length}"
            (call_here if asked.smoke else apart)(lose, folder, side, words, width, length, name)
            rows.append({"side": side, "tokens": length, **json.loads((folder / f"{name}.json").read_text())})
            row = rows[-1]
            measured = f"{row['peak_mib']:>9.0f} MiB{row['seconds']:>8.2f} s"
            print(f"{side:<10}{length:>7} tokens{measured}  loss {row['loss']:.6f}", flush=True)
        pairs = [
            (folder / f"longtake-{tokens}-{of}.npy", folder / f"plain-{tokens}-{of}.npy") for of in ("hidden", "weight")
        ]
        errors = dict(zip(("hidden", "weight"), (relative(*pair) for pair in pairs), strict=True))
    theirs, ours, alone = rows[1:2], rows[0:3:2], rows[3]
    spent = times(*(SMALL[:3] if asked.smoke else TIMED))
    errors["loss"] = abs(ours[0]["loss"] / theirs[0]["loss"] - 1)
    share = max(row["peak_mib"] for row in ours) / max(1e-9, min(row["peak_mib"] for row in theirs))
    figures = {
        "vocabulary": words,
        "width": width,
        "rows": rows,
        "errors": errors,
        "memory_share": round(share, 4),
        "seconds": spent,
        "time_ratio": round(spent["longtake"] / max(1e-9, spent["plain"]), 3),
        "alone_mib": round(alone["peak_mib"], 1),
    }
    ok = (
        None
        if asked.smoke
        else share <= MOST_SHARE and alone["peak_mib"] * 2**20 <= MOST_BYTES and max(errors.values()) <= MOST_ERROR
    )
    targets = {"memory_share": MOST_SHARE, "alone_mib": MOST_BYTES / 2**20, "errors": MOST_ERROR}
    print(json.dumps({"figures": figures, "targets": targets, "ok": ok}))
    return 1 if ok is False else 0


if __name__ == "__main__":
    sys.exit(main())
