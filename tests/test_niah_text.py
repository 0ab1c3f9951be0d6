"""niah.text: needles of words in text files and in captions of the drawn world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.loading import load
from longtake.niah import Grid
from longtake.niah.drawn import draw_symbols, draw_trials
from longtake.niah.sweep import sweep
from longtake.niah.text import AsReleased, LaidText, cells_in, number_needles, read_texts, write_world
from longtake.prompt import segment_ids
from running import Cli

STORY = "the red star is on the sea. what is the number? the blue moon is in the city.\n"


@pytest.fixture(scope="module")
def nano() -> Model:
    return load("nano")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_things_go_where_longva_puts_them(golden: Path) -> None:
    recorded = json.loads((golden / "i_longtext" / "text_needle.json").read_text())
    assert len(recorded["cases"]) == 10
    for case in recorded["cases"]:
        rule = AsReleased(frozenset(recorded["period_token_ids"]), case["numpy_global_seed"])
        haystack = case["haystack"][: case["context_length"]]
        placed = rule.place(case["needle"], haystack, case["distractors"], depth=case["depth"])
        assert [*case["prefix"], *placed, *case["postfix"]] == case["prompt"]


def test_a_number_is_asked_for_by_its_name_and_others_have_other_names() -> None:
    trials = number_needles(6, seed=3, distractors=5)
    for trial in trials:
        needle, *others = trial.insertions
        (name,) = re.findall(r"number of (\w+)\?", trial.question)
        assert needle.text == f"\nThe magic number of {name} is {trial.answer}.\n" and needle.depth is None
        assert re.fullmatch(r"[1-9]\d{6}", trial.answer)
        assert len(others) == 5 and all(0 <= other.depth < 1 for other in others if other.depth is not None)
        assert not any(name in other.text or trial.answer in other.text for other in others)
    assert len({trial.answer for trial in trials}) == 6
    assert [few.question for few in number_needles(2, seed=3, distractors=5)] == [one.question for one in trials[:2]]
    with pytest.raises(LongtakeError) as refused:
        number_needles(1, seed=0, distractors=99)
    assert refused.value.code is ErrorCode.USAGE_BAD_OPTION


def test_files_are_read_one_after_the_other_and_again(nano: Model, tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text(STORY)
    two.write_text("star " * 10)
    story, stars = nano.tokenizer.encode(STORY), nano.tokenizer.encode("star " * 10)
    wanted = len(story) + len(stars) + 5
    haystack = read_texts(nano.tokenizer, [one, two], wanted)
    assert haystack.ids_L.tolist() == [*story, *stars, *story[:5]]
    assert haystack.origin["cycled"] is True
    assert haystack.origin["different_tokens"] == len(story) + len(stars)
    assert haystack.origin["files"] == [
        {"path": str(one), "tokens": len(story)},
        {"path": str(two), "tokens": len(stars)},
    ]
    short = read_texts(nano.tokenizer, [one, two], 7)
    assert short.ids_L.tolist() == story[:7] and short.origin["cycled"] is False
    assert short.origin["files"] == [{"path": str(one), "tokens": 7}]


def test_a_bad_file_is_named(nano: Model, tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text("")
    latin.write_bytes("caf\xe9".encode("latin-1"))
    for path, code in (
        (tmp_path / "none.txt", ErrorCode.MEDIA_NOT_FOUND),
        (tmp_path, ErrorCode.MEDIA_NOT_A_FILE),
        (empty, ErrorCode.MEDIA_EMPTY),
        (latin, ErrorCode.MEDIA_UNKNOWN_FORMAT),
    ):
        with pytest.raises(LongtakeError) as refused:
            read_texts(nano.tokenizer, [path], 10)
        assert (refused.value.code, refused.value.subject) == (code, str(path))
    enough = tmp_path / "enough.txt"
    enough.write_text("red circle " * 20)
    with pytest.raises(LongtakeError, match="there is no such file"):
        read_texts(nano.tokenizer, [enough, tmp_path / "none.txt"], 10)


def test_a_needle_goes_where_a_sentence_ends(nano: Model, tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text(STORY * 4)
    haystack = read_texts(nano.tokenizer, [tmp_path / "story.txt"], 80)
    trials = number_needles(2, seed=0, distractors=3)
    laid = LaidText.of(nano, haystack, trials)
    opening = segment_ids(nano.tokenizer, nano.template.opening)
    for cell in cells_in(haystack, Grid((30, 80), (0.0, 0.3, 0.71, 1.0)), trials):
        ids = laid.prompt(cell).token_ids_L.tolist()
        needles = laid.needles[cell.trial.name]
        assert len(ids) == len(opening) + cell.frames + sum(map(len, needles))
        assert cell.places[0] >= int(cell.depth * cell.frames)
        text = ids[len(opening) :]
        for place, needle in zip(cell.places, needles, strict=True):
            before = nano.tokenizer.decode(haystack.ids_L[:place].tolist())
            assert place in (0, cell.frames) or before.rstrip(" ")[-1] in ".?\n", before
            assert [at for at in range(len(text)) if text[at : at + len(needle)] == needle]
        # The first needle stands behind its place and whatever was put in before it.
        before_it = sum(len(one) for place, one in zip(cell.places, needles, strict=True) if place < cell.places[0])
        begin = cell.places[0] + before_it
        assert text[begin : begin + len(needles[0])] == needles[0]


def test_where_no_sentence_ends_a_needle_stays(nano: Model, tmp_path: Path) -> None:
    (tmp_path / "stars.txt").write_text("star " * 600)
    haystack = read_texts(nano.tokenizer, [tmp_path / "stars.txt"], 600)
    assert haystack.place(0.5, 400) == 200 and haystack.place(0.0, 400) == 0 and haystack.place(1.0, 400) == 400


def test_captions_are_four_words_and_a_share_shows_other_scenes(nano: Model) -> None:
    beside = draw_trials("find", 2, seed=0, in_words=True)
    symbols = draw_symbols(beside, 20, seed=0)
    haystack = write_world(nano.tokenizer, 2000, symbols, share=0.5, seed=1)
    shorter = write_world(nano.tokenizer, 400, symbols, share=0.5, seed=1)
    assert np.array_equal(haystack.ids_L[:400], shorter.ids_L)
    captions = [tuple(nano.tokenizer.decode(haystack.ids_L[at : at + 4].tolist()).split()) for at in range(0, 2000, 4)]
    plain = [caption for caption in captions if caption[:3] == ("only", "scenery", "here")]
    assert 200 < len(plain) < 300 and haystack.origin["symbol_captions"] == 500 - len(plain)
    assert {caption for caption in captions if caption not in plain} <= {symbol.caption for (symbol,) in symbols}
    assert all(place % 4 == 0 for place in (haystack.place(share, 1999) for share in (0.1, 0.33, 0.9)))


def test_nano_finds_a_caption_among_captions(nano: Model) -> None:
    beside = draw_trials("find", 5, seed=0, in_words=True)
    haystack = write_world(nano.tokenizer, 600, seed=0)
    cells = cells_in(haystack, Grid((200, 600), (0.0, 0.5)), beside.trials)
    rows = list(sweep(nano, cells, LaidText.of(nano, haystack, beside.trials).prompt))
    assert all(row.error is None and row.chance is not None and row.chance <= 1 / 200 for row in rows)
    assert sum(bool(row.forced) for row in rows) >= 0.8 * len(rows) == 16
    assert {row.places for row in rows if row.depth == 0.5} == {(100,), (300,)}


def test_text_needles_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    options = ("--text", "--tokens", "64,128", "--depths", "0,1", "--trials", "3")
    found = cli.json("niah", "world", *options, "--task", "several", "--distractors", "0.5", "-o", tmp_path / "world")
    assert found["asked"] == 12 and found["failed"] == 0
    assert found["haystack"]["unit"] == "tokens" and found["haystack"]["captions"] == 32
    story = tmp_path / "story.txt"
    story.write_text(STORY)
    found = cli.json("niah", story, *options, "--distractors", "3", "-o", tmp_path / "story")
    assert found["haystack"]["cycled"] is True
    rows = [json.loads(line) for line in (tmp_path / "story" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 12 and all(len(row["places"]) == 4 for row in rows)
    assert all(row["tokens"] > row["frames"] and row["error"] is None for row in rows)
    # The same run again has nothing left to ask and says the same; another text is another run.
    again = cli.json("niah", story, *options, "--distractors", "3", "-o", tmp_path / "story")
    assert again["mean"] == found["mean"]
    story.write_text(STORY.replace("red", "blue"))
    status, out, err = cli("niah", story, *options, "--distractors", "3", "-o", tmp_path / "story")
    assert status == 2 and "other settings: text" in err


@pytest.mark.parametrize(
    "options",
    [
        ("world", "--distractors", "3"),
        ("world", "other.txt"),
        ("world", "--layout", "grid"),
        ("world", "--set", "layout.pool=3"),
        ("world", "--isolate"),
        ("story.txt", "--distractors", "0.5"),
        ("story.txt", "--distractors", "inf"),
        ("story.txt", "--on-corrupt", "skip"),
        ("story.txt", "--limit", "bytes=10"),
        ("story.txt", "--task", "order"),
        ("story.txt", "--needle", "red"),
        ("story.txt", "--frames", "200"),
        ("story.txt", "--every-frame"),
    ],
)
def test_options_that_say_nothing_about_text_are_refused(cli: Cli, options: tuple[str, ...]) -> None:
    status, out, err = cli("niah", *options, "--text", "--plan")
    assert status == 2 and err.startswith("error[usage.bad_option]: ")


@pytest.mark.parametrize("options", [("--tokens", "100"), ("--needles", "dataset.json", "--task", "order")])
def test_options_that_say_nothing_about_frames_are_refused(cli: Cli, bunny: Path, options: tuple[str, ...]) -> None:
    status, out, err = cli("niah", bunny, *options, "--plan")
    assert status == 2 and err.startswith("error[usage.bad_option]: ")
