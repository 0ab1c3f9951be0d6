"""What do weights in eight bits cost and save? Error, memory and time beside float32 and bfloat16.

    python benchmarks/int8.py                 CLIP-L/14-336 and Qwen2-0.5B, 4 random layers each (a minute)
    python benchmarks/int8.py --layers 24     all layers
    python benchmarks/int8.py --smoke         small shapes, in one process: peaks mean nothing; misses no target

Random weights in a checkpoint on disk, read as float32 (which the others are held against), bfloat16, and int8 computed
in each of these; every reading in a process of its own, so that its peak of memory is its own. Errors are of the whole
network, relative: |got - wanted| / |wanted| over all features of two pictures, and over all logits of a text.
A trained network's errors are other ones: what int8 does to nano's answers is in tests/test_devices.py.
If the package torchao is installed, its layer is timed beside longtake's. Ends with one line of JSON.
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

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPVisionConfig, Qwen2Config, Qwen2ForCausalLM

from longtake.checkpoint import WEIGHTS, Int8Linear, Placement, fill, stored_in, stored_tensors, without_memory
from longtake.checkpoint.eight_bits import in_eight_bits
from longtake.vision.clip import ClipTower

CLIP_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
QWEN2 = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
SMALL_CLIP = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
SMALL_QWEN2 = {**QWEN2, "hidden_size": 56, "intermediate_size": 128, "vocab_size": 500}
READINGS = {
    "float32": (torch.float32, False),
    "bfloat16": (torch.bfloat16, False),
    "int8 in float32": (torch.float32, True),
    "int8 in bfloat16": (torch.bfloat16, True),
}
MOST_ERROR = {"int8 in float32": 0.05, "int8 in bfloat16": 0.05}
"""Of either network of four layers, relative; more layers add up to more."""
MOST_MEMORY = 1.15
"""Peak over the start while a checkpoint is read, by the bytes of what is kept."""
TEXT_TOKENS = 256


def networks(layers: int, *, small: bool) -> dict[str, Any]:
    """A tower of so many layers and one that is not computed, and a language model."""
    seeing = CLIPVisionConfig(**(SMALL_CLIP if small else CLIP_L), num_hidden_layers=layers + 1)
    speaking = Qwen2Config(**(SMALL_QWEN2 if small else QWEN2), num_hidden_layers=layers)
    return {"vision": ClipTower(seeing, -2), "language": Qwen2ForCausalLM(speaking)}


def write(folder: Path, layers: int, small: bool) -> None:
    torch.manual_seed(2026)
    tensors = stored_tensors(networks(layers, small=small))
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}, folder / WEIGHTS)


def peak_bytes() -> int:
    """Of this process, so far; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


@torch.inference_mode()
def read(folder: Path, layers: int, small: bool, kind: str) -> None:
    """Read the checkpoint one way; leave outputs and figures in the folder."""
    torch.set_num_threads(1)
    dtype, int8 = READINGS[kind]
    before = peak_bytes()
    with without_memory():
        built = networks(layers, small=small)
    where = Placement(torch.device("cpu"), dtype, int8)
    fill(built, stored_in(folder), where, renamed=lambda name: name, folder=folder)
    risen = peak_bytes() - before
    tensors = [tensor for module in built.values() for tensor in module.state_dict().values()]
    kept = sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values())
    tower, language = built["vision"].eval(), built["language"].eval()
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randn(2, 3, tower.side_px, tower.side_px, generator=generator).to(dtype)
    ids = torch.randint(0, language.config.vocab_size, (1, TEXT_TOKENS), generator=generator)
    started_s = time.perf_counter()
    features = tower(pixels)
    seen_s = time.perf_counter()
    hidden = language.model(input_ids=ids).last_hidden_state[0]
    read_s = time.perf_counter()
    logits = language.lm_head(hidden[:: max(1, TEXT_TOKENS // 16)])
    torch.save({"features": features.float(), "logits": logits.float()}, folder / f"{kind}.pt")
    figures = {"weights": kept, "risen": risen, "tower_s": seen_s - started_s, "language_s": read_s - seen_s}
    (folder / f"{kind}.json").write_text(json.dumps(figures))


def apart(target: Any, *arguments: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"a process ended with {process.exitcode}")


def call_here(target: Any, *arguments: Any) -> None:
    target(*arguments)


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def fastest_ms(call: Any, times: int = 7) -> float:
    best = float("inf")
    for _ in range(times):
        started_s = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started_s)
    return 1000 * best


@torch.inference_mode()
def layer_times(outputs: int, inputs: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one linear layer in bfloat16, one thread: for one position and for 1,024."""
    torch.set_num_threads(1)
    plain = nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    matrix = torch.empty(outputs, inputs, dtype=torch.int8)
    layers: dict[str, nn.Module] = {
        "bfloat16": plain,
        "int8": Int8Linear(matrix, in_eight_bits(plain.weight.float(), matrix), None),
    }
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_  # type: ignore[import-not-found]

        theirs = nn.Sequential(nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16).requires_grad_(False))
        quantize_(theirs, Int8WeightOnlyConfig())
        layers["torchao"] = theirs
    except ImportError:
        pass
    found: dict[str, dict[str, float]] = {}
    for positions in (1, 1024):
        x = torch.randn(positions, inputs, dtype=torch.bfloat16)
        found[str(positions)] = {name: round(fastest_ms(lambda: layer(x)), 2) for name, layer in layers.items()}  # noqa: B023
    return found


def main() -> int:
    """Measure, print a table and the JSON line; 1 if a target is missed by a run that is not the smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--smoke", action="store_true", help="small shapes; misses no target")
    asked = parser.parse_args()
    layers, small = (2 if asked.smoke else asked.layers), asked.smoke
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="longtake-int8-") as name:
        folder = Path(name)
        do = call_here if small else apart
        do(write, folder, layers, small)
        wanted: dict[str, torch.Tensor] = {}
        for kind in READINGS:
            do(read, folder, layers, small, kind)
            made = torch.load(folder / f"{kind}.pt", weights_only=True)
            wanted = wanted or made
            figures[kind] = json.loads((folder / f"{kind}.json").read_text())
            figures[kind] |= {key: relative(made[key], wanted[key]) for key in wanted}
    print(f"{layers} layers of each; errors of features and logits; MiB kept and peak over the start; seconds")
    for kind, row in figures.items():
        print(
            f"{kind:<18}{row['features']:>10.2e}{row['logits']:>10.2e}{row['weights'] / 2**20:>9.1f}"
            f"{row['risen'] / 2**20:>9.1f}{row['tower_s']:>8.2f}{row['language_s']:>8.2f}"
        )
    times = layer_times(500, 300) if small else layer_times(18_944, 3584)
    print("one layer, milliseconds by positions:", times)
    errors_ok = all(figures[kind][key] <= most for kind, most in MOST_ERROR.items() for key in ("features", "logits"))
    memory_ok = all(row["risen"] <= MOST_MEMORY * row["weights"] for row in figures.values())
    ok = errors_ok and memory_ok
    targets = {"error": MOST_ERROR, "peak by weights": MOST_MEMORY}
    print(json.dumps({"figures": figures | {"layer_ms": times}, "targets": targets, "ok": ok}))
    return 0 if ok or asked.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
