"""methods: every method that captions keeps the contract; captions and tree do what their papers say, on real film.

Readers are the asked model itself, or a server on a real socket that computes its reply from what it is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import longtake
import tiny
from chat import Chat, served
from longtake import demo, parts
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.methods import Cost, Hear, Query, Team
from longtake.methods._clusters import clusters
from longtake.methods.captions import Captions
from longtake.methods.tree import Tree
from longtake.prompt.templates import find_template
from longtake.readers.endpoint import Endpoint
from longtake.readers.own import OwnReader
from longtake.video import Frames, Video
from longtake.video.opening import open_video
from longtake.video.options import ReadOptions
from media import numbered

EVERY_METHOD = [
    name for name in parts.names("methods") if "caption_tokens" in parts.defaults(parts.find("methods", name))
]
"""That captions; tests/test_again.py has the one that looks twice."""
QUESTION = "What number is on the orange moon?"
SHORT = GenerateOptions(max_new_tokens=8)
MOON_S = (989.6, 990.6)
"""When the demo's film shows an orange moon with 258 (assets/demo/questions.json)."""


@dataclass
class Counted:
    """A real video that notes what is read of it."""

    inner: Any
    path: str = ""
    read_numbers: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, numbers: Sequence[int], **how: Any) -> Iterator[Frames]:
        self.read_numbers += list(numbers)
        return self.inner.read(numbers, **how)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny random one, with room for what it says of a few clips."""
    folder = tmp_path_factory.mktemp("nano")
    return longtake.load(str(tiny.checkpoint(folder, trained_context=2048)), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def nano() -> Model:
    return longtake.load("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def film() -> Video:
    """A minute of the demo's film, in which an orange moon is shown for a second."""
    return open_video(demo.FILM).stretch(960, 1020)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(Chat()) as running:
        yield running


def built(name: str, **options: Any) -> Any:
    return parts.find("methods", name)(**{"caption_tokens": 8, **options})


def refused(act: Any) -> LongtakeError:
    with pytest.raises(LongtakeError) as caught:
        act()
    return caught.value


def read_moon(text: str) -> str:
    """A reader that knows English as far as this: it judges by the question's words, and copies what it finds."""
    if "How relevant" in text:
        caption, asked = text.partition("\n")[0], text.partition("The question is: ")[2].partition("\n")[0]
        return str(1 + sum(word in asked.split() or f"{word}?" in asked.split() for word in caption.split()[-3:-1]))
    found = re.findall(r"(\d+:\d{2}:\d{2}[^ ]*)(?: to [^ ]+)?: orange moon (\d+)", text)
    return f"{found[0][1]}, at {found[0][0].rstrip(':')}" if found else "not shown"


