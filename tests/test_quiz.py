"""quiz: worldqa's films show what its answers say, nobody guesses the answers, and making survives a kill."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals import good_items
from longtake.evals.asking import asking_of
from longtake.evals.benchmarks.worldqa import Worldqa
from longtake.evals.figures import mark_choice
from longtake.evals.letters import Reading
from longtake.evals.splits import digest, split_of
from longtake.quiz import KINDS, OPTIONS, Question, Spot, Wanted
from longtake.quiz.asking import film_at
from longtake.quiz.making import MADE, QUESTIONS, SHOWN, SUMS, UNFINISHED, VIDEOS, Foreseen, foresee, lines_of, make
from longtake.quiz.staging import FIRST_PLACE, Staged, scenes_in
from longtake.video.opening import open_video
from longtake.world.questions import COUNT_WORDS
from longtake.world.vocabulary import COLOURS, SHAPES
from running import Cli

SMALL = Wanted(seed=3, questions=10, lengths_s=(8,))
FULL = Wanted()
COMBINED = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})")


@pytest.fixture(scope="module")
def full() -> list[tuple[Spot, Staged, tuple[Question, ...]]]:
    """All that is asked without options: 1,000 questions about 200 films, none of them drawn."""
    return [(spot, *film_at(spot)) for spot in FULL.spots]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of 8 s and their ten questions."""
    folder = tmp_path_factory.mktemp("quiz")
    make(folder, SMALL)
    return folder


def rows_of(full: list[tuple[Spot, Staged, tuple[Question, ...]]]) -> list[dict[str, Any]]:
    return [json.loads(line) for spot, staged, questions in full for line in lines_of(spot, staged, questions)[1]]


def test_a_seed_always_makes_the_same_and_another_seed_makes_another() -> None:
    spots = list(Wanted(questions=40, lengths_s=(8, 32)).spots)
    lines = [lines_of(spot, *film_at(spot)) for spot in spots]
    assert lines == [lines_of(spot, *film_at(spot)) for spot in reversed(spots)][::-1]
    assert not set(map(str, lines)) & {
        str(lines_of(spot, *film_at(spot))) for spot in Wanted(seed=1, questions=40).spots
    }
    # Fewer questions are the first of more, and other lengths leave a film as it is.
    assert spots[:3] == list(Wanted(questions=15, lengths_s=(8, 32)).spots)
    assert set(Wanted(questions=10, lengths_s=(32,)).spots) <= set(spots)


def test_what_is_made_without_options_is_a_known_split(full: list[Any]) -> None:
    ids = [row["id"] for row in rows_of(full)]
    told = split_of(Worldqa().card, ids)
    assert (told.name, told.whole, len(ids)) == ("seed 0", True, 1000)
    assert split_of(Worldqa().card, ids[:-1]).name == "unknown"


def test_other_pictures_a_second_are_other_questions(full: list[Any]) -> None:
    """The same scenes, but not the same pictures: a model sees another film, and it is no known split."""
    quick = [lines_of(spot, *film_at(spot)) for spot in replace(FULL, fps=2).spots]
    ids = [json.loads(line)["id"] for _, lines in quick for line in lines]
    assert len(set(ids)) == 1000 and not set(ids) & {row["id"] for row in rows_of(full)}
    assert split_of(Worldqa().card, ids).name == "unknown"
    assert [staged for _, staged, _ in full][:8] == [
        film_at(spot)[0] for spot in replace(FULL, fps=2, questions=40).spots
    ]


def test_version_1_of_seed_0_is_what_it_was(full: list[Any]) -> None:
    """Ids are the same whatever stands behind them: where this moves, count `quiz.VERSION` up, and say so."""
    lines = [lines_of(*one) for one in full]
    shown = "".join(film_line for film_line, _ in lines)
    asked = "".join(line for _, some in lines for line in some)
    assert [hashlib.sha256(text.encode()).hexdigest() for text in (asked, shown)] == [
        "17f4fad7051185e70b1547d828d96018b0305db6349afed99bfda272a88f4928",
        "077934ef81cf19fa8528b3b46f3ea59f826d02b404b542cced1e95fef535631b",
    ]


def test_everything_shown_is_held_out_and_filmed_where_no_training_was(full: list[Any]) -> None:
    for spot, staged, _ in full:
        scenes = staged.cast.scenes
        assert len(scenes) == scenes_in(spot.length_s)
        assert all(scene.held_out for scene in (*scenes, *staged.cast.move))
        assert len({scene.value for scene in scenes}) == len(scenes)
        assert len({(one.colour, one.shape) for one in (*scenes, staged.cast.move[0])}) == len(scenes) + 1
        assert all(take.staging.place_seed >= FIRST_PLACE for take in staged.takes)
        ends = [take.end_s for take in staged.takes]
        assert [0, *ends[:-1]] == [take.start_s for take in staged.takes]
        assert ends[-1] == spot.length_s
        one, other = (staged.seen_s(scene)[0] for scene in staged.far)
        assert abs(one - other) >= spot.length_s / 2


