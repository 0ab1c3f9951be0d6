"""train: stopped and resumed is undisturbed, what is written is what was meant, and the first weights already copy."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from longtake.errors import ErrorCode, LongtakeError
from longtake.families.nano import TEMPLATE
from longtake.layouts import Visual
from longtake.layouts.grid import Grid
from longtake.prompt import HubTokenizer, prefix, question_ids
from longtake.train import base
from longtake.train.align import MOST_PICTURES, make_album, picture_talks
from longtake.train.conversations import ANSWER_WEIGHT, Writer, answered, draw_talks
from longtake.train.exam import is_right
from longtake.train.lanes import Lane, progress_bars, run_lanes
from longtake.train.loop import Rates, run, spent_s
from longtake.train.nano import first_modules, train, write_card
from longtake.train.nano_recipe import Recipe
from longtake.train.pictures import draw_pool, read_pool
from longtake.train.read import LONG, Diet, Reading, haystack_talk, stretched
from longtake.train.see import pooled
from longtake.train.vocabulary import build_tokenizer, word_ids, words
from longtake.vision import FeatureGrid
from longtake.vision.pixels import PixelRecipe
from longtake.world.films import HELD_OUT, TRAINING, Hay
from longtake.world.foreign import foreign_picture
from longtake.world.questions import Asked
from longtake.world.scenes import Scene
from running import Cli


@dataclass(frozen=True)
class Slope:
    """A line through noisy points: the smallest thing that can be learned."""

    module: nn.Module
    steps: int = 450
    stop_at: int | None = None
    name: str = "slope"
    rates: Rates = Rates(matrices=0.02, others=0.02, warm_up_steps=5)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        x = torch.from_numpy(rng.normal(size=(32, 4)).astype(np.float32))
        noise = 0.01 * torch.randn(32, 4)
        loss: torch.Tensor = (self.module(x) - 3 * x - 1 + noise).square().mean()
        return loss

    def figures(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class Interrupted(Slope):
    """The same, killed in the middle of step 333."""

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        loss = super().loss(rng)
        log = json.loads((self.folder / "slope.jsonl").read_text().splitlines()[-1]) if self.folder else {"step": 0}
        if log["step"] >= 320:
            raise KeyboardInterrupt
        return loss

    folder: Path | None = None


def line() -> nn.Module:
    torch.manual_seed(3)
    return nn.Linear(4, 4)


def test_a_stopped_and_resumed_stage_ends_with_the_very_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole = Slope(line())
    run(whole, tmp_path / "whole", seed=7)
    (tmp_path / "stopped" / "slope.jsonl").write_text('{"step": 0}\n')
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(line(), folder=tmp_path / "stopped"), tmp_path / "stopped", seed=7)
    resumed = Slope(line())
    run(resumed, tmp_path / "stopped", seed=7)
    for one, other in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole.module.weight.diagonal().detach().numpy() == pytest.approx(3.0, abs=0.05)  # type: ignore[union-attr]


def test_time_spent_counts_every_start_of_a_stage(tmp_path: Path) -> None:
    rows = [{"seconds": 3.0}, {"seconds": 7.0}, {"seconds": 2.0}, {"seconds": 5.5}]
    (tmp_path / "slope.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert spent_s(tmp_path, "slope") == 12.5


def test_rates_rise_hold_and_fall_to_almost_nothing() -> None:
    rates = Rates(matrices=1.0, others=1.0, warm_up_steps=10, hold=0.5)
    shares = [rates.share(step, 100) for step in range(100)]
    assert shares[0] == 0.1
    assert shares[10:50] == [1.0] * 40
    assert shares[75] == 0.5
    assert shares[99] == pytest.approx(0.02)


def test_a_loss_that_is_no_number_stops_training_before_it_is_saved(tmp_path: Path) -> None:
    stage = Slope(line())
    with torch.no_grad():
        stage.module.bias.fill_(float("nan"))  # type: ignore[operator, union-attr]
    with pytest.raises(FloatingPointError, match="step 0"):
        run(stage, tmp_path, seed=0)
    assert not list(tmp_path.glob("*.pt"))


def _diverge() -> None:
    raise FloatingPointError("the loss of stage base is nan at step 7")


def test_a_lane_whose_loss_is_no_number_ends_the_training_with_a_code(tmp_path: Path) -> None:
    with progress_bars(Console(quiet=True)) as bars, pytest.raises(LongtakeError, match="base or long") as caught:
        run_lanes(tmp_path, bars, Lane((_diverge,), ("base", "long")))
    assert caught.value.code is ErrorCode.MODEL_NONFINITE


def test_every_word_of_the_world_is_one_token_and_everything_else_survives_as_bytes() -> None:
    tokenizer = HubTokenizer(build_tokenizer())
    assert all(len(tokenizer.encode(word)) == 1 for word in words())
    assert tokenizer.decode(tokenizer.encode("red star 417 (B)")) == "red star 417 (B)"
    assert tokenizer.decode(tokenizer.encode("zwölf kiwis")) == "zwölf kiwis"


def writer() -> Writer:
    tokenizer = build_tokenizer()
    return Writer(TEMPLATE, HubTokenizer(tokenizer), word_ids(tokenizer))


def test_a_conversation_is_the_prompt_that_a_user_gets_with_the_answer_after_it() -> None:
    rng = np.random.default_rng(0)
    ((shots, questions),) = draw_talks(rng, HELD_OUT, (5, 5), turns=1, tokens=10)[:1]
    write = writer()
    batch = write.write([(shots, questions)])
    visual = Visual(torch.zeros(4 * len(shots), 8), np.zeros(4 * len(shots)))
    asked = prefix(TEMPLATE, write.tokenizer, [visual]).token_ids_L.tolist()
    asked += question_ids(TEMPLATE, write.tokenizer, questions[0].question)
    row = batch.ids_BL[0].tolist()
    answer = [*write.tokenizer.encode(questions[0].answer), write.tokenizer.control("<|im_end|>")]
    assert row[len(asked) :] == answer
    assert all(place == -1 or place == token for place, token in zip(asked, row, strict=False))
    assert batch.weights_BL[0].tolist().count(ANSWER_WEIGHT) == len(answer)
    first = batch.frame_places[0].tolist()
    assert write.tokenizer.decode(row[first[1] : first[1] + 4]) == " ".join(shots[0].caption)


def test_one_wrong_token_makes_an_answer_wrong_and_one_in_the_question_does_not() -> None:
    rng = np.random.default_rng(1)
    batch = writer().write(draw_talks(rng, TRAINING, (3, 6), turns=1, tokens=300)[:2])
    vocabulary = build_tokenizer().get_vocab_size()
    logits = torch.nn.functional.one_hot(batch.ids_BL.roll(-1, 1), vocabulary).float()
    assert answered(logits, torch.nn.Identity(), batch).tolist() == [True, True]
    places = (batch.weights_BL[0] == ANSWER_WEIGHT).nonzero().flatten().tolist()
    logits[0, places[1] - 1] = 0
    logits[1, 5] = 0
    assert answered(logits, torch.nn.Identity(), batch).tolist() == [False, True]


def test_the_first_weights_already_look_back_one_and_two_tokens() -> None:
    _, modules, tokenizer = first_modules(Recipe())
    language = modules.language.eval()
    language.set_attn_implementation("eager")
    ids = torch.tensor([tokenizer.encode("red star 417 sea blue moon 12 snow green cup zebra city")])
    looked = language(ids, output_attentions=True, use_cache=False).attentions[0][0]
    for place in range(4, 12):
        assert int(looked[0, place].argmax()) == place - 1
        assert int(looked[1, place].argmax()) == place - 2
        assert looked[0, place].max() > 0.8


def test_a_few_steps_of_reading_already_answer_better_than_none(tmp_path: Path) -> None:
    _, modules, _ = first_modules(Recipe())
    stage = Reading(modules.language, writer(), steps=30, tokens=1024, exam_frames=(4,))
    rng = np.random.default_rng(5)
    with torch.no_grad():
        before = stage.loss(np.random.default_rng(5)).item()
    run(stage, tmp_path, seed=0)
    with torch.no_grad():
        after = stage.loss(rng).item()
    assert after < 0.7 * before
    assert "value@4" in json.loads((tmp_path / "read.jsonl").read_text().splitlines()[-1])


def test_no_sample_of_the_alignment_has_more_than_four_pictures() -> None:
    rng = np.random.default_rng(3)
    talks = [talk for _ in range(50) for talk in picture_talks(rng, TRAINING, tokens=3000)]
    assert MOST_PICTURES == 4
    assert {len(shots) for shots, _ in talks} == {1, 2, 3, 4}


def test_stretched_positions_jump_forward_and_stay_within_their_span() -> None:
    rng = np.random.default_rng(4)
    drawn = [stretched(rng, 3, 200, span=5_000) for _ in range(40)]
    steps = torch.cat([positions.diff(dim=1) for positions in drawn])
    assert all(bool((positions[:, 0] < 5_000).all()) and int(positions.max()) < 5_000 for positions in drawn)
    assert int(steps.min()) == 1
    assert max(int(positions.max()) for positions in drawn) > 4_000
    assert torch.equal(stretched(rng, 2, 50, span=0), torch.arange(50).expand(2, 50))


def test_a_stretched_text_is_still_one_text_to_the_language_model(tmp_path: Path) -> None:
    _, modules, _ = first_modules(Recipe())
    stage = Reading(modules.language.eval(), writer(), steps=1, diet=LONG, noise=0.0)
    ids_BL = torch.randint(300, 900, (1, 64))
    jumped_BL = torch.arange(64)[None] + 500 * (torch.arange(64)[None] >= 32)
    seen = []
    for first in (400, 401):
        ids_BL[0, 3] = first
        hidden = stage.module.model(
            input_ids=ids_BL, position_ids=jumped_BL, attention_mask=torch.ones_like(ids_BL), use_cache=False
        )
        seen.append(hidden.last_hidden_state[0, -1])
    assert not torch.allclose(seen[0], seen[1], atol=1e-6)


def test_a_haystack_asks_only_about_needles_that_are_there_once() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        shots, questions = haystack_talk(rng, TRAINING, Hay(200, 0.5, 0.5))
        keys = [(shot.colour, shot.shape) for shot in shots if isinstance(shot, Scene)]
        for asked in questions:
            if asked.kind in ("value", "several"):
                colour, shape, value = asked.answer.split()[:3]
                assert keys.count((colour, shape)) == 1
                assert any(
                    isinstance(s, Scene) and (s.colour, s.shape, s.value) == (colour, shape, value) for s in shots
                )


def test_a_long_diet_reads_haystacks_of_its_lengths() -> None:
    stage = Reading(first_modules(Recipe())[1].language, writer(), steps=1, diet=Diet(counting=0.0, haystacks=1.0))
    rng = np.random.default_rng(8)
    lengths = [len(shots) for _ in range(12) for shots, _ in stage.draw(rng)]
    assert 60 <= min(lengths) and max(lengths) <= 1000


def test_training_pools_exactly_as_the_layout_that_asks_later() -> None:
    grid = torch.randn(3, 4, 4, 8)
    (piece,) = Grid().arrange(FeatureGrid(grid, np.arange(3.0)))
    assert isinstance(piece, Visual)
    assert torch.allclose(piece.tokens_ND, pooled(grid).flatten(0, 1), atol=1e-6)


def test_pools_are_drawn_once_hold_only_their_part_and_are_found_by_what_they_show(tmp_path: Path) -> None:
    recipe = PixelRecipe(24, fit="stretch", method="fast")
    path = tmp_path / "pictures.npz"
    draw_pool(path, 40, recipe=recipe, seed=1, held_out=True)
    first = path.read_bytes()
    draw_pool(path, 40, recipe=recipe, seed=2, held_out=True)
    assert path.read_bytes() == first
    pool = read_pool([path, path])
    assert pool.pixels_NCHW.shape == (80, 3, 24, 24)
    scenes = [shot for shot in pool.shots if shot.caption[0] != "only"]
    assert 10 < len(scenes) < 80
    assert all(scene.held_out for scene in scenes)  # type: ignore[union-attr]
    album = make_album(nn.Sequential(nn.Conv2d(3, 5, 6, 6), nn.Flatten(2)), pool, recipe)
    rng = np.random.default_rng(0)
    scene = album.scene(rng)
    assert scene in pool.shots
    assert not scene.moving
    alike = album.scene(rng, scene)
    assert alike.colour == scene.colour or alike.shape == scene.shape
    expected = album.features_NHWC[[number for number, shot in enumerate(pool.shots) if shot == scene]].float()
    assert any(torch.equal(album.pick(rng, [scene])[0], features) for features in expected)


def test_foreign_pictures_follow_from_their_seed_and_differ() -> None:
    drawn = [foreign_picture(np.random.default_rng(seed), 64, 36) for seed in (0, 1, 2, 0)]
    assert all(picture.shape == (36, 64, 3) and picture.dtype == np.uint8 for picture in drawn)
    assert (drawn[0] == drawn[3]).all()
    assert all(np.abs(drawn[one].astype(int) - drawn[other]).mean() > 10 for one, other in ((0, 1), (0, 2), (1, 2)))


def test_right_means_word_for_word_but_of_letters_the_letter_alone() -> None:
    asked = Asked("value", "?", "red star 417")
    assert is_right("red star 417", asked)
    assert not is_right("blue star 417", asked)
    assert is_right("417 red (B)", Asked("letter", "?", "red star 417 (B)"))
    assert not is_right("", Asked("letter", "?", "red star 417 (B)"))


def test_a_folder_keeps_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"share": 1.0, "seed": 3, "questions": 600}')
    with pytest.raises(LongtakeError, match="another recipe"):
        train(tmp_path, Recipe(seed=4))
    with pytest.raises(ValueError, match="share"):
        Recipe(share=0.009)


@dataclass(frozen=True)
class Pupil(Slope):
    """Short films' reader that comes up to so much after each reading."""

    marks: tuple[float, ...] = (1.0,)
    read: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        return dict.fromkeys(base.NEEDED, 1.0) | {base.NEEDED[-1]: self.marks[len(self.read) - 1], "order@8": 0.0}


