"""longtake train align: tiles as LongVA's, prompts as a user's, only answers learned; what was stopped goes on."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import tiny
from longtake import load
from longtake.engines.local import LocalEngine
from longtake.errors import ErrorCode, LongtakeError
from longtake.families.nano import TEMPLATE
from longtake.layouts import Visual
from longtake.layouts.grid import Grid
from longtake.pipeline import watch
from longtake.prompt import Control, chatml, prefix, question_ids, segment_ids
from longtake.train.align_recipe import AlignRecipe
from longtake.train.alignment import train_align
from longtake.train.corpus import find_files
from longtake.train.dialogues import write_dialogue
from longtake.train.llava import PAIR_ENDINGS, Sample, Turn, open_picture, read_samples
from longtake.train.looking import Looker, Queue
from longtake.train.order import Grouped, Order
from longtake.train.recipes import read_recipe
from longtake.train.seeing import AsAsked
from longtake.train.showing import Teller
from longtake.train.skips import Skips
from longtake.video.opening import open_video
from longtake.vision import FeatureGrid, GridShape
from longtake.vision.pixels import PixelRecipe
from longtake.vision.tiles import best_grid, cut, grids
from originals import CHECKPOINTS
from released import RECIPES
from running import Cli
from test_train_text import Doing


def test_longvas_grids_are_chosen_for_every_recorded_size(golden: Path) -> None:
    recorded = json.loads((golden / "b_preproc" / "anyres_grid_select_336.json").read_text())
    choices = {
        f"range_1x1_{most}x{most}": [(columns + 1, rows + 1) for columns in range(most) for rows in range(most)]
        for most in (2, 6)
    }
    for name in ("longva_finetune_sh", "llava16"):
        spelled = recorded["pinpoints"][name]
        sizes = ast.literal_eval(spelled) if isinstance(spelled, str) else spelled
        choices[name] = [(width // 336, height // 336) for width, height in sizes]
    assert choices["longva_finetune_sh"] == grids(49, least=2), "LongVA's list is that of 2 to 49 tiles"
    for row in recorded["rows"]:
        width, height = row["size_wh"]
        found = best_grid(width, height, side_px=336, choices=choices[row["pinpoints"]])
        assert list(found) == row["grid_wh"], row


@pytest.mark.parametrize("number", range(6))
def test_tiles_are_longvas_number_for_number(golden: Path, number: int) -> None:
    image_HWC = load_file(golden / "b_preproc" / "inputs.safetensors")[f"img{number}"].numpy()
    told = json.loads((golden / "b_preproc" / "longva_anyres_grids.json").read_text())["grids"][str(number)]
    columns, rows = told["grid_wh"]
    tiles = torch.from_numpy(cut(image_HWC, (columns, rows), side_px=56))
    expected = np.load(golden / "b_preproc" / "longva.npz")[f"anyres_{number}"][1:]
    np.testing.assert_allclose(PixelRecipe(56).normalise(tiles).numpy(), expected, atol=1e-6)


def image_cases() -> list[dict[str, Any]]:
    cases = json.loads((Path(__file__).parent / "golden" / "c_unires" / "cases.json").read_text())
    return [case for case in cases if case["name"].startswith("image")]


@pytest.mark.parametrize("case", image_cases(), ids=lambda case: case["name"])
def test_tokens_of_a_picture_are_longvas(golden: Path, case: dict[str, Any]) -> None:
    tensors = load_file(golden / "c_unires" / "unires.safetensors")
    views_TND, expected = tensors[f"{case['name']}.in"], tensors[f"{case['name']}.out"]
    views_THWD = views_TND.unflatten(1, (case["side"], case["side"]))
    if len(views_THWD) > 1:
        (piece,) = Grid().arrange(FeatureGrid(views_THWD[1:], np.zeros(len(views_THWD) - 1)))
        assert isinstance(piece, Visual)
        torch.testing.assert_close(piece.tokens_ND, expected, atol=1e-6, rtol=0)
        if isinstance(case["pinpoints"], list):
            side = case["clip_size"]
            choices = [(width // side, height // side) for width, height in case["pinpoints"]]
            assert list(best_grid(*case["image_size_wh"], side_px=side, choices=choices)) == case["grid_wh"]


def test_tiles_lie_in_reading_order_and_bars_fill_the_rest() -> None:
    image_HWC = np.zeros((20, 40, 3), np.uint8)
    image_HWC[:, :20, 0] = 200
    image_HWC[:, 20:, 1] = 100
    tiles = cut(image_HWC, (2, 2), side_px=20)
    assert tiles.shape == (4, 3, 20, 20)
    assert tiles[:, 0].max((1, 2)).tolist() == [200, 0, 200, 0]
    assert tiles[:, 1].max((1, 2)).tolist() == [0, 100, 0, 100]
    assert tiles[0, 0, :, 0].tolist() == [0] * 10 + [200] * 10, "the bar is above"
    assert tiles[2, 0, :, 0].tolist() == [200] * 10 + [0] * 10


def row(number: int, shown: int = 1, **changes: Any) -> dict[str, Any]:
    talk = said("<image>\n" * shown + "what is on the star", "the number")
    return {"id": f"s{number}", "images": [f"{place}.png" for place in range(shown)], "conversations": talk, **changes}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """20 samples of one to three of five pictures of noise, and a tiny nano to align."""
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(tmp_path / f"{number}.png")
    rows = [row(number, 1 + number % 3) for number in range(20)]
    for number, one in enumerate(rows):
        one["conversations"][1]["value"] = f"number {number}"
    (tmp_path / "data.json").write_text(json.dumps(rows))
    tiny.checkpoint(tmp_path / "nano", dtype=torch.bfloat16)
    return tmp_path


def samples(data: Path, rows: list[Any], most_images: int = 4) -> list[Sample | LongtakeError]:
    (data / "mine.json").write_text(json.dumps(rows))
    return list(read_samples(data / "mine.json", data, most_images=most_images))


def said(*values: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[place % 2], "value": value} for place, value in enumerate(values)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": ["none.png"]}, "none.png is not there"),
        ({"images": [f"{place}.png" for place in range(5)]}, "shows 5 pictures"),
        ({"images": ["0.png", "1.png"]}, "has 2 pictures and 1 times <image>"),
        ({"images": 3}, "neither a name nor a list"),
        ({"conversations": said("<image>\nwhat", "this", "and")}, "has 3 parts"),
        ({"conversations": said("<image>", "this")}, "the question of turn 0 has no words"),
        ({"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}, "is from gpt and human"),
        ({"conversations": [{"from": "human"}]}, "is not {from, value}"),
        ({"conversations": "none"}, "has no list of conversations"),
        ({"conversations": said("<image>\nwhat \ud800", "this")}, "holds no Unicode text"),
    ],
)
def test_a_sample_that_is_not_as_it_should_be_is_named(data: Path, changes: dict[str, Any], told: str) -> None:
    good, bad = samples(data, [row(0), row(1, **changes)])
    assert isinstance(good, Sample) and isinstance(bad, LongtakeError)
    assert bad.code is ErrorCode.DATA_BAD
    assert bad.subject == f"{data / 'mine.json'}: sample 1 (s1)"
    assert told in bad.reason


def test_marks_are_taken_out_and_pictures_come_before_the_words(data: Path) -> None:
    conversation = said("what is <image>\n red\n<image>", " a star ", "why", "so")
    (sample,) = samples(data, [row(0, 2, conversations=conversation)])
    assert isinstance(sample, Sample)
    assert sample.turns == (Turn("what is  red", "a star", 2), Turn("why", "so", 0))
    (single,) = samples(data, [{"image": "1.png", "conversations": said("<image>\nwhat", "red")}])
    assert isinstance(single, Sample) and single.pictures == (data / "1.png",)


def test_pictures_are_turned_as_they_say_and_stand_on_white(data: Path) -> None:
    sample = Sample("here", (), ())
    tall = Image.new("RGB", (4, 8), "red")
    exif = tall.getexif()
    exif[0x0112] = 6
    tall.save(data / "turned.jpg", exif=exif)
    Image.new("RGBA", (3, 3), (9, 9, 9, 0)).save(data / "clear.png")
    assert open_picture(sample, data / "turned.jpg").shape == (4, 8, 3)
    assert open_picture(sample, data / "clear.png").tolist() == [[[255] * 3] * 3] * 3
    (data / "broken.png").write_bytes((data / "0.png").read_bytes()[:100])
    with pytest.raises(LongtakeError, match="broken.png cannot be seen"):
        open_picture(sample, data / "broken.png")


def test_a_dialogue_begins_as_the_prompt_that_a_user_gets_and_only_answers_are_learned() -> None:
    tokenizer = tiny.tokenizer()
    visual = Visual(torch.randn(6, 8), np.zeros(6))
    asked = prefix(TEMPLATE, tokenizer, [visual]).token_ids_L.tolist() + question_ids(TEMPLATE, tokenizer, "what is")
    turns = [Turn("what is", "red star", 1), Turn("number", "blue", 0)]
    one = write_dialogue(TEMPLATE, tokenizer, turns, [[visual]], width=8)
    assert one.token_ids_L[: len(asked)].tolist() == asked
    end = tokenizer.control("<|im_end|>")
    learned = one.token_ids_L[one.answers_L].tolist()
    assert learned == [*tokenizer.encode("red star"), end, *tokenizer.encode("blue"), end]
    assert torch.equal(one.visual_ND, visual.tokens_ND)


def test_a_later_turn_is_chatml_without_a_second_system_turn() -> None:
    tokenizer = tiny.tokenizer()
    turns = [Turn("what", "red", 0), Turn("number", "blue", 0)]
    one = write_dialogue(chatml("is the"), tokenizer, turns, [], width=8)
    start, end = Control("<|im_start|>"), Control("<|im_end|>")
    first = (start, "system\nis the", end, "\n", start, "user\n", "what", end, "\n", start, "assistant\n")
    second = ("\n", start, "user\n", "number", end, "\n", start, "assistant\n")
    expected = [
        *segment_ids(tokenizer, first),
        *tokenizer.encode("red"),
        *segment_ids(tokenizer, (end, *second)),
        *tokenizer.encode("blue"),
        tokenizer.control(end.token),
    ]
    assert one.token_ids_L.tolist() == expected


def looker(data: Path, tiles: int = 1, most_images: int = 4) -> Looker:
    return Looker(load(str(data / "nano"), dtype="float32"), tiles, most_images, half=False)


def test_one_tile_is_seen_as_a_frame_is_and_more_tiles_as_more_frames(data: Path) -> None:
    (sample,) = samples(data, [row(0)])
    assert isinstance(sample, Sample)
    one = looker(data)
    image_HWC = open_picture(sample, data / "0.png")
    whole_CHW = torch.from_numpy(one.model.encoder.shrinker(tiled=False)(image_HWC))
    assert torch.equal(one.cut(sample, data / "0.png")[0], whole_CHW)
    tiles = looker(data, tiles=9).cut(sample, data / "0.png")
    assert tiles.shape == (4, 3, 48, 48), "60 x 90 pixels in tiles of 48: two columns and two rows show all of them"
    ((piece,),) = one.pieces([tiles], learning=False)
    assert isinstance(piece, Visual) and len(piece.tokens_ND) == one.model.layout.count(GridShape(4, 2, 2))


def test_a_batch_with_more_pictures_than_allowed_is_never_trained_on(data: Path) -> None:
    (three,) = samples(data, [row(0, 3)])
    assert isinstance(three, Sample)
    eye = looker(data, most_images=2)
    with pytest.raises(ValueError, match="shows 3 pictures; want at most 2"):
        eye.dialogues([(three, [eye.cut(three, path) for path in three.pictures])], learning=False)


def test_losses_are_those_of_the_engine_that_answers(data: Path) -> None:
    """Two roads: the batch that learns, padded, and the engine's teacher forcing on one prompt."""
    eye = looker(data)
    both = [sample for sample in samples(data, [row(0, 3), row(1, 1)]) if isinstance(sample, Sample)]
    batch = [(sample, [eye.cut(sample, path) for path in sample.pictures]) for sample in both]
    with torch.inference_mode():
        losses, tokens = eye.read(batch, learning=False)
        expected = []
        for sample, pictures in batch:
            pieces = [piece for picture in eye.pieces(pictures, learning=False) for piece in picture]
            read = eye.model.engine.prefill(prefix(eye.model.template, eye.model.tokenizer, pieces))
            asked = question_ids(eye.model.template, eye.model.tokenizer, sample.turns[0].question)
            tokenizer = eye.model.tokenizer
            answer = [*tokenizer.encode(sample.turns[0].answer), tokenizer.control("<|im_end|>")]
            expected.append(eye.model.engine.logprobs(read, asked, answer))
    torch.testing.assert_close(losses, -torch.cat(expected), atol=1e-4, rtol=1e-4)
    assert tokens > 2 * len(losses)


