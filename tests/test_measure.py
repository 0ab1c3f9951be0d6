"""`longtake eval BENCHMARK`: a tiny random model asked about drawn films. Two roads to one row; faults; the command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import longtake
import measuring
import tiny
from chat import Chat, refused, served
from longtake import parts, pipeline
from longtake.choosing import Point, weigh, weigh_letters
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals.finding import footage
from longtake.families import Model
from longtake.measure import Header, Row, Run
from longtake.measure.asking import Manner
from longtake.measure.grouping import Groups, groups_of, parse_shard, read_sheet
from longtake.measure.heading import Settings, header_of
from longtake.measure.roads import Straight
from longtake.measure.rows import begin, read_run
from longtake.measure.running import Asking, Measuring, refuse_hopeless, rows_of
from longtake.prompt import question_ids
from longtake.video import Video
from longtake.video.apart import DecodingProcess
from longtake.video.opening import open_video
from running import LONGTAKE, ONE_LINE, Cli

BOTH = ("letter", "likelihood")
SHORT = GenerateOptions(max_new_tokens=24)
HERE = Path(__file__).parent


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("tiny") / "model", trained_context=4096))


@pytest.fixture(scope="module")
def model(folder: str) -> Model:
    loaded = longtake.load(folder)
    return replace(loaded, sampler=parts.build("samplers", "uniform", {"frames": "4"}, label="sampler"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measuring.next_qa(tmp_path_factory.mktemp("next_qa"))


def opener(path: Path) -> AbstractContextManager[Video]:
    return nullcontext(open_video(path))


def silent(*_: object) -> None:
    """Hears nothing."""


def asking(model: Model, name: str, data: Path, **more: Any) -> Asking:
    made = {"wording": "published", "scoring": BOTH, **more}
    benchmark = parts.build("evals.benchmarks", name, made.get("options", {}), label="benchmark")
    manner = Manner(benchmark, made["wording"], model.template)
    return Asking(Straight(model, made["scoring"], SHORT), manner, made["scoring"], opener, data)


def groups_in(ask: Asking) -> Groups:
    return groups_of(read_sheet(ask.manner.benchmark, ask.data), footage(ask.data))


def measured(ask: Asking, model: Model, out: Path, *, shard: str | None = None) -> Run:
    sheet = read_sheet(ask.manner.benchmark, ask.data)
    header = header_of(sheet, ask.manner, model, Settings(ask.scoring, SHORT, shard=shard))
    measuring = Measuring(ask, groups_in(ask).shard(shard), begin(out, header))
    list(measuring.rows(silent))
    return read_run(out)


def lasting(rows: Any) -> list[dict[str, Any]]:
    return sorted((row.lasting for row in rows), key=lambda row: row["number"])


def options(folder: str, data: Path, out: Path | None, *more: str) -> list[str]:
    place = [] if out is None else ["--out", str(out)]
    frames = [] if "--method" in more and "again" in more else ["--frames", "4"]
    common = ["--model", folder, *frames, "--max-new-tokens", "4", *place]
    return ["eval", "next_qa", "--data", str(data), *common, *more]


def test_grouped_is_one_by_one(model: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video that is read once for all its questions answers them as one that is read for each."""
    ask = asking(model, "next_qa", data)
    watched: list[str] = []
    monkeypatch.setattr(
        "longtake.measure.roads.watch", lambda *given, **more: watched.append("") or watch(*given, **more)
    )
    watch = pipeline.watch
    groups = groups_in(ask).all
    assert [[question.item.id for question in group.questions] for group in groups] == [
        ["4000_0", "4000_1"],
        ["4001_0", "4001_1"],
        ["4002_0", "4002_1"],
    ]
    together = [row for group in groups for row in rows_of(group, ask, silent)]
    assert len(watched) == 3
    apart = [
        row
        for group in groups
        for question in group.questions
        for row in rows_of(replace(group, questions=(question,)), ask, silent)
    ]
    assert len(watched) == 9
    assert lasting(together) == lasting(apart)
    assert len({row.answer for row in together}) > 1, "the model says the same whatever it is asked"
    assert "read" in together[0].seconds and "read" not in together[1].seconds