@pytest.mark.parametrize(("mark", "readings"), [(1.0, ["base"]), (0.8, ["base"]), (0.79, ["base", "base_again"])])
def test_short_films_are_read_again_where_once_was_not_enough(tmp_path: Path, mark: float, readings: list[str]) -> None:
    pupil = Pupil(line(), name=base.BASE, marks=(mark, 0.1))
    base.read_base(cast(Reading, pupil), tmp_path, lambda stage: pupil.read.append(stage.name))
    assert pupil.read == readings and base.ended_by(tmp_path) == readings[-1]
    # Whoever goes on later does the same, whatever the figures would be then.
    pupil.read.clear()
    base.read_base(cast(Reading, pupil), tmp_path, lambda stage: pupil.read.append(stage.name))
    assert pupil.read == readings


def test_the_eyes_wait_for_the_reading_that_ends_the_base(tmp_path: Path) -> None:
    assert base.ended_by(tmp_path) == "base"  # of a training that knew one reading only
    with ThreadPoolExecutor(1) as eyes:
        waiting = eyes.submit(base.wait_for_base, tmp_path, 40)
        run(Slope(line(), steps=40, name="base"), tmp_path, seed=0)
        assert not wait([waiting], timeout=1.5).done
        (tmp_path / base.ENDED).write_text('{"stage": "base_again"}')
        assert not wait([waiting], timeout=1.5).done
        run(Slope(line(), steps=40, name="base_again"), tmp_path, seed=0)
        waiting.result(timeout=10)


