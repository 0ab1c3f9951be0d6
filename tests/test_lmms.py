"""lmms: what lmms-eval asks in, answers out, without lmms-eval; tests/test_lmms_real.py asks it."""

from __future__ import annotations

import json
import math
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import longtake
from chat import Chat, served
from lmms import films
from longtake import parts
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.lmms import TASKS, haystacks, marks
from longtake.lmms.answering import Answerer
from longtake.lmms.media import Medium, medium_of, opened
from longtake.lmms.rows import ROWS, asked, home_of, rows_of
from longtake.lmms.settings import Settings
from longtake.lmms.wanted import Wanted, from_messages, options_of, wanted
from longtake.pipeline import ask, choose, watch
from longtake.video.opening import open_video

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(__file__).parent / "evals"
BENCHMARKS = ("msvd_qa", "msrvtt_qa", "tgif_frameqa", "intentqa")


@pytest.fixture(scope="module")
def model() -> Model:
    return longtake.load("nano", device="cpu")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return films.make(tmp_path_factory.mktemp("films"), films=3)


def refused(act: Callable[[], object]) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        act()
    return caught.value


AS_IS = Settings()


def about(row: dict[str, Any], settings: Settings = AS_IS, **how: Any) -> Wanted:
    return wanted(row["id"], lambda: [row["video"]], row["question"], {"max_new_tokens": 24, **how}, settings)


# What is asked.


def test_arguments_are_read_as_lmms_eval_hands_them_on(tmp_path: Path) -> None:
    given = {"layout": "slowfast", "layout.slow_frames": 4, "frames": 16, "batch_size": "auto", "store": str(tmp_path)}
    loaded = Settings.read(given).load()
    assert parts.told(loaded.layout, "layouts")["name"] == "slowfast"
    assert parts.options(loaded.layout)["slow_frames"] == 4 and parts.options(loaded.sampler)["frames"] == 16
    assert loaded.store is not None
    assert Settings.read({"batch_size": "auto"}).batch_size is None
    assert Settings.read({"batch_size": "auto", "max_batch_size": 3}).batch_size == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layuot": "grid"}, "no such model argument"),
        ({"frames": 0}, "a whole number"),
        ({"batch_size": "many"}, "a whole number"),
        ({"failed": "skip"}, "stop or empty"),
        ({"beyond_trained_context": "perhaps"}, "true or false"),
        ({"layout.sides": 3}, "layout.sides"),
        ({"sampler": "random"}, "random"),
        ({"frames": 8, "sampler.frames": 9}, "give one of the two"),
        ({"rope.factor": 2}, "none is named"),
        ({"tower": "tpu"}, "tpu"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(given: dict[str, Any], told: str) -> None:
    error = refused(lambda: Settings.read(given).load())
    assert error.code is ErrorCode.USAGE_BAD_OPTION and told in str(error)


def test_processes_of_one_machine_take_a_card_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from longtake.lmms.settings import own_card

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert own_card("auto") == "cuda:1" and own_card("cpu") == "cpu"
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert own_card("auto") == "auto"


def test_equal_media_are_the_same_thing() -> None:
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert medium_of(picture) == medium_of(picture.copy()) != medium_of(picture.rotate(90))
    stretch = {"type": "video", "url": {"path": "a.mp4", "video_start": 3}, "end_time": 7.5}
    assert medium_of(stretch) == Medium("a.mp4", 3.0, 7.5)
    assert medium_of("file:///a.mp4") == medium_of({"type": "video", "url": "/a.mp4"}) == Medium("/a.mp4")


@pytest.mark.parametrize(
    ("visual", "code"),
    [
        ({"array": [0.0], "sampling_rate": 16_000}, ErrorCode.DATA_BAD),
        ({"type": "audio", "url": "a.wav"}, ErrorCode.DATA_BAD),
        (np.zeros((2, 3, 4, 4)).tolist, ErrorCode.DATA_BAD),
        ("https://example.org/a.mp4", ErrorCode.MEDIA_NOT_FOUND),
    ],
)
def test_what_is_neither_file_nor_picture_is_refused(visual: object, code: ErrorCode) -> None:
    assert refused(lambda: medium_of(visual)).code is code


def test_a_picture_in_memory_is_seen_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    with opened([{"type": "image", "url": Image.fromarray(picture)}]) as videos:
        (frames,) = videos[0].read([0], chunk=1)
    assert np.array_equal(frames.pixels_TCHW[0].transpose(1, 2, 0), picture)
    assert not Path(videos[0].path).exists()


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ({}, GenerateOptions(1024, 0.0, 5)),
        ({"max_new_tokens": 8, "temperature": 0, "top_p": 0.9, "num_beams": 1}, GenerateOptions(8, 0.0, 5)),
        ({"max_gen_toks": 8, "do_sample": True}, GenerateOptions(8, 1.0, 5)),
        ({"temperature": 0.7, "do_sample": False}, GenerateOptions(1024, 0.0, 5)),
        ({"temperature": 0.7, "top_p": 1.0}, GenerateOptions(1024, 0.7, 5)),
    ],
)
def test_how_tokens_are_chosen(how: dict[str, Any], options: GenerateOptions) -> None:
    assert options_of(how, Settings(seed=5)) == options