def test_the_order_is_a_permutation_in_every_round_and_can_be_entered_anywhere(data: Path) -> None:
    found = [sample for sample in samples(data, [row(n) for n in range(7)]) if isinstance(sample, Sample)]
    whole = [sample.place for sample, _ in Queue(found, looker(data), (3, 1)).take(21)]
    assert sorted(whole[:7]) == sorted(whole[7:14]) == sorted(sample.place for sample in found)
    assert whole[:7] != whole[7:14]
    later = Queue(found, looker(data), (3, 1), next_place=10)
    assert [sample.place for sample, _ in later.take(5)] == whole[10:15]


@pytest.mark.parametrize("name", ["llava_next vicuna", "llava_onevision", "LongVA-tiny"])
def test_pictures_can_be_shown_as_a_user_shows_them(data: Path, name: str) -> None:
    """AnyRes, and what a model does with several: two roads, as above, the other one through `watch`."""
    folder = RECIPES[name].save(data / "model") if name in RECIPES else CHECKPOINTS / name
    model = load(str(folder), device="cpu", dtype="float32")
    assert isinstance(model.engine, LocalEngine)
    model = replace(model, engine=replace(model.engine, vocabulary_size=None))
    eye = AsAsked(model, tiles=1, most_images=4, half=False)
    for shown in (1, 3):
        (sample,) = samples(data, [row(0, shown)])
        assert isinstance(sample, Sample)
        pictures = [eye.cut(sample, path) for path in sample.pictures]
        with torch.inference_mode():
            losses, tokens = eye.read([(sample, pictures)], learning=False)
            watched = watch(model, [open_video(path) for path in sample.pictures])
        asked = question_ids(watched.template, model.tokenizer, sample.turns[0].question)
        tokenizer = model.tokenizer
        answer = [*tokenizer.encode(sample.turns[0].answer), tokenizer.control(watched.template.stop[0])]
        torch.testing.assert_close(-losses, model.engine.logprobs(watched.prefix, asked, answer), atol=1e-4, rtol=1e-4)
        assert abs(eye.tokens(sample, pictures) - tokens) <= 2 * shown


