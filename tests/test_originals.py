"""Whole models in the original layout: prompt, embeddings, logits and greedy tokens are the originals'."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.layouts import view_of
from longtake.layouts.slowfast import SlowFast
from longtake.loading import load
from longtake.prompt import VISUAL_PLACE, Prompt, question_ids, segment_ids
from longtake.prompt.choices import with_choices
from longtake.prompt.templates import find_template
from longtake.ropes import Trained, Turning
from longtake.ropes.dynamic import Dynamic
from originals import (
    CHECKPOINTS,
    FOLDER,
    LEAK_1,
    LEAK_2,
    REFUSED,
    SAME,
    TEXT_ONLY,
    TRUNCATED,
    Case,
    embedded,
    prompt_of,
)
from running import ONE_LINE, Cli

GREEDY = GenerateOptions(max_new_tokens=16)
PLACE_OF_ORIGINALS = -200


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    names = ("LongVA-tiny", "llava-v1.6-vicuna-tiny", "llava-v1.6-34b-tiny")
    return {name: load(str(CHECKPOINTS / name), device="cpu", dtype="float32") for name in names}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def model_of(models: dict[str, Model], case: Case) -> Model:
    model = models[case.told["checkpoint"]]
    return model if case.rope is None else replace(model, engine=model.engine.with_rope(case.rope))


def read_of(model: Model, case: Case) -> tuple[Prompt, list[int]]:
    """What is read of the case's pictures, and the ids behind them."""
    template = find_template(case.template)
    if case is TEXT_ONLY:
        opening = segment_ids(model.tokenizer, template.opening)
        ids = segment_ids(model.tokenizer, (*template.opening, case.question, *template.closing))
        width = model.engine.language.get_input_embeddings().embedding_dim  # type: ignore[attr-defined]
        return Prompt(torch.tensor(ids[: len(opening)]), torch.zeros(0, width)), ids[len(opening) :]
    question = with_choices(template, case.question, case.choices) if case.choices else case.question
    return prompt_of(model, template, case), question_ids(template, model.tokenizer, question)


def test_every_recorded_run_has_its_case() -> None:
    recorded = {path.stem for path in FOLDER.glob("*.json")}
    assert recorded == {case.name for case in (*SAME, *REFUSED)}
    assert len(recorded) == len(SAME) + len(REFUSED)


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_an_original_is_reproduced(models: dict[str, Model], case: Case) -> None:
    recorded, told, model = case.recorded, case.told, model_of(models, case)
    begun, after = read_of(model, case)

    expected = recorded["input_ids"].tolist()
    text = [token_id for token_id in begun.token_ids_L.tolist() if token_id != VISUAL_PLACE] + after
    assert text == [token_id for token_id in expected if token_id != PLACE_OF_ORIGINALS]
    if len(begun.visual_ND):
        assert expected.index(PLACE_OF_ORIGINALS) == begun.token_ids_L.tolist().index(VISUAL_PLACE)
    read_LD = embedded(model, begun, after, VISUAL_PLACE)
    np.testing.assert_allclose(read_LD.numpy(), recorded["inputs_embeds"], atol=1e-4, rtol=0)

    kept = model.engine.prefill(begun)
    assert list(model.engine.generate(kept, after, GREEDY)) == told["tokens"]
    forced = model.engine.force(kept, after, told["tokens"])
    steps = torch.from_numpy(recorded["step_logits"]).log_softmax(-1)
    ids = torch.tensor(told["tokens"])
    torch.testing.assert_close(forced.logprobs_A, steps.gather(1, ids[:, None])[:, 0], atol=1e-3, rtol=0)
    assert forced.likeliest_A.tolist() == steps.argmax(-1).tolist()

    whole = model.engine.prefill(Prompt(torch.cat([begun.token_ids_L, torch.tensor(after)]), begun.visual_ND))
    logits_V = model.engine.language.lm_head(whole.last_hidden_1D)[0, : steps.shape[1]]  # type: ignore[attr-defined]
    np.testing.assert_allclose(logits_V.numpy(), recorded["logits_last_prompt"], atol=1e-3, rtol=0)


STAGES = {"pixel_values": 1e-6, "vision_features": 1e-4, "projected": 1e-4}
"""What was recorded of some runs on the way to the prompt, and how close it is; of the first frames or views."""
STAGED = [
    (case, key)
    for case in SAME
    for key in np.load(FOLDER / f"{case.name}.npz").files
    if key.partition("_first")[0] in STAGES
]


@pytest.mark.parametrize(("case", "key"), STAGED, ids=lambda value: getattr(value, "name", value))
def test_a_recorded_stage_is_reproduced(models: dict[str, Model], case: Case, key: str) -> None:
    """Pixels as the tower gets them, its features, and what the projector makes of them."""
    encoder: Any = model_of(models, case).encoder
    assert case.layout is not None
    shrink = encoder.shrinker(tiled=view_of(case.layout).tiled)
    side = encoder.recipe.side_px
    views = [view for image in case.images() for view in shrink(image).reshape(3, -1, side, side).swapaxes(0, 1)]
    stages = {"pixel_values": encoder.recipe.normalise(torch.from_numpy(np.stack(views)))}
    stages["vision_features"] = encoder.tower(stages["pixel_values"]).flatten(1, 2)
    stages["projected"] = encoder.projector(stages["vision_features"])
    expected, stage = case.recorded[key], key.partition("_first")[0]
    np.testing.assert_allclose(stages[stage][: len(expected)].numpy(), expected, atol=STAGES[stage], rtol=0)


