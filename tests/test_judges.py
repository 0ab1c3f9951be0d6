"""judges: what is asked, what is kept of it, and how far two judges agree, held against numbers made by hand."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from judging import SAMPLES, opens, samples
from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item
from longtake.evals.benchmarks import ROOM
from longtake.evals.judged import MATCH, NEEDLE, OPEN, RANGES, verdict
from longtake.judges import Answered, Judged, Request, Settings
from longtake.judges.agreeing import agreements, correlation, kappa
from longtake.judges.as_released import as_released
from longtake.judges.costing import Prices, Tokens, estimate
from longtake.judges.kept import Kept, alone_at, begin, line_of, name_of, path_of, read_judged, scored_of
from longtake.judges.prompts import KINDS, JudgePrompt, kinds_of, own_prompts, read_prompts, requests_of
from longtake.shares import Share

SETTINGS = Settings("m")
OWN = own_prompts()


def requests(count: int) -> list[Request]:
    return [requests_of(Answered(item, f"It is {item.reference}."), OWN)[0] for item in opens(count)]


def judged(request: Request, marks: dict[str, float] | None, **more: object) -> Judged:
    line = Judged(
        request.id,
        request.prompt,
        request.prompt_sha256,
        request.answer_sha256,
        SETTINGS.to_json(),
        request.digest(SETTINGS),
        marks,
        reply="{}",
    )
    return replace(line, **more)  # type: ignore[arg-type]


def written(path: Path, lines: list[Judged]) -> Path:
    path.write_text("".join(map(line_of, lines)))
    return path


# --- what is asked


def test_every_kind_has_words_of_our_own_that_ask_for_what_is_read() -> None:
    """A reply with just the keys that the words name, and nothing else, is a verdict on all aspects of the kind."""
    assert set(OWN) == set(KINDS)
    for name, prompt in OWN.items():
        keys = [key for key in re.findall(r'"(\w+)"', prompt.user) if key not in ("yes", "no")]
        assert len(keys) == len(set(keys)) == len(KINDS[name].aspects), name
        reply = {key: "yes" if key == "pred" else 3 for key in keys}
        assert set(verdict(json.dumps(reply), KINDS[name].aspects).scores) == set(KINDS[name].aspects), name


def test_every_aspect_is_asked_for() -> None:
    assert {aspect for kind in KINDS.values() for aspect in kind.aspects} == set(RANGES) - set(NEEDLE)


def wanting(name: str) -> list[Item]:
    """The sample questions of a benchmark that only a judge can mark."""
    return [item for item in samples(name) if item.aspects and item.aspects != NEEDLE]


@pytest.mark.parametrize("name", [name for name in parts.names(ROOM) if (SAMPLES / name).is_dir()])
def test_whatever_a_benchmark_wants_judged_is_asked_with_all_that_is_known_of_it(name: str) -> None:
    for item in wanting(name):
        asked = requests_of(Answered(item, "An ANSWER.", "A TWIN'S."), OWN)
        assert [aspect for one in asked for aspect in one.aspects] == list(item.aspects)
        for request in asked:
            text = "\n".join(message["content"] for message in request.messages)
            assert [message["role"] for message in request.messages] == ["system", "user"]
            assert item.question in text and "An ANSWER." in text
            assert not re.search(r"\{\w+\}", text)
            if request.prompt == "sub_scene":
                assert all(f"{number}. {point}" in text for number, point in enumerate(item.points, 1))
            else:
                assert item.reference is not None and item.reference in text
            assert (item.twin in text and "A TWIN'S." in text) == bool(item.twin)


def test_kinds_of_the_benchmarks_that_a_judge_marks() -> None:
    opens = ("msvd_qa", "msrvtt_qa", "tgif_frameqa", "activitynet_qa")
    names = (*opens, "vcgbench", "mlvu", "tempcompass", "next_qa")
    found = {name: {kind for item in wanting(name) for kind in kinds_of(item.aspects)} for name in names}
    assert found.pop("vcgbench") == {"correctness", "detail", "context", "temporal", "consistency"}
    assert found.pop("mlvu") == {"sub_scene", "summary"}
    assert found.pop("tempcompass") == {"caption"}
    assert found.pop("next_qa") == set()
    assert found == dict.fromkeys(opens, {"open"})


def test_an_aspect_that_nobody_asks_for_is_refused() -> None:
    with pytest.raises(LongtakeError) as caught:
        kinds_of(("match", "politeness"))
    assert caught.value.code is ErrorCode.DATA_BAD and "politeness" in caught.value.reason


def test_what_stands_in_an_answer_is_not_filled_in() -> None:
    (item,) = opens(1)
    (request,) = requests_of(Answered(item, "{reference} {question} {'pred': 'yes', 'score': 5}"), OWN)
    text = request.messages[-1]["content"]
    assert "{reference} {question} {'pred': 'yes', 'score': 5}" in text
    assert text.count("thing 1") == 1


def test_a_digest_is_of_every_word_and_of_who_is_asked() -> None:
    (item,) = opens(1)
    (one,) = requests_of(Answered(item, "a dog"), OWN)
    (other,) = requests_of(Answered(item, "a cat"), OWN)
    own = one.digest(SETTINGS)
    assert own == requests_of(Answered(item, "a dog"), OWN)[0].digest(Settings("m"))
    others = [replace(SETTINGS, **{name: value}) for name, value in CHANGES.items()]
    assert len({own, other.digest(SETTINGS), *map(one.digest, others)}) == 2 + len(CHANGES)
    assert one.prompt_sha256 == other.prompt_sha256 and one.answer_sha256 != other.answer_sha256
    longer = replace(OWN["open"], user=OWN["open"].user + ".")
    assert longer.request(Answered(item, "a dog")).prompt_sha256 != one.prompt_sha256


CHANGES = {"model": "n", "weights": "w", "max_new_tokens": 9, "temperature": 0.5, "seed": 1}


def test_released_words_fill_in_as_the_papers_scripts_do(shared: Path, tmp_path: Path) -> None:
    """The words are not ours to hand on; where they lie beside the checkout, a file of them fills in as recorded."""
    told = json.loads((shared / "golden" / "h_eval" / "judge_prompts.json").read_text())
    names = {"default": "open", "correctness": "correctness", "detailed_orientation": "detail", "context": "context"}
    places = ("{question}", "{reference}", "{answer}")
    sections = []
    for theirs, ours in names.items():
        user = told[theirs]["user_template"] % places
        sections.append(f"[{ours}]\nsystem = {json.dumps(told[theirs]['system'])}\nuser = {json.dumps(user)}\n")
    path = tmp_path / "released.toml"
    path.write_text("\n".join(sections))
    prompts = read_prompts(path)
    (item,) = opens(1)
    for theirs, ours in names.items():
        request = prompts[ours].request(Answered(replace(item, question="Q?", reference="ans"), "p"))
        system, user = (message["content"] for message in request.messages)
        assert (system, user) == (told[theirs]["system"], told[theirs]["filled_example"])
        assert request.prompt_sha256 != OWN[ours].sha256
    filled = told["video_qa_filled"]
    asked = replace(item, question=filled["q"], reference=filled["a"])
    (request,) = requests_of(Answered(asked, filled["pred"]), prompts)
    assert list(request.messages) == filled["messages"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[open", "is no TOML"),
        ("", "has no section"),
        ("[opne]\nuser = '{reference} {answer}'", "has a section opne"),
        ("open = 'x'", "may hold `system` and `user` only"),
        ("[open]\nuser = '{reference} {answer}'\nuesr = ''", "may hold `system` and `user` only"),
        ("[open]\nsystem = '{reference} {answer}'", "needs `user`"),
        ("[open]\nuser = 7", "needs `user`"),
        ("[open]\nuser = '{question} {refrence} {answer}'", "has no place for {reference}"),
        ("[open]\nuser = '{question}'", "has no place for {reference}, {answer}"),
        ("[consistency]\nuser = '{reference} {answer}'", "has no place for {twin_answer}"),
        ("[open]\nuser = '{reference} {answer} {points}'", "has a place for {points}, which there is not"),
    ],
)
def test_a_file_of_words_that_lacks_something_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text)
    with pytest.raises(LongtakeError) as caught:
        read_prompts(path)
    assert caught.value.code is ErrorCode.DATA_BAD
    assert reason in caught.value.reason and caught.value.subject == str(path)


def test_a_file_of_words_with_a_byte_order_mark_or_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text("[open]\nuser = 'é {reference} {answer}'", encoding="utf-8-sig")
    assert read_prompts(path) == {"open": JudgePrompt("open", "", "é {reference} {answer}")}
    path.write_text("[open]\nuser = 'é {reference} {answer}'", encoding="latin-1")
    with pytest.raises(LongtakeError) as caught:
        read_prompts(path)
    assert caught.value.code is ErrorCode.DATA_BAD
    with pytest.raises(LongtakeError) as caught:
        read_prompts(tmp_path / "nowhere.toml")
    assert caught.value.code is ErrorCode.MEDIA_NOT_FOUND


def test_nothing_of_ours_is_mixed_into_a_users_words(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text("[open]\nuser = '{reference} {answer}'")
    item = wanting("tempcompass")[0]
    with pytest.raises(LongtakeError) as caught:
        requests_of(Answered(item, "A log."), read_prompts(path))
    assert caught.value.code is ErrorCode.DATA_BAD and "needs the section caption" in caught.value.reason


def test_our_file_is_a_pattern_for_others(tmp_path: Path) -> None:
    text = (resources.files("longtake.judges") / "prompts.toml").read_text()
    path = tmp_path / "copy.toml"
    path.write_text(text)
    assert read_prompts(path) == OWN and list(tomllib.loads(text)) == list(KINDS)


# --- what is kept


def test_what_is_kept_is_not_asked_again(tmp_path: Path) -> None:
    asked = requests(5)
    lines = [
        judged(asked[0], {MATCH: 1, "score": 5}),
        judged(asked[1], None, reason="the reply is not one object", reply="dunno"),
        judged(asked[2], None, reason="network.unreachable: no reply in time", reply=None),
    ]
    path = written(tmp_path / "judge-m.jsonl", lines)
    kept = begin(path, asked, SETTINGS)
    assert [request.id for request in kept.to_ask] == ["3", "4", "5"]
    assert list(kept.done.values()) == lines[:2] and kept.replaced == 1
    again = begin(path, asked, SETTINGS, again=True)
    assert [request.id for request in again.to_ask] == ["2", "3", "4", "5"]
    with again.appending() as file:
        file.add(judged(asked[3], {MATCH: 0, "score": 0}))
    assert [line.id for line in read_judged(path)[0]] == ["1", "4"]


@pytest.mark.parametrize(
    "torn",
    [
        '{"id": "3", "pro',
        "\x00\x00\x00\x00\n",
        "[]\n",
        "null\n",
        '{"id": "3"}\n',
        "[" * 100_000 + "\n",
        line_of(judged(requests(3)[2], {MATCH: 1})).rstrip("\n"),
        line_of(judged(requests(3)[2], {MATCH: 1})).replace('{"match": 1}', '{"match": true}'),
        line_of(judged(requests(3)[2], {MATCH: 1})).replace('{"match": 1}', '{"match": NaN}'),
        line_of(judged(requests(3)[2], {MATCH: 1})).replace('{"match": 1}', "{}"),
    ],
)
def test_a_torn_or_damaged_line_is_dropped_and_told(tmp_path: Path, torn: str) -> None:
    asked = requests(4)
    good = [judged(asked[0], {MATCH: 1, "score": 5}), judged(asked[1], {MATCH: 0, "score": 1})]
    path = tmp_path / "judge-m.jsonl"
    path.write_text(line_of(good[0]) + torn + ("" if torn.endswith("\n") else "\n") + line_of(good[1]) + '{"id": "4"')
    if not torn.endswith("\n") and torn.startswith('{"id": "3", "prompt": '):
        path.write_text("".join(map(line_of, good)) + torn)
    kept = begin(path, asked, SETTINGS)
    assert list(kept.done.values()) == good and kept.dropped in (1, 2)
    assert [request.id for request in kept.to_ask] == ["3", "4"]
    with kept.appending() as file:
        file.add(judged(asked[2], {MATCH: 1, "score": 4}))
    assert read_judged(path) == ((*good, judged(asked[2], {MATCH: 1, "score": 4})), 0)


def test_another_answer_is_judged_anew_and_what_is_not_asked_now_stays(tmp_path: Path) -> None:
    asked = requests(3)
    path = written(tmp_path / "judge-m.jsonl", [judged(one, {MATCH: 1, "score": 5}) for one in asked])
    (item,) = opens(1)
    (other,) = requests_of(Answered(item, "Something else."), OWN)
    kept = begin(path, [other, asked[1]], SETTINGS)
    assert [request.id for request in kept.to_ask] == ["1"]
    with kept.appending() as file:
        file.add(judged(other, {MATCH: 0, "score": 0}))
    found = {line.id: line for line in read_judged(path)[0]}
    assert found == {
        "1": judged(other, {MATCH: 0, "score": 0}),
        "2": judged(asked[1], {MATCH: 1, "score": 5}),
        "3": judged(asked[2], {MATCH: 1, "score": 5}),
    }


def test_the_same_words_are_asked_once(tmp_path: Path) -> None:
    """MSVD asks the same of many videos, and gets the same answers."""
    first, second, third = (replace(request, id=str(number)) for number, request in enumerate(requests(1) * 3))
    kept = begin(tmp_path / "judge-m.jsonl", [first, second, third], SETTINGS)
    assert [request.id for request in kept.to_ask] == ["0"]
    assert [[request.id for request in together] for together in kept.left.values()] == [["0", "1", "2"]]
    path = written(tmp_path / "judge-m.jsonl", [judged(first, {MATCH: 1, "score": 5}, read_tokens=70, new_tokens=9)])
    kept = begin(path, [first, second, third], SETTINGS)
    assert not kept.left and [line.id for line in kept.copied] == ["1", "2"]
    assert [(line.marks, line.tokens) for line in kept.copied] == [({MATCH: 1, "score": 5}, 0)] * 2


@pytest.mark.parametrize(("name", "value"), CHANGES.items())
def test_one_file_is_one_judge(tmp_path: Path, name: str, value: object) -> None:
    asked = requests(1)
    path = written(tmp_path / "judge-m.jsonl", [judged(asked[0], {MATCH: 1, "score": 5})])
    with pytest.raises(LongtakeError) as caught:
        begin(path, asked, replace(SETTINGS, **{name: value}))
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    before = getattr(SETTINGS, name)
    assert f"another judge: {name} ({before!r}, not {value!r})" in caught.value.reason


def test_one_file_is_of_one_wording(tmp_path: Path) -> None:
    asked = requests(1)
    path = written(tmp_path / "judge-m.jsonl", [judged(asked[0], {MATCH: 1, "score": 5})])
    (item,) = opens(1)
    other = replace(OWN["open"], system="").request(Answered(item, "x"))
    with pytest.raises(LongtakeError) as caught:
        begin(path, [other], SETTINGS)
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION and "the words of open" in caught.value.reason


def test_one_file_has_one_writer(tmp_path: Path) -> None:
    with alone_at(tmp_path / "judge-m.jsonl"):
        with pytest.raises(LongtakeError) as caught, alone_at(tmp_path / "judge-m.jsonl"):
            pass
        assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
        with alone_at(tmp_path / "judge-n.jsonl"):
            pass
    with alone_at(tmp_path / "judge-m.jsonl"):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "no" / "judge-m.jsonl"
    path.parent.write_text("a file")
    with pytest.raises(LongtakeError) as caught, Kept(path, {}, (), {}).appending():
        pass
    assert caught.value.code is ErrorCode.DISK_WRITE


def test_marks_of_one_item_come_together(tmp_path: Path) -> None:
    """VCGBench's generic questions are asked three times each."""
    item = next(item for item in samples("vcgbench") if len(item.aspects) == 3)
    one, two, three = requests_of(Answered(item, "He rows."), OWN)
    found = scored_of(
        [
            judged(one, {"correctness": 2}),
            judged(two, None, reason="the reply is not one object"),
            judged(three, None, reason="network.unreachable: busy"),
            judged(three, {"context": 4}),
        ]
    )
    assert found == {
        item.id: {"marks": {"correctness": 2, "context": 4}, "why": "detail: the reply is not one object"},
    }