# ---- the contract


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_every_method_names_its_paper_and_what_differs(name: str) -> None:
    told = parts.find("methods", name).__doc__ or ""
    # The first line is what `longtake list` and docs/parts.md show.
    assert re.search(r"\(arXiv \d{4}\.\d{5}\), without its .+ GPT-4: ", told.partition("\n")[0])
    assert "without what" in told and "GPT" in told and ", not " in told


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_cost_is_known_before_anything_is_decoded_and_not_exceeded(name: str, nano: Model, film: Video) -> None:
    """nano's words make the same tokens when they are read as when they are said."""
    method, video = built(name), Counted(film)
    team, query = Team(nano), Query(QUESTION, options=SHORT)
    cost = method.cost(team, [video], query)
    assert video.read_numbers == []
    answer = method.ask(method.watch(team, [video]), query)
    captions, tokens = answer.reading.captions, answer.tokens
    assert 0 < len(captions) <= cost.captions
    assert 0 < tokens["visual"] <= cost.visual_tokens
    assert tokens["reader_text"] + tokens["reader_new"] <= cost.reader_tokens
    assert len(answer.looks[0].numbers) == cost.frames == len(set(video.read_numbers)) == 60


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_answer_tells_what_it_rests_on(name: str, model: Model, bunny: Path) -> None:
    method, heard = built(name), list[tuple[str, int, int]]()
    hear = Hear(lambda *told: heard.append(told))
    watched = method.watch(Team(model), [open_video(bunny)], hear=hear)
    answer = method.ask(watched, Query(QUESTION, options=SHORT), hear=hear)
    assert answer.reading.method == parts.told(method, "methods") and answer.reading.method["name"] == name
    assert answer.reading.reader == answer.model == model.name
    times = [(caption.file, caption.start_s, caption.end_s) for caption in answer.reading.captions]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert all(0 <= start_s <= end_s <= answer.looks[0].duration_s for _, start_s, end_s in times)
    assert answer.tokens["visual"] == sum(look.visual_tokens for look in answer.looks)
    assert {"read", "encode", "prefill", "generate", "read captions"} <= set(answer.seconds)
    assert all(0 <= done <= total for _, done, total in heard)
    assert "caption" in {stage for stage, _, _ in heard}
    told = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    assert told["method"]["captions"][0].keys() == {"file", "start_s", "end_s", "text", "relevance", "named"}
    assert told["method"]["reader"] == model.name and told["choices"] is None


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_second_question_reads_nothing_twice(name: str, model: Model, bunny: Path) -> None:
    method, video = built(name), Counted(open_video(bunny))
    watched = method.watch(Team(model), [video])
    first = method.ask(watched, Query(QUESTION, options=SHORT))
    read = list(video.read_numbers)
    again = method.ask(watched, Query(QUESTION, options=SHORT))
    assert video.read_numbers == read
    assert (again.text, again.reading) == (first.text, first.reading)
    fresh = method.ask(method.watch(Team(model), [open_video(bunny)]), Query(QUESTION, options=SHORT))
    assert (fresh.text, fresh.reading) == (first.text, first.reading)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_choices(name: str, model: Model, bunny: Path) -> None:
    method = built(name)
    watched = method.watch(Team(model), [open_video(bunny)])
    answer = method.ask(watched, Query("What is it?", ("a red star", "a blue star", "the number"), SHORT))
    assert [(offered.letter, offered.text) for offered in answer.choices] == [
        ("A", "a red star"),
        ("B", "a blue star"),
        ("C", "the number"),
    ]
    chances = [offered.probability for offered in answer.choices]
    assert sum(chances) == pytest.approx(1)
    assert answer.text == answer.choices[chances.index(max(chances))].text
    for choices in (("one",), ("one", " "), ("x",) * 27):
        assert refused(lambda choices=choices: method.ask(watched, Query("What?", choices))).code is (
            ErrorCode.USAGE_BLANK_QUESTION if " " in choices else ErrorCode.USAGE_BAD_OPTION
        )


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_what_the_reader_cannot_read_is_refused_before_anything_is_decoded(
    name: str, model: Model, bunny: Path
) -> None:
    video = Counted(open_video(bunny))
    small = replace(model, engine=replace(model.engine, trained_context=300))
    method = built(name, caption_tokens=200)
    error = refused(lambda: method.cost(Team(small), [video], Query(QUESTION)))
    assert error.code is ErrorCode.LIMIT_CONTEXT and video.read_numbers == []
    assert "caption_tokens" in error.advice or "sample at most" in error.advice
    beyond = replace(model, beyond_trained_context=True)
    assert method.cost(Team(beyond), [video], Query(QUESTION)).captions > 0


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_what_goes_beyond_the_trained_context_is_told(name: str, model: Model, bunny: Path) -> None:
    """The same answer, with its flag: nothing but the number that is known of the context differs."""
    small = replace(model, engine=replace(model.engine, trained_context=40), beyond_trained_context=True)
    method, query = built(name), Query(QUESTION, options=SHORT)
    first = method.ask(method.watch(Team(model), [open_video(bunny)]), query)
    second = method.ask(method.watch(Team(small), [open_video(bunny)]), query)
    assert second.text == first.text
    assert (first.beyond_trained_context, second.beyond_trained_context) == (False, True)
    assert any("than the 40 that the reader was trained to read" in note for note in second.notes)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_pictures_and_several_files(name: str, model: Model, bunny: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    files = [open_video(bunny), open_video(tmp_path / "grey.png")]
    method = built(name)
    answer = method.ask(method.watch(Team(model), files), Query(QUESTION, options=SHORT))
    assert [look.still for look in answer.looks] == [False, True]
    assert {caption.file for caption in answer.reading.captions} == {0, 1}
    assert sum(caption.file for caption in answer.reading.captions) == 1


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_damage_that_is_skipped_is_told(name: str, model: Model, tmp_path: Path) -> None:
    path = numbered.write(tmp_path / "film.mp4", numbered.Coding(options={"g": "10"}))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    method = built(name, **({"clip_s": 0.2, "frames": 1} if name == "captions" else {"every_s": 0.1}))
    video = open_video(path)
    assert refused(lambda: method.watch(Team(model), [video])).code is ErrorCode.MEDIA_CORRUPT
    video = open_video(path, options=ReadOptions(on_corrupt="skip"))
    answer = method.ask(method.watch(Team(model), [video]), Query(QUESTION, options=SHORT))
    assert answer.degraded and answer.looks[0].lost_s
    assert any(note.startswith("degraded: ") for note in answer.notes)
    lost = [span for span in answer.looks[0].lost_s if span[1] is not None]
    for caption in answer.reading.captions:
        assert not any(start_s <= caption.start_s and caption.end_s <= end_s for start_s, end_s in lost)
    assert len(answer.looks[0].numbers) < answer.looks[0].asked_frames


@pytest.mark.parametrize("name", EVERY_METHOD)
@pytest.mark.parametrize("checkpoint", ["LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny"])
def test_any_family(name: str, checkpoint: str, shared: Path, bunny: Path) -> None:
    """Tiny random checkpoints in the layout of released ones: each in its own layout and templates."""
    model = longtake.load(str(shared / "golden" / "checkpoints" / checkpoint), device="cpu", dtype="float32")
    video, method = open_video(bunny).stretch(0, 2), built(name, caption_tokens=4, prompt="What?")
    watched = method.watch(Team(model), [video])
    assert method.ask(watched, Query("Which?", options=SHORT)).reading.captions
    answer = method.ask(watched, Query("Which?", ("rabbit", "dog"), SHORT))
    assert sum(offered.probability for offered in answer.choices) == pytest.approx(1)
    own = {"LongVA-tiny": "chatml", "llava-v1.6-vicuna-tiny": "slowfast_choice"}.get(checkpoint, "slowfast_choice_yi")
    chosen = model.with_template(find_template(own), name=own)
    straight = longtake.choose(chosen, longtake.watch(chosen, video, options=SHORT), "Which?", ("rabbit", "dog"), SHORT)
    assert sum(offered.probability for offered in straight.choices) == pytest.approx(1)


@pytest.mark.parametrize("name", EVERY_METHOD)
@pytest.mark.parametrize("question", ["", " \u200b", "a lone \ud800 surrogate"])
def test_question_that_cannot_be_read(name: str, question: str, model: Model, bunny: Path) -> None:
    error = refused(lambda: built(name).cost(Team(model), [open_video(bunny)], Query(question)))
    assert error.code in (ErrorCode.USAGE_BLANK_QUESTION, ErrorCode.USAGE_BAD_TEXT)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_server_finds_the_moon_in_nanos_captions(name: str, nano: Model, film: Video, chat: Chat) -> None:
    """The whole chain: real film, nano's words, a reader on a socket, a time that lies where the moon is."""
    chat.reply = read_moon
    method, reader = built(name), Endpoint(chat.url, "m")
    answer = method.ask(method.watch(Team(nano, reader), [film]), Query(QUESTION))
    assert re.fullmatch(r"258, at 0:16:(28|30)", answer.text)
    (named,) = (caption for caption in answer.reading.captions if caption.named)
    assert named.text == "orange moon 258"
    assert named.start_s < MOON_S[1] and named.end_s > MOON_S[0] - 0.5
    assert answer.reading.reader == f"{chat.url}#m"
    assert (answer.tokens["reader_text"], answer.tokens["reader_new"]) == (11 * len(chat.texts), 3 * len(chat.texts))
    assert answer.reading.rounds == len(chat.texts)


# ---- captions


def test_clips_by_hand(tmp_path: Path) -> None:
    """3 s at 10 frames a second."""
    video = open_video(numbered.write(tmp_path / "film.mp4", times_ms=[100 * number for number in range(30)]))
    method = Captions(clip_s=1.0, frames=2)
    found = [(clip.start_s, clip.end_s, clip.numbers) for clip in method.clips(video)]
    assert found == [(0, 1, (2, 7)), (1, 2, (12, 17)), (2, 3, (22, 27))]
    found = [(clip.start_s, clip.numbers) for clip in replace(method, every_s=1.5).clips(video)]
    assert found == [(0, (2, 7)), (1.5, (17, 22))]
    found = [(clip.start_s, clip.end_s) for clip in Captions(clip_s=2.0).clips(video.stretch(0.5, 2.9))]
    assert found == [(0.5, 2.5), (2.5, pytest.approx(2.9))]
    # More often than there are frames: what shows the same is one clip.
    found = [(clip.start_s, clip.numbers) for clip in Captions(clip_s=0.05, frames=4).clips(video)]
    assert [numbers for _, numbers in found] == [(number,) for number in range(30)]


def test_captions_are_what_the_pipeline_says_of_each_clip(nano: Model, film: Video) -> None:
    """Two roads: all clips in one pass over the file, and each stretch watched by itself."""
    method = Captions(caption_tokens=8)
    made = method.watch(Team(nano), [film]).made
    assert len(made) == 15
    for each in made:
        stretch = film.stretch(each.caption.start_s, each.caption.end_s)
        assert set(each.numbers) < set(stretch.numbers.tolist())
        watched = longtake.watch(replace(nano, sampler=Taken(each.numbers)), stretch)
        assert each.caption.text == longtake.ask(nano, watched, nano.caption_prompt, method_options(method)).text


@dataclass(frozen=True)
class Taken:
    """These frames."""

    numbers: tuple[int, ...]

    def pick(self, video: Video, question: str) -> list[int]:
        return list(self.numbers)


def method_options(method: Captions) -> GenerateOptions:
    return GenerateOptions(max_new_tokens=method.caption_tokens)


def test_reader_gets_every_caption_behind_its_time(nano: Model, film: Video, chat: Chat) -> None:
    method = Captions(caption_tokens=8)
    watched = method.watch(Team(nano, Endpoint(chat.url, "m")), [film])
    method.ask(watched, Query("What number?"))
    (text,) = chat.texts
    lines = text.splitlines()
    assert lines[2:17] == [
        f"0:{16 + second // 60}:{second % 60:02} to 0:{16 + (second + 4) // 60}:{(second + 4) % 60:02}: {said}"
        for second, said in zip(range(0, 60, 4), (each.caption.text for each in watched.made), strict=True)
    ]
    assert lines[9] == "0:16:28 to 0:16:32: orange moon 258"
    assert lines[-1] == "What number?"


def test_nano_reads_its_own_captions(nano: Model, film: Video) -> None:
    """It learned to read captions, if not with times before them; measured: docs/methods.md."""
    method = Captions(caption_tokens=8)
    watched = method.watch(Team(nano), [film])
    assert method.ask(watched, Query(QUESTION)).text == "orange moon 258"
    assert method.ask(watched, Query("What number is on the red star?")).text == "not shown"


def test_summary_comes_first_and_is_what_is_read(nano: Model, film: Video, chat: Chat) -> None:
    """LLoVi's two rounds: captions and question give a summary, summary and question the answer."""
    chat.reply = lambda text: "It all\nhappens at night." if "Sum up" in text else "yes"
    method = Captions(caption_tokens=8, summarise=True, summary_tokens=77)
    answer = method.ask(method.watch(Team(nano, Endpoint(chat.url, "m")), [film]), Query("What happens?"))
    assert (answer.text, answer.reading.rounds) == ("yes", 2)
    first, second = chat.texts
    assert "orange moon 258" in first and first.endswith(": What happens?")
    assert "orange moon" not in second and "It all happens at night." in second
    assert [request["max_tokens"] for request in chat.requests] == [77, 64]


def test_summaries_are_made_of_as_many_parts_as_fit(nano: Model, film: Video) -> None:
    small = replace(nano, engine=replace(nano.engine, trained_context=150), name="small")
    method = Captions(caption_tokens=8, summarise=True, summary_tokens=16)
    team = Team(nano, OwnReader(small))
    assert method.cost(team, [film], Query(QUESTION, options=SHORT)).captions == 15
    watched = method.watch(team, [film])
    answer = method.ask(watched, Query(QUESTION, options=SHORT))
    assert answer.reading.rounds > 2
    # Without summaries the same captions are too much, and kept for whoever can read them.
    plain = replace(method, summarise=False)
    assert refused(lambda: plain.ask(watched, Query(QUESTION))).code is ErrorCode.LIMIT_CONTEXT
    large = replace(watched, team=Team(nano))
    assert plain.ask(large, Query(QUESTION)).text == "orange moon 258"


@pytest.mark.parametrize(
    "options",
    [{"clip_s": 0.0}, {"every_s": -1.0}, {"frames": 0}, {"caption_tokens": 0}, {"summary_tokens": 10**9}],
)
def test_options_of_captions_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="want"):
        Captions(**options)


