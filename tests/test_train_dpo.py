"""longtake train dpo: pairs are read as a user's files are, the reference is computed once, what is preferred gains."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
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
from longtake.pipeline import watch
from longtake.prompt import question_ids
from longtake.train.dpo import train_dpo
from longtake.train.dpo_recipe import DpoRecipe
from longtake.train.drawn_pairs import draw_pairs
from longtake.train.looking import Looker
from longtake.train.preferences import Preference, read_preferences
from longtake.train.preferring import log_probabilities, margins, preference_losses, read_pair
from longtake.train.recipes import read_recipe
from longtake.train.reference import References
from longtake.train.showing import Teller
from longtake.video.opening import open_video
from longtake.world.film import write_film
from longtake.world.scenes import Scene
from longtake.world.vocabulary import COLOURS, PLACES, SHAPES
from originals import CHECKPOINTS
from released import RECIPES
from running import ONE_LINE, Cli
from test_train_text import Doing

ROWS = 20


def row(number: int, **changes: Any) -> dict[str, Any]:
    shown = {"video": f"{number % 4}.mp4"} if number % 5 else {"image": "still.png"}
    words = {"prompt": f"what number is {number}", "chosen": "red star", "rejected": "the blue"}
    return {**shown, **words, **changes}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """20 pairs about four short films and a picture, all of noise, and a tiny nano."""
    rng = np.random.default_rng(0)
    for number in range(4):
        pictures = rng.integers(0, 256, (3 + 2 * number, 60, 90, 3), np.uint8)
        write_film(tmp_path / f"{number}.mp4", list(pictures), fps=Fraction(1))
    Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(tmp_path / "still.png")
    write_rows(tmp_path, [row(number) for number in range(ROWS)])
    tiny.checkpoint(tmp_path / "nano")
    return tmp_path


def write_rows(data: Path, rows: list[Any]) -> None:
    (data / "data.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))


def found(data: Path, *rows: Any) -> list[Preference | LongtakeError]:
    write_rows(data, list(rows))
    return list(read_preferences(data / "data.jsonl", data))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"video": "none.mp4"}, "none.mp4 is not there"),
        ({"video": 3}, "its video is neither a name nor a list"),
        ({"chosen": None}, "has no text under 'chosen'"),
        ({"rejected": " "}, "its rejected has no words"),
        ({"prompt": "<video>\n"}, "its prompt has no words"),
        ({"rejected": "red star "}, "chosen and rejected are the same"),
        ({"prompt": "what \ud800"}, "holds no Unicode text"),
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_named_by_file_and_line(
    data: Path, changes: dict[str, Any], told: str
) -> None:
    good, bad = found(data, row(1), row(2, **changes))
    assert isinstance(good, Preference) and isinstance(bad, LongtakeError)
    assert (bad.code, bad.subject) == (ErrorCode.DATA_BAD, f"{data / 'data.jsonl'}:2")
    assert told in bad.reason


def test_a_line_that_is_no_json_is_one_bad_row_and_a_list_counts_rows(data: Path) -> None:
    (data / "data.jsonl").write_text(f"{json.dumps(row(1))}\n\n{{\n[1]\n")
    good, broken, other = read_preferences(data / "data.jsonl", data)
    assert isinstance(good, Preference) and isinstance(broken, LongtakeError) and isinstance(other, LongtakeError)
    assert broken.subject.endswith("data.jsonl:3") and other.subject.endswith("data.jsonl:4")
    (data / "list.json").write_text(json.dumps([row(1), "prompt"]))
    good, bad = read_preferences(data / "list.json", data)
    assert (
        isinstance(bad, LongtakeError)
        and bad.subject.endswith("list.json: row 1")
        and "no object but str" in bad.reason
    )


def test_a_row_of_llava_hound_is_understood(data: Path) -> None:
    hound = {"id": "v_1", "video": "1", "answer": "red", "chosen_score": 5, "rejected_score": 2}
    (one,) = found(data, row(1, **hound, prompt="<video>\nwhat is on the star"))
    assert isinstance(one, Preference)
    assert (one.files, one.names, one.prompt) == ((data / "1.mp4",), ("1",), "what is on the star")


def test_all_pairs_of_a_prompt_are_held_out_together(data: Path) -> None:
    rows = [row(number, chosen=f"red {end}") for number in range(40) for end in ("star", "blue")]
    pairs = [one for one in found(data, *[{**one, "video": "1.mp4"} for one in rows]) if isinstance(one, Preference)]
    kept = [one.held_out(0.3) for one in pairs]
    assert kept[::2] == kept[1::2] and 4 <= sum(kept[::2]) <= 22


def test_the_loss_is_that_of_the_paper() -> None:
    log_P2 = torch.tensor([[-2.0, -5.0], [-4.0, -3.0]])
    reference_P2 = torch.tensor([[-3.0, -4.0], [-4.0, -3.0]])
    margins_P = margins(log_P2, reference_P2, beta=0.5)
    assert margins_P.tolist() == [0.5 * (1 - (-1)), 0.0]
    sigmoid = 1 / (1 + math.exp(-1.0))
    plain = preference_losses(margins_P).tolist()
    assert plain == pytest.approx([-math.log(sigmoid), math.log(2)])
    smooth = preference_losses(margins_P, label_smoothing=0.1).tolist()
    assert smooth == pytest.approx([-0.9 * math.log(sigmoid) - 0.1 * math.log(1 - sigmoid), math.log(2)])


MODELS = ["nano", "LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava_next vicuna", "llava_onevision", "video_llava"]


@pytest.mark.parametrize("name", MODELS)
def test_any_family_reads_a_pair_as_it_reads_for_a_user(data: Path, bunny: Path, name: str) -> None:
    """Two roads: what learns, both answers padded side by side, and the engine's teacher forcing after `watch`."""
    folder = RECIPES[name].save(data / "model") if name in RECIPES else data / "nano"
    folder = CHECKPOINTS / name if (CHECKPOINTS / name).is_dir() else folder
    model = load(str(folder), device="cpu", dtype="float32")
    assert isinstance(model.engine, LocalEngine)
    # Answers have no word for what embeddings are padded with; a loss counts it.
    model = replace(model, engine=replace(model.engine, vocabulary_size=None))
    looker = Looker(model, tiles=1, most_images=1, half=False)
    shown = [("still.png",), ("2.mp4",), (str(bunny),)] + ([("1.mp4", "still.png")] if model.template.joint else [])
    for names in shown:
        files = tuple(data / one for one in names)
        told = Preference("here", names, files, "What is on the picture?", "the user", "Answer on what is")
        pair = read_pair(model, told, most_tokens=10**6)
        with torch.inference_mode():
            sums_2 = log_probabilities(looker, [pair, pair], learning=False)[1]
        watched = watch(model, [open_video(path) for path in files])
        asked = question_ids(watched.template, model.tokenizer, told.prompt)
        for words, found_sum in zip((told.chosen, told.rejected), sums_2, strict=True):
            answer = [*model.tokenizer.encode(words), model.tokenizer.control(watched.template.stop[0])]
            expected = model.engine.logprobs(watched.prefix, asked, answer).sum()
            torch.testing.assert_close(found_sum, expected, atol=1e-3, rtol=1e-4)
        longer = 1 + max(len(model.tokenizer.encode(words)) for words in (told.chosen, told.rejected))
        assert abs(pair.tokens - watched.prefix.length - len(asked) - longer) <= len(files)


