"""benchmarks: what those at a released model's true shapes share: random weights on disk, a tokenizer, memory measured.

Weights are random: time and memory depend on shapes alone, and what a model answers then means nothing. No measuring is
done in the process that writes them: each measurement is a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers

SHARD_BYTES = 1_200_000_000
DTYPE = torch.bfloat16
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BUNNY = Path(__file__).resolve().parents[1] / "tests" / "media" / "bigbuckbunny_720p_5s.mp4"
MB = 10**6


def write_weights(folder: Path, shapes: Mapping[str, torch.Size]) -> None:
    """Random tensors of those names and shapes, in bfloat16, in shards with an index as the hub has them."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = DTYPE.itemsize * math.prod(shape)
        if filled and filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    place = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: _random(name, shapes[name]) for name in names}, folder / file, metadata={"format": "pt"})
        place |= dict.fromkeys(names, file)
    total = DTYPE.itemsize * sum(map(math.prod, shapes.values()))
    index = {"metadata": {"total_size": total}, "weight_map": place}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _random(name: str, shape: torch.Size) -> torch.Tensor:
    """Norms that change nothing, no biases, and matrices as transformers begins a training with."""
    if len(shape) > 1:
        return torch.empty(shape, dtype=DTYPE).normal_(0, 0.02)
    return torch.full(shape, float("norm" in name and name.endswith("weight")), dtype=DTYPE)


def write_tokenizer(folder: Path, first_control: int, controls: tuple[str, ...] = CONTROLS) -> None:
    """Qwen2's tokenizer files: a token a byte, others that no text makes up to `first_control`, then the controls."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces += [f"[{number}]" for number in range(len(pieces), first_control)]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    added = {first_control + number: {"content": text, "special": True} for number, text in enumerate(controls)}
    told = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))


def measured(script: str, *arguments: object) -> dict[str, float]:
    """What a script printed as its last line, run in a process of its own; its failure ends the benchmark."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def forget_peak() -> None:
    """From here on the peak of this process's memory is counted anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_bytes(*, peak: bool) -> int:
    """Of this process's memory, now or at most so far (Linux)."""
    field = "VmHWM" if peak else "VmRSS"
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        sys.exit("this system does not tell a process's memory as Linux does")
    return int(found[1]) * 1024