@pytest.mark.parametrize("stated", [True, False])
def test_a_row_is_what_ask_and_weigh_say(model: Model, data: Path, stated: bool) -> None:
    """Of models that come to a letter by saying first what it rests on (nano), and of those that name it at once."""
    assert model.template.choices is not None and model.template.choices.stated
    if not stated:
        model = replace(model, template=replace(model.template, choices=None))
    ask = asking(model, "next_qa", data)
    (group, *_) = groups_in(ask).all
    row = next(iter(rows_of(group, ask, silent)))
    assert row.asked == (
        "what is shown 0 times in 0\nA. a dog\nB. a cat\nC. a boat\nD. a kite\nE. a lamp\n"
        "Answer with the option's letter from the given choices directly."
    )
    watched = pipeline.watch(model, open_video(data / "4000.mp4"))
    answer = pipeline.ask(model, watched, row.asked, SHORT)
    assert (row.answer, row.tokens, row.frames) == (answer.text, answer.tokens, 4)
    ids = question_ids(watched.template, model.tokenizer, row.asked)
    point = Point(watched.prefix, ids, watched.template)
    shares = (weigh_letters(model, point, "ABCDE", SHORT) if stated else weigh(model, point, "ABCDE")).shares
    assert row.shares == pytest.approx(shares, abs=1e-6)
    assert row.right is (row.read == row.right_option)
    assert row.mark("likelihood").value == float(shares.index(max(shares)) == row.right_option)


def test_options_as_the_template_offers_them(model: Model, data: Path) -> None:
    """`--prompt template` is `longtake ask --choice`: the same words and the same likelihoods."""
    ask = asking(model, "next_qa", data, wording="template")
    (group, *_) = groups_in(ask).all
    row = next(iter(rows_of(group, ask, silent)))
    assert row.asked == "what is shown 0 times in 0 (A) a dog (B) a cat (C) a boat (D) a kite (E) a lamp"
    watched = pipeline.watch(model, open_video(data / "4000.mp4"))
    chosen = pipeline.choose(model, watched, row.question, row.options, SHORT)
    assert row.shares == pytest.approx([offered.probability for offered in chosen.choices], abs=1e-6)


def test_shards_are_the_undivided_run(model: Model, data: Path, tmp_path: Path) -> None:
    ask = asking(model, "next_qa", data, scoring=("letter",))
    whole = measured(ask, model, tmp_path / "whole")
    for number in range(1, 9):
        parted = measured(ask, model, tmp_path / "parted", shard=f"{number}/8")
    assert lasting(parted.rows) == lasting(whole.rows)
    assert parted.header == whole.header and len(parted.shards) == 8 and not parted.missing
    videos = [{row.video for row in read_shard(tmp_path / "parted", number)} for number in range(1, 9)]
    assert [len(one) for one in videos] == [1, 1, 1, 0, 0, 0, 0, 0], "questions on one video were parted"


def read_shard(out: Path, number: int) -> list[Row]:
    lines = (out / f"rows-{number}of8.jsonl").read_text().splitlines()
    return [Row.from_json(json.loads(line)) for line in lines]


