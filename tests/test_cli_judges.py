"""`longtake eval judge` and `eval agreement`: a judge behind a real socket that fails in every way."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from chat import Chat, Sent, refused, served
from chat import said as completed
from judging import GOOD, SAMPLES, completion, judging, lines, number_in, opens, run_folder, samples
from longtake.errors import ErrorCode
from longtake.judges import Answered
from longtake.judges.prompts import own_prompts, requests_of
from longtake.measure import NOT_JUDGED, Row
from longtake.measure.rows import read_run
from longtake.reports.judging import OTHER_ANSWER, judgements_of
from running import ONE_LINE, Cli

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served(Chat(lambda text: GOOD)) as running:
        yield running


def marked(folder: Path) -> tuple[Row, ...]:
    """The rows of a run as its judge marks them."""
    run = read_run(folder)
    (said,) = judgements_of(run, folder, ["m"])
    return said.marked(run).rows


def scripted(replies: dict[int, str | Sent]) -> Callable[[str], str | Sent]:
    return lambda text: replies.get(number_in(text), GOOD)


FAULTS: dict[int, tuple[str | Sent, str, str | None]] = {
    3: ("I would say yes, 4.", "the reply is not one object", "I would say yes, 4."),
    4: ('{"pred": "yes", "score": 11}', "score is 11; want a number from 0 to 5", '{"pred": "yes", "score": 11}'),
    5: ('{"pred": "maybe", "score": 3}', "pred is 'maybe'; want yes or no", '{"pred": "maybe", "score": 3}'),
    6: (
        completion(content=None, refusal="I cannot help with that."),
        "network.refused: will not answer: 'I cannot help with that.'",
        None,
    ),
    7: (completion("content_filter", content=""), "network.refused: its reply was filtered for what it says", None),
    8: (
        refused(400, "the content policy forbids it"),
        "network.refused: refuses with status 400: the content policy forbids it",
        None,
    ),
    9: (completion("length", content=GOOD), "the reply was cut off: it went on for too long", GOOD),
    10: (completion(content=""), "network.bad_reply: its reply cannot be used: it holds no words", None),
    11: (Sent(b"<html>busy</html>"), "is no chat completion: '<html>busy</html>'", None),
    12: (refused(429, "slow down"), "network.unreachable: it answers with status 429, 2 times in a row", None),
    13: (refused(503, "down"), "network.unreachable: it answers with status 503, 2 times in a row", None),
    14: (Sent(GOOD.encode(), pause_s=3.0), "network.unreachable: no reply in time", None),
    15: (Sent(completed(GOOD).body, torn=True), "network.unreachable:", None),
    16: ('{"pred": "no", "score": "0"}', "score is '0'; want a number", '{"pred": "no", "score": "0"}'),
    21: (
        '{"pred": "no", "pred": "yes", "score": 4}',
        "'pred' more than once",
        '{"pred": "no", "pred": "yes", "score": 4}',
    ),
    22: (
        '{"pred": "yes", "score": 4, "why": "it fits"}',
        "'why' too, which was not asked for",
        '{"pred": "yes", "score": 4, "why": "it fits"}',
    ),
    17: (f'{GOOD} {{"pred": "no", "score": 0}}', "not one object", f'{GOOD} {{"pred": "no", "score": 0}}'),
}


def test_a_judge_that_fails_in_every_way(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    """What it did not say is no score: each is told with its reason, the reply kept, and the figures count them."""
    chat.reply = scripted({number: fault[0] for number, fault in FAULTS.items()} | {2: '{"pred": "no", "score": 1}'})
    folder = run_folder(tmp_path / "run", opens(22))
    impatient = ("--tries", "2", "--timeout", "1.5", "--parallel", "8")
    status, out, err = cli(*judging(folder, chat, *impatient, "--json"))
    assert (status, err) == (8, "")
    told = json.loads(out)
    assert (told["asked"], told["requests"], told["scored"], told["unscored"]) == (22, 22, 5, 17)
    accuracy, score = told["figures"]
    assert (accuracy["name"], accuracy["value"], accuracy["scored"], accuracy["unscored"]) == ("accuracy", 0.8, 5, 17)
    assert (accuracy["worst"], accuracy["best"]) == (4 / 22, 21 / 22)
    assert (score["name"], score["value"], score["scored"], score["unscored"]) == ("score", 3.4, 5, 17)
    kept = {int(str(line["id"])): line for line in lines(folder, "m")}
    assert len(kept) == 22
    for number, line in kept.items():
        if number in FAULTS:
            _, reason, reply = FAULTS[number]
            assert reason in str(line["reason"]) and (line["marks"], line["reply"]) == (None, reply), number
        else:
            assert line["marks"] == ({"match": 0, "score": 1} if number == 2 else {"match": 1, "score": 4})
            assert line["reason"] == ""
    assert sum(told["reasons"].values()) == 17
    rows = {row.id: row for row in marked(folder)}
    assert [mark.value for mark in rows["2"].marks()] == [0, 1]
    assert [(mark.value, mark.why) for mark in rows["3"].marks()] == [(None, "open: the reply is not one object")] * 2
    asked = Counter(map(number_in, chat.texts))
    passing = {12, 13, 14, 15}
    assert asked == {number: 2 if number in passing else 1 for number in range(1, 23)}

    # Asked again: only what never came, unless --again says all; then the rest, and all is well.
    chat.texts.clear()
    chat.reply = lambda text: GOOD
    status, out, err = cli(*judging(folder, chat, *impatient))
    assert status == 8 and ONE_LINE.fullmatch(err.splitlines(keepends=True)[-1])
    assert "13 of 22 requests have no marks" in err
    assert sorted(map(number_in, chat.texts)) == sorted(passing)
    chat.texts.clear()
    status, out, err = cli(*judging(folder, chat, *impatient, "--again"))
    assert status == 0 and sorted(map(number_in, chat.texts)) == sorted(FAULTS.keys() - passing)
    assert cli(*judging(folder, chat, "--again"))[0] == 0 and len(chat.texts) == 13


def test_a_whole_benchmark_of_each_kind(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    """The benchmark's own figures come of it: VCGBench's five and MLVU's sums, from marks of one aspect each."""
    chat.reply = lambda text: '{"score": 3}'
    folder = run_folder(tmp_path / "vcgbench", samples("vcgbench"), "vcgbench")
    told = cli.json(*judging(folder, chat))
    assert {figure["name"]: figure["value"] for figure in told["figures"]} == dict.fromkeys(
        ("mean", "correctness", "detail", "context", "temporal", "consistency"), 3
    )
    assert told["requests"] == 2 * 3 + 2 + 2 and set(told["prompts"]) == {
        "correctness",
        "detail",
        "context",
        "temporal",
        "consistency",
    }
    chat.reply = lambda text: (
        '{"accuracy": 3.5, "relevance": 4}' if '"relevance"' in text else '{"completeness": 2, "reliability": 5}'
    )
    folder = run_folder(tmp_path / "mlvu", [item for item in samples("mlvu") if item.aspects], "mlvu")
    told = cli.json(*judging(folder, chat))
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    assert figures == {"G-Avg": (7.5 + 7) / 2, "SSC": 7.5, "VS": 7}
    chat.reply = lambda text: '{"pred": "no"}'
    folder = run_folder(
        tmp_path / "tempcompass", [item for item in samples("tempcompass") if item.aspects], "tempcompass"
    )
    told = cli.json(*judging(folder, chat))
    assert told["figures"][0]["value"] == 0 and told["figures"][0]["scored"] == 2


