"""longtake train text: killed and gone on is undisturbed; what is written is what was trained, from any start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import tiny
from longtake import load
from longtake.errors import ErrorCode, LongtakeError
from longtake.train.language import from_folder
from longtake.train.reading_on import examined
from longtake.train.recipes import read_recipe
from longtake.train.showing import Heard, Teller
from longtake.train.text import train_text
from longtake.train.text_recipe import TextRecipe
from running import Cli

TOML = """
tokens = 20_000
vocabulary = 300
held_out = 0.2
held_out_rows = 4
step_tokens = 256
tokens_at_once = 128
optimiser = "muon"
log_every = 5
save_every = 10
warm_up_steps = 3
shuffle_buffer = 20
[model]
width = 32
layers = 1
[[stages]]
length = 32
steps = 24
theta = 10000.0
[[stages]]
length = 64
steps = 20
theta = 100000.0
span = 256
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """120 documents of three sentences each, that a small model learns a good deal of at once."""
    rng = np.random.default_rng(0)
    for number in range(4):
        lines = []
        for _ in range(30):
            words = [("red", "blue")[rng.integers(2)] + " " + ("star", "moon")[rng.integers(2)] for _ in range(12)]
            lines.append(json.dumps({"text": "the " + " and the ".join(words) + "."}))
        (tmp_path / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def recipe(corpus: Path, *settings: str) -> TextRecipe:
    path = corpus / "recipe.toml"
    path.write_text(TOML)
    return read_recipe(TextRecipe, str(path), settings, {"data": [str(corpus / "*.jsonl")]})


def train(recipe: TextRecipe, folder: Path, teller: Teller | None = None) -> dict[str, Any]:
    return train_text(recipe, folder, device="cpu", plan_only=False, teller=teller or Teller(quiet=True))


class Doing(Teller):
    """Does something when a stage has done a number of steps."""

    def __init__(self, stage: str, step: int, act: Callable[[], None]) -> None:
        super().__init__(quiet=True)
        self.moment = (stage, step)
        self.act = act

    @contextmanager
    def stage(self, name: str, steps: int, stop: Callable[[], bool]) -> Iterator[Heard]:
        with super().stage(name, steps, stop) as hear:

            def heard(done: int, loss: float) -> bool:
                if (name, done) == self.moment:
                    self.act()
                return hear(done, loss)

            yield heard


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_train_text import Doing, recipe, train
corpus, folder, stage, step = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
train(recipe(corpus), folder, Doing(stage, step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


def kill_at(corpus: Path, folder: Path, stage: str, step: int) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(corpus), str(folder), stage, str(step)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run(command, env=os.environ | threads, timeout=600).returncode == -signal.SIGKILL


def test_killed_twice_and_gone_on_it_ends_with_the_same_bytes(corpus: Path) -> None:
    whole, killed = corpus / "whole", corpus / "killed"
    summary = train(recipe(corpus), whole)
    kill_at(corpus, killed, "text-1", 17)
    kill_at(corpus, killed, "text-2", 13)
    assert not (killed / "model").exists()
    gone_on = train(recipe(corpus), killed)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (killed / "model" / name).read_bytes() == (whole / "model" / name).read_bytes(), name
    assert gone_on["held_out"] == summary["held_out"]
    assert gone_on["tokens"] == summary["tokens"] == (24 + 20) * 256
    assert summary["held_out"]["after"]["loss"] < summary["held_out"]["before"]["loss"] - 1
    assert (whole / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert torch.load(whole / "text-1.pt", weights_only=True)["step"] == 24


def test_another_recipe_or_other_data_in_the_same_folder_is_refused(corpus: Path) -> None:
    short = ["stages.0.steps=5", "stages.1.steps=5"]
    train(recipe(corpus, *short), corpus / "run")
    with pytest.raises(LongtakeError, match=r"rate was 0.001 and is 0.01"):
        train(recipe(corpus, *short, "rate=0.01"), corpus / "run")
    with (corpus / "0.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    with pytest.raises(LongtakeError, match="of other data: files was"):
        train(recipe(corpus, *short), corpus / "run")


def test_ctrl_c_keeps_the_step_under_way_and_the_same_command_goes_on(corpus: Path) -> None:
    short = ["stages.0.steps=12", "stages.1.steps=5"]
    interrupted = Doing("text-1", 8, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(LongtakeError, match="stopped by Ctrl-C in text-1 after step 8") as caught:
        train(recipe(corpus, *short), corpus / "stopped", interrupted)
    assert caught.value.code is ErrorCode.INTERRUPTED
    summaries = [train(recipe(corpus, *short), corpus / name) for name in ("stopped", "whole")]
    (corpus / "whole" / "text-1.jsonl").unlink()
    assert train(recipe(corpus, *short), corpus / "whole")["loss"]["text-1"] is None
    assert summaries[0]["tokens"] == summaries[1]["tokens"]
    weights = [(corpus / name / "model" / "model.safetensors").read_bytes() for name in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_a_training_that_runs_away_says_so(corpus: Path) -> None:
    with pytest.raises(LongtakeError, match="of stage text-1 is n(an|ot finite)") as caught:
        train(recipe(corpus, "rate=1e30"), corpus / "run")
    assert caught.value.code is ErrorCode.MODEL_NONFINITE


def test_half_a_file_of_a_folder_is_told(corpus: Path) -> None:
    (corpus / "run").mkdir()
    (corpus / "run" / "recipe.json").write_text('{"rate": 0.')
    with pytest.raises(LongtakeError, match="is no recipe of a training") as caught:
        train(recipe(corpus), corpus / "run")
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


def test_what_is_written_is_a_hugging_face_folder_that_loses_what_the_summary_says(corpus: Path) -> None:
    told = recipe(corpus, "stages.0.steps=5", "stages.1.steps=5", 'precision="float32"')
    summary = train(told, corpus / "run")
    theirs = AutoModelForCausalLM.from_pretrained(summary["model"])
    assert theirs.config.rope_parameters["rope_theta"] == 100_000.0
    assert theirs.config.max_position_embeddings == 256
    ours = from_folder(Path(summary["model"]), torch.device("cpu"))
    assert ours.tokenizer.control("<|endoftext|>") == ours.end_id == theirs.config.eos_token_id
    state = theirs.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in ours.language.state_dict().items())
    rows = torch.randint(0, ours.tokenizer.vocabulary_size, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(input_ids=rows, labels=rows).loss.item()
    assert float(examined(ours.language, rows, half=False).mean()) == pytest.approx(expected, rel=1e-4)


def test_a_hugging_face_folder_is_continued_as_it_was_and_loaded_strictly(corpus: Path) -> None:
    short = ["stages.0.steps=5", "stages.1.steps=5"]
    first = Path(train(recipe(corpus, *short), corpus / "first")["model"])
    (first / "tokenizer_config.json").write_text('{"mine": 1}')
    idle = ["rate=0.0", "matrix_rate=0.0", 'dtype="bfloat16"', f"start={first}"]
    second = train(recipe(corpus, *short, *idle), corpus / "second")
    before, after = load_file(first / "model.safetensors"), load_file(Path(second["model"]) / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor.bfloat16(), after[name]) for name, tensor in before.items())
    assert (Path(second["model"]) / "tokenizer_config.json").read_text() == '{"mine": 1}'
    assert second["held_out"]["before"] == second["held_out"]["after"]
    save_file({**before, "model.more.weight": torch.zeros(2)}, first / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LongtakeError, match="unexpected: model.more.weight"):
        from_folder(first, torch.device("cpu"))
    (first / "config.json").write_text('{"model_type": "no_such_model", "auto_map": {"AutoConfig": "evil.Evil"}}')
    with pytest.raises(LongtakeError, match="no language model that transformers knows"):
        from_folder(first, torch.device("cpu"))


def test_a_nano_learns_to_read_further_and_the_rest_of_it_stays(corpus: Path) -> None:
    nano = tiny.checkpoint(corpus / "nano", dtype=torch.bfloat16)
    settings = ["stages.0.steps=5", "stages.1.steps=5", "stages.1.span=512", f"start={nano}"]
    summary = train(recipe(corpus, *settings), corpus / "run")
    before, after = load_file(nano / "model.safetensors"), load_file(Path(summary["model"]) / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"language"}
    assert {tensor.dtype for name, tensor in after.items() if tensor.is_floating_point()} == {torch.bfloat16}
    assert load(summary["model"]).engine.trained_context == 512
    told = json.loads((Path(summary["model"]) / "config.json").read_text())
    assert told["language"]["rope_parameters"]["rope_theta"] == 100_000.0
    assert told["frames"] == 8


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


SMALL = ["model.width=32", "model.layers=1", "vocabulary=300", "tokenizer_characters=5000", "step_tokens=256"]
SMALL += ["stages.0.length=64", "stages.0.share=0.0", "stages.0.steps=10", "held_out_rows=4"]


def test_the_world_is_at_hand_where_nothing_else_is(cli: Cli, tmp_path: Path) -> None:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    status, out, err = cli("train", "text", "--output", tmp_path / "run", "--quiet", *settings)
    assert (status, err) == (0, "")
    assert "2,560 tokens seen" in out and f"the model is in {tmp_path / 'run' / 'model'}" in out
    assert "0-63" in out


def test_the_plan_times_some_steps_and_writes_nothing(cli: Cli, tmp_path: Path, corpus: Path) -> None:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    data = ["--data", corpus / "0.jsonl", corpus / "1.jsonl"]
    plan = cli.json("train", "text", *data, "--output", tmp_path / "run", "--plan", *settings)
    assert not (tmp_path / "run").exists()
    (stage,) = plan["stages"]
    assert (stage["steps"], stage["tokens_a_step"], stage["length"]) == (10, 256, 64)
    assert plan["seconds"] == pytest.approx(10 * stage["seconds_a_step"], abs=0.1) and stage["seconds_a_step"] > 0
    assert plan["parameters"].keys() == {"embeddings", "layers"}
    assert 257 * 32 <= plan["parameters"]["embeddings"] <= 300 * 32


def test_a_start_that_is_not_there_is_refused(cli: Cli, tmp_path: Path) -> None:
    status, _, err = cli("train", "text", "--from", tmp_path / "none", "--output", tmp_path / "run")
    assert status == 4 and err.startswith("error[model.not_found]")
