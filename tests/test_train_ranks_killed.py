"""train align and train dpo by torchrun, a rank of which is killed or cannot read its sample: what is left goes on.

Real processes and a real kill -9: few of them, for each takes seconds to start.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from longtake.errors import ErrorCode
from longtake.train.curves import read_log
from longtake.train.saving import kept
from ranks import kill_one, torchrun

COMMON = """
model = "nano"
precision = "float32"
held_out = 0.2
log_every = 1
save_every = 4
warm_up_steps = 2
rates = {vision = 1e-4, projector = 1e-3, language = 1e-3}
"""
RECIPES = {
    "align": COMMON
    + """
data = ["samples.json"]
tiles = 1
step_samples = 4
samples_at_once = 2
stages = [{train = ["vision", "projector", "language"], steps = 16}]
""",
    "dpo": COMMON
    + """
data = ["pairs.jsonl"]
step_pairs = 4
pairs_at_once = 2
train = ["projector", "language"]
steps = 16
""",
}
STAGES = {"align": "align-1", "dpo": "dpo"}
SAMPLES = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples and pairs about a picture each, and the recipes."""
    folder = tmp_path_factory.mktemp("killed")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(folder / "seen.png")
    samples, pairs = [], []
    for number in range(SAMPLES):
        said = [{"from": "human", "value": "<image>\nwhat is it"}, {"from": "gpt", "value": f"number {number}"}]
        samples.append({"id": f"s{number}", "image": "seen.png", "conversations": said})
        words = {"prompt": f"what number is {number}", "chosen": "red star", "rejected": "the blue"}
        pairs.append({**words, "image": "seen.png"})
    (folder / "samples.json").write_text(json.dumps(samples))
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in pairs))
    for kind, recipe in RECIPES.items():
        (folder / f"{kind}.toml").write_text(recipe)
    tiny.checkpoint(folder / "nano")
    return folder


def start(data: Path, kind: str, output: str, *more: str) -> subprocess.Popen[str]:
    return torchrun(data, "train", kind, "--recipe", f"{kind}.toml", "--output", output, *more)


def ended(running: subprocess.Popen[str], *, well: bool = True) -> tuple[str, str]:
    """What it said. A rank that waited for a dead one would wait for half an hour."""
    told, err = running.communicate(timeout=300)
    assert (running.returncode == 0) == well, err
    return told, err


def bits(folder: Path, stage: str) -> dict[str, Any]:
    """What two runs have to agree about."""
    losses = [row["loss"] for row in read_log(folder / f"{stage}.jsonl")]
    return {"losses": losses, "weights": (folder / "model" / "model.safetensors").read_bytes()}


@pytest.mark.parametrize("kind", RECIPES)
def test_one_rank_is_killed_and_the_same_command_goes_on_bit_for_bit(kind: str, data: Path) -> None:
    stage, folder = STAGES[kind], data / f"{kind} killed"
    ended(start(data, kind, f"{kind} whole"))

    killed = start(data, kind, folder.name)
    if kind == "dpo":
        # First while the untrained model is asked. It leaves half a line, as if killed while it wrote.
        kill_one(killed, 0, folder / "reference.jsonl", rows=4)
        ended(killed, well=False)
        given = (folder / "reference.jsonl").read_text().splitlines(keepends=True)
        assert 4 <= len(given) < SAMPLES
        (folder / "reference.jsonl").write_text("".join(given)[:-9])
        killed = start(data, kind, folder.name)
    kill_one(killed, 1, folder / f"{stage}.jsonl", rows=6)
    ended(killed, well=False)
    assert not (folder / "model").exists()
    left = kept(folder, stage)
    assert left is not None and left[0].name == f"{stage}-{left[1]}.ranks" and 4 <= left[1] < 16

    ended(start(data, kind, folder.name))
    assert bits(folder, stage) == bits(data / f"{kind} whole", stage)
    if kind == "dpo":
        rows = [json.loads(line) for line in (folder / "reference.jsonl").read_text().splitlines()]
        assert len({row["pair"] for row in rows}) == len(rows) == SAMPLES, "computed once"


def test_what_one_rank_cannot_read_is_told_by_it(data: Path) -> None:
    """One picture is broken, and one rank comes to it; the other neither waits for it nor hides what was wrong."""
    (data / "broken.png").write_bytes(b"no picture")
    samples = json.loads((data / "samples.json").read_text())
    samples[SAMPLES // 2]["image"] = "broken.png"
    (data / "broken.json").write_text(json.dumps(samples))
    told = ("--data", "broken.json", "--set", "held_out=0.0")
    _, err = ended(start(data, "align", "broken", *told), well=False)
    (bad,) = [line for line in err.splitlines() if line.startswith(f"error[{ErrorCode.DATA_BAD.value.code}]")]
    assert "broken.png" in bad
    assert (data / "broken" / "align-1.jsonl").exists(), "some steps were well"