def test_the_card_tells_the_sweeps_beside_the_model_and_no_folder_names(tmp_path: Path) -> None:
    figures = json.loads((files("longtake") / "assets" / "nano" / "figures.json").read_text(encoding="utf-8"))
    share = {"asked": 20, "right": 19, "share": 0.95, "low": 0.76, "high": 0.99}
    scores = {"forced": share, "generated": share}
    haystack = {"different_frames": 9, "files": [{"path": "/home/me/film.mp4", "frames": 9}], "notes": ["/home/me/x"]}
    column = {"frames": 1234, **scores}
    summary = {"asked": 20, "failed": 0, "mean": scores, "frames": [column], "haystack": haystack}
    for name in ("film of mine", "control a, film"):
        (tmp_path / "niah" / name).mkdir(parents=True)
        (tmp_path / "niah" / name / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "model").mkdir()
    write_card(tmp_path, figures)
    written, card = ((tmp_path / "model" / name).read_text() for name in ("figures.json", "README.md"))
    assert "| film of mine | 95.0 % | **95.0 %** (76.0 to 99.0) | 20 |" in card and "**The controls**" in card
    assert "film.mp4" in written and "/home" not in written + card


def test_the_card_is_told_as_its_figures_with_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cli, model = Cli(capsys), tmp_path / "model"
    model.mkdir()
    figures = (files("longtake") / "assets" / "nano" / "figures.json").read_text(encoding="utf-8")
    (model / "figures.json").write_text(figures)
    assert cli.json("train", "nano", "--output", tmp_path, "--card") == json.loads(figures) | {"niah": {}}
    status, said, _ = cli("train", "nano", "--output", tmp_path, "--card")
    assert (status, said.strip()) == (0, f"the card is {model / 'README.md'}")


def test_controls_are_named_and_branch_from_a_nano(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cli = Cli(capsys)
    status, _, said = cli("train", "nano", "--output", tmp_path, "--controls", "a,d")
    assert status == 2 and "there is no such control (name some of a,b,c)" in said
    status, _, said = cli("train", "nano", "--output", tmp_path, "--controls", "c")
    assert status == 2 and "the controls branch from a nano" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [("--controls", "c"), ("--card",)])
def test_what_one_process_does_is_refused_to_several(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, said = Cli(capsys)("train", "nano", "--output", tmp_path, *option)
    assert status == 2 and f"train nano {option[0]}" in said and "2 were started" in said
    assert not list(tmp_path.iterdir())