@pytest.mark.parametrize("case", [*SAME, *REFUSED], ids=lambda case: case.name)
def test_the_context_is_the_originals(models: dict[str, Model], case: Case) -> None:
    """`tokenizer_model_max_length`, by the factor of the RoPE scaling: 4,096 and 8,192 of LLaVA-1.6."""
    told, reads = case.told, model_of(models, case).engine.trained_context
    overridden = (told.get("config_overrides") or {}).get("tokenizer_model_max_length")
    assert reads == (
        told["tokenizer_model_max_length"] if "tokenizer_model_max_length" in told else told["context_len"]
    )
    assert (overridden is not None) == (case is TRUNCATED)


@pytest.mark.parametrize("name", ["longva_video", "sf_slowfast", "sf_image_anyres", "sf34_slowfast"])
@pytest.mark.parametrize("chunk_tokens", [7, 130])
def test_chunks_of_the_prompt_do_not_show(models: dict[str, Model], name: str, chunk_tokens: int) -> None:
    """Two roads: a prompt read at once, and a few positions at a time; also where its length turns its positions."""
    case = next(case for case in SAME if case.name == name)
    model = model_of(models, case)
    engine = replace(model.engine, chunk_tokens=chunk_tokens)  # type: ignore[type-var]
    begun, after = read_of(model, case)
    assert list(engine.generate(engine.prefill(begun), after, GREEDY)) == case.told["tokens"]


def test_nothing_leaks_from_a_long_prompt_into_a_short_one(models: dict[str, Model]) -> None:
    """One model object, one prompt after the other: the second answer is a fresh model's."""
    model = model_of(models, LEAK_1)
    fresh = next(case for case in SAME if case.name == "sf_mc_short").told["tokens"]
    assert fresh != LEAK_2.told["tokens"], "the original's second answer shows the first prompt"
    for case, tokens in [(LEAK_1, LEAK_1.told["tokens"]), (LEAK_2, fresh), (LEAK_1, LEAK_1.told["tokens"])]:
        begun, after = read_of(model, case)
        assert list(model.engine.generate(model.engine.prefill(begun), after, GREEDY)) == tokens


@dataclass(frozen=True)
class LeftBehind:
    """The base that a text of `length` positions left behind, for whatever comes next."""

    length: int
    by_length: ClassVar[bool] = False

    def turning(self, trained: Trained, length: int) -> Turning:
        return Dynamic(factor=2.0).turning(trained, self.length)

    def reads(self, trained_context: int) -> int:
        return trained_context


def test_what_leaks_in_the_original_is_the_base_of_its_last_step(models: dict[str, Model]) -> None:
    """That the refused answer is understood: with that base left behind, here too it comes out."""
    last_length = LEAK_1.told["prompt_len_embeds"] + len(LEAK_1.told["tokens"]) - 1
    model = models[LEAK_2.told["checkpoint"]]
    engine = model.engine.with_rope(LeftBehind(last_length))
    begun, after = read_of(model, LEAK_2)
    read_LD = embedded(model, begun, after, VISUAL_PLACE)
    np.testing.assert_allclose(read_LD.numpy(), LEAK_2.recorded["inputs_embeds"], atol=1e-4, rtol=0)
    assert list(engine.generate(engine.prefill(begun), after, GREEDY)) == LEAK_2.told["tokens"]


def test_what_the_original_cuts_off_is_refused(models: dict[str, Model], tmp_path: Path, bunny: Path, cli: Cli) -> None:
    """The original reads 60 of 81 positions: all frames, and nothing of the question."""
    model = model_of(models, TRUNCATED)
    begun, after = read_of(model, TRUNCATED)
    recorded, most = (
        TRUNCATED.recorded["inputs_embeds"],
        TRUNCATED.told["config_overrides"]["tokenizer_model_max_length"],
    )
    read_LD = embedded(model, begun, after, VISUAL_PLACE)
    assert (len(recorded), most, len(begun.token_ids_L), len(read_LD)) == (60, 60, 60, 81)
    np.testing.assert_allclose(read_LD[:60].numpy(), recorded, atol=1e-4, rtol=0)

    folder = tmp_path / "short"
    shutil.copytree(CHECKPOINTS / "LongVA-tiny", folder)
    (tmp_path / "openai").symlink_to(CHECKPOINTS / "openai")
    config = json.loads((folder / "config.json").read_text())
    short = {**config, "tokenizer_model_max_length": most, "max_position_embeddings": most}
    (folder / "config.json").write_text(json.dumps(short))
    asked = ("ask", bunny, TRUNCATED.question, "--model", folder, "--frames", "8", "--max-new-tokens", "4")
    status, out, err = cli(*asked)
    assert (status, out) == (5, "") and ONE_LINE.fullmatch(err)
    assert err.startswith("error[limit.context]: ") and f"this model reads {most}" in err
    assert cli(*asked, "--beyond-trained-context")[0] == 0


def test_all_frames_are_shown_where_the_original_shows_the_first(models: dict[str, Model]) -> None:
    """`sf_noagg`: the same layout over all four frames makes four times the tokens, whose first are the recorded."""
    case = next(case for case in SAME if case.name == "sf_noagg")
    model = model_of(models, case)
    begun, _ = read_of(model, case)
    every = replace(case, shown=None, layout=SlowFast(slow_frames=4, slow_pool="none", fast_height=0, fast_width=0))
    shown, _ = read_of(model, every)
    assert len(every.images()) == 4 and len(shown.visual_ND) == 4 * len(begun.visual_ND)
    torch.testing.assert_close(shown.visual_ND[: len(begun.visual_ND)], begun.visual_ND)


def test_a_question_without_a_file_is_refused(cli: Cli) -> None:
    status, out, err = cli("ask", TEXT_ONLY.question)
    assert (status, out) == (2, "") and ONE_LINE.fullmatch(err)