# ---- tree


def test_clusters_by_hand() -> None:
    points_TD = torch.tensor([[0.0, 0], [0.1, 0], [5, 5], [0.2, 0], [5, 5.1], [9, 0]])
    found = clusters(points_TD, tuple(range(6)), 3, seed=0)
    assert [(cluster.members, cluster.centre) for cluster in found] == [((0, 1, 3), 1), ((2, 4), 2), ((5,), 5)]
    # Of some places only, and no more clusters than there are different points.
    found = clusters(points_TD, (2, 4), 4, seed=0)
    assert [cluster.members for cluster in found] == [(2,), (4,)]
    assert len(clusters(torch.ones(5, 3), tuple(range(5)), 4, seed=0)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_a_partition_around_their_means(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points_TD = torch.randn(60, 4, generator=generator)
    found = clusters(points_TD, tuple(range(60)), 7, seed=seed)
    assert sorted(member for cluster in found for member in cluster.members) == list(range(60))
    means = torch.stack([points_TD[list(cluster.members)].mean(0) for cluster in found])
    for number, cluster in enumerate(found):
        away = torch.cdist(points_TD[list(cluster.members)], means)
        assert bool((away.argmin(1) == number).all())
        assert cluster.centre == cluster.members[int(away[:, number].argmin())]
    assert found == clusters(points_TD, tuple(range(60)), 7, seed=seed)


def judge(score: str) -> Any:
    return lambda text: score if "How relevant" in text else "done"


def grown(nano: Model, film: Video, chat: Chat, tree: Tree) -> tuple[Any, list[str]]:
    answer = tree.ask(tree.watch(Team(nano, Endpoint(chat.url, "m")), [film]), Query(QUESTION))
    return answer, [text for text in chat.texts if "How relevant" in text]


def test_breadth_doubles_until_enough_is_relevant(nano: Model, film: Video, chat: Chat) -> None:
    tree = Tree(caption_tokens=8, breadth=2, most_breadth=8, relevant=2, depth=1)
    chat.reply = judge("3")
    answer, judged = grown(nano, film, chat, tree)
    assert len(answer.reading.captions) == 2 == len(judged)
    chat.reply, chat.texts = judge("2"), []
    answer, judged = grown(nano, film, chat, tree)
    assert tree.cost(Team(nano), [film], Query(QUESTION)).captions == 2 + 4 + 8
    # 2, 4 and 8 clusters were tried; centres that came again were not judged again.
    assert len(answer.reading.captions) == 8 < len(judged) <= 14
    assert len(set(judged)) <= len(judged)


@pytest.mark.parametrize(("score", "range_of"), [("1", (4, 4)), ("2", (5, 4 + 12)), ("3", (17, 4 + 12 + 36))])
def test_depth_follows_relevance(nano: Model, film: Video, chat: Chat, score: str, range_of: tuple[int, int]) -> None:
    """Width 3: one level more for a 2, two for a 3; only the first level is judged."""
    tree = Tree(caption_tokens=8, breadth=4, most_breadth=4, relevant=9, width=3)
    chat.reply = judge(score)
    answer, judged = grown(nano, film, chat, tree)
    assert range_of[0] <= len(answer.reading.captions) <= range_of[1]
    assert len(judged) == 4
    assert [caption.relevance for caption in answer.reading.captions if caption.relevance] == [int(score)] * 4
    assert chat.texts[-1].count("\n0:16:") == len(answer.reading.captions)


def test_captions_of_frames_are_kept_for_the_next_question(nano: Model, film: Video, chat: Chat) -> None:
    chat.reply, tree, video = judge("2"), Tree(caption_tokens=8, breadth=4, most_breadth=4), Counted(film)
    watched = tree.watch(Team(nano, Endpoint(chat.url, "m")), [video])
    tree.ask(watched, Query("What?"))
    made, read = dict(watched.made), len(video.read_numbers)
    chat.reply = judge("3")
    deeper = tree.ask(watched, Query("Which?"))
    assert all(watched.made[place] is made[place] for place in made)
    assert len(video.read_numbers) - read == len(watched.made) - len(made) > 0
    assert len(deeper.reading.captions) == len(watched.made)


def test_tree_leaves_out_what_the_reader_has_no_room_for_and_says_so(nano: Model, film: Video) -> None:
    """A reader of 700 tokens, which finds everything relevant or not as it likes."""
    small = replace(nano, engine=replace(nano.engine, trained_context=600), name="small")
    tree = Tree(caption_tokens=8, breadth=4, most_breadth=4)
    team, query = Team(nano, OwnReader(small)), Query(QUESTION, options=SHORT)
    cost: Cost = tree.cost(team, [film], query)
    answer = tree.ask(tree.watch(team, [film]), query)
    whole = tree.ask(tree.watch(Team(nano), [film]), query)
    left = len(whole.reading.captions) - len(answer.reading.captions)
    assert len(answer.reading.captions) <= cost.captions < tree.cost(Team(nano), [film], query).captions
    note = f"{left:,} more frames would have been put in words, had the reader room"
    assert (note in answer.notes) == (left > 0)
    assert not answer.beyond_trained_context


def test_garbage_for_a_score_is_an_error(nano: Model, film: Video, chat: Chat) -> None:
    chat.reply = judge("quite relevant")
    error = refused(lambda: grown(nano, film, chat, Tree(caption_tokens=8)))
    assert error.code is ErrorCode.NETWORK_BAD_REPLY and "one of 1, 2, 3" in error.reason


@pytest.mark.parametrize(
    "options",
    [
        {"every_s": 0.0},
        {"breadth": 0},
        {"breadth": 33},
        {"relevant": 0},
        {"width": 1},
        {"depth": 4},
        {"seed": -1},
        {"caption_tokens": 0},
    ],
)
def test_options_of_tree_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="want"):
        Tree(**options)