def test_like_goes_with_like_and_the_order_can_be_entered_anywhere() -> None:
    rng = np.random.default_rng(0)
    likeness = [(int(rng.integers(2)), int(rng.integers(1000))) for _ in range(203)]
    order = Grouped(likeness, 8, (3,))
    first, second = ([order.at(round_ * 203 + place) for place in range(203)] for round_ in range(2))
    assert sorted(first) == sorted(second) == list(range(203)) and first != second
    assert [Grouped(likeness, 8, (3,)).at(place) for place in (300, 17)] == [second[97], first[17]]
    batches = [[likeness[number] for number in first[place : place + 8]] for place in range(0, 200, 8)]
    assert sum(len({kind for kind, _ in batch}) > 1 for batch in batches) <= 2, "one in 16 where kinds meet"
    plain = Order(203, (3,))
    drawn = [[likeness[plain.at(place + i)] for i in range(8)] for place in range(0, 200, 8)]

    def padding(many: list[list[tuple[int, int]]]) -> int:
        return sum(8 * max(length for _, length in one) - sum(length for _, length in one) for one in many)

    assert padding(batches) < padding(drawn) / 3


def test_a_sample_that_is_too_long_is_told_or_left_out(data: Path) -> None:
    with pytest.raises(LongtakeError, match=r"sample \d+ \(s\d+\): makes \d+ tokens; at most 22 are trained on"):
        train(recipe(data, "most_tokens=22"), data / "run")
    one = looker(data)
    counts = [one.tokens(some, [one.cut(some, path) for path in some.pictures]) for some in read(data)]
    settings = ["most_tokens=23", "on_bad=skip", "grouped=true", "held_out=0.0"]
    summary = train(recipe(data, *settings, "stages.0.steps=6", "stages.1.steps=2"), data / "lenient")
    assert summary["skipped"] == sum(count > 23 for count in counts) and 0 < summary["skipped"] < len(counts)


