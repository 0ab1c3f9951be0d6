"""evals: the file of a video under its many names, subtitles with their times, and how questions are put."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import Item, Place, VideoName, good_items
from longtake.evals.asking import Wording, asking_of
from longtake.evals.benchmarks import ROOM
from longtake.evals.benchmarks.longvideobench import Longvideobench
from longtake.evals.benchmarks.mlvu import Mlvu
from longtake.evals.benchmarks.tempcompass import Tempcompass
from longtake.evals.benchmarks.video_mme import VideoMme
from longtake.evals.finding import footage, span_of
from longtake.evals.subtitles import Line, read_subtitles, spoken

SAMPLES = Path(__file__).resolve().parent / "evals"


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("names", "youtube", "files", "found"),
    [
        (("v_AbCdEfGhIjK", "AbCdEfGhIjK"), "", ["deep/er/v_AbCdEfGhIjK.mkv", "b.mp4"], "deep/er/v_AbCdEfGhIjK.mkv"),
        (("v_AbCdEfGhIjK", "AbCdEfGhIjK"), "", ["AbCdEfGhIjK.webm"], "AbCdEfGhIjK.webm"),
        (("v_AbCdEfGhIjK", "AbCdEfGhIjK"), "", ["AbCdEfGhIjK.webm", "v_AbCdEfGhIjK.mp4"], "v_AbCdEfGhIjK.mp4"),
        (("video6513",), "", ["x/video6513.MP4"], "x/video6513.MP4"),
        (("a",), "", ["a.webm", "a.mp4", "a.txt"], "a.mp4"),
        (("a.webm",), "", ["a.webm", "a.mp4"], "a.webm"),
        (("a.webm",), "", ["a.mkv"], "a.mkv"),
        (("plotQA/1.mp4", "1.mp4"), "", ["plotQA/1.mp4", "summary/1.mp4"], "plotQA/1.mp4"),
        (("1_plotQA/1.mp4", "plotQA/1.mp4"), "", ["video/plotQA/1.mp4", "video/9_summary/1.mp4"], "video/plotQA/1.mp4"),
        (("AbCdEfGhIjK",), "AbCdEfGhIjK", ["A film [AbCdEfGhIjK].mkv", "b.mp4"], "A film [AbCdEfGhIjK].mkv"),
        (("001",), "AbC-EfG_IjK", ["A film-AbC-EfG_IjK.mp4"], "A film-AbC-EfG_IjK.mp4"),
        (("tvqa/frames/friends_1",), "", ["tvqa/frames/friends_1/00001.jpg"], "tvqa/frames/friends_1"),
        (("friends.s1",), "", ["friends.s1/00001.jpg"], "friends.s1"),
        (("two.dots.here",), "", ["two.dots.here.mp4"], "two.dots.here.mp4"),
    ],
)
def test_a_video_is_found(names: tuple[str, ...], youtube: str, files: list[str], found: str, tmp_path: Path) -> None:
    seen = footage(put(tmp_path, *files))
    assert seen.find(VideoName(names, youtube)) == tmp_path / found


@pytest.mark.parametrize(
    ("names", "youtube", "files", "code"),
    [
        (("a",), "", ["b.mp4", "a.txt", "aa.mp4"], ErrorCode.MEDIA_NOT_FOUND),
        (("a",), "AbCdEfGhIjK", ["A film [abcdefghijk].mp4"], ErrorCode.MEDIA_NOT_FOUND),
        (("a",), "AbCdEfGhIjK", ["xAbCdEfGhIjK.mp4"], ErrorCode.MEDIA_NOT_FOUND),
        (("1.mp4",), "", ["plotQA/1.mp4", "summary/1.mp4"], ErrorCode.DATA_BAD),
        (("a",), "AbCdEfGhIjK", ["x/A [AbCdEfGhIjK].mp4", "y/B [AbCdEfGhIjK].mp4"], ErrorCode.DATA_BAD),
    ],
)
def test_a_video_that_is_not_there_or_not_one_is_told(
    names: tuple[str, ...], youtube: str, files: list[str], code: ErrorCode, tmp_path: Path
) -> None:
    with pytest.raises(LongtakeError) as caught:
        footage(put(tmp_path, *files)).find(VideoName(names, youtube))
    assert caught.value.code is code


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LongtakeError, match="there is no such folder"):
        footage(tmp_path / "none")


def test_a_clip_that_is_cut_already_is_not_cut_again() -> None:
    item = Item("1", VideoName(("v",)), "q", Place("f", 1), reference="a", span_s=(3.0, 5.0))
    assert span_of(item, Path("star/Charades_v1_480/v.mp4")) == (3.0, 5.0)
    assert span_of(item, Path("star/Charades_segment/v.mp4")) is None


def test_subtitles_are_read_with_their_times() -> None:
    srt = read_subtitles(SAMPLES / "video_mme" / "subtitle" / "AbCdEfGhIjK.srt")
    assert srt == [Line(1.0, 3.5, "Here are the islands."), Line(3.5, 6.0, "There are seven, as you see.")]
    folder = SAMPLES / "longvideobench" / "subtitles"
    assert read_subtitles(folder / "AbCdEfGhIjK_en.json") == [
        Line(3.0, 5.5, "We are at sea."),
        Line(5.5, 9.0, "Land ahoy."),
    ]
    assert read_subtitles(folder / "lMnOpQrStUv_en.json") == [
        Line(0.0, 2.5, "A bridge."),
        Line(2.5, None, "And a coat."),
    ]
    assert spoken(srt) == ["Here are the islands.", "There are seven, as you see."]
    assert spoken(srt, [0.5, 3.5, 5.0]) == ["There are seven, as you see."]
    assert spoken([Line(0, 1, "x"), Line(1, 2, "x")]) == ["x"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.srt", "1\n00:00:01,000 -> x --> y\nwords\n", "a.srt:2: '00:00:01,000 -> x --> y' is no pair of times"),
        ("a.json", '[{"start": "1", "end": "00:00:02", "line": "x"}]', "a.json:1 (entry 1): 'start' holds '1'"),
        ("a.json", '[{"timestamp": 3, "text": "x"}]', "a.json:1 (entry 1): 'timestamp' holds 3"),
        ("a.json", "[3]", "a.json:1 (entry 1): is no object"),
    ],
)
def test_subtitles_that_are_none_are_told_by_line(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LongtakeError) as caught:
        read_subtitles(tmp_path / name)
    assert told in str(caught.value)
    with pytest.raises(LongtakeError, match="there are no such subtitles"):
        read_subtitles(tmp_path / "none.srt")


def asked(name: str, place: int = 0, wording: Wording = "published") -> str:
    benchmark = parts.find(ROOM, name)()
    item = good_items(benchmark, SAMPLES / name)[place]
    return asking_of(benchmark, item, wording).text(item)


def test_video_mme_is_asked_as_its_authors_ask() -> None:
    instruction = (
        "Select the best answer to the following multiple-choice question based on the video. Respond with only the "
        "letter (A, B, C, or D) of the correct option."
    )
    question = "How many islands are shown?\nA. Two.\nB. Three.\nC. Seven.\nD. None.\nThe best answer is:"
    assert asked("video_mme") == f"{instruction}\n{question}"
    item = good_items(VideoMme(subtitles=True), SAMPLES / "video_mme")[0]
    lines = spoken(read_subtitles(SAMPLES / "video_mme" / item.subtitles))
    shown = "This video's subtitles are listed below:\nHere are the islands.\nThere are seven, as you see."
    assert asking_of(VideoMme(), item).text(item, lines) == f"{shown}\n{instruction}\n{question}"


def test_published_wordings_are_those_of_the_protocols() -> None:
    letter = "Answer with the option's letter from the given choices directly."
    assert asked("activitynet_qa") == "is the rower alone Answer the question using a single word or phrase."
    assert asked("egoschema").endswith(f"\nE. C packs a bag.\n{letter}")
    assert asked("lvbench").endswith("\n(D) 1703\nAnswer the question with the option letter.")
    assert asked("longvideobench").startswith("Question: When the subtitle says")
    assert asked("mvbench").endswith(f"\n(D) Sat down.\n{letter}")
    assert asked("vcgbench") == "What does the boatman do?"
    item = good_items(Mlvu(), SAMPLES / "mlvu")[0]
    asking = Mlvu().asking(item)
    assert asking is not None
    assert asking.opening == "Best Option: ("
    expected = "Question: Who opens the gate?\nOptions:\n(A) A guard\n(B) A child\n(C) Nobody\n(D) A goat"
    assert asking.text(item) == f"{expected}\nOnly give the best option."
    tempcompass = {dict(one.facets)["task"]: one for one in good_items(Tempcompass(), SAMPLES / "tempcompass")}
    said = {task: asking_of(Tempcompass(), one).text(one) for task, one in tempcompass.items()}
    assert said["multi-choice"].endswith("\nB. a lamp\nPlease directly give the best option:")
    assert said["yes_no"] == "Is she sawing it?\nPlease answer yes or no:"
    assert said["caption_matching"].endswith("\nSentence B: A log is carried.\nPlease directly give the best option:")
    assert said["captioning"].endswith("\nGenerated Caption:")


def test_our_own_wordings_ask_for_a_letter_or_for_few_words() -> None:
    assert asked("msvd_qa") == asked("msvd_qa", wording="plain") == "what is a baker about to do?"
    assert asked("msvd_qa", wording="brief") == "what is a baker about to do?\nAnswer in one word or a few."
    choice = asked("video_mme", wording="plain")
    assert choice.startswith("How many islands are shown?\nOptions:\n(A) Two.\n")
    assert choice.endswith("\nWhich option is right? Give its letter only.")
    assert asked("intentqa") == asked("intentqa", wording="plain")
    labelled = asked("tempcompass", 5, "plain")
    assert labelled.endswith("Option 2: A woman rolls a log.\nGive the right one of these answers, and nothing else.")


def test_a_twin_is_asked_in_its_own_words() -> None:
    benchmark = parts.find(ROOM, "vcgbench")()
    item = good_items(benchmark, SAMPLES / "vcgbench")[-1]
    assert asking_of(benchmark, item).text(item, question=item.twin) == "Can you tell what is flying?"


def test_subtitles_are_shown_only_where_the_protocol_shows_them() -> None:
    item = good_items(Longvideobench(), SAMPLES / "longvideobench")[0]
    assert "Land ahoy." in asking_of(Longvideobench(), item).text(item, ["Land ahoy."])
    assert "Land ahoy." not in asking_of(Longvideobench(), item, "plain").text(item, ["Land ahoy."])


def test_an_item_is_a_question_of_one_kind() -> None:
    item = Item("1", VideoName(("v",)), "q", Place("f", 1), options=("x", "y"), right=1)
    assert item.called == ("A", "B")
    assert item.answered
    assert not dataclasses.replace(item, right=None).answered
    for wrong in ({"reference": "x"}, {"right": 2}, {"labels": ("1",)}):
        with pytest.raises(ValueError):
            dataclasses.replace(item, **wrong)  # type: ignore[arg-type]
