"""costs.measuring: run as a program; what a little of each kind of work takes in this process, as JSON, out.

A process of its own, so that what it holds and what it took to start are its own. Processor seconds are counted, and
the median of several tries: what else the machine does disturbs least so.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

TRIES = 5
FRAMES = 8
"""Of the bundled film, which nano is asked about: after that all that an answer needs is imported and running."""
WRITTEN_NUMBERS = 2**24


def main() -> None:
    """Measure; one line of JSON to standard output."""
    torch.manual_seed(0)
    rates = dict(_process())
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        rates |= _computing(dtype)
    rates |= _calls()
    with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
        rates |= _reading(Path(folder))
    sys.stdout.write(json.dumps(rates) + "\n")


def _process() -> Iterator[tuple[str, float]]:
    """Ask nano as `longtake ask` would: what that takes beside its own weights is what any run takes."""
    from dataclasses import replace

    import rich.console
    import rich.progress
    import typer

    from longtake import parts, pipeline
    from longtake.clock import peak_memory_bytes
    from longtake.engines import GenerateOptions
    from longtake.loading import load
    from longtake.video.opening import open_video

    assert typer and rich  # what the command line holds too
    model = load("nano", device="cpu")
    yield "start", time.process_time()
    film = files("longtake") / "assets" / "demo" / "hour.mp4"
    watched = pipeline.watch(
        replace(model, sampler=parts.find("samplers", "uniform")(frames=FRAMES)), open_video(str(film)), "What?"
    )
    pipeline.ask(model, watched, "What?", GenerateOptions(max_new_tokens=2))
    yield "process", float(peak_memory_bytes() or psutil.Process().memory_info().rss)


def _computing(dtype: torch.dtype) -> dict[str, float]:
    name = str(dtype).removeprefix("torch.")
    found = {}
    with torch.inference_mode():
        for kind, width in (("multiply", 1024), ("multiply small", 256)):
            rows, matrix = torch.randn(1024, width).to(dtype), torch.randn(2 * width, width).to(dtype)
            each = 2.0 * len(rows) * matrix.numel()
            found[f"{kind} {name}"] = _one(partial(F.linear, rows, matrix), each)
        row, wide = torch.randn(1, 4096).to(dtype), torch.randn(4096, 4096).to(dtype)
        found[f"stream {name}"] = _one(lambda: F.linear(row, wide), wide.nbytes)
        query = torch.randn(1, 8, 577, 64).to(dtype)
        attended = 4.0 * 8 * 577 * 577 * 64
        found[f"attend {name}"] = _one(lambda: F.scaled_dot_product_attention(query, query, query), attended)
        pictures, filters = torch.randn(8, 32, 48, 48).to(dtype), torch.randn(64, 32, 3, 3).to(dtype)
        each = 2.0 * 8 * 64 * 46 * 46 * filters[0].numel()
        found[f"convolve {name}"] = _one(lambda: F.conv2d(pictures, filters), each)
        numbers = torch.randn(2**21).to(dtype)
        moved = _one(lambda: numbers * numbers, 3.0 * numbers.nbytes)
        found[f"curve {name}"] = max(
            0.0, _one(lambda: torch.sigmoid(numbers), len(numbers)) - moved * 2 * dtype.itemsize
        )
        if dtype == torch.float32:
            found["move"] = moved
            found["fresh"] = _fresh()
    return found


def _fresh() -> float:
    """What a byte of a large block costs more when it is written for the first time."""
    again = torch.empty(2**24)
    return max(
        0.0, _one(lambda: torch.empty(2**24).fill_(1.0), again.nbytes) - _one(lambda: again.fill_(1.0), again.nbytes)
    )


def _calls() -> dict[str, float]:
    """A language model so small that nothing but calling takes time."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from longtake.costs.work import Watching
    from longtake.engines.attention import folding

    config = Qwen2Config(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    language = folding(Qwen2ForCausalLM(config).eval())
    row = torch.randn(1, 1, 16)
    with torch.inference_mode():
        with Watching() as watching:
            language.model(inputs_embeds=row)
        return {"calls": _one(lambda: language.model(inputs_embeds=row), watching.work.amounts["calls"], tries=15)}


def _reading(folder: Path) -> dict[str, float]:
    """Seconds a stored number, by what it is read as; stored in bfloat16."""
    from longtake.checkpoint import WEIGHTS, Placement, fill, stored_in, without_memory

    save_file({"0.weight": torch.randn(4096, WRITTEN_NUMBERS // 4096).bfloat16()}, folder / WEIGHTS)
    found = {}
    for dtype, int8 in (
        (torch.float32, False),
        (torch.bfloat16, False),
        (torch.float16, False),
        (torch.bfloat16, True),
    ):
        took = []
        for _ in range(3):
            with without_memory():
                network = nn.ModuleList([nn.Linear(WRITTEN_NUMBERS // 4096, 4096, bias=False)])
            begun = time.process_time()
            where = Placement(torch.device("cpu"), dtype, int8)
            fill({"all": network}, stored_in(folder), where, renamed=lambda name: f"all.{name}", folder=folder)
            took.append(time.process_time() - begun)
        found["load int8" if int8 else f"load {str(dtype).removeprefix('torch.')}"] = min(took) / WRITTEN_NUMBERS
    return found


def _one(call: Callable[[], object], amount: float, *, tries: int = TRIES) -> float:
    """Processor seconds of one of `amount`: the median of some tries after one that is not counted."""
    took = []
    for _ in range(tries + 1):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return statistics.median(took[1:]) / amount


if __name__ == "__main__":
    main()