def read(data: Path) -> list[Sample]:
    return [one for one in read_samples(data / "data.json", data, most_images=4) if isinstance(one, Sample)]


def test_a_llava_is_aligned_as_it_is_asked_and_asked_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RECIPES["llava_next vicuna"].save(data / "model")
    given = recipe(data, f"model={folder}", "pictures_as=asked", "stages.0.steps=1", "stages.1.steps=1")
    summary = train(given, data / "run")
    again = load(summary["model"])
    assert not torch.equal(again.engine.language.lm_head.weight, load(str(folder)).engine.language.lm_head.weight)  # type: ignore[attr-defined]
    capsys.readouterr()
    told = Cli(capsys).json("ask", data / "0.png", "What is on the picture?", "--model", summary["model"])
    assert told["tokens"]["visual"] > 16


def recipe(data: Path, *settings: str) -> AlignRecipe:
    path = data / "recipe.toml"
    path.write_text("""
held_out = 0.2
tiles = 1
step_samples = 4
samples_at_once = 2
log_every = 2
save_every = 4
warm_up_steps = 2
rates = { projector = 1e-3, language = 1e-3 }
[[stages]]
train = ["projector"]
steps = 10
[[stages]]
train = ["projector", "language"]
steps = 10
""")
    given = {"data": [str(data / "data.json")], "model": str(data / "nano")}
    return read_recipe(AlignRecipe, str(path), settings, given)


