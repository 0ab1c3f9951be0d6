"""benchmarks: what CLIP ViT-L/14 at 336 px costs beside the way in which LongVA's and SlowFast-LLaVA's code compute it.

    python benchmarks/tower.py                 # 24 layers, batches of 4, 5 rounds, 1 thread: about 5 minutes, 5 GB
    python benchmarks/tower.py --threads 2     # the same with two threads: then only wall time tells anything
    python benchmarks/tower.py --smoke         # a small tower, 2 rounds: shows that it runs; always exits 0

Weights are random, the same on all sides, and so is the batch. `eager` is that other way: transformers' CLIPVisionModel
in float32 with eager attention; all states of all layers are kept, and the last but one is taken without the class
token. The others are longtake's tower, in float32 and bfloat16, and computed by OpenVINO (the extra `openvino`) in
bfloat16 and with int8 matrices. They run in turn, in one process; the median over the rounds counts. On one thread a
side's processor time is its own, whatever else the machine does. Errors are relative (L2), against `eager`; random
weights have no channels that stand out as trained ones do, which makes int8's optimistic.

Ends with one line of JSON: {"figures", "targets", "ok"}; `ok` is null where openvino is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from longtake.vision.clip import ClipTower
from longtake.vision.openvino import OpenvinoTower

BATCH = 4
LAYER = -2
TARGETS = {
    "fp32": {"speedup": 1.05, "error": 1e-5},
    "bf16": {"speedup": 1.6, "error": 2e-2},
    "openvino": {"speedup": 2.4, "error": 5e-3},
    "openvino_int8": {"speedup": 3.5, "error": 2e-2},
}
"""Of each side: at least so many times as fast as eager, and at most so much off (issue: real checkpoints; it names no
errors for torch's own sides; these are what float32 and bfloat16 are expected to give)."""

Side = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Taken:
    """Seconds of each round."""

    cpu_s: list[float]
    wall_s: list[float]


def configuration(*, smoke: bool) -> CLIPVisionConfig:
    """That of openai/clip-vit-large-patch14-336, or of something small with its proportions."""
    width, layers, side_px = (64, 3, 56) if smoke else (1024, 24, 336)
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        image_size=side_px,
        patch_size=14,
        projection_dim=768,
    )


def sides(config: CLIPVisionConfig) -> dict[str, Side]:
    """Each way from pixels to features, by name; all have the same weights."""
    released = CLIPVisionModel._from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    ours, small = (ClipTower(config, LAYER).eval().requires_grad_(False) for _ in range(2))
    ours.model.load_state_dict(released.state_dict(), assign=True)
    small.model.load_state_dict(released.state_dict())
    small.to(torch.bfloat16)
    grid = config.image_size // config.patch_size

    def eager(pixels_TCHW: torch.Tensor) -> torch.Tensor:
        states = released(pixels_TCHW, output_hidden_states=True).hidden_states
        return states[LAYER][:, 1:].unflatten(1, (grid, grid))

    made: dict[str, Side] = {
        "eager": eager,
        "fp32": ours,
        "bf16": lambda pixels_TCHW: small(pixels_TCHW.to(torch.bfloat16)).float(),
    }
    if importlib.util.find_spec("openvino") is None:
        print('openvino is not installed (pip install "longtake[openvino]"): its sides are left out')
        return made
    for name in ("openvino", "openvino_int8"):
        begin = time.perf_counter()
        made[name] = OpenvinoTower(ours, config.image_size, eight_bits=name == "openvino_int8")
        print(f"{name}: converted in {time.perf_counter() - begin:.1f} s", flush=True)
    return made


def measure(ways: dict[str, Side], pixels_TCHW: torch.Tensor, rounds: int) -> tuple[dict[str, Taken], dict[str, float]]:
    """What every side took in every round but the first, which warms up, and its error."""
    taken = {name: Taken([], []) for name in ways}
    errors: dict[str, float] = {}
    for number in range(rounds + 1):
        wanted = None
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            features = way(pixels_TCHW)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if wanted is None:
                wanted = features
            if number == 0:
                errors[name] = float((features - wanted).norm() / wanted.norm())
                continue
            taken[name].cpu_s.append(cpu)
            taken[name].wall_s.append(wall)
            print(f"round {number}, {name}: {cpu:.2f} s of processor, {wall:.2f} s", file=sys.stderr, flush=True)
    return taken, errors


def main() -> int:
    """Measure, print a table and the line of JSON; 1 if a target is missed, but for --smoke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small tower and few rounds, no verdict by exit status")
    parser.add_argument("--rounds", type=int, default=5, help="how many are counted")
    parser.add_argument("--threads", type=int, default=1, help="with more than one, wall time is compared")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    torch.manual_seed(0)
    config = configuration(smoke=told.smoke)
    with torch.inference_mode():
        pixels_TCHW = torch.randn(BATCH, 3, config.image_size, config.image_size)
        taken, errors = measure(sides(config), pixels_TCHW, 2 if told.smoke else told.rounds)

    capabilities = torch.cpu.get_capabilities()
    bf16 = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    load = os.getloadavg()[0]
    print(f"{config.num_hidden_layers} layers, {BATCH} x {config.image_size} px, {told.threads} thread(s);", end=" ")
    print(f"bfloat16 instructions: {'yes' if bf16 else 'no'}; load {load:.1f} on {os.cpu_count()} processors")
    kind = "cpu_s" if told.threads == 1 else "wall_s"
    medians = {name: statistics.median(getattr(times, kind)) for name, times in taken.items()}
    figures: dict[str, float | bool] = {"bf16_instructions": bf16, "load": round(load, 1), "eager_s": medians["eager"]}
    for name, times in taken.items():
        speedup = medians["eager"] / medians[name]
        figures |= {f"{name}_speedup": round(speedup, 2), f"{name}_error": errors[name]} if name in TARGETS else {}
        cpu_s, wall_s = statistics.median(times.cpu_s), statistics.median(times.wall_s)
        print(f"  {name:14} {cpu_s:6.2f} s of processor, {wall_s:6.2f} s  {speedup:5.2f} x  error {errors[name]:.1e}")
    ok = None
    if all(name in taken for name in TARGETS):
        ok = all(
            figures[f"{name}_speedup"] >= wanted["speedup"] and errors[name] <= wanted["error"]
            for name, wanted in TARGETS.items()
        )
    print(json.dumps({"figures": figures, "targets": TARGETS, "ok": ok}))
    return 0 if ok is not False or told.smoke else 1


if __name__ == "__main__":
    sys.exit(main())