def test_one_who_knows_what_is_held_out_is_not_helped_by_that(full: list[Any]) -> None:
    for _, staged, questions in full:
        by_look = {(scene.colour, scene.shape): scene for scene in staged.cast.scenes}
        by_value = {scene.value: scene for scene in staged.cast.scenes}
        for question in questions:
            if question.kind == "recognition":
                right = question.options[question.right]
                (scene,) = (
                    [by_value[right]]
                    if question.asks_for == "value"
                    else [scene for scene in by_value.values() if staged.seen_s(scene) == question.seen_s[0]]
                )
                assert getattr(scene, question.asks_for) == right
                assert all(replace(scene, **{question.asks_for: option}).held_out for option in question.options)
            if question.kind == "long range":
                for option in question.options:
                    for colour, shape, value in re.findall(r"(\w+) (\w+) (\w+)", option):
                        assert replace(by_look[colour, shape], value=value).held_out


def test_answers_follow_from_what_the_films_show(full: list[Any]) -> None:
    """A second road: from the words of the question and the film's line alone."""
    for spot, staged, questions in full:
        film_line, lines = lines_of(spot, staged, questions)
        shows = [shot for shot in json.loads(film_line)["shows"] if "value" in shot]
        moving = [shot for shot in shows if shot["value"] in ("left", "middle", "right")]
        still = [shot for shot in shows if shot not in moving]
        for line in lines:
            row = json.loads(line)
            words = set(re.findall(r"\w+", row["question"].lower()))
            looks = [look for look in COMBINED.findall(row["question"])]
            if row["kind"] == "counting":
                word = next(word for word in (*COLOURS, *SHAPES) if word in words)
                many = sum(word in (shot["colour"], shot["shape"]) for shot in shows)
                assert row["answer"] == COUNT_WORDS[many], row
            elif row["kind"] == "order":
                first = min((s for s in still if (s["colour"], s["shape"]) in looks), key=lambda s: s["from_s"])
                assert row["answer"] == f"{first['colour']} {first['shape']}", row
            elif row["kind"] == "motion":
                assert looks == [(moving[0]["colour"], moving[0]["shape"])]
                assert [shot["value"] for shot in moving][-1] == row["answer"] != moving[0]["value"]
            elif row["kind"] == "long range":
                found = {(s["colour"], s["shape"]): s["value"] for s in still}
                assert row["answer"] == ", ".join(f"{c} {s} {found[c, s]}" for c, s in looks), row
            else:
                fits = [
                    shot
                    for shot in still
                    if all(shot[key] in words or key == row["asks_for"] for key in ("colour", "shape", "value"))
                    or (row["asks_for"] != "value" and shot["value"] in words)
                ]
                assert [shot[row["asks_for"]] for shot in fits] == [row["answer"]], row


def test_no_place_and_no_answer_is_more_frequent(full: list[Any]) -> None:
    for length_s in FULL.lengths_s:
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for spot, _, questions in full:
            for question in questions if spot.length_s == length_s else ():
                counts[question.kind][question.right] += 1
        for kind in KINDS:
            found = [counts[kind][place] for place in range(OPTIONS[kind])]
            assert sum(found) == 50
            assert max(found) - min(found) <= 1, (kind, found)


def reach(share: float, many: int) -> float:
    """So far a guess may lie from chance: 3.3 standard errors, one run in a thousand."""
    return 3.3 * math.sqrt(share * (1 - share) / many)


def test_one_who_sees_nothing_is_right_by_chance(full: list[Any]) -> None:
    """The most frequent place, the most frequent word, and words of question and option together, learned from one half
    of the questions and tried on the other."""
    rows = rows_of(full)
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        halves = (own[::2], own[1::2])
        for guess in (by_place, by_option, by_words):
            right = sum(
                guess(learned, row) == row["options"].index(row["answer"])
                for learned, tried in (halves, halves[::-1])
                for row in tried
            )
            chance = 1 / OPTIONS[kind]
            assert abs(right / len(own) - chance) < reach(chance, len(own)), (kind, guess.__name__, right)