def train(recipe: AlignRecipe, folder: Path, teller: Teller | None = None) -> dict[str, Any]:
    return train_align(recipe, folder, device="cpu", plan_only=False, teller=teller or Teller(quiet=True))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_train_align import recipe, train
from test_train_text import Doing
data, folder = Path(sys.argv[2]), Path(sys.argv[3])
train(recipe(data), folder, Doing("align-2", 7, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


def test_killed_and_gone_on_it_ends_with_the_same_bytes_and_learned_what_it_should(data: Path) -> None:
    summary = train(recipe(data), data / "whole")
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(data), str(data / "killed")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run(command, env=os.environ | threads, timeout=600).returncode == -signal.SIGKILL
    gone_on = train(recipe(data), data / "killed")
    whole, killed = (data / name / "model" / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    assert gone_on["held_out"] == summary["held_out"] and gone_on["tokens"] == summary["tokens"]
    assert summary["held_out"]["after"]["loss"] < summary["held_out"]["before"]["loss"]
    before, after = load_file(data / "nano" / "model.safetensors"), load_file(whole)
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"projector", "language"}
    assert load(summary["model"]).engine.trained_context == 256


def test_the_first_stage_leaves_all_but_the_projector(data: Path) -> None:
    with pytest.raises(LongtakeError, match="stopped by Ctrl-C"):
        train(recipe(data), data / "run", Doing("align-2", 1, lambda: signal.raise_signal(signal.SIGINT)))
    kept = torch.load(data / "run" / "align-1.pt", weights_only=True)
    assert {name.partition(".")[0] for name in kept["module"]} == {"projector"}
    assert kept["step"] == 10


def test_words_alone_teach_a_projector_nothing_and_do_no_harm(data: Path) -> None:
    rows = [{"id": number, "conversations": said("what is on the star", "red")} for number in range(4)]
    (data / "data.json").write_text(json.dumps(rows))
    summary = train(recipe(data, "held_out=0.0", "stages.0.steps=2", "stages.1.steps=2"), data / "run")
    before, after = (
        load_file(path) for path in (data / "nano" / "model.safetensors", Path(summary["model"]) / "model.safetensors")
    )
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"language"}


def test_words_alone_are_no_step_of_adamw(data: Path) -> None:
    """A gradient of nought is one more step to it, which corrects other tensors of the projector otherwise."""
    rows = [{"id": number, "conversations": said("what is on the star", "red")} for number in range(4)]
    (data / "data.json").write_text(json.dumps(rows))
    with pytest.raises(LongtakeError, match="stopped by Ctrl-C"):
        stopped = Doing("align-2", 1, lambda: signal.raise_signal(signal.SIGINT))
        train(recipe(data, "held_out=0.0", "stages.0.steps=2"), data / "run", stopped)
    first, second = (torch.load(data / "run" / f"align-{one}.pt", weights_only=True) for one in (1, 2))
    assert not any(kept["state"] for kept in first["optimisers"])
    assert any(kept["state"] for kept in second["optimisers"]), "the language model did learn"


def test_a_bad_line_is_named_and_may_be_left_out(data: Path) -> None:
    path = data / "some.jsonl"
    path.write_text("\n".join([json.dumps(row(0)), "", '{"id": 3,', json.dumps(row(1))]))
    first, bad, last = read_samples(path, data, most_images=4)
    assert isinstance(first, Sample) and isinstance(last, Sample)
    assert isinstance(bad, LongtakeError) and bad.code is ErrorCode.DATA_BAD and bad.subject == f"{path}:3"


def test_the_loss_that_is_shown_begins_with_no_loss_more_than_others(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(quiet=False).stage("short", 2, lambda: False) as hear:
        hear(1, 4.0)
        hear(2, 2.0)
    assert "short: step 2 of 2, recent loss 2.947" in capsys.readouterr().err  # (0.9 x 4 + 2) / 1.9


def test_lines_end_where_lines_end_and_folders_hold_json(data: Path) -> None:
    rows = [row(number, conversations=said("<image>\nwhat\u2028is\x85it", "red")) for number in range(3)]
    (data / "pairs").mkdir()
    path = data / "pairs" / "some.jsonl"
    path.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in rows), encoding="utf-8")
    (data / "pairs" / "one.json").write_text(json.dumps([row(9)]))
    (data / "pairs" / "README.md").write_text("no samples")
    found = find_files([str(data / "pairs")], PAIR_ENDINGS)
    assert [one.name for one in found] == ["one.json", "some.jsonl"]
    assert len([one for one in read_samples(path, data, most_images=4) if isinstance(one, Sample)]) == 3