def test_before_anything_is_asked_one_hears_what_it_takes(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(3))
    prices = ("--price-in", "2.5", "--price-out", "10")
    told = cli.json(*judging(folder, chat, *prices, "--dry-run"))
    asked = [requests_of(Answered(item, f"It is {item.reference}."), own_prompts())[0] for item in opens(3)]
    words = [message["content"] for request in asked for message in request.messages]
    read = sum(len(text.encode()) // 4 + 1 + 5 for text in words)
    assert told["estimate"] == {
        "requests": 3,
        "read_tokens": read,
        "new_tokens": 60,
        "most_new_tokens": 768,
        "cost": pytest.approx((read * 2.5 + 60 * 10) / 1e6),
        "most_cost": pytest.approx((read * 2.5 + 768 * 10) / 1e6),
    }
    assert not chat.keys and not list(folder.glob("judge-*"))
    status, out, err = cli(*judging(folder, chat, *prices))
    assert status == 0 and err.startswith(
        f"3 requests: about {read:,} tokens read and 60 said, at most 768; costs about"
    )
    # The server counts 11 read and 3 said of each.
    assert "42 tokens, 0.0001725" in out
    assert "nothing is left to ask; 3 judged before" in cli(*judging(folder, chat, "--dry-run"))[1]
    status, _, err = cli(*judging(folder, chat, "--price-in", "1"))
    assert status == 2 and "one price alone" in err
    status, _, err = cli(*judging(folder, chat, "--most-cost", "1"))
    assert status == 2 and "needs prices" in err


def test_what_is_done_needs_no_judge_any_more(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(4))
    first = cli.json(*judging(folder, chat))
    chat.models = chat_is_gone = refused(500, "gone")
    chat.reply = lambda text: chat_is_gone
    second = cli.json(*judging(folder, chat))
    assert (first["asked"], first["before"], second["asked"], second["before"]) == (4, 0, 0, 4)
    assert first["figures"] == second["figures"]
    assert len(chat.texts) == 4 and len(chat.keys) == 5


def test_the_same_name_on_another_server_is_another_judge(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(2))
    assert cli(*judging(folder, chat))[0] == 0
    before = (folder / "judge-m.jsonl").read_bytes()
    with served(Chat(lambda text: GOOD)) as other:
        status, _, err = cli(*judging(folder, other))
        assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status and ONE_LINE.fullmatch(err)
        assert f"another judge: address ('{chat.url}', not '{other.url}')" in err and "--name" in err
        assert not other.keys and (folder / "judge-m.jsonl").read_bytes() == before
        assert cli(*judging(folder, other, "--name", "there"))[0] == 0 and len(other.texts) == 2
    assert {line["judge"]["address"] for line in lines(folder, "m")} == {chat.url}  # type: ignore[index]
    # A slash more is no other address; one with a password is none at all, and is not told.
    slashed = replace(chat, url=f"{chat.url}/")
    assert cli.json(*judging(folder, slashed))["before"] == 2
    secret = replace(chat, url=chat.url.replace("//", f"//me:{KEY}@"))
    for more in ((), ("--dry-run",)):
        status, out, err = cli(*judging(folder, secret, "--name", "secret", *more))
        assert status == 2 and "holds a password" in err and KEY not in out + err


def test_nobody_there_and_a_key_that_is_refused(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(2))
    nowhere = ("eval", "judge", str(folder), "--endpoint", "http://127.0.0.1:9/v1", "--judge-model", "m")
    status, _, err = cli(*nowhere, "-q")
    assert status == 6 and err.startswith("error[network.unreachable]")
    chat.models = refused(401, f"bad key {KEY}")
    status, _, err = cli(*judging(folder, chat, "-q"))
    assert status == 6 and err.startswith("error[network.refused]") and KEY not in err
    assert not chat.texts and not (folder / "judge-m.jsonl").exists()


@pytest.mark.parametrize("status", [401, 403, 402, 404])
def test_a_door_that_is_shut_to_questions_alone(cli: Cli, chat: Chat, tmp_path: Path, status: int) -> None:
    """The list of models is for everybody, questions are not: that is said of no answer, and asked again later."""
    folder = run_folder(tmp_path / "run", opens(20))
    chat.reply = lambda text: refused(status, f"not for {KEY}")
    ended, out, err = cli(*judging(folder, chat, "--parallel", "2", "-q"))
    assert ended == ErrorCode.NETWORK_REFUSED.value.exit_status == 6 and out == ""
    assert ONE_LINE.fullmatch(err) and f"refuses with status {status}" in err and KEY not in err
    assert len(chat.texts) < 10 and not (folder / "judge-m.jsonl").exists()

    # In the middle of a run what was said before is kept, and the rest is asked when the door is open.
    chat.texts.clear()
    chat.reply = lambda text: GOOD if number_in(text) <= 5 else refused(status, "no more")
    assert cli(*judging(folder, chat, "--parallel", "1", "-q"))[0] == 6
    assert len(chat.texts) in (6, 7), "one may be under way before the sixth is heard of"
    assert len(lines(folder, "m")) == 5
    assert all(line["marks"] for line in lines(folder, "m"))
    chat.reply = lambda text: GOOD
    told = cli.json(*judging(folder, chat))
    assert (told["asked"], told["before"], told["scored"]) == (15, 5, 20)


def test_the_key_is_nowhere(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    """Not in a file, not in what is printed, whatever the other side makes of it."""
    chat.reply = scripted(
        {
            1: Sent(KEY.encode()),
            2: refused(400, f"you sent {KEY}"),
            3: completion(content=None, refusal=f"no, {KEY}"),
            4: completion(content=f"your key is {KEY}", model=f"m of {KEY}"),
        }
    )
    folder = run_folder(tmp_path / "run", opens(5))
    status, out, err = cli(*judging(folder, chat))
    assert status == 8 and chat.keys[-1] == f"Bearer {KEY}"
    assert KEY not in out + err
    for path in folder.rglob("*"):
        assert KEY not in path.read_text(), path
    assert (folder / "judge-m.jsonl").read_text().count("***") == 5


def test_a_limit_on_tokens_is_never_passed(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(12))
    each = cli.json(*judging(folder, chat, "--dry-run"))["estimate"]["read_tokens"] / 12 + 256
    limit = int(each) + 5 * 14
    status, out, _ = cli(*judging(folder, chat, "--most-tokens", str(limit), "--parallel", "1", "--json"))
    told = json.loads(out)
    # Each takes 14 by the server's count; the next one could take all that is asked for.
    assert status == 8 and told["asked"] == len(chat.texts) == 6 and told["unasked"] == told["unscored"] == 6
    assert told["stopped"] == f"more could take more than {limit:,} tokens"
    status, out, _ = cli(*judging(folder, chat, "--price-in", "1", "--price-out", "1", "--most-cost", "0", "--json"))
    assert (status, json.loads(out)["asked"]) == (8, 0)
    assert cli(*judging(folder, chat))[0] == 0 and len(chat.texts) == 12


def test_a_row_that_failed_has_nothing_to_judge(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(3), answer=lambda item: None if item.id == "2" else "a thing")
    status, out, err = cli(*judging(folder, chat))
    assert status == 8 and "1 question cannot be judged: media.not_found" in err and "1 that cannot be judged" in err
    assert sorted(map(number_in, chat.texts)) == [1, 3]
    status, out, err = cli(*judging(folder, chat, "--json"))
    assert status == 8 and json.loads(out)["unjudged"] == {"media.not_found": 1}
    assert [figure["unscored"] for figure in json.loads(out)["figures"]] == [1, 1]
    kept_back = run_folder(tmp_path / "test", [replace(item, reference=None) for item in opens(2)])
    status, _, err = cli(*judging(kept_back, chat))
    assert status == 8 and "2 questions cannot be judged: its authors keep the answer back" in err


def test_an_answer_without_words_is_judged_as_it_is(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(1), answer=lambda item: "")
    assert cli(*judging(folder, chat))[0] == 0
    assert "<answer>\n\n</answer>" in chat.texts[0]


def test_the_same_words_are_asked_once(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    (item,) = opens(1)
    folder = run_folder(tmp_path / "run", [replace(item, id=name) for name in "abc"])
    told = cli.json(*judging(folder, chat))
    assert (told["asked"], told["scored"], len(chat.texts), told["tokens"]["read"]) == (1, 3, 1, 11)
    assert [line["tokens"] for line in lines(folder, "m")] == [14, 0, 0]


def test_marks_are_of_the_answer_that_was_judged(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(2))
    assert cli(*judging(folder, chat))[0] == 0
    other = run_folder(tmp_path / "other", opens(3), answer=lambda item: "It is thing 1.")
    (other / "judge-m.jsonl").write_bytes((folder / "judge-m.jsonl").read_bytes())
    rows = marked(other)
    assert [row.marks()[0].value for row in rows] == [1, None, None]
    assert [row.marks()[0].why for row in rows] == ["", OTHER_ANSWER, NOT_JUDGED]
    chat.texts.clear()
    assert cli(*judging(other, chat))[0] == 0
    assert sorted(map(number_in, chat.texts)) == [2, 3]


def test_another_judge_needs_another_name(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", opens(2))
    assert cli(*judging(folder, chat))[0] == 0
    status, _, err = cli(*judging(folder, chat, "--temperature", "1"))
    assert status == 2 and "another judge: temperature (0.0, not 1.0)" in err
    words = tmp_path / "words.toml"
    words.write_text("[open]\nuser = 'In number: shown in number 1. {reference}? {answer}'\n")
    status, _, err = cli(*judging(folder, chat, "--templates", str(words)))
    assert status == 2 and "the words of open" in err
    before = len(chat.texts)
    assert cli(*judging(folder, chat, "--templates", str(words), "--name", "ours"))[0] == 0
    assert sorted(chat.texts[before:]) == [f"In number: shown in number 1. thing {n}? It is thing {n}." for n in (1, 2)]
    shas = [{str(line["prompt_sha256"]) for line in lines(folder, name)} for name in ("m", "ours")]
    assert [len(sha) for sha in shas] == [1, 1] and shas[0] != shas[1]
    status, _, err = cli(*judging(folder, chat, "--name", "../m"))
    assert status == 2


def test_a_run_without_open_questions_is_refused(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", samples("next_qa"), "next_qa", answer=lambda item: "A")
    status, _, err = cli(*judging(folder, chat))
    assert status == 2 and "no question of it needs a judge" in err
    status, _, err = cli(*judging(tmp_path / "nowhere", chat))
    assert status == 2 and "run.json" in err


def test_released_counting_beside_ours(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    """A score of 9 counts there and not here; `unknown` is a no there and unscored here."""
    chat.reply = scripted({1: "{'pred': 'yes', 'score': 9}", 2: "{'pred': 'unknown', 'score': 2}", 3: "yes"})
    folder = run_folder(tmp_path / "run", opens(4))
    status, out, _ = cli(*judging(folder, chat, "--scoring", "released", "--json"))
    told = json.loads(out)
    assert status == 8 and told["scored"] == 1
    assert told["released"]["open"] == {
        "Yes count": 2,
        "No count": 1,
        "Accuracy": 2 / 3,
        "Average score": (9 + 2 + 4) / 3,
    }
    assert "as the released scripts count open: Yes count 2" in cli(*judging(folder, chat, "--scoring", "released"))[1]


# --- from films to marks


def test_from_films_to_marks(cli: Cli, chat: Chat, bunny: Path, tmp_path: Path) -> None:
    """The whole chain on a real file: nano answers VCGBench's questions, pairs too, and a judge marks what it said."""
    films = tmp_path / "films"
    films.mkdir()
    for name in {item.video.key for item in samples("vcgbench")}:
        (films / f"{name}.mp4").symlink_to(bunny)
    measured = ("eval", "vcgbench", "--data", SAMPLES / "vcgbench", "--videos", films, "--frames", "4")
    assert cli(*measured, "--out", tmp_path / "run", "-q")[0] == 0
    chat.reply = lambda text: '{"score": 1}'
    told = cli.json(*judging(tmp_path / "run", chat))
    assert told["figures"][0]["name"] == "mean" and told["figures"][0]["value"] == 1
    rows = {row.id: row for row in read_run(tmp_path / "run").rows}
    assert len(rows) == 6 and len(chat.texts) == 10
    (pair,) = [text for text in chat.texts if "Can you tell what is flying?" in text]
    row = next(row for row in rows.values() if row.twin == "Can you tell what is flying?")
    assert row.answer and row.twin_answer
    assert pair.index(f"<answer>\n{row.answer}\n</answer>") < pair.rindex(f"<answer>\n{row.twin_answer}\n</answer>")


# --- a model that is loaded here


def test_a_model_on_this_machine_judges(cli: Cli, tmp_path: Path) -> None:
    """A tiny random model: what it says is no verdict, and is kept as what it is."""
    model = tiny.checkpoint(tmp_path / "model")
    words = tmp_path / "words.toml"
    words.write_text("[open]\nuser = 'what {reference} is {answer}?'\n")
    folder = run_folder(tmp_path / "run", opens(2))
    here = ("eval", "judge", str(folder), "--judge-model", str(model), "--name", "tiny", "--max-new-tokens", "8")
    status, out, _ = cli(*here, "--templates", str(words), "--device", "cpu", "--json")
    told = json.loads(out)
    assert status == 8 and (told["asked"], told["unscored"]) == (2, 2)
    first = lines(folder, "tiny")
    assert all(line["marks"] is None and isinstance(line["reply"], str) and line["reply"] for line in first)
    assert len(told["judge"]["weights"]) == 64
    status, out, _ = cli(*here, "--templates", str(words), "--device", "cpu", "--json")
    assert status == 8 and json.loads(out)["asked"] == 0 and lines(folder, "tiny") == first
    # It reads 256 tokens; our own words are more.
    status, out, _ = cli(*here[:-3], "long", "--device", "cpu", "--json")
    assert status == 8 and list(json.loads(out)["reasons"])[0].startswith("limit.context: ")
    tiny.checkpoint(tmp_path / "model", seed=1)
    status, _, err = cli(*here, "--templates", str(words), "--device", "cpu")
    assert status == ErrorCode.USAGE_BAD_OPTION.value.exit_status and "another judge: weights" in err


# --- two judges


def test_agreement_of_two(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    """The table of test_judges, by way of files: 1-1, 2-3, 3-3, 4-2, and one that the second could not score."""
    folder = run_folder(tmp_path / "run", opens(5))
    scores = {"first": (1, 2, 3, 4, 5), "second": (1, 3, 3, 2, None)}
    for name, given in scores.items():
        chat.reply = scripted(
            {n: "no idea" if s is None else f'{{"pred": "yes", "score": {s}}}' for n, s in enumerate(given, 1)}
        )
        cli(*judging(folder, chat, "--name", name, "-q"))
    told = cli.json("eval", "agreement", folder, "--judges", "first", "second")
    assert told["judges"] == ["first", "second"]
    match, score = told["aspects"]
    assert (score["aspect"], score["both"], score["only_first"], score["equal"]["share"]) == ("score", 4, 1, 0.5)
    assert score["kappa"] == pytest.approx(1 / 3) and score["kappa_weighted"] == pytest.approx(0.375)
    assert score["difference"] == -0.25 and score["correlation"] == pytest.approx(0.404520, abs=1e-6)
    assert (match["kappa"], match["equal"]["share"]) == (None, 1.0)
    status, out, _ = cli("eval", "agreement", folder, "--judges", "first", "second")
    assert status == 0
    assert re.search(r"score +4 +1 +0 +0 +50\.0% +0\.333 +0\.375 +-0\.250 \+- 1\.233 +0\.405", out)


def test_agreement_of_two_folders(cli: Cli, chat: Chat, tmp_path: Path) -> None:
    one, two = (run_folder(tmp_path / name, opens(3)) for name in ("one", "two"))
    for folder in (one, two):
        assert cli(*judging(folder, chat))[0] == 0
    told = cli.json("eval", "agreement", one, two)
    assert told["judges"] == [str(one / "judge-m.jsonl"), str(two / "judge-m.jsonl")]
    assert [aspect["both"] for aspect in told["aspects"]] == [3, 3]
    status, _, err = cli("eval", "agreement", one)
    assert status == 2 and "the judges m lie there" in err
    status, _, err = cli("eval", "agreement", one, "--judges", "m", "n")
    assert status == 3 and "judges of" in err and "judge-n.jsonl" in err
    assert cli("eval", "agreement", one, two, one)[0] == 2
    assert cli(*judging(two, chat, "--name", "n"))[0] == 0
    status, _, err = cli("eval", "agreement", one, two)
    assert status == 2 and "m, n" in err
    assert cli.json("eval", "agreement", one, two, "--judges", "m", "n")["judges"] == ["m", "n"]