@pytest.mark.parametrize("how", [{"num_beams": 4}, {"temperature": 0.7, "top_p": 0.9}, {"max_new_tokens": -1}])
def test_ways_of_drawing_that_longtake_has_not_are_refused(how: dict[str, Any]) -> None:
    assert refused(lambda: options_of(how, Settings())).code is ErrorCode.USAGE_BAD_OPTION


def said_by(*messages: tuple[str, Any]) -> Wanted:
    told = [{"role": role, "content": content} for role, content in messages]
    return from_messages("a task, question 3", lambda: told, {}, Settings())


def part(kind: str, what: str) -> dict[str, str]:
    return {"type": kind, "text" if kind == "text" else "url": what}


def test_messages_are_files_and_then_words() -> None:
    found = said_by(
        ("system", "Be short."),
        ("user", [part("video", "a.mp4"), part("image", "b.png"), part("text", "Who?"), part("text", "Where?")]),
    )
    assert found.seen == (Medium("a.mp4"), Medium("b.png"))
    assert found.question == "Be short.\nWho?\nWhere?"
    assert [medium_of(visual) for visual in found.visuals()] == list(found.seen)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([("user", [part("text", "Look:"), part("video", "a.mp4")])], "comes after words"),
        ([("user", [part("video", "a.mp4"), part("text", "x")]), ("user", [part("video", "b.mp4")])], "after words"),
        ([("user", [part("video", "a.mp4")]), ("assistant", "yes")], "a message of the assistant"),
        ([("user", "How are you?")], "neither video nor picture"),
    ],
)
def test_messages_that_longtake_cannot_put_are_refused(messages: list[Any], told: str) -> None:
    error = refused(lambda: said_by(*messages))
    assert error.code is ErrorCode.DATA_BAD and told in error.reason and error.subject == "a task, question 3"


# What is answered.


def test_answers_are_those_of_asking_one_by_one(model: Model, drawn: list[dict[str, Any]]) -> None:
    alone = []
    for row in drawn:
        watched = watch(model, open_video(row["video"]))
        alone.append(ask(model, watched, row["question"], GenerateOptions(24)))
    assert len({row["video"] for row in drawn[:3]}) > 1, "questions on one film must lie apart"
    for batch_size in (1, 2, None):
        answerer, heard = Answerer(model, batch_size=batch_size), list[int]()
        said = answerer.answers([about(row) for row in drawn], heard.append)
        assert [one.text for one in said] == [answer.text for answer in alone]
        assert [one.new_tokens for one in said] == [answer.tokens["new"] for answer in alone]
        assert [one.read_tokens for one in said] == [one.tokens["visual"] + one.tokens["text"] for one in alone]
        assert answerer.reads == 3 and sum(heard) == len(drawn)


def test_questions_that_are_drawn_otherwise_share_what_was_read(model: Model, drawn: list[dict[str, Any]]) -> None:
    answerer = Answerer(model, batch_size=None)
    hot = Settings(seed=3)
    said = answerer.answers([about(drawn[0]), about(drawn[0], hot, temperature=50.0), about(drawn[0])])
    assert said[0] == said[2] != said[1] and answerer.reads == 1


def test_an_answer_ends_where_the_task_says(model: Model, drawn: list[dict[str, Any]]) -> None:
    whole = Answerer(model).answers([about(drawn[0])])[0].text
    first, second = whole.split(" ")[:2]
    cut = Answerer(model).answers([about(drawn[0], until=[second, "\n\n"])])[0].text
    assert whole.startswith(f"{first} {second}") and cut == f"{first} "


