"""lmms: the real lmms-eval, run as its users run it, against longtake's own answers to the same questions.

It needs an environment of its own, with PyAV 15: `make try-lmms` builds it and runs this file there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import longtake
from chat import Chat, served
from lmms import films
from longtake.engines import GenerateOptions
from longtake.evals.asking import Wording
from longtake.families import Model
from longtake.lmms import TASKS
from longtake.lmms.marks import words
from longtake.lmms.settings import Settings
from longtake.measure import Run
from longtake.measure.rows import read_run
from longtake.pipeline import ask, watch
from longtake.video.opening import open_video

pytestmark = pytest.mark.skipif(
    find_spec("lmms_eval") is None,
    reason="lmms-eval is not installed; `make try-lmms` makes an environment that has it",
)
FRAMES = 9
"""Too few for the films, so that some answers are wrong and two shares that are equal mean something."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("films")
    films.make(place)
    return place


@pytest.fixture(scope="module")
def model() -> Model:
    return Settings.read({"frames": FRAMES, "device": "cpu"}).load()


def evaluate(tasks: str, include: Path, out: Path, *more: str, **environment: str) -> str:
    """Run lmms-eval; what it printed. Its exit status is 0 even where it stops at an error."""
    command = [sys.executable, "-m", "lmms_eval", "eval", "--model", "longtake", "--tasks", tasks]
    command += ["--include_path", str(include), "--output_path", str(out), "--log_samples", *more]
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(out.parent / "hub"), "OMP_NUM_THREADS": "1", **environment}
    ran = subprocess.run(command, env={**os.environ, **own}, cwd=include, capture_output=True, text=True)
    return ran.stdout + ran.stderr