def test_names_of_judges() -> None:
    assert name_of("meta/Llama 3.1:70b") == "meta-Llama-3.1-70b"
    assert name_of("../..") == "judge"
    assert path_of(Path("out"), name_of("a/b")) == Path("out/judge-a-b.jsonl")
    for bad in ("", "../x", "a/b", ".hidden", "x" * 101, "a\n"):
        with pytest.raises(LongtakeError) as caught:
            path_of(Path("out"), bad)
        assert caught.value.code is ErrorCode.USAGE_BAD_OPTION


# --- what it takes


def test_an_estimate_is_a_sum_that_one_can_do_by_hand() -> None:
    one = replace(requests(1)[0], messages=({"role": "system", "content": "abc"}, {"role": "user", "content": "de"}))
    found = estimate([one, one], len, 256, Prices(2.0, 10.0))
    # Each: 3 + 2 letters as tokens, 5 more around each of two messages; 20 said, or 256 at most.
    assert (found.requests, found.likely, found.most) == (2, Tokens(30, 40), Tokens(30, 512))
    assert found.as_dict()["cost"] == pytest.approx((30 * 2 + 40 * 10) / 1e6)
    assert found.as_dict()["most_cost"] == pytest.approx((30 * 2 + 512 * 10) / 1e6)
    assert Prices(None, 1.0).cost(Tokens(1, 1)) is None
    assert estimate([one], len, 8, Prices()).likely == Tokens(15, 8)


