"""Run by test_checkpoint in a process of its own: how much memory it takes at most to fill networks of a given size.

Prints one JSON line: bytes of the weights, and by how much the peak of resident memory (VmHWM) rose over them.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from longtake.checkpoint import DTYPES, INT8, Int8Linear, Placement, fill, stored_in, without_memory

WIDTH = 4096


def peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def write(folder: Path, layers: int, dtype: torch.dtype) -> None:
    """Half of the matrices in each of two shards."""
    numbers = torch.full((WIDTH, WIDTH), 0.5, dtype=dtype)
    index = {}
    for shard, names in enumerate((range(layers // 2), range(layers // 2, layers))):
        file = f"model-{shard}.safetensors"
        save_file({f"{name}.weight": numbers.clone() for name in names}, folder / file)
        index |= {f"{name}.weight": file for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def main() -> None:
    layers, stored_as, wanted = int(sys.argv[1]), DTYPES[sys.argv[2]], DTYPES.get(sys.argv[3], torch.bfloat16)
    int8 = sys.argv[3] == INT8
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The writer's own memory must not be in the peak of the reader.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(folder, layers, stored_as))
        writer.start()
        writer.join()
        assert writer.exitcode == 0
        before = peak_bytes()
        with without_memory():
            network = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers))
        started_s = time.monotonic()
        where = Placement(torch.device("cpu"), wanted, int8)
        fill({"all": network}, stored_in(folder), where, renamed=lambda name: f"all.{name}", folder=folder)
        took_s = time.monotonic() - started_s
        assert {type(layer) for layer in network} == {Int8Linear if int8 else nn.Linear}
        first = torch.eye(WIDTH, dtype=wanted)[[0, -1]]
        assert all(bool(torch.isclose(layer(first).float(), torch.tensor(0.5)).all()) for layer in network)
        weights = sum(tensor.nbytes for tensor in network.state_dict().values())
        sys.stdout.write(json.dumps({"weights": weights, "rise": peak_bytes() - before, "seconds": took_s}))


if __name__ == "__main__":
    main()
