"""recipes/papers: writes README.md and a script for each paper from longtake's one file of published figures.

`--check` only says which are stale. `--plan` asks `longtake plan` anew what each setting takes, for costs.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longtake import parts
from longtake.reports.published import NOT_RUN, Published, published

HERE = Path(__file__).resolve().parent
COSTS = HERE / "costs.json"
HEAD = "Written by recipes/papers/generate.py from src/longtake/reports/published.toml: do not edit."
DEVICE = ["--device", "cuda"]
PLANNED = [*DEVICE, "--device-memory", "80GiB", "--duration", "0:03:00"]
A100_OPERATIONS = 312e12
"""A second, of bfloat16 matrices, as its maker's data sheet says; half of it is reckoned with (recipes/longva_7b)."""
A100_BYTES = 2.039e12
"""A second, from the memory of one with 80 GB; the same sheet."""
NEEDLES = ("vniah", "textneedle")


def commands(row: Published) -> list[list[str]]:
    """What measures a row: ask, and where a judge marks answers, judge; or hide needles, and take in what was found."""
    out = f"runs/papers/{row.id}"
    if row.benchmark in NEEDLES:
        found = f"{out}/niah"
        return [_needle(row, found), ["longtake", "eval", row.benchmark, found, "--out", out]]
    asked = [
        "longtake",
        "eval",
        row.benchmark,
        "--data",
        f"data/{row.benchmark}",
        "--videos",
        f"videos/{row.benchmark}",
    ]
    asked += [*_model(row), *_parts(row), *_way_of_asking(row), *DEVICE, "--out", out]
    return [asked, *([_judge(row, out)] if judged(row) else [])]


def judged(row: Published) -> bool:
    """Whether a judge marks answers of this benchmark."""
    return bool(row.measured.judge) or bool(row.scores)


def planned(row: Published) -> list[str] | None:
    """The plan of what a video of it takes; None where longtake knows no shape of the model, or it is about text."""
    if row.setting.checkpoint.endswith("32K-hf") or row.benchmark == "textneedle":
        return None
    frames = ["--frames", "3001"] if row.benchmark == "vniah" else None
    return ["longtake", "plan", *_model(row), *_parts(row, frames), *PLANNED]


def _model(row: Published) -> list[str]:
    dtype = ["--dtype", row.setting.dtype] if row.setting.dtype else []
    return ["--model", row.setting.checkpoint, *dtype]


def _parts(row: Published, frames: list[str] | None = None) -> list[str]:
    one, found = row.setting, []
    for option, value in (("--sampler", one.sampler), ("--layout", one.layout), ("--rope", one.rope)):
        found += [option, value] if value else []
    for setting in one.set:
        found += ["--set", setting]
    seen = row.run_frames or one.run_frames or row.frames
    return found + (frames or (["--frames", str(seen)] if seen else []))


def _way_of_asking(row: Published) -> list[str]:
    """The model's own template offers the options where it has a way of its own."""
    choice = not judged(row) and row.setting.choice_template
    return ["--template", row.setting.choice_template, "--prompt", "template"] if choice else ["--prompt", "published"]


def _judge(row: Published, out: str) -> list[str]:
    judge = row.measured.judge or "JUDGE"
    address = ["--endpoint", "https://api.openai.com/v1", "--judge-model", judge]
    return ["longtake", "eval", "judge", out, *address, "--scoring", "released"]


def _needle(row: Published, out: str) -> list[str]:
    rope = ["--rope", row.setting.rope] if row.setting.rope else []
    # A haystack of text has no pictures to lay out, and `niah --text` refuses what says how.
    text = row.benchmark == "textneedle"
    settings = [setting for setting in row.setting.set if not (text and setting.startswith("layout."))]
    rope += [word for setting in settings for word in ("--set", setting)]
    layout = ["--layout", row.setting.layout] if row.setting.layout and not text else []
    tail = [*_model(row), *layout, *rope, *DEVICE, "--output", out]
    if text:
        hidden = ["--text", "--tokens", "32000:512000:32000", "--distractors", str(row.distractors)]
        return ["longtake", "niah", "data/textneedle/haystack.txt", *hidden, *tail]
    frames = ["--frames", "200:3000:200", "--depths", "0:1:0.2"]
    return ["longtake", "niah", "videos/vniah/haystack.mp4", "--needles", "data/vniah", *frames, *tail]


def plan_all() -> dict[str, Any]:
    """What each setting takes, as `longtake plan --json` tells it."""
    found: dict[str, Any] = {}
    for row in published():
        line = planned(row)
        name = shlex.join(line or [])
        if line is None or name in found:
            continue
        print(name, file=sys.stderr, flush=True)
        told = subprocess.run([sys.executable, "-m", *line, "--json"], capture_output=True, text=True, check=True)
        plan = json.loads(told.stdout)
        found[name] = {
            "visual_tokens": plan["tokens"]["visual"],
            "new_tokens": plan["tokens"]["new"],
            "memory_bytes": plan["memory_bytes"],
            "weights_bytes": plan["bytes"]["weights"],
            "fits_80_gib": plan["fits_memory"],
            "fits_context": plan["fits_context"],
            "watch_operations": round(plan["operations"]["watch"]),
            "ask_operations": round(plan["operations"]["ask"]),
        }
    return found


def cost_told(row: Published, costs: Mapping[str, Any]) -> str:
    """What a row takes, in words."""
    line = planned(row)
    if line is None:
        return "not planned"
    cost = costs[shlex.join(line)]
    told = [f"{cost['visual_tokens']:,} visual tokens", f"{cost['memory_bytes'] / 2**30:.1f} GiB"]
    told[1] += "" if cost["fits_80_gib"] else ", more than one device of 80 GiB"
    if row.measured.questions and row.benchmark not in NEEDLES:
        videos = row.measured.videos or row.measured.questions
        at_most = "" if row.measured.videos else "at most "
        told.append(f"{row.measured.questions:,} questions on {at_most}{videos:,} videos")
        told.append(f"{at_most}{_time(_seconds(cost, videos, row.measured.questions))}")
    return "; ".join(told)