# --- how far two agree


def test_kappa_of_a_table_done_by_hand() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 agree, 0.5 x 0.6 + 0.5 x 0.4 would by lot; (0.7 - 0.5) / 0.5."""
    pairs = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa(pairs, weighted=True) == pytest.approx(0.4)


def test_agreement_of_scores_done_by_hand() -> None:
    """1-1, 2-3, 3-3, 4-2.

    Equal: 2 of 4. By lot: 1 with 1 once, 2 with 2 once, 3 with 3 twice of 16 pairs; kappa (1/2 - 1/4) / (3/4).
    Weighted: squares 0, 1, 0, 4 seen, mean 1.25; by lot 32 / 16 = 2; 1 - 1.25 / 2.
    Differences 0, 1, 0, -2. Correlation: 1.5 / sqrt(5 x 2.75).
    """
    asked = requests(8)
    firsts = [1, 2, 3, 4, 5, None, None, 0]
    seconds = [1, 3, 3, 2, None, 5, None]
    one = [line(request, score) for request, score in zip(asked, firsts, strict=True)]
    two = [line(request, score) for request, score in zip(asked, seconds, strict=False)]
    match, score = agreements(one, two)
    assert (match.aspect, score.aspect) == OPEN
    assert (score.both, score.only_first, score.only_second, score.neither, score.elsewhere) == (4, 1, 1, 1, 1)
    assert score.equal == Share(2, 4)
    assert score.kappa == pytest.approx(1 / 3)
    assert score.kappa_weighted == pytest.approx(0.375)
    assert score.difference == pytest.approx(-0.25) and score.means == (2.5, 2.25)
    assert score.difference_reach == pytest.approx(1.959964 * math.sqrt(4.75 / 3) / 2, rel=1e-6)
    assert score.correlation == pytest.approx(1.5 / math.sqrt(13.75))
    # All were taken for a match by both: there is nothing that chance could not have done.
    assert match.equal == Share(4, 4) and match.kappa is None and match.correlation is None
    assert match.difference == 0


def line(request: Request, score: float | None) -> Judged:
    return judged(request, None if score is None else {MATCH: 1, "score": score}, reason="" if score else "garbage")


def test_judges_of_two_answers_are_not_compared() -> None:
    asked = requests(3)
    one = [line(request, 3) for request in asked]
    two = [replace(line(request, 3), answer_sha256="f" * 64) for request in asked[:1]] + one[1:]
    assert [(found.both, found.others) for found in agreements(one, two)] == [(2, 1)] * 2


def test_agreement_of_nothing() -> None:
    assert agreements([], []) == []
    asked = requests(1)
    (_, score) = agreements([line(asked[0], None)], [line(asked[0], 4)])
    assert (score.both, score.only_second, score.equal.share) == (0, 1, None)
    assert score.kappa is score.kappa_weighted is score.difference is score.correlation is score.means is None
    assert correlation([(1, 2)]) is None


# --- as the released scripts count


def test_released_counting_of_kept_replies_is_the_recorded_one(golden: Path) -> None:
    runs = json.loads((golden / "h_eval" / "judge_files.json").read_text())
    (base,) = requests(1)
    for name, prompt in {"video_qa": "open", "generative_qa_temporal": "temporal"}.items():
        lines = [
            judged(replace(base, id=str(number), prompt=prompt), None, reply=reply)
            for number, reply in enumerate(runs[name]["replies"])
        ]
        assert as_released(lines) == {prompt: pytest.approx(runs[name]["stats"], rel=1e-12)}, name