@pytest.mark.parametrize("shard", ["0/8", "9/8", "3", "/8", "3/", "a/b", "3/8/2", "-1/8"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(LongtakeError, match="is no part of several") as refused:
        parse_shard(shard)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION


def test_twenty_kills_lead_to_the_rows_of_an_undisturbed_run(folder: str, tmp_path: Path) -> None:
    """FAULTS.md J1: kill -9 at random moments, each time taken up again: no row lost, none twice, all the same."""
    data = measuring.next_qa(tmp_path / "data", videos=5, questions=3)
    command = [sys.executable, str(HERE / "kill_measured.py"), str(data), folder, str(tmp_path), "20", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    rows_at_kill = json.loads(done.stdout)
    whole = read_run(tmp_path / "whole")
    runs = sorted(tmp_path.glob("killed-*"))
    assert len(rows_at_kill) == 20 and any(0 < rows < 15 for rows in rows_at_kill), rows_at_kill
    for one in runs:
        lines = (one / "rows.jsonl").read_text().splitlines()
        assert len(lines) == 15, f"{one.name} has {len(lines)} rows"
        assert lasting(read_run(one).rows) == lasting(whole.rows)
        assert read_run(one).header == whole.header


def test_what_fails_is_a_row_and_never_a_score(folder: str, tmp_path: Path, cli: Cli) -> None:
    """FAULTS.md J11: a video that is not there, one that is damaged, a row that is no question, among good ones."""
    data = measuring.next_qa(tmp_path / "data", videos=4, questions=2)
    (data / "4001.mp4").unlink()
    damaged = data / "4002.mp4"
    damaged.write_bytes(damaged.read_bytes()[:-900])
    with open(data / "val.csv", "a") as table:
        table.write("4003,8,96,64,what is wrong,9,7,CW,a,b,c,d,e\n")
    out = tmp_path / "out"

    status, printed, err = cli(*options(folder, data, out))
    assert status == ErrorCode.PARTIAL_FAILED.value.exit_status == 8
    lines = err.splitlines(keepends=True)
    assert "1 video is not there (2 questions will fail): 4001" in err
    assert re.search(r"1 row of the files is no question \(counted as failed\):\n  val\.csv:10: .*'answer'", err)
    assert ONE_LINE.fullmatch(lines[-1]) and "5 of 9 questions failed" in lines[-1]
    run = read_run(out)
    assert {row.id: row.error and row.error.partition(":")[0] for row in run.rows} == {
        "4000_0": None,
        "4000_1": None,
        "4001_0": "media.not_found",
        "4001_1": "media.not_found",
        "4002_0": "media.truncated",
        "4002_1": "media.truncated",
        "4003_0": None,
        "4003_1": None,
        "val.csv:10": "data.bad",
    }
    benchmark = parts.find("evals.benchmarks", "next_qa")()
    accuracy = benchmark.figures(run.marks())[0]
    assert (accuracy.scored, accuracy.unscored) == (4, 5)
    assert all(row.right is None and row.answer is None for row in run.failed)
    assert not any(str(tmp_path) in str(row.error) for row in run.rows), "a folder's name would differ elsewhere"
    (shown,) = [line for line in printed.splitlines() if line.strip().startswith("accuracy")]
    assert "n 4; between " in shown and "letter: 4 answers named no option, or several" in printed

    # Again: nothing to do, and still not well. Mended and asked again: only what had failed.
    before = (out / "rows.jsonl").read_text().splitlines()
    status, _, err = cli(*options(folder, data, out))
    assert status == 8 and "nothing is left to ask: all 9 rows" in err
    measuring.film(data / "4001.mp4", 1)
    status, out_json, _ = cli(*options(folder, data, out, "--retry-failed", "--json"))
    told = json.loads(out_json)
    assert (status, told["asked_now"], told["failed"], told["rows"]) == (8, 5, 3, 9)
    after = (out / "rows.jsonl").read_text().splitlines()
    assert [line for line in before if '"error": null' in line] == after[:4]


def test_more_failures_than_may_end_the_run(folder: str, tmp_path: Path, cli: Cli) -> None:
    data = measuring.next_qa(tmp_path / "data", videos=3, questions=2)
    (data / "4000.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    status, _, err = cli(*options(folder, data, out, "--max-failed", "1"))
    assert status == 8 and "2 questions have failed, more than the 1 that may" in err
    assert len(read_run(out).rows) == 2
    assert cli(*options(folder, data, out, "--max-failed", "2"))[0] == 8
    assert len(read_run(out).rows) == 6


def test_a_run_of_other_settings_is_refused(folder: str, data: Path, tmp_path: Path, cli: Cli) -> None:
    """FAULTS.md J8."""
    out = tmp_path / "out"
    assert cli(*options(folder, data, out))[0] == 0
    rows = (out / "rows.jsonl").read_bytes()
    for more, differs in (
        (("--prompt", "plain"), "prompt: 'published' and 'plain'"),
        (("--set", "layout.pool=1"), "parts.layout.options.pool: 2 and 1"),
        (("--scoring", "both"), "scoring: ['letter'] and ['letter', 'likelihood']"),
        (("--limit-items", "5"), "items: 6 and 5"),
        (("--seed", "7"), "drawing.seed: 0 and 7"),
        (("--on-corrupt", "skip"), "more.reading.on_corrupt: 'error' and 'skip'"),
    ):
        status, _, err = cli(*options(folder, data, out, *more))
        assert (status, bool(ONE_LINE.fullmatch(err.splitlines(keepends=True)[-1]))) == (2, True)
        assert differs in err and "--force-new" in err
    other = tiny.checkpoint(tmp_path / "other" / "model", seed=5, trained_context=4096)
    status, _, err = cli(*options(str(other), data, out))
    assert status == 2 and "model.sha256" in err and "model.name" not in err
    assert (out / "rows.jsonl").read_bytes() == rows
    assert cli(*options(folder, data, out, "--prompt", "plain", "--force-new"))[0] == 0
    assert read_run(out).header.prompt == "plain" and len(read_run(out).rows) == 6


def test_files_that_changed_and_kept_their_ids_are_another_run(folder: str, tmp_path: Path, cli: Cli) -> None:
    data, out = measuring.next_qa(tmp_path / "data", videos=1, questions=2), tmp_path / "out"
    assert cli(*options(folder, data, out))[0] == 0
    table = (data / "val.csv").read_text()
    for changed in (table.replace("a kite", "a cow"), table.replace(",0,0,CW", ",1,0,CW")):
        assert changed != table
        (data / "val.csv").write_text(changed)
        status, _, err = cli(*options(folder, data, out))
        assert status == 2 and "more.questions_sha256" in err and "digest" not in err


def test_dry_run_asks_nothing(folder: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    data = measuring.next_qa(tmp_path / "data", videos=4, questions=3)
    (data / "4002.mp4").unlink()
    monkeypatch.setattr("longtake.pipeline.watch", None)
    monkeypatch.setattr("longtake.loading.load_weights", None, raising=False)
    told = cli.json(*options(folder, data, None, "--dry-run"))
    assert (told["questions"], told["videos"], told["lost"]) == (12, 4, 3)
    assert list(told["missing"]) == ["4002"]
    plan = told["plan"]
    assert (plan["frames"], plan["looked_at"], plan["trained_context"]) == (4, 3, 4096)
    status, out, err = cli(*options(folder, data, None, "--dry-run"))
    assert status == 0 and "1 video is not there (3 questions will fail): 4002" in out

    # What is foreseen is what is then read: each prefix once, each question once.
    monkeypatch.undo()
    monkeypatch.setenv("LONGTAKE_STORE", "")
    assert cli(*options(folder, data, tmp_path / "out"))[0] == 8
    rows = [row for row in read_run(tmp_path / "out").rows if row.error is None]
    assert {row.tokens["visual"] for row in rows} == {plan["visual_tokens"]}
    longest = max(sum(row.tokens.values()) for row in rows)
    assert longest <= plan["longest_tokens"] <= longest + 4


def test_a_dry_run_without_any_video_counts_all_the_same(folder: str, tmp_path: Path, cli: Cli) -> None:
    """What has to be known before videos are fetched: how many, of which split, and which rows are none."""
    data = measuring.next_qa(tmp_path / "data", videos=2, questions=3)
    with open(data / "val.csv", "a") as table:
        table.writelines(f"4000,8,96,64,what is wrong,9,{number},CW,a,b,c,d,e\n" for number in range(50, 75))
    (tmp_path / "none").mkdir()
    nowhere = ("--videos", str(tmp_path / "none"))
    status, out, err = cli(*options(folder, data, None, "--dry-run", *nowhere))
    assert status == ErrorCode.MEDIA_NOT_FOUND.value.exit_status == 3
    assert ONE_LINE.fullmatch(err) and "holds none of the 2 videos that are asked about" in err
    assert "split unknown, all 31: 31 questions about 2 videos" in out
    assert "2 videos are not there (6 questions will fail): 4000, 4001" in out
    named = re.findall(r"^  (val\.csv:\d+): .*'answer'", out, re.MULTILINE)
    assert named == [f"val.csv:{line}" for line in range(8, 28)] and "  and 5 more;" in out
    assert "note: no video was found" in out

    status, out, err = cli(*options(folder, data, None, "--dry-run", "--json", *nowhere))
    told = json.loads(out)
    assert (status, err) == (3, "") and told["plan"] is None
    assert (told["split"], told["questions"], len(told["faulty"]), len(told["missing"])) == (
        "unknown, all 31",
        31,
        25,
        2,
    )
    assert all("answer" in reason for reason in told["faulty"].values())

    status, out, err = cli(*options(folder, data, tmp_path / "out", *nowhere))
    assert status == 3 and out == "" and "holds none of the 2 videos" in err and not (tmp_path / "out").exists()


def test_a_video_that_has_changed_is_not_gone_on_with(folder: str, tmp_path: Path, cli: Cli) -> None:
    """FAULTS.md J7's like: rows of two films under one name would be summed up as of one."""
    data, out = measuring.next_qa(tmp_path / "data", videos=3, questions=1), tmp_path / "out"
    (data / "4002.mp4").rename(tmp_path / "later.mp4")
    assert cli(*options(folder, data, out, "-q"))[0] == 8
    before = (out / "rows.jsonl").read_bytes()
    prints = {row.file: row.file_print for row in read_run(out).rows}
    assert len(set(prints.values())) == 3 and prints[None] == ""

    changed, kept = data / "4001.mp4", (data / "4001.mp4").read_bytes()
    measuring.film(changed, 77)
    for more in ((), ("--retry-failed",)):
        status, _, err = cli(*options(folder, data, out, "-q", *more))
        assert status == ErrorCode.DATA_BAD.value.exit_status and ONE_LINE.fullmatch(err)
        assert str(changed) in err and "has changed since" in err
        assert (out / "rows.jsonl").read_bytes() in (before, b"".join(before.splitlines(keepends=True)[:2]))

    # As it was, or with the same bytes copied anew, the run goes on; what had failed may be another file now.
    changed.write_bytes(kept)
    (tmp_path / "later.mp4").rename(data / "4002.mp4")
    assert cli(*options(folder, data, out, "-q", "--retry-failed"))[0] == 0
    rows = read_run(out).rows
    assert [row.error for row in rows] == [None] * 3 and len({row.file_print for row in rows}) == 3
    # A byte of the same length, at the end.
    changed.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert cli(*options(folder, data, out, "-q"))[0] == ErrorCode.DATA_BAD.value.exit_status
    # One that is gone is not asked about again; a run that is thrown away begins anew.
    changed.unlink()
    assert cli(*options(folder, data, out, "-q"))[0] == 0
    measuring.film(changed, 77)
    assert cli(*options(folder, data, out, "-q", "--force-new"))[0] == 0


@pytest.mark.parametrize(
    "refused",
    [
        (("--split", "test"), "the files are of unknown"),
        (("--shard", "9/8"), "is no part of several"),
        (("--set", "benchmark.subtitles=true"), "there is no such option"),
        (("--set", "sampler.frames=3"), "--frames says the same"),
        (("--method", "captions"), "picks frames itself"),
        (("--reader", "nano"), "only a --method has one"),
        (("--videos", "/nowhere"), "there is no such folder"),
        (("--max-new-tokens", "4090"), "this model reads 4,096"),
        (("--method", "again", "--set", "method.coarse=9", "--set", "method.frames=3"), "coarse is 9"),
    ],
)
def test_what_does_not_fit_is_refused(
    folder: str, data: Path, tmp_path: Path, cli: Cli, refused: tuple[tuple[str, ...], str]
) -> None:
    more, said = refused
    status, out, err = cli(*options(folder, data, tmp_path / "out", *more))
    assert status in (2, 3, 5) and out == "" and said in err
    assert not (tmp_path / "out").exists()


def test_one_odd_video_does_not_end_a_run(model: Model, data: Path) -> None:
    """A run is hopeless where the first few videos are all refused; damage says nothing of the next video."""

    class Picky(Straight):
        def check(self, video: Video) -> None:
            code = codes.pop(0)
            if code is not None:
                raise LongtakeError(code, "", "too much", "less")

    ask = asking(model, "next_qa", data)
    ask = replace(ask, road=Picky(model, BOTH, SHORT))
    much = ErrorCode.LIMIT_CONTEXT
    for codes in ([None], [much, None], [much, much, None], [much, ErrorCode.MEDIA_CORRUPT]):
        refuse_hopeless(ask, groups_in(ask))
        assert not codes
    codes = [much] * 3
    with pytest.raises(LongtakeError, match="too much"):
        refuse_hopeless(ask, groups_in(ask))


def test_names_are_told(folder: str, data: Path, tmp_path: Path, cli: Cli) -> None:
    status, _, err = cli("eval", "next_q", "--data", data, "--out", tmp_path / "out")
    assert status == 2 and "next_q: is none of the benchmarks (take one of activitynet_qa" in err
    status, _, err = cli(*options(folder, data, None))
    assert status == 2 and "--out" in err
    assert "next_qa" in cli("eval", "--help")[1]
    assert "longtake eval next_qa" in cli("eval", "next_qa", "--help")[1]
    assert cli("eval", "perplexity", "--help")[0] == 0
    status, _, err = cli(*options(folder, data, tmp_path / "out", "--videos", str(tmp_path)))
    assert status == 3 and "holds none of the 3 videos" in err


def test_subtitles_of_the_frames_that_are_seen(model: Model, tmp_path: Path) -> None:
    """Shown as the benchmark says, whatever the wording; a row says so of a video that has none."""
    data = measuring.video_mme(tmp_path / "data")
    for wording in ("published", "plain", "template"):
        said: list[str] = []
        ask = asking(model, "video_mme", data, options={"subtitles": "true"}, wording=wording, scoring=("letter",))
        road = _Telling(ask.road.model, ask.road.scoring, ask.road.options, said)
        rows = [row for group in groups_in(ask).all for row in rows_of(group, replace(ask, road=road), silent)]
        assert [(row.subtitles, row.error) for row in rows] == [(2, None), (0, None)]
        assert said[0].startswith("This video's subtitles are listed below:\nwe begin\nwe go on\n")
        assert "nobody sees this" not in said[0] and "subtitles" not in said[1]
    ask = asking(model, "video_mme", data, scoring=("letter",))
    rows = [row for group in groups_in(ask).all for row in rows_of(group, ask, silent)]
    assert [row.subtitles for row in rows] == [None, None]


class _Telling(Straight):
    """Tells what is asked."""

    def __init__(self, model: Model, scoring: Any, options: GenerateOptions, said: list[str]) -> None:
        super().__init__(model, scoring, options)
        object.__setattr__(self, "said", said)

    def say(self, watched: Any, item: Any, words: Any) -> Any:
        vars(self)["said"].append(words.text)
        return super().say(watched, item, words)


def test_only_the_stretch_is_read(model: Model, data: Path) -> None:
    """Questions about two stretches of one video are two groups; each sees frames of its own."""
    ask = asking(model, "next_qa", data, scoring=("letter",))
    (group, *_) = groups_in(ask).all
    (first, second) = group.questions
    early = replace(group, questions=(first,), span_s=(0.0, 1.0))
    late = replace(group, questions=(second,), span_s=(1.0, 4.0))
    (one,), (other,) = (list(rows_of(part, ask, silent)) for part in (early, late))
    assert (one.frames, other.frames) == (2, 4)
    watched = pipeline.watch(model, open_video(data / "4000.mp4").stretch(0.0, 1.0))
    assert one.answer == pipeline.ask(model, watched, one.asked, SHORT).text
    (nowhere,) = rows_of(replace(early, span_s=(90.0, 91.0)), ask, silent)
    assert nowhere.error is not None and nowhere.error.startswith("usage.bad_span: ")


def test_a_question_that_cannot_be_asked_fails_alone(model: Model, data: Path) -> None:
    ask = asking(replace(model, beyond_trained_context=False), "next_qa", data, scoring=("letter",))
    (group, *_) = groups_in(ask).all
    (first, second) = group.questions
    long = replace(first, item=replace(first.item, question="what " * 5000))
    rows = list(rows_of(replace(group, questions=(long, second)), ask, silent))
    assert rows[0].error is not None and rows[0].error.startswith("limit.context: the question is too long")
    assert rows[1].error is None and rows[1].answer is not None


def test_memory_that_runs_out_is_a_row(model: Model, data: Path) -> None:
    def short_of_memory(path: Path) -> AbstractContextManager[Video]:
        raise MemoryError

    ask = replace(asking(model, "next_qa", data), opener=short_of_memory)
    rows = list(rows_of(groups_in(ask).all[0], ask, silent))
    assert [row.error for row in rows] == ["limit.memory: there was not enough memory for it"] * 2


@pytest.mark.skipif(os.name != "posix", reason="sends signals that only POSIX has")
def test_a_decoder_that_crashes_costs_its_video_only(model: Model, data: Path, tmp_path: Path) -> None:
    """FAULTS.md J2, J3: with --isolate one process decodes all; where it dies, that video has failed, and a new one
    reads the next.
    """

    class FaultyProcess(DecodingProcess):
        module = "faulty_worker"

    ask = asking(model, "next_qa", data, scoring=("letter",))
    groups = groups_in(ask).all
    poison = Path(shutil.copy(data / "4001.mp4", tmp_path / "segfault@decode+2.mp4"))
    with FaultyProcess() as process:
        apart = replace(ask, opener=lambda path: nullcontext(process.open_video(path)))
        poisoned = (groups[0], replace(groups[1], path=poison), groups[2])
        rows = [row for group in poisoned for row in rows_of(group, apart, silent)]
    assert [(row.error or "").partition(":")[0] for row in rows] == ["", "", *["media.decoder_failed"] * 2, "", ""]
    here = [row for group in (groups[0], groups[2]) for row in rows_of(group, ask, silent)]
    assert lasting(row for row in rows if row.error is None) == lasting(here)


@pytest.mark.parametrize("code", [ErrorCode.DISK_WRITE, ErrorCode.NETWORK_UNREACHABLE, ErrorCode.RANKS_LOST])
def test_what_would_fail_for_all_ends_the_run(model: Model, data: Path, tmp_path: Path, code: ErrorCode) -> None:
    opened: list[Path] = []

    def then_lost(path: Path) -> AbstractContextManager[Video]:
        opened.append(path)
        if len(opened) > 1:
            raise LongtakeError(code, "", "gone", "come back")
        return opener(path)

    ask = replace(asking(model, "next_qa", data, scoring=("letter",)), opener=then_lost)
    with pytest.raises(LongtakeError, match="gone"):
        measured(ask, model, tmp_path / "out")
    assert [row.video for row in read_run(tmp_path / "out").rows] == ["4000", "4000"]
    run = measured(replace(ask, opener=opener), model, tmp_path / "out")
    assert len(run.rows) == 6 and not run.failed


def test_twins_are_asked_of_the_same_video(model: Model, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(HERE / "evals" / "vcgbench" / "consistency_qa.json", data)
    for place, name in enumerate(("AbCdEfGhIjK", "lMnOpQrStUv")):
        measuring.film(data / f"v_{name}.mp4", place)
    ask = asking(model, "vcgbench", data)
    rows = [row for group in groups_in(ask).all for row in rows_of(group, ask, silent)]
    assert [row.error for row in rows] == [None, None]
    watched = pipeline.watch(model, open_video(data / "v_AbCdEfGhIjK.mp4"))
    assert rows[0].answer == pipeline.ask(model, watched, "Who rows?", SHORT).text
    assert rows[0].twin_answer == pipeline.ask(model, watched, "Which person is rowing the boat?", SHORT).text
    assert (rows[0].shares, rows[0].right, rows[0].read, rows[0].reference) == (None, None, None, "The boatman rows.")
    assert {mark.value for row in rows for mark in row.marks()} == {None}


def test_questions_that_name_their_options_are_weighed_by_their_words(model: Model) -> None:
    for name, item_id, called in (
        ("tempcompass", "yes_no", ("yes", "no")),
        ("tempcompass", "multi-choice", ("A", "B", "C", "D")),
        ("tempcompass", "caption_matching", ("Option 1", "Option 2")),
    ):
        benchmark = parts.find("evals.benchmarks", name)()
        items = read_sheet(benchmark, HERE / "evals" / name).items
        item = next(one for one in items if one.id.startswith(item_id) and one.options)
        words = Manner(benchmark, "published", model.template).words(item)
        assert words.called == called[: len(item.options)] and words.lettered is (item_id == "multi-choice")


def test_header_tells_all_that_rows_depend_on(folder: str, data: Path, tmp_path: Path, cli: Cli) -> None:
    told = cli.json(*options(folder, data, tmp_path / "out", "--scoring", "both", "--seed", "3"))
    assert (told["items"], told["rows"], told["missing"], told["failed"]) == (6, 6, 0, 0)
    assert set(told["figures"]) == set(BOTH) and told["cut"] == 6
    header = Header.from_json(json.loads((tmp_path / "out" / "run.json").read_text()))
    assert header.split == "unknown, all 6" and header.scoring == BOTH and header.seed == 3
    assert len(header.model["sha256"]) == 64 and header.model["name"] == "model"
    assert header.parts["sampler"] == {"name": "uniform", "options": {"frames": 4}} and header.frames == 4
    assert {"longtake", "torch", "transformers", "av"} <= set(header.versions)
    assert header.example.startswith("what is shown 0 times in 0\nA. a dog")


def test_ctrl_c_says_how_to_go_on(folder: str, tmp_path: Path) -> None:
    data = measuring.next_qa(tmp_path / "data", videos=2, questions=60)
    out = tmp_path / "out"
    command = [*LONGTAKE, *options(folder, data, out)]
    quiet = {**os.environ, "LONGTAKE_STORE": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet) as run:
        while run.poll() is None and not ((out / "rows.jsonl").exists() and (out / "rows.jsonl").stat().st_size):
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        said, err = run.communicate(timeout=120)
    assert (run.returncode, said) == (130, ""), err
    rows = len(read_run(out).rows)
    assert f"stopped by Ctrl-C; {rows} of 120 questions have their rows (run the same command again" in err
    assert 0 < rows < 120


def test_a_method_answers_too(folder: str, data: Path, tmp_path: Path, cli: Cli) -> None:
    """By two looks at each video; options are weighed where the method offers them itself."""
    common = ["eval", "next_qa", "--data", str(data), "--model", folder, "--limit-items", "2", "--max-new-tokens", "4"]
    again = ["--method", "again", "--set", "method.frames=6", "--set", "method.coarse=3"]
    status, _, err = cli(*common, *again, "--out", tmp_path / "out", "--scoring", "both")
    assert status == 2 and "--prompt template" in err
    told = cli.json(*common, *again, "--out", tmp_path / "out", "--scoring", "both", "--prompt", "template")
    assert (told["rows"], told["failed"]) == (2, 0)
    run = read_run(tmp_path / "out")
    assert run.header.parts["method"]["name"] == "again" and run.header.frames == 6
    for row in run.rows:
        assert row.answer in row.options and row.shares is not None and sum(row.shares) == pytest.approx(1, abs=1e-5)


def test_a_reader_that_admits_nobody_ends_the_run(folder: str, data: Path, tmp_path: Path, cli: Cli) -> None:
    """A key that is refused would be refused for every question: nothing is written down as the questions' fault."""
    out = tmp_path / "out"
    with served(Chat(reply=lambda text: refused(401, "no such key"))) as chat:
        reader = ["--method", "captions", "--reader", f"{chat.url}#m", "--model", folder, "--max-new-tokens", "4"]
        command = ["eval", "next_qa", "--data", data, "--limit-items", "2", "--out", out, *reader]
        status, _, err = cli(*command, "--prompt", "template", "--scoring", "letter")
        assert status == 6 and "network.refused" in err and "401" in err
        assert len(chat.texts) == 1 and read_run(out).rows == ()
        chat.reply = lambda text: "B"
        assert cli.json(*command, "--prompt", "template", "--scoring", "letter")["failed"] == 0