def gone(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "video": row["video"] + ".gone"}


def test_files_that_are_not_there_stop_a_run_before_anything_is_read(model: Model, drawn: list[dict[str, Any]]) -> None:
    answerer = Answerer(model)
    error = refused(lambda: answerer.answers([about(drawn[0]), *(about(gone(row)) for row in drawn)]))
    assert error.code is ErrorCode.MEDIA_NOT_FOUND and "and 2 more of 4 files" in error.reason
    assert answerer.reads == 0


def test_what_failed_is_an_empty_answer_that_is_counted(
    model: Model, drawn: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").touch()
    empty = {**drawn[1], "video": str(tmp_path / "empty.mp4")}
    answerer = Answerer(model, failed="empty")
    said = answerer.answers([about(gone(drawn[0])), about(drawn[1]), about(empty)])
    assert [bool(one.text) for one in said] == [False, True, False]
    assert "media.not_found" in said[0].error and "media.empty" in said[2].error and not said[1].error
    assert len(answerer.errors) == 2


def test_a_question_that_does_not_fit_fails_alone(model: Model, drawn: list[dict[str, Any]]) -> None:
    wants = [about(drawn[0]), replace(about(drawn[0]), question="what " * 30_000), about(drawn[0])]
    answerer = Answerer(model, batch_size=None, failed="empty")
    said = answerer.answers(wants)
    assert said[0] == said[2] and said[0].text and "limit.context" in said[1].error
    assert answerer.reads == 1 and len(answerer.errors) == 1


def test_what_cannot_be_read_is_tried_once(model: Model, drawn: list[dict[str, Any]], tmp_path: Path) -> None:
    tried: list[str] = []

    def visuals() -> list[str]:
        tried.append("once")
        return [str(tmp_path)]

    wants = [wanted("x", visuals, f"what {number}?", {"max_new_tokens": 8}, AS_IS) for number in range(3)]
    tried.clear()
    said = Answerer(model, failed="empty").answers(wants)
    assert len(tried) == 1 and all("media.not_a_file" in one.error for one in said)


def test_a_fault_of_the_run_is_not_forgiven(model: Model, drawn: list[dict[str, Any]]) -> None:
    blank = replace(about(drawn[0]), question=" ")
    error = refused(lambda: Answerer(model, failed="empty").answers([blank]))
    assert error.code is ErrorCode.USAGE_BLANK_QUESTION


def test_likelihoods_of_letters_are_those_of_choosing(model: Model, drawn: list[dict[str, Any]]) -> None:
    """Two roads: `pipeline.choose` weighs letters; so does whoever asks with the options written out."""
    from longtake.prompt.choices import choosing, with_choices

    plain = replace(model, template=replace(model.template, choices=None))
    row = next(row for row in drawn if row["options"])
    answer = choose(plain, watch(plain, open_video(row["video"])), row["question"], row["options"])
    written = with_choices(choosing(plain.template), row["question"], row["options"])
    found = Answerer(plain).likely(replace(about(row), question=written), "ABCD")
    total = sum(math.exp(one.logprob) for one in found)
    assert [math.exp(one.logprob) / total for one in found] == pytest.approx(
        [offered.probability for offered in answer.choices], abs=1e-5
    )


def test_the_greedy_answer_is_told_from_others(model: Model, drawn: list[dict[str, Any]]) -> None:
    said = Answerer(model).answers([about(drawn[0])])[0].text
    found = Answerer(model).likely(about(drawn[0]), [said, "no such answer"])
    assert [one.greedy for one in found] == [True, False]
    assert found[1].logprob < found[0].logprob < 0


# The task files.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in BENCHMARKS:
        shutil.copytree(SAMPLES / name, tmp_path / name)
    monkeypatch.setenv("LONGTAKE_BENCHMARKS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("msvd_qa", "AbCdEfGhIjK_10_20"),
        ("msrvtt_qa", "video7010"),
        ("tgif_frameqa", "tumblr_made1up_250"),
        ("intentqa", "9000000002"),
    ],
)
def test_rows_are_the_benchmarks_questions(home: Path, name: str, first: str) -> None:
    (home / name / "clips").mkdir()
    (home / name / "clips" / f"{first}.avi").touch()
    rows = list(rows_of(name, home_of(name)))
    assert len(rows) == 2 and {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["video"] == str(home / name / "clips" / f"{first}.avi")
    missing = [row["video"] for row in rows if row["video"] != rows[0]["video"]]
    assert all(Path(path).parent == home / name and not Path(path).exists() for path in missing)
    assert json.loads(json.dumps(rows)) == rows


def test_rows_are_asked_in_the_words_of_the_task_file(home: Path) -> None:
    row = next(rows_of("msvd_qa", home_of("msvd_qa")))
    assert asked(row, "brief") == f"{row['question']}\nAnswer in one word or a few."
    row = next(rows_of("intentqa", home_of("intentqa")))
    assert asked(row, "plain").splitlines()[2:4] == ["(A) to cool down", "(B) to leave"]


def test_without_a_home_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAKE_BENCHMARKS", raising=False)
    assert "LONGTAKE_BENCHMARKS" in str(refused(lambda: home_of("msvd_qa")))


def test_a_bad_row_stops_the_task(home: Path) -> None:
    path = home / "intentqa" / "test.csv"
    path.write_text(path.read_text().replace(",CW,", ",XX,"))
    error = refused(lambda: list(rows_of("intentqa", home / "intentqa")))
    assert error.code is ErrorCode.DATA_BAD and "test.csv:2" in str(error)


def test_marks_of_options(home: Path) -> None:
    row = next(rows_of("intentqa", home_of("intentqa")))
    assert row["right"] == 3
    right = {"accuracy": 1.0, "unreadable": 0.0, "accuracy_cw": 1.0}
    assert marks.choice_marks(row, "(D)") == marks.choice_marks(row, "to look inside.") == right
    assert marks.choice_marks(row, "B") == {"accuracy": 0.0, "unreadable": 0.0, "accuracy_cw": 0.0}
    assert marks.choice_marks(row, "") == {"accuracy": 0.0, "unreadable": 1.0, "accuracy_cw": 0.0}
    assert marks.plain("TP&TN") == "tp_tn"


@pytest.mark.parametrize(
    ("expected", "answer", "found"),
    [
        ("yellow fish 649", "Yellow fish: 649.", 1.0),
        ("yellow fish 649", "yellow fish 64", 0.0),
        ("B", "B. a lamp", 1.0),
        ("B", "Because it is red", 0.0),
        ("A", "A lamp", 0.0),
        ("A", "(A)", 1.0),
        ("two", "", 0.0),
    ],
)
def test_marks_of_needles(expected: str, answer: str, found: float) -> None:
    assert marks.needle_marks({"reference": expected}, answer) == {"found": found}


def test_marks_of_open_questions() -> None:
    assert marks.open_marks({"reference": "guitar"}, "Guitar.") == {"same_words": 1.0}
    assert marks.open_marks({"reference": "guitar"}, "a guitar") == {"same_words": 0.0}
    assert marks.mean_of_scored([1.0, math.nan, 0.0]) == 0.5 and math.isnan(marks.mean_of_scored([math.nan]))


@pytest.mark.parametrize(
    ("reply", "marked"),
    [
        ('{"pred": "yes", "score": 4}', {"judged_right": 1.0, "judged_score": 4.0, "unscored": 0.0}),
        ('{"pred": "no", "score": 0}', {"judged_right": 0.0, "judged_score": 0.0, "unscored": 0.0}),
        ("Well, it depends.", {"judged_right": math.nan, "judged_score": math.nan, "unscored": 1.0}),
        ('{"pred": "yes", "score": 11}', {"judged_right": math.nan, "judged_score": math.nan, "unscored": 1.0}),
    ],
)
def test_a_judge_marks_or_there_is_no_number(
    home: Path, monkeypatch: pytest.MonkeyPatch, reply: str, marked: dict[str, float]
) -> None:
    utils = import_module("longtake.lmms.tasks.utils")
    row = next(rows_of("msvd_qa", home_of("msvd_qa")))
    with served(Chat(reply=lambda text: reply)) as chat:
        monkeypatch.setenv("LONGTAKE_JUDGE", f"{chat.url}#judge")
        found = utils.open_ended(row, ["a cake"])
        asked_of_it = chat.texts[-1]
    assert found == pytest.approx({"same_words": 0.0, **marked}, nan_ok=True)
    assert row["question"] in asked_of_it and row["reference"] in asked_of_it and "a cake" in asked_of_it
    monkeypatch.delenv("LONGTAKE_JUDGE")
    assert utils.open_ended(row, ["a cake"]) == {"same_words": 0.0}


def task_files() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each task file as lmms-eval puts it together, functions by name."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_constructor("!function", lambda one, node: f"!{one.construct_scalar(node)}")

    def load(name: str) -> dict[str, Any]:
        found = yaml.load((TASKS / name).read_text(), loader)
        included = found.pop("include", [])
        for other in [included] if isinstance(included, str) else included:
            found = {**load(other), **found}
        return found

    for path in sorted(TASKS.glob("*.yaml")):
        yield path.stem, load(path.name)


def test_task_files_hang_together() -> None:
    utils = import_module("longtake.lmms.tasks.utils")
    found = dict(task_files())
    assert set(found) == {f"longtake_{name}" for name in (*BENCHMARKS, "vniah")}
    for name, task in found.items():
        assert task["task"] == name
        for function in re.findall(r"!utils\.(\w+)", str(task)):
            assert callable(getattr(utils, function))
        data = TASKS / task["dataset_kwargs"]["data_files"]["test"]
        assert json.loads(data.read_text()) == {"benchmark": name.removeprefix("longtake_")}
        assert task["metric_list"] and task["doc_to_visual"] == "!utils.visual"


def test_metrics_of_the_task_files_are_those_that_are_counted(home: Path) -> None:
    utils = import_module("longtake.lmms.tasks.utils")
    for name, task in task_files():
        counted = getattr(utils, task["process_results"].removeprefix("!utils."))
        rows = (
            [{"reference": "a lamp", "options": []}]
            if name.endswith("vniah")
            else list(rows_of(name[9:], home / name[9:]))
        )
        found = {metric for row in rows for metric in counted(row, ["x"])}
        assert found <= {one["metric"] for one in task["metric_list"]}


# Haystacks.


def test_a_needle_stands_where_its_depth_says_and_is_found(
    model: Model, bunny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [str(bunny), "--out", str(tmp_path), "--frames", "4", "--depths", "0,0.5,1", "--trials", "2"]
    assert haystacks.main(typed) == 0
    assert capsys.readouterr().out == f"6 films in {tmp_path}\n"
    rows = list(rows_of("vniah", tmp_path))
    assert [row["categories"][0] for row in rows] == ["depth 0"] * 2 + ["depth 0.5"] * 2 + ["depth 1"] * 2
    plain = [_brightness(open_video(bunny), [0, 25, 50, 75])]
    for row, place in zip(rows, (0, 0, 2, 2, 4, 4), strict=True):
        video = open_video(row["video"])
        assert video.times_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        others = [number for number in range(5) if number != place]
        assert _brightness(video, others) == pytest.approx(plain[0], abs=3)
    answers = Answerer(model).answers([about(row) for row in rows])
    found = [marks.needle_marks(row, said.text)["found"] for row, said in zip(rows, answers, strict=True)]
    assert found == [1.0] * 6
    assert len({row["id"] for row in rows}) == 6 and (tmp_path / ROWS).is_file()


def _brightness(video: Any, numbers: list[int]) -> list[float]:
    return [float(frames.pixels_TCHW.mean()) for frames in video.read(numbers, chunk=1)]


def test_a_haystack_too_short_is_refused(bunny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = haystacks.main([str(bunny), "--out", str(tmp_path), "--frames", "7", "--depths", "0", "--trials", "1"])
    assert status == ErrorCode.DATA_BAD.value.exit_status
    assert "the longest haystack has 7" in capsys.readouterr().err


# How lmms-eval finds it.


def test_the_entry_point_names_what_lmms_eval_calls() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["entry-points"]["lmms_eval.models"]
    assert named == {"longtake": "longtake.lmms:manifest"}
    module, _, function = named["longtake"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_nothing_else_imports_lmms_eval() -> None:
    importing = [
        str(path.relative_to(ROOT / "src/longtake"))
        for path in (ROOT / "src/longtake").rglob("*.py")
        if re.search(r"^\s*(from|import) lmms_eval", path.read_text(), re.MULTILINE)
    ]
    assert sorted(importing) == ["lmms/__init__.py", "lmms/model.py"]