def recipe(data: Path, *settings: str) -> DpoRecipe:
    path = data / "recipe.toml"
    path.write_text("""
held_out = 0.2
train = ["projector", "language"]
rates = { projector = 1e-3, language = 1e-3 }
epochs = 0
steps = 16
step_pairs = 4
pairs_at_once = 2
log_every = 2
save_every = 4
warm_up_steps = 2
""")
    given = {"data": [str(data / "data.jsonl")], "model": str(data / "nano")}
    return read_recipe(DpoRecipe, str(path), settings, given)


def train(recipe: DpoRecipe, folder: Path, teller: Teller | None = None) -> dict[str, Any]:
    return train_dpo(recipe, folder, device="cpu", plan_only=False, teller=teller or Teller(quiet=True))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_train_dpo import recipe, train
from test_train_text import Doing
data, folder, stage, step = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
train(recipe(data, *sys.argv[6:]), folder, Doing(stage, step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


def kill(data: Path, folder: Path, stage: str, step: int, *settings: str) -> None:
    code = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(data), str(folder), stage, str(step)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run([*code, *settings], env=os.environ | threads, timeout=600).returncode == -signal.SIGKILL


def test_what_is_preferred_gains_on_held_out_prompts_and_stopped_and_killed_it_ends_with_the_same_bytes(
    data: Path,
) -> None:
    summary = train(recipe(data), data / "whole")
    with pytest.raises(LongtakeError, match="after 9 pairs"):
        train(recipe(data), data / "killed", Doing("reference", 9, lambda: signal.raise_signal(signal.SIGINT)))
    first = (data / "killed" / "reference.jsonl").read_text().splitlines()
    assert len(first) == 9
    kill(data, data / "killed", "dpo", 7)
    gone_on = train(recipe(data), data / "killed")
    whole, killed = (data / name / "model" / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    assert gone_on["held_out"] == summary["held_out"]
    kept = (data / "killed" / "reference.jsonl").read_text().splitlines()
    assert kept[:9] == first and len(kept) == len({json.loads(line)["pair"] for line in kept}) == ROWS
    before, after = summary["held_out"]["before"], summary["held_out"]["after"]
    assert before["loss"] == pytest.approx(math.log(2), abs=1e-3) and before["margin"] == pytest.approx(0, abs=1e-3)
    assert after["loss"] < before["loss"] and after["margin"] > 0 and after["accuracy"] == 1
    assert after["chosen"] - after["rejected"] > before["chosen"] - before["rejected"]
    old, new = load_file(data / "nano" / "model.safetensors"), load_file(whole)
    assert {name.partition(".")[0] for name in old if not torch.equal(old[name], new[name])} == {
        "projector",
        "language",
    }
    rows = [json.loads(line) for line in (data / "whole" / "dpo.jsonl").read_text().splitlines()]
    assert {"loss", "margin", "accuracy", "preferred", "chosen", "rejected", "tokens"} <= rows[0].keys()
    assert "held_out_margin" in rows[-1]


def test_the_reference_is_used_as_it_is_kept_by_model_and_pair(data: Path) -> None:
    """A run with other settings takes it from there; another model's is not taken."""
    shared = f"reference={data / 'kept.jsonl'}"
    train(recipe(data, shared, "steps=2"), data / "one")
    lines = (data / "kept.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    forged = [{**one, "chosen": one["chosen"] - 10} for one in rows]
    (data / "kept.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in forged))
    other = train(recipe(data, shared, "steps=2", "beta=0.2"), data / "two")
    assert other["held_out"]["before"]["margin"] == pytest.approx(2.0, abs=1e-3), "0.2 x 10 nats"
    assert len((data / "kept.jsonl").read_text().splitlines()) == ROWS
    tiny.checkpoint(data / "nano", seed=1)
    train(recipe(data, shared, "steps=2"), data / "three")
    assert len((data / "kept.jsonl").read_text().splitlines()) == 2 * ROWS


ROW = {"model": "m", "pair": "p", "chosen": -1.0, "rejected": -2.5}


@pytest.mark.parametrize(
    "line",
    [
        '{"model": "m", "pa',
        "[1]",
        "",
        "\x00\x00",
        '{"model": "m", "chosen": -1.0, "rejected": -2.0}',
        json.dumps({**ROW, "chosen": "-1"}),
        json.dumps({**ROW, "rejected": math.nan}),
    ],
)
def test_a_damaged_file_of_references_is_refused_by_its_line_and_left_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{line}\n{json.dumps(ROW)[:20]}")
    before = path.read_bytes()
    with pytest.raises(LongtakeError) as caught:
        References(path, "m")
    assert caught.value.code is ErrorCode.DATA_BAD and caught.value.subject == f"{path}:2"
    assert path.read_bytes() == before


@pytest.mark.parametrize("left", range(1, len(json.dumps(ROW))))
def test_half_a_reference_at_the_end_is_computed_again(tmp_path: Path, left: int) -> None:
    path, whole = tmp_path / "kept.jsonl", json.dumps(ROW) + "\n"
    path.write_text(whole + json.dumps({**ROW, "pair": "q"})[:left])
    references = References(path, "m")
    assert path.read_text() == whole
    assert references.of(SimpleNamespace(key="p")) == (-1.0, -2.5)  # type: ignore[arg-type]


def test_what_is_no_file_of_references_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not to be lost")
    with pytest.raises(LongtakeError, match=r"notes\.txt:1") as caught:
        References(path, "m")
    assert caught.value.code is ErrorCode.DATA_BAD and path.read_text() == "not to be lost"


def test_ctrl_c_leaves_everything_in_order_wherever_it_comes(data: Path) -> None:
    for stage, step, told in (("reference", 5, "after 5 pairs"), ("dpo", 3, "in dpo after step 3")):
        with pytest.raises(LongtakeError, match=f"stopped by Ctrl-C {told}") as caught:
            train(recipe(data), data / "run", Doing(stage, step, lambda: signal.raise_signal(signal.SIGINT)))
        assert caught.value.code is ErrorCode.INTERRUPTED
    kept = torch.load(data / "run" / "dpo.pt", weights_only=True)
    assert kept["step"] == 3 and {name.partition(".")[0] for name in kept["module"]} == {"projector", "language"}


def test_what_cannot_be_used_is_an_error_or_left_out_counted_and_told(data: Path) -> None:
    rows = [row(number) for number in range(ROWS)]
    rows[3] = row(3, video="gone.mp4")
    rows[6] = row(6, video="broken.mp4")
    (data / "broken.mp4").write_bytes((data / "1.mp4").read_bytes()[:700])
    write_rows(data, rows)
    with pytest.raises(LongtakeError, match=r"data.jsonl:4: .*gone.mp4 is not there"):
        train(recipe(data), data / "strict")
    write_rows(data, [one for one in rows if one.get("video") != "gone.mp4"])
    with pytest.raises(LongtakeError, match=r"data.jsonl:6: .*broken.mp4") as caught:
        train(recipe(data, "held_out=0.0"), data / "strict2")
    assert caught.value.code is ErrorCode.DATA_BAD
    write_rows(data, rows)
    summary = train(recipe(data, "on_bad=skip", "held_out=0.0", "steps=4"), data / "lenient")
    assert summary["skipped"] == 2 and summary["pairs"]["training"] == ROWS - 2
    told = [json.loads(line)["sample"] for line in (data / "lenient" / "skipped.jsonl").read_text().splitlines()]
    assert [one.rpartition(":")[2] for one in told] == ["4", "7"]
    assert train(recipe(data, "on_bad=skip", "held_out=0.0", "steps=4"), data / "lenient")["skipped"] == 2


def test_what_is_too_long_is_told_before_it_is_decoded_and_fewer_frames_help(data: Path) -> None:
    with pytest.raises(LongtakeError, match=r"data.jsonl:\d+: makes \d+ tokens; at most 30 are trained on"):
        train(recipe(data, "most_tokens=30"), data / "run")
    assert train(recipe(data, "most_tokens=30", "frames=2", "steps=1"), data / "short")["pairs"]["held_out"] > 0


def test_the_chosen_answers_own_loss_holds_them_up(data: Path) -> None:
    """Beside the same preferences, the chosen answer itself becomes likelier."""
    summaries = [train(recipe(data, f"chosen_weight={weight}"), data / weight) for weight in ("0.0", "1.0")]
    plain, held = (one["held_out"]["after"] for one in summaries)
    assert held["chosen"] > plain["chosen"] + 1 and held["accuracy"] == plain["accuracy"] == 1


def test_words_alone_teach_preferences_too(data: Path) -> None:
    write_rows(data, [{key: value for key, value in row(n).items() if key not in ("video", "image")} for n in range(9)])
    summary = train(recipe(data, "steps=8"), data / "run")
    assert summary["held_out"]["after"]["accuracy"] == 1


def test_the_command_draws_the_world_and_what_it_makes_answers(
    tmp_path: Path, bunny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(capsys)
    nano = tiny.checkpoint(tmp_path / "nano", trained_context=2048)
    settings = ["world_pairs=9", "held_out=0.3", "step_pairs=2", "pairs_at_once=2", "log_every=1", "save_every=1"]
    given = [part for setting in [*settings, "steps=2"] for part in ("--set", setting)]
    given = ["train", "dpo", "--model", str(nano), "--output", str(tmp_path / "run"), *given]
    planned = cli.json(*given, "--plan", "--quiet")
    assert [stage["name"] for stage in planned["stages"]] == ["reference", "dpo"]
    assert not (tmp_path / "run" / "reference.jsonl").exists() and planned["seconds"] > 0
    status, out, err = cli(*given, "--quiet")
    assert (status, err) == (0, "")
    assert "accuracy" in out and f"ask with --model {tmp_path / 'run' / 'model'}" in out
    answer = cli.json("ask", bunny, "What is shown?", "--model", tmp_path / "run" / "model", "--frames", "4")
    assert answer["tokens"]["visual"] > 0
    status, _, err = cli(*given, "--quiet", "--data", str(tmp_path / "none.jsonl"))
    assert status == 2 and ONE_LINE.fullmatch(err)


def test_the_drawn_world_prefers_answers_that_tell_all(tmp_path: Path) -> None:
    paths = [
        draw_pairs(tmp_path / name, 6, seed=1, held_out=held_out) for name, held_out in (("a", False), ("b", True))
    ]
    for path, held_out in zip(paths, (False, True), strict=True):
        pairs = [one for one in read_preferences(path, path.parent) if isinstance(one, Preference)]
        assert len(pairs) == 6
        for pair in pairs:
            chosen, rejected = pair.chosen.split(), pair.rejected.split()
            assert set(rejected) < set(chosen) and len(chosen) == len(rejected) + 1
            colour, shape = (next(word for word in chosen if word in some) for some in (COLOURS, SHAPES))
            (value,) = [word for word in chosen if word not in (colour, shape, *PLACES)]
            assert Scene(colour, shape, value, "sea").held_out == held_out


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("dpo_*.toml")), ids=str)
def test_recipes_that_ship_can_be_read(path: Path) -> None:
    assert read_recipe(DpoRecipe, str(path)).beta == 0.1


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('train=["tower"]', "train is tower; want some of vision, projector, language"),
        ("rates.tower=1.0", "rates has tower = 1.0"),
        ("beta=0.0", "beta is 0.0"),
        ("label_smoothing=0.5", "label_smoothing less than 0.5"),
        ("step_pairs=3", "want a multiple of pairs_at_once"),
        ("lora.ranks=3", "there is no such key"),
    ],
)
def test_a_recipe_that_does_not_fit_says_what_would(data: Path, setting: str, told: str) -> None:
    with pytest.raises(LongtakeError) as caught:
        recipe(data, setting)
    assert told in str(caught.value)