def test_the_blind_would_be_seen_if_an_answer_were_given_away(full: list[Any]) -> None:
    rows = [row for row in rows_of(full) if row["kind"] == "recognition"]
    spoiled = [
        {**row, "question": f"{row['question']} {'even' if row['options'].index(row['answer']) % 2 else 'odd'}"}
        for row in rows
    ]
    right = sum(by_words(spoiled[::2], row) == row["options"].index(row["answer"]) for row in spoiled[1::2])
    assert right / len(spoiled[1::2]) > 0.25 + reach(0.25, 100)


def by_place(learned: list[dict[str, Any]], row: dict[str, Any]) -> int:
    places = Counter(one["options"].index(one["answer"]) for one in learned)
    return places.most_common(1)[0][0]


def by_option(learned: list[dict[str, Any]], row: dict[str, Any]) -> int:
    answers = Counter(word for one in learned for word in one["answer"].split())
    shown = Counter(word for one in learned for option in one["options"] for word in option.split())
    scores = [sum((answers[w] + 1) / (shown[w] + 4) for w in option.split()) for option in row["options"]]
    return max(range(len(scores)), key=scores.__getitem__)


def by_words(learned: list[dict[str, Any]], row: dict[str, Any]) -> int:
    """Naive Bayes of the right place, given the words of the question."""
    many = len(row["options"])
    seen = [Counter[str]() for _ in range(many)]
    for one in learned:
        seen[one["options"].index(one["answer"])].update(set(one["question"].lower().split()))
    scores = [
        sum(math.log((counts[w] + 0.5) / (counts.total() + 1)) for w in set(row["question"].lower().split()))
        for counts in seen
    ]
    return max(range(many), key=scores.__getitem__)


def test_films_that_were_made_show_what_their_lines_say(made: Path) -> None:
    """By longtake's own decoder: each second's picture is the one of all that was drawn for it, and has its colour."""
    for line in (made / SHOWN).read_text().splitlines():
        told = json.loads(line)
        video = open_video(str(made / VIDEOS / told["video"]))
        assert video.duration_s == told["seconds"] == len(video.numbers)
        seen_THWC = np.concatenate([f.pixels_TCHW for f in video.read([int(n) for n in video.numbers], chunk=8)])
        seen_THWC = seen_THWC.transpose(0, 2, 3, 1).astype(int)
        for shot in told["shows"]:
            if "colour" not in shot:
                continue
            second = round(shot["from_s"])
            near = [(np.abs(picture - COLOURS[shot["colour"]]).max(axis=-1) < 40).mean() for picture in seen_THWC]
            assert near[second] > 0.02, shot
            left = {"left": (0, 0.5), "middle": (0.25, 0.75), "right": (0.5, 1)}.get(shot["value"])
            if left is not None:
                width = seen_THWC.shape[2]
                columns = slice(round(left[0] * width), round(left[1] * width))
                picture = seen_THWC[second]
                inside = np.abs(picture - COLOURS[shot["colour"]]).max(axis=-1) < 40
                assert inside[:, columns].sum() > 0.6 * inside.sum(), shot


def test_a_film_is_the_pictures_that_were_drawn_for_it(made: Path) -> None:
    from longtake.world.hour import film

    spot = next(SMALL.spots)
    staged, _ = film_at(spot)
    drawn = np.stack(list(film(list(staged.takes), fps=1, width=320, height=180))).astype(int)
    video = open_video(str(made / VIDEOS / f"{spot.name}.mp4"))
    seen = np.concatenate([f.pixels_TCHW for f in video.read([int(n) for n in video.numbers], chunk=8)])
    seen = seen.transpose(0, 2, 3, 1).astype(int)
    apart = np.abs(drawn[:, None] - seen[None]).mean(axis=(2, 3, 4))
    assert apart.diagonal().max() < 6
    assert (apart.argmin(axis=1) == np.arange(len(drawn))).all()


