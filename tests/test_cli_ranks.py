"""--ranks: the answers, times and rows of one process; whatever ends one of several ends all, in one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from longtake import demo
from longtake.costs.counting import Counter
from longtake.costs.outlining import outline_of
from longtake.plan import GREEDY, plan_of, text_need
from longtake.video.opening import open_video
from running import LONGTAKE, ONE_LINE, Cli
from test_evidence import MOON

QUESTION = demo.questions()[0].question
FILM = str(demo.FILM)
SPENT = ("seconds", "peak_memory_bytes", "peak_device_memory_bytes")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def told(found: dict[str, Any]) -> dict[str, Any]:
    """What is told of an answer, but for what it took; scores to four places."""
    evidence = [{**span, "score": round(span["score"], 4)} for span in found["evidence"]]
    return {name: value for name, value in found.items() if name not in SPENT} | {"evidence": evidence}


def test_an_answer_and_its_times_are_those_of_one_process(cli: Cli) -> None:
    alone, together = cli.json(*MOON), cli.json(*MOON, "--ranks", "2")
    assert alone["evidence"], "without a time, equality shows little"
    assert told(together) == told(alone)


def test_a_sweep_has_the_rows_of_one_process(cli: Cli, tmp_path: Path, bunny: Path) -> None:
    command = ("niah", bunny, "--frames", "8,20", "--depths", "0,0.5,1", "--trials", "3", "--quiet")
    rows = []
    for name, ranks in (("alone", ()), ("together", ("--ranks", "2"))):
        status, _, err = cli(*command, "--output", tmp_path / name, *ranks)
        assert status == 0, err
        rows.append([json.loads(line) for line in (tmp_path / name / "rows.jsonl").read_text().splitlines()])
    logprobs = [[row.pop("logprob") for row in each] for each in rows]
    assert len(rows[0]) == 18
    assert rows[0] == rows[1]
    assert logprobs[0] == pytest.approx(logprobs[1], abs=2e-4)


def test_what_no_rank_can_load_is_told_once(cli: Cli) -> None:
    status, out, err = cli("ask", FILM, QUESTION, "--ranks", "2", "--model", "no-such-model")
    assert (status, out) == (4, "")
    assert err.startswith("error[model.not_found]") and ONE_LINE.fullmatch(err)


@pytest.mark.parametrize(
    "options", [("--device", "cuda:1"), ("--device", "cpu,cuda:0"), ("--fit", "time=10min")], ids=lambda given: given[1]
)
def test_what_ranks_cannot_do_is_refused_before_any_starts(cli: Cli, options: tuple[str, str]) -> None:
    status, out, err = cli("ask", FILM, QUESTION, "--ranks", "2", *options)
    assert (status, out) == (2, "")
    assert options[0] in err and ONE_LINE.fullmatch(err)


def ended(end: Callable[[psutil.Process, psutil.Process], None]) -> subprocess.CompletedProcess[str]:
    """A sweep that would take long, ended by what is done to the first process and the second."""
    command = [
        *LONGTAKE,
        "niah",
        "world",
        "--text",
        "--tokens",
        "4000",
        "--depths",
        "0:1:0.1",
        "--quiet",
        "--ranks",
        "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first, second = psutil.Process(process.pid), None
        while second is None:
            assert process.poll() is None, "it ended before it had begun"
            found = [child for child in first.children() if "spawn_main" in " ".join(child.cmdline())]
            second = next(iter(found), None)
            time.sleep(0.05)
        end(first, second)
        out, err = process.communicate(timeout=240)
        psutil.wait_procs([second], timeout=30)
        assert not second.is_running(), "nobody is left behind"
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def test_a_rank_that_is_killed_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = ended(lambda first, second: second.kill())
    assert (done.returncode, done.stdout) == (7, "")
    assert "rank 1 has ended by SIGKILL" in done.stderr and ONE_LINE.fullmatch(done.stderr)


def test_ctrl_c_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a terminal does it: every process of the group hears it."""
    monkeypatch.chdir(tmp_path)

    def end(first: psutil.Process, second: psutil.Process) -> None:
        second.send_signal(signal.SIGINT)
        first.send_signal(signal.SIGINT)

    done = ended(end)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("error[interrupted]") and ONE_LINE.fullmatch(done.stderr)


def test_torchrun_starts_ranks_and_one_of_them_speaks() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", *LONGTAKE[2:]]
    command += ["ask", FILM, QUESTION, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["answer"]


def test_memory_is_planned_for_all_ranks_of_a_processor() -> None:
    """They have the weights each, and share keys and values."""
    outline, video = outline_of("nano", device="cpu", dtype="auto"), open_video(FILM)
    model = outline.model
    plans, text = [plan_of(model, video, "")], text_need(model, model.template, "What?", GREEDY)
    counted = []
    for ranks in (1, 2):
        counter = Counter.of(outline, None)
        counter.ranks, counter.timed = ranks, False
        stage = next(stage for stage in counter.cost([video], plans, text).stages if stage.name == "prefill")
        counted.append(stage.bytes)
    one, two = counted
    assert two["weights"] == 2 * one["weights"] and two["process"] == 2 * one["process"]
    assert two["key-values"] == one["key-values"]