def results(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("*_results.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def samples(out: Path, task: str) -> list[dict[str, Any]]:
    (path,) = out.rglob(f"*_samples_{task}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", [(), ("--force_simple",), ("--batch_size", "auto")], ids=["chat", "simple", "batched"])
def test_its_numbers_are_those_of_asking(folder: Path, model: Model, tmp_path: Path, kind: tuple[str, ...]) -> None:
    printed = evaluate("longtake_films", folder, tmp_path, "--model_args", f"model=nano,frames={FRAMES}", *kind)
    asked = rows(folder, "rows")
    alone = [
        ask(model, watch(model, open_video(row["video"])), row["question"], GenerateOptions(32)).text for row in asked
    ]
    found = samples(tmp_path, "longtake_films")
    assert [sample["doc_id"] for sample in found] == list(range(len(asked))), printed
    assert [sample["filtered_resps"] for sample in found] == alone
    right = sum(text.strip() == row["answer"] for text, row in zip(alone, asked, strict=True))
    assert 0 < right < len(asked)
    told = results(tmp_path)
    assert told["results"]["longtake_films"]["right,none"] == pytest.approx(right / len(asked))
    videos = len({row["video"] for row in asked})
    assert told["throughput"]["avg_watched"] == videos < len(asked) == told["throughput"]["avg_requests"]


def test_its_likelihoods_choose_what_longtake_chooses(folder: Path, model: Model, tmp_path: Path) -> None:
    args = f"model=nano,frames={FRAMES}"
    evaluate("longtake_films_weighed", folder, tmp_path, "--force_simple", "--model_args", args)
    found = samples(tmp_path, "longtake_films_weighed")
    right = 0
    for row, sample in zip(rows(folder, "weighed"), found, strict=True):
        losses = [float(loss) for loss, _ in sample["filtered_resps"]]
        greedy = [is_greedy == "True" for _, is_greedy in sample["filtered_resps"]]
        watched = watch(model, open_video(row["video"]))
        said = ask(model, watched, row["question"], GenerateOptions(32)).text
        assert min(losses) > 0 and greedy == [said == option for option in row["options"]]
        likeliest = row["options"][losses.index(min(losses))]
        assert likeliest == said or said not in row["options"]
        right += likeliest == row["answer"]
    assert results(tmp_path)["results"]["longtake_films_weighed"]["acc,none"] == pytest.approx(right / len(found))


@pytest.mark.parametrize("kind", [(), ("--force_simple",)], ids=["chat", "simple"])
def test_rounds(folder: Path, model: Model, tmp_path: Path, kind: tuple[str, ...]) -> None:
    evaluate("longtake_films_rounds", folder, tmp_path, "--model_args", f"model=nano,frames={FRAMES}", *kind)
    told = results(tmp_path)
    assert told["results"]["longtake_films_rounds"]["rounds,none"] == 2
    for row, sample in zip(rows(folder, "weighed"), samples(tmp_path, "longtake_films_rounds"), strict=True):
        watched = watch(model, open_video(row["video"]))
        first = ask(model, watched, row["question"], GenerateOptions(32)).text
        second = ask(model, watched, f"How many scenes are there? You said {first}", GenerateOptions(32)).text
        assert sample["filtered_resps"] == [first, second]
    assert told["throughput"]["avg_watched"] == len(rows(folder, "weighed"))


def test_a_missing_video_stops_it_or_is_an_empty_answer(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "films"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_text(path.read_text()) if path.suffix != ".mp4" else None
    asked = rows(folder, "rows")
    lost = asked[0]["video"]
    (place / "rows.jsonl").write_text((folder / "rows.jsonl").read_text().replace(lost, lost + ".gone"))
    stopped = evaluate("longtake_films", place, tmp_path / "stopped")
    assert "error[media.not_found]" in stopped and "there is no such file" in stopped
    assert not list((tmp_path / "stopped").rglob("*_results.json"))
    evaluate("longtake_films", place, tmp_path / "gone_on", "--model_args", "failed=empty")
    told, empty = results(tmp_path / "gone_on"), sum(row["video"] == lost for row in asked)
    assert told["throughput"]["avg_failed"] == empty
    answers = [sample["filtered_resps"] for sample in samples(tmp_path / "gone_on", "longtake_films")]
    assert [answer == "" for answer in answers] == [row["video"] == lost for row in asked]


def test_its_cache_is_used(folder: Path, tmp_path: Path) -> None:
    more = ("--use_cache", str(tmp_path / "cache"), "--model_args", f"model=nano,frames={FRAMES}")
    evaluate("longtake_films", folder, tmp_path / "one", *more)
    again = evaluate("longtake_films", folder, tmp_path / "two", *more)
    assert "requests served from cache" in again
    first, second = (results(tmp_path / name)["results"]["longtake_films"] for name in ("one", "two"))
    assert first == second


def test_the_task_files_are_loaded_and_run(folder: Path, bunny: Path, tmp_path: Path) -> None:
    from longtake.lmms import haystacks
    from longtake.lmms.rows import asked, rows_of

    samples_of, home = Path(__file__).parent / "evals", tmp_path / "home"
    names = ("msvd_qa", "msrvtt_qa", "tgif_frameqa", "intentqa")
    for name in names:
        (home / name).mkdir(parents=True)
        for path in (samples_of / name).iterdir():
            (home / name / path.name).write_bytes(path.read_bytes())
        for number, row in enumerate(rows_of(name, home / name)):
            Path(row["video"]).write_bytes((folder / f"film{number}.mp4").read_bytes())
    typed = [str(bunny), "--out", str(home / "vniah"), "--frames", "4", "--depths", "0,1", "--trials", "2"]
    assert haystacks.main(typed) == 0
    tasks = ",".join(f"longtake_{name}" for name in (*names, "vniah"))
    printed = evaluate(tasks, TASKS, tmp_path / "out", LONGTAKE_BENCHMARKS=str(home))
    told = results(tmp_path / "out")["results"]
    assert told["longtake_vniah"]["found,none"] == 1.0, printed
    assert 0 <= told["longtake_intentqa"]["accuracy,none"] <= 1
    assert {told[f"longtake_{name}"]["same_words,none"] for name in names[:3]} == {0.0}
    wordings: dict[str, Wording] = dict.fromkeys(names, "brief") | {"intentqa": "plain"}
    for name in names:
        put = [sample["input"] for sample in samples(tmp_path / "out", f"longtake_{name}")]
        assert put == [asked(row, wordings[name]) for row in rows_of(name, home / name)]


def test_its_numbers_are_those_of_longtake_eval(folder: Path, tmp_path: Path) -> None:
    """The same official files, by both roads: each answer, and each figure, is the same."""
    home, asked = tmp_path / "home", rows(folder, "rows")
    counts = {
        "msvd_qa": films.as_msvd_qa(asked, home / "msvd_qa"),
        "intentqa": films.as_intentqa(asked, home / "intentqa"),
    }
    tasks, args = ",".join(f"longtake_{name}" for name in counts), f"model=nano,frames={FRAMES}"
    evaluate(tasks, TASKS, tmp_path / "lmms", "--model_args", args, LONGTAKE_BENCHMARKS=str(home))
    told = results(tmp_path / "lmms")["results"]
    runs = {name: _own(name, home / name, tmp_path / name) for name in counts}
    for name, run in runs.items():
        found = samples(tmp_path / "lmms", f"longtake_{name}")
        assert len(found) == counts[name] and not run.failed
        assert [sample["input"] for sample in found] == [row.asked for row in run.rows]
        assert [sample["filtered_resps"] for sample in found] == [str(row.answer).strip() for row in run.rows]
    same = [words(str(row.answer)) == words(str(row.reference)) for row in runs["msvd_qa"].rows]
    assert 0 < sum(same) < len(same)
    assert told["longtake_msvd_qa"]["same_words,none"] == pytest.approx(sum(same) / len(same))
    right = [row.right for row in runs["intentqa"].rows]
    assert told["longtake_intentqa"]["accuracy,none"] == pytest.approx(sum(map(bool, right)) / len(right))
    unread = [row.read is None for row in runs["intentqa"].rows]
    assert told["longtake_intentqa"]["unreadable,none"] == pytest.approx(sum(unread) / len(unread))


def _own(name: str, data: Path, out: Path) -> Run:
    """What `longtake eval` makes of a benchmark, in the words and with the lengths of our task files."""
    how = {"msvd_qa": ("brief", "64"), "intentqa": ("plain", "16")}[name]
    command = [sys.executable, "-m", "longtake", "eval", name, "--data", str(data), "--out", str(out), "--quiet"]
    command += ["--frames", str(FRAMES), "--prompt", how[0], "--max-new-tokens", how[1], "--no-store"]
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return read_run(out)


def test_a_judge_is_asked_and_what_it_cannot_score_is_counted(folder: Path, tmp_path: Path) -> None:
    def reply(text: str) -> str:
        return '{"pred": "yes", "score": 4}' if "colo" in text else "who knows"

    all_rows = rows(folder, "rows")
    count = films.as_msvd_qa(all_rows, tmp_path / "home" / "msvd_qa")
    with served(Chat(reply=reply)) as chat:
        told = {"LONGTAKE_BENCHMARKS": str(tmp_path / "home"), "LONGTAKE_JUDGE": f"{chat.url}#judge"}
        printed = evaluate("longtake_msvd_qa", TASKS, tmp_path / "out", **told)
    scored = sum("colo" in text for text in chat.texts)
    assert len(chat.texts) == count and 0 < scored < count, printed
    found = results(tmp_path / "out")["results"]["longtake_msvd_qa"]
    assert (found["judged_right,none"], found["judged_score,none"]) == (1.0, 4.0)
    assert found["unscored,none"] == pytest.approx(1 - scored / count)


def test_without_the_files_a_task_says_so(tmp_path: Path) -> None:
    printed = evaluate("longtake_msvd_qa", TASKS, tmp_path, LONGTAKE_BENCHMARKS=str(tmp_path / "nowhere"))
    assert "error[media.not_found]" in printed and "nowhere" in printed


def test_it_lists_the_model() -> None:
    from lmms_eval.models import get_model, get_model_manifest

    manifest = get_model_manifest("longtake")
    assert manifest.chat_class_path and manifest.simple_class_path
    assert not get_model("longtake").is_simple and get_model("longtake", force_simple=True).is_simple
    assert longtake.__version__