def test_made_again_nothing_is_made_and_what_is_damaged_is_mended(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    again = make(folder, SMALL)
    assert (again.new, again.mended) == (0, 0)
    films = sorted((folder / VIDEOS).iterdir())
    before = [film.read_bytes() for film in films]
    films[0].write_bytes(before[0][:-1] + b"x")
    with open(folder / SUMS, "a") as sums:
        sums.write("torn")
    mended = make(folder, SMALL)
    assert (mended.new, mended.mended) == (1, 1)
    assert [film.read_bytes() for film in films] == before
    assert {path.name: path.read_bytes() for path in folder.glob("*.json*")} == {
        path.name: path.read_bytes() for path in made.glob("*.json*")
    }
    told = json.loads((folder / MADE).read_text())
    assert told["by_kind"] == dict.fromkeys(KINDS, 2)
    assert told["ids_sha256"] == digest([item.id for item in good_items(Worldqa(), folder)])


def test_what_was_made_otherwise_and_what_does_not_fit_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(LongtakeError, match="holds what was made otherwise: seed 3, not 4") as caught:
        make(made, replace(SMALL, seed=4))
    assert caught.value.code is ErrorCode.USAGE_BAD_OPTION
    with pytest.raises(LongtakeError, match="do not fit into the") as caught:
        make(tmp_path, SMALL, foreseen=Foreseen(1, 1.0, 10**18))
    assert caught.value.code is ErrorCode.DISK_WRITE
    assert not list((tmp_path / VIDEOS).iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(LongtakeError) as caught:
        make(tmp_path / "file", SMALL)
    assert caught.value.code is ErrorCode.DISK_WRITE


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"questions": 0}, "want at least 1"),
        ({"fps": 0}, "want 1 to 60"),
        ({"lengths_s": (7,)}, "a film of 7 s is too short"),
        ({"lengths_s": (32, 8)}, "want them ascending"),
        ({"lengths_s": ()}, "lengths are none"),
    ],
)
def test_what_cannot_be_made_is_refused(wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Wanted(**wanted)


def test_after_kills_the_same_is_there_as_without(tmp_path: Path, made: Path) -> None:
    """kill -9 as soon as one film is whole, and while the next is written."""
    folder = tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; from longtake.quiz import Wanted; from longtake.quiz.making import make;"
        f"make(Path(sys.argv[1]), {SMALL!r})"
    )

    def one_is_whole() -> bool:
        return (folder / SUMS).exists() and (folder / SUMS).stat().st_size > 0

    def one_is_written() -> bool:
        return (folder / UNFINISHED).exists() and any((folder / UNFINISHED).glob("*.mp4"))

    for wait in (one_is_whole, one_is_written):
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)])
        give_up = time.monotonic() + 300
        while not wait() and process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (folder / QUESTIONS).exists():
            break
    assert make(folder, SMALL).new <= 1
    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert there == {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}


def test_it_is_read_and_marked_as_any_other(made: Path) -> None:
    benchmark = Worldqa()
    items = good_items(benchmark, made)
    marks = [mark_choice(item, Reading(item.right, "read")) for item in items]
    figures = {figure.name: figure for figure in benchmark.figures(marks)}
    assert [figures[f"category: {kind}"].scored for kind in KINDS] == [2] * 5
    assert figures["accuracy"].value == 1
    assert figures["length: 8 s"].scored == 10
    assert figures["kind, length: long range, 8 s"].scored == 2
    asked = {item.categories[0]: asking_of(benchmark, item).text(item) for item in items}
    assert re.fullmatch(r"[^()]+\? \(A\) left \(B\) right", asked["motion"])
    assert asked["order"] == next(item.question for item in items[::-1] if item.categories == ("order",))
    plain = asking_of(benchmark, items[4], "plain").text(items[4])
    assert all(f"({letter}) {option}" in plain for letter, option in zip("ABCD", items[4].options, strict=True))


def test_nano_answers_what_it_learned_from_the_films_themselves(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third road to the truth: a model that was trained on other scenes reads these films as the answers say."""
    told = Cli(capsys).json(
        *("eval", "worldqa", "--data", made, "--sampler", "every", "--out", tmp_path / "run"),
        *("--max-new-tokens", 16, "--no-store"),
    )
    figures = {figure["name"]: figure for figure in told["figures"]["letter"]}
    assert (told["rows"], told["failed"]) == (10, 0)
    assert [figures[f"category: {kind}"]["value"] for kind in ("recognition", "motion", "long range")] == [1, 1, 1]


def test_what_it_costs_is_told_and_scales(tmp_path: Path) -> None:
    one, ten = foresee(SMALL), foresee(replace(SMALL, questions=100))
    assert (one.pictures, ten.pictures) == (16, 160)
    assert ten.bytes == pytest.approx(10 * one.bytes, rel=0.01)
    assert one.seconds > 0


def test_a_full_disk_is_told_and_what_was_made_stays(tmp_path: Path, made: Path) -> None:
    """A limit on the size of files stands for the full disk: a film is larger, all else is smaller."""
    folder = tmp_path / "full"
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from longtake.errors import LongtakeError; from longtake.quiz import Wanted\n"
        "from longtake.quiz.making import make\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"try: make(Path(sys.argv[1]), {SMALL!r})\n"
        "except LongtakeError as error: print(error.code.value.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "disk.write\n"
    assert not (folder / QUESTIONS).exists()
    assert not list((folder / VIDEOS).iterdir())
    assert make(folder, SMALL).new == 2
    assert (folder / SUMS).read_bytes() == (made / SUMS).read_bytes()
    assert not (folder / UNFINISHED).exists()