def _seconds(cost: Mapping[str, Any], videos: int, questions: int) -> float:
    """What is computed at half the speed of the data sheet; and each new token reads all weights once."""
    operations = videos * cost["watch_operations"] + questions * cost["ask_operations"]
    read_bytes = questions * cost["new_tokens"] * cost["weights_bytes"]
    return operations / (A100_OPERATIONS / 2) + read_bytes / A100_BYTES


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _number(score: float) -> str:
    """With as many decimals as papers print: 4.0, 3.04."""
    return f"{score:.1f}" if round(score, 1) == score else f"{score:.2f}"


def expected(row: Published) -> str:
    """The paper's figures."""
    shares = [
        f"{name} {value:.1f} %" for name, value in row.percent.items() if ": " not in name or len(row.percent) < 6
    ]
    return ", ".join([*shares, *(f"{name} {_number(value)}" for name, value in row.scores.items())])


def script(paper: str, rows: list[Published]) -> str:
    """The commands of one paper."""
    lines = ["#!/bin/sh", f"# {HEAD}", f"# {paper}: a command for each row of its tables. NOT RUN HERE."]
    lines += [
        "# Take the lines that you want; README.md says what must be there and what is known to differ.",
        "set -e",
    ]
    for row in rows:
        lines += ["", f"# {row.id}: {row.name}, {row.benchmark}. {NOT_RUN}: {expected(row)}", f"# {row.source}"]
        lines += [shlex.join(command) for command in commands(row)]
    return "\n".join(lines) + "\n"


def page(costs: Mapping[str, Any]) -> str:
    """The README."""
    rows = published()
    sections = []
    for short in dict.fromkeys(row.paper.short for row in rows):
        own = [row for row in rows if row.paper.short == short]
        paper = own[0].paper
        head = f"## {paper.short}\n\n{paper.title}, arXiv {paper.arxiv}. Commands: [{paper.script}]({paper.script}).\n"
        table = ["| row | of | expected (published) | takes | table |", "|---|---|---|---|---|"]
        table += [
            f"| `{row.id}` | {row.name}, {row.benchmark} | {expected(row)} | {cost_told(row, costs)} | {row.table} |"
            for row in own
        ]
        sections.append("\n".join([head, *table, ""]))
    return f"""<!-- {HEAD} -->

# Rows of two papers

The command for each row that LongVA and SlowFast-LLaVA report, {len(rows)} in all. **None of them was run here:** there
were no weights, no videos and no graphics card. Every figure below is the papers', and none is longtake's.

`longtake eval report runs/papers/... --published --scoring both` puts what you measure beside them. Where a judge marks
answers there are two commands, to ask and to judge, and for needles two, to hide them and to take in what was found.
The judge's words are longtake's own unless `--templates` names a file with the released ones.

**Expected cost.** Tokens and memory are what `longtake plan` tells of each setting for a device of 80 GiB, without its
weights (`costs.json`; `generate.py --plan` asks it anew). Times are arithmetic, and nobody has measured them: the
operations that the plan counts, once for each video and once for each question, at half of the 312 TFLOP/s of an A100's
data sheet, and for each of 64 new tokens of an answer one reading of all weights at its 2.04 TB/s. Answers are shorter;
one question is answered at a time; reading the videos, loading and what a judge takes are not in it. `longtake eval ...
--dry-run` and `longtake eval judge ... --dry-run` tell more once the files are there.

**Before you start.** `data/NAME` holds the benchmark's files and `videos/NAME` its videos: nothing is fetched, and
[docs/evals.md](../../docs/evals.md) says which. The judge of the papers, gpt-3.5-turbo-0125, may be gone; a newer one
gives other numbers.

{chr(10).join(sections)}
## What is known to differ

{_differences(rows)}"""


def _differences(rows: tuple[Published, ...]) -> str:
    lines = []
    for name in dict.fromkeys(row.benchmark for row in rows):
        told = next(row.measured for row in rows if row.benchmark == name)
        title = parts.find("evals.benchmarks", name)().card.title if name in parts.names("evals.benchmarks") else name
        facts = [f"measured on {told.split}" if told.split else "", f"files: {told.files}" if told.files else ""]
        facts += [f"judge: {told.judge}" if told.judge else "", *told.differs]
        lines.append(f"- **{title}**: {'; '.join(fact for fact in facts if fact)}.")
    for model in dict.fromkeys(row.setting.model for row in rows):
        notes = next(row.setting.differs for row in rows if row.setting.model == model)
        if notes:
            lines.append(f"- **{model}**: {'; '.join(notes)}.")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All files, by name."""
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    rows = published()
    found = {"README.md": page(costs)}
    for short in dict.fromkeys(row.paper.short for row in rows):
        own = [row for row in rows if row.paper.short == short]
        found[own[0].paper.script] = script(short, own)
    return found


def main() -> int:
    """Write the files, or with --check tell which differ from what the data says; 1 if any does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    parser.add_argument("--plan", action="store_true", help="ask longtake plan anew what each setting takes")
    chosen = parser.parse_args()
    if chosen.plan:
        COSTS.write_text(json.dumps(plan_all(), indent=2) + "\n", encoding="utf-8")
    stale = []
    for name, text in pages().items():
        path = HERE / name
        if chosen.check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not chosen.check:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"stale: {', '.join(stale)} (run: python recipes/papers/generate.py)", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
