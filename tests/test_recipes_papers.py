"""recipes/papers: a command for each published row, which the real command line understands; none claims to be run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from longtake import parts
from longtake.cli.app import app
from longtake.cli.options import settings_by_part
from longtake.reports.published import published
from running import LONGTAKE, ONE_LINE, Cli

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "papers"
SCRIPTS = ("longva.sh", "slowfast_llava.sh")


@pytest.fixture(scope="module")
def kit() -> ModuleType:
    """The file that writes the kit."""
    spec = importlib.util.spec_from_file_location("papers_generate", FOLDER / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(script: str) -> list[list[str]]:
    told = (FOLDER / script).read_text().splitlines()
    return [shlex.split(line) for line in told if line.startswith("longtake ")]


ALL = [(script, line) for script in SCRIPTS for line in lines_of(script)]


def parsed(words: list[str]) -> dict[str, Any]:
    """What the real command line makes of a line, without carrying it out.

    Raises:
        click.exceptions.UsageError: an option or value that does not exist.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("longtake", list(words[1:]))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return {**context.params, "called": context.info_name}


@pytest.mark.parametrize(("script", "line"), ALL, ids=lambda one: " ".join(one[:4]) if isinstance(one, list) else one)
def test_every_command_parses_and_names_parts_that_exist(script: str, line: list[str]) -> None:
    told = parsed(line)
    for option, room in (("sampler", "samplers"), ("layout", "layouts"), ("rope", "ropes")):
        if told.get(option):
            assert told[option] in parts.names(room)
    given = settings_by_part(told.get("settings"))
    for part in given:
        if given[part]:
            parts.build(f"{part}s", told[part], given[part], label=part)
    if told["called"] not in ("niah", "judge", "vniah", "textneedle"):
        assert told["called"] in parts.names("evals.benchmarks")


def test_a_wrong_option_would_not_parse() -> None:
    line = next(line for _, line in ALL if line[1] == "eval" and "--layout" in line)
    with pytest.raises(Exception, match="No such option"):
        parsed([*line, "--layuot", "grid"])


def test_without_the_files_a_command_is_refused_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for script in SCRIPTS:
        line = next(line for line in lines_of(script) if "--data" in line)
        for option in ("--videos", "--data"):
            folder = line[line.index(option) + 1]
            status, out, err = Cli(capsys)(*line[1:])
            assert (status, out) == (3, ""), err
            assert ONE_LINE.fullmatch(err)
            assert err.startswith(f"error[media.not_found]: {folder}")
            (tmp_path / folder).mkdir(parents=True)
    assert not (tmp_path / "runs").exists()


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the real command ends with. Those that go on to a model's weights run apart, where nothing is fetched."""
    if "--text" not in words:
        status, out, err = Cli(capsys)(*words)
    else:
        alone = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([*LONGTAKE, *words], capture_output=True, text=True, env=alone)
        status, out, err = done.returncode, done.stdout, done.stderr
    assert status != 0 and not out
    assert ONE_LINE.fullmatch(err), err
    return err


def test_every_command_is_refused_for_what_is_missing_and_for_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All options of a row's commands go together; only its files, its run or its model are not there."""
    monkeypatch.chdir(tmp_path)
    for _, line in ALL:
        err = refused(line[1:], capsys)
        if line[1:3] == ["eval", "judge"]:
            assert err.startswith(f"error[usage.bad_option]: {line[3]}: holds no run"), (line, err)
        elif "--text" in line:
            assert err.startswith(f"error[network.unreachable]: {line[line.index('--model') + 1]}: "), (line, err)
        else:
            assert err.startswith("error[media.not_found]: "), (line, err)


def test_a_layout_of_text_would_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = next(line for _, line in ALL if "--text" in line)
    assert refused([*line[1:], "--layout", "grid"], capsys).startswith("error[usage.bad_option]: --layout: ")


def test_every_published_row_has_its_command_and_its_figures_in_the_kit(kit: ModuleType) -> None:
    readme = (FOLDER / "README.md").read_text()
    told = {script: (FOLDER / script).read_text() for script in SCRIPTS}
    for row in published():
        assert f"| `{row.id}` |" in readme
        text = told[row.paper.script]
        (comment,) = re.findall(rf"^# {re.escape(row.id)}: .*$", text, re.MULTILINE)
        assert "published, not run here" in comment
        for name, value in row.percent.items():
            if ": " not in name:
                assert f"{name} {value:.1f} %" in comment
        assert row.source in text
        for command in kit.commands(row):
            assert shlex.join(command) in text
        frames = row.run_frames or row.setting.run_frames or row.frames
        if frames and row.benchmark != "vniah":
            assert f"--frames {frames} " in shlex.join(kit.commands(row)[0])


def test_nothing_in_the_kit_claims_to_be_run() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert "None of them was run here" in readme
    for script in SCRIPTS:
        assert "NOT RUN HERE" in (FOLDER / script).read_text().splitlines()[2]
    assert not re.search(r"\b(measured here|we measured|longtake got|reproduced)\b", readme)


def test_the_kit_is_what_its_data_says(kit: ModuleType) -> None:
    done = subprocess.run([sys.executable, FOLDER / "generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    stale = dict(kit.pages())
    stale["README.md"] = stale["README.md"].replace("79.1 %", "79.2 %")
    assert stale["README.md"] != (FOLDER / "README.md").read_text()


def test_costs_are_what_the_plan_tells(kit: ModuleType) -> None:
    costs = json.loads((FOLDER / "costs.json").read_text())
    wanted = {shlex.join(line) for row in published() if (line := kit.planned(row))}
    assert set(costs) == wanted
    name = next(one for one in costs if "SF" not in one and "--frames 8 " in one)
    told = subprocess.run(
        [sys.executable, "-m", *shlex.split(name), "--json"], capture_output=True, text=True, check=True
    )
    plan = json.loads(told.stdout)
    assert plan["memory_bytes"] == costs[name]["memory_bytes"]
    assert plan["tokens"]["visual"] == costs[name]["visual_tokens"] == 8 * 144
    assert plan["operations"]["watch"] == pytest.approx(costs[name]["watch_operations"], rel=1e-6)


def test_operations_are_about_two_for_each_weight_and_token() -> None:
    """SF-LLaVA 7B: 3,680 tokens and a few words through 6.5e9 weights of layers, and 50 pictures through the tower."""
    costs = json.loads((FOLDER / "costs.json").read_text())
    wanted = "vicuna-7b --dtype float16 --sampler middles --layout slowfast --rope dynamic --frames 50 "
    (cost,) = (cost for name, cost in costs.items() if wanted in name)
    language = 2 * 6.476e9 * 3740
    tower = 50 * 2 * 303e6 * 577
    attention = 32 * 4 * 4096 * 3740**2 / 2
    assert cost["watch_operations"] == pytest.approx(language + tower + attention, rel=0.05)