def test_half_a_line_of_what_was_skipped_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "skipped.jsonl"
    Skips(path).hear(LongtakeError(ErrorCode.DATA_BAD, "one", "broken", ""))
    with path.open("a") as file:
        file.write('{"sample": "tw')
    again = Skips(path)
    assert again.count == 1
    again.hear(LongtakeError(ErrorCode.DATA_BAD, "two", "broken", ""))
    assert Skips(path).count == 2


def test_broken_pictures_are_an_error_or_left_out_counted_and_told(data: Path) -> None:
    rows = json.loads((data / "data.json").read_text())
    (data / "4.png").write_bytes(b"no picture")
    for number in (3, 5):
        rows[number] = row(number, images=["4.png"])
    rows[6] = row(6, images=["gone.png"])
    (data / "data.json").write_text(json.dumps(rows))
    with pytest.raises(LongtakeError, match=r"sample 6 \(s6\): the picture .*gone.png is not there"):
        train(recipe(data), data / "run")
    with pytest.raises(LongtakeError, match=r"sample [35] \(s[35]\): the picture .*4.png cannot be seen"):
        (data / "gone.png").write_bytes((data / "0.png").read_bytes())
        train(recipe(data, "held_out=0.0"), data / "strict")
    (data / "gone.png").unlink()
    summary = train(recipe(data, "on_bad=skip", "held_out=0.0"), data / "lenient")
    assert summary["skipped"] == 3
    told = [json.loads(line) for line in (data / "lenient" / "skipped.jsonl").read_text().splitlines()]
    assert {one["sample"].rpartition(" ")[2] for one in told} == {"(s3)", "(s5)", "(s6)"}
    assert train(recipe(data, "on_bad=skip", "held_out=0.0"), data / "lenient")["skipped"] == 3


def test_the_world_is_drawn_with_at_most_four_pictures_a_sample_and_the_result_answers(
    tmp_path: Path, bunny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(capsys)
    nano = tiny.checkpoint(tmp_path / "nano", trained_context=2048)
    settings = ["world_samples=12", "step_samples=2", "stages.0.steps=2", "held_out=0.3"]
    settings += ["stages.1.steps=2", "tiles=2", "log_every=1", "save_every=1"]
    given = [part for setting in settings for part in ("--set", setting)]
    status, out, err = cli("train", "align", "--model", nano, "--output", tmp_path / "run", "--quiet", *given)
    assert (status, err) == (0, "")
    assert f"ask with --model {tmp_path / 'run' / 'model'}" in out
    (world,) = (tmp_path / "run").glob("world-*")
    rows = json.loads((world / "data.json").read_text())
    assert len(rows) == 12 and {len(one["images"]) for one in rows} == {1, 2, 3, 4}
    assert all((world / name).is_file() for one in rows for name in one["images"])
    answer = cli.json("ask", bunny, "What is shown?", "--model", tmp_path / "run" / "model", "--frames", "4")
    assert answer["tokens"]["visual"] > 0  # type: ignore[index]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("align_*.toml")), ids=str)
def test_recipes_that_ship_can_be_read_and_show_at_most_four_pictures(path: Path) -> None:
    assert read_recipe(AlignRecipe, str(path)).most_images <= 4


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('stages.0.train=["tower"]', "train is tower; want some of vision, projector, language"),
        ("rates.tower=1.0", "rates has tower = 1.0"),
        ("step_samples=3", "want a multiple of samples_at_once"),
        ('on_bad="guess"', "take one of error, skip"),
    ],
)
def test_a_recipe_that_does_not_fit_says_what_would(data: Path, setting: str, told: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        recipe(data, setting)
    assert told in str(caught.value)
