"""Checkpoints in transformers' layout as files: every spelling of their tensors, and whatever may be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import longtake
from longtake import parts
from longtake.answer import Watched
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.layouts.every_token import EveryToken
from longtake.loading import load
from longtake.niah.looking import Eye, stand_in
from longtake.pipeline import ask, watch
from longtake.samplers.uniform import Uniform
from longtake.video.opening import open_video
from released import RECIPES, respell
from running import Cli

QUESTION = "What is on the picture?"
FEW = GenerateOptions(max_new_tokens=4)
ONE_OF_EACH = ("llava_next vicuna", "llava_onevision tied", "llava_next_video", "video_llava")
IN_MEMORY = {
    "language_model.lm_head.": "lm_head.",
    "language_model.model.": "model.language_model.",
    **{
        name: f"model.{name}" for name in ("vision_tower", "image_tower", "video_tower", "multi_modal", "image_newline")
    },
}
"""How transformers 5 calls tensors of a model that is in memory; saved so by those who save its state themselves."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoint of a recipe, as transformers 5 saves it."""
    folders: dict[str, Path] = {}

    def folder_of(name: str) -> Path:
        if name not in folders:
            folders[name] = RECIPES[name].save(tmp_path_factory.mktemp("saved"))
        return folders[name]

    return folder_of


@pytest.fixture
def folder(saved: Callable[[str], Path], tmp_path: Path) -> Path:
    """A OneVision to break."""
    return Path(shutil.copytree(saved("llava_onevision tied"), tmp_path / "broken"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def refused(folder: Path, code: ErrorCode = ErrorCode.MODEL_BAD_CHECKPOINT) -> str:
    with pytest.raises(LongtakeError) as caught:
        load(str(folder), dtype="float32")
    assert caught.value.code is code
    return str(caught.value)


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    """Every tensor of a model that was loaded, by a name."""
    tensors = {f"language.{name}": tensor for name, tensor in model.engine.language.state_dict().items()}  # type: ignore[attr-defined]
    for place, encoder in (("film", model.encoder), ("picture", model.image_encoder)):
        seen: Any = encoder
        for part in ("tower", "projector"):
            tensors |= {f"{place}.{part}.{name}": tensor for name, tensor in getattr(seen, part).state_dict().items()}
    return tensors


def rewrite(path: Path, **changes: Any) -> None:
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **changes}))


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("spelling", ["hub", "memory"])
def test_every_spelling_is_the_same_model(
    name: str, spelling: str, saved: Callable[[str], Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    if spelling == "hub":
        RECIPES[name].save(other, older=True)
    else:
        shutil.copytree(saved(name), other)
        respell(other, IN_MEMORY)
    stored, respelled = (load_file(folder / "model.safetensors").keys() for folder in (saved(name), other))
    assert not {key for key in respelled if "tower" in key} & stored
    own, found = (tensors_of(load(str(folder), device="cpu", dtype="float32")) for folder in (saved(name), other))
    assert own.keys() == found.keys()
    assert all(torch.equal(own[key], found[key]) for key in own)


def test_the_two_towers_of_video_llava_are_two(saved: Callable[[str], Path]) -> None:
    model: Any = load(str(saved("video_llava")), device="cpu", dtype="float32")
    film, picture = (
        encoder.tower.model.embeddings.patch_embedding.weight for encoder in (model.encoder, model.image_encoder)
    )
    assert not torch.equal(film, picture)
    stored = load_file(saved("video_llava") / "model.safetensors")
    assert torch.equal(film, stored["video_tower.embeddings.patch_embedding.weight"])


def test_word_embeddings_that_are_tied_may_be_stored_twice_if_they_are_the_same(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    assert "language_model.lm_head.weight" not in weights
    words = weights["language_model.model.embed_tokens.weight"]
    save_file({**weights, "language_model.lm_head.weight": words.clone()}, folder / "model.safetensors")
    language: Any = load(str(folder), dtype="float32").engine.language  # type: ignore[attr-defined]
    assert language.lm_head.weight is language.model.embed_tokens.weight
    save_file({**weights, "language_model.lm_head.weight": words + 1}, folder / "model.safetensors")
    assert "1 unlike what they are tied to: language_model." in refused(folder)


def test_what_is_computed_may_be_stored(folder: Path) -> None:
    """Early releases stored numbers of places and rotary frequencies."""
    weights = load_file(folder / "model.safetensors")
    weights["vision_tower.vision_model.embeddings.position_ids"] = torch.arange(25)[None]
    weights["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    save_file(weights, folder / "model.safetensors")
    load(str(folder), dtype="float32")


def test_missing_unexpected_and_misshaped_tensors_are_told_together(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["image_newline"]
    weights["vision_tower.head.probe"] = torch.zeros(1)
    weights["multi_modal_projector.linear_1.bias"] = torch.zeros(7)
    weights["vision_tower.vision_model.post_layernorm.bias"] = torch.zeros(32)
    save_file(weights, folder / "model.safetensors")
    told = refused(folder)
    assert "1 missing: newline.vector_D" in told
    assert "1 unexpected: vision_tower.head.probe" in told
    assert "1 unfit: multi_modal_projector.linear_1.bias is [7] of numbers with a fraction, not [32]" in told
    assert "1 with several sources: vision_tower.model.post_layernorm.bias (vision_tower.post" in told


def test_shards(folder: Path, saved: Callable[[str], Path]) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {name: "a.safetensors" if name < "m" else "b.safetensors" for name in weights}
    for file in set(index.values()):
        save_file({name: tensor for name, tensor in weights.items() if index[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    own, found = (
        tensors_of(load(str(path), device="cpu", dtype="float32")) for path in (saved("llava_onevision tied"), folder)
    )
    assert all(torch.equal(own[key], found[key]) for key in own)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vision_feature_layer": [-2, -1]}, "want one layer"),
        ({"vision_feature_layer": -9}, "layer is -9; the tower has 2"),
        ({"vision_feature_select_strategy": "default"}, "want full of a siglip_vision_model"),
        ({"projector_hidden_act": "relu"}, "the projector is not"),
        ({"vision_aspect_ratio": "pad"}, "want anyres_max_ and a number"),
        ({"image_grid_pinpoints": [[74, 100]]}, "want multiples of 74"),
        ({"text_config": {"model_type": "gpt2"}}, "text_config.model_type is gpt2; want qwen2"),
        ({"text_config": {"model_type": "qwen2", "hidden_size": "wide"}}, "hidden_size"),
        ({"vision_config": {"model_type": "dinov2"}}, "want clip_vision_model or siglip_vision_model"),
        ({"vision_config": {}}, "KeyError 'model_type'"),
    ],
)
def test_a_config_that_describes_no_such_model(folder: Path, change: dict[str, Any], told: str) -> None:
    rewrite(folder / "config.json", **change)
    message = refused(folder)
    assert "config.json: does not describe such a model" in message
    assert told in message


@pytest.mark.parametrize(
    ("half", "change", "told"),
    [
        ("text_config", {"num_attention_heads": 0}, "num_attention_heads is 0; want 1 or more"),
        ("vision_config", {"num_attention_heads": -1}, "num_attention_heads is -1; want 1 or more"),
        ("vision_config", {"patch_size": 0}, "patch_size is 0; want 1 or more"),
        ("text_config", {"initializer_range": float("nan")}, "RuntimeError"),
        ("text_config", {"hidden_size": "wide"}, "expected int, got str"),
        ("text_config", {"max_position_embeddings": 0}, "the language model reads no position"),
    ],
)
def test_sizes_that_are_none(folder: Path, half: str, change: dict[str, Any], told: str) -> None:
    rewrite(folder / "config.json", **{half: {**config_of(folder)[half], **change}})
    message = refused(folder)
    assert "config.json: does not describe such a model" in message
    assert told in message


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("config.json", {"num_key_value_heads": 0}, "num_key_value_heads is 0; want 1 or more"),
        ("config.json", {"rms_norm_eps": "small"}, "expected float, got str"),
        ("config.json", {"image_grid_pinpoints": "wide"}, "image_grid_pinpoints is 'wide'"),
        ("config.json", {"mm_spatial_pool_stride": 0}, "pool is 0; want at least 1"),
        ("config.json", {"torch_dtype": []}, "IndexError"),
        ("config.json", {"image_grid_pinpoints": [[1, 1]]}, "image_grid_pinpoints are [[1, 1]]"),
        ("../openai/clip-tiny-patch14-56-longva/preprocessor_config.json", {"image_mean": None}, "TypeError"),
    ],
)
def test_nonsense_in_the_authors_layout(
    golden: Path, tmp_path: Path, name: str, change: dict[str, Any], told: str
) -> None:
    shutil.copytree(golden / "checkpoints", tmp_path / "all")
    folder = tmp_path / "all" / "LongVA-tiny"
    rewrite(folder / name, **change)
    message = refused(folder)
    assert f"{Path(name).name}: does not describe such a model" in message
    assert told in message


def test_a_llava_whose_chat_is_not_known(saved: Callable[[str], Path], tmp_path: Path) -> None:
    """Of Qwen or of Llama 3: an answer in another's chat would be worse than none."""
    folder = Path(shutil.copytree(saved("llava_next vicuna"), tmp_path / "qwen"))
    text = config_of(folder)["text_config"]
    rewrite(folder / "config.json", text_config={**text, "model_type": "qwen2"})
    assert "text_config.model_type is qwen2; want llama or mistral" in refused(folder)
    rewrite(folder / "config.json", text_config=text)
    shutil.copy(saved("llava_onevision tied") / "tokenizer.json", folder)
    told = (folder / "tokenizer.json").read_text().replace("<|im_start|>", "<|eot_id|>")
    (folder / "tokenizer.json").write_text(told)
    assert "has neither <|im_start|> nor </s>: it is not Vicuna's, Mistral's or Yi's" in refused(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resample": 2}, "resample is 2; want 3, bicubic"),
        ({"size": {"height": 384, "width": 384}}, "the tower reads 74 x 74"),
        ({"do_normalize": False}, "are not resized, rescaled and normalised"),
        ({"image_mean": None}, "TypeError"),
        ({"image_std": [0, 1, 1]}, "std above 0"),
    ],
)
def test_preprocessing_that_does_not_fit(folder: Path, change: dict[str, Any], told: str) -> None:
    rewrite(folder / "preprocessor_config.json", **change)
    message = refused(folder)
    assert "preprocessor_config.json: does not describe such a model" in message
    assert told in message


def test_preprocessing_may_lie_in_one_file_or_in_two(folder: Path) -> None:
    """transformers 5 writes pictures' and videos' into processor_config.json; older releases wrote a file for each."""
    pictures = folder / "preprocessor_config.json"
    own = json.loads(pictures.read_text())
    films = {**own, "image_mean": [0.5] * 3}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(films))
    apart: Any = load(str(folder), dtype="float32")
    assert (apart.encoder.recipe.mean_3, apart.image_encoder.recipe.mean_3) == ((0.5,) * 3, tuple(own["image_mean"]))
    both = {"image_processor": films, "video_processor": own, "processor_class": "LlavaOnevisionProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(both))
    joined: Any = load(str(folder), dtype="float32")
    assert (joined.encoder.recipe.mean_3, joined.image_encoder.recipe.mean_3) == (tuple(own["image_mean"]), (0.5,) * 3)
    (folder / "processor_config.json").write_text('{"num_image_tokens": 25}')
    again: Any = load(str(folder), dtype="float32")
    assert (again.encoder.recipe, again.image_encoder.recipe) == (apart.encoder.recipe, apart.image_encoder.recipe)
    pictures.unlink()
    assert "has no preprocessor_config.json, and no processor_config.json that tells" in refused(folder)
    (folder / "processor_config.json").unlink()
    assert "has no preprocessor_config.json" in refused(folder)
    pictures.write_text("[]")
    assert "preprocessor_config.json: is not a JSON object" in refused(folder)


def test_a_family_is_known_by_config_alone_and_code_is_left_alone(folder: Path, tmp_path: Path) -> None:
    """Its name may lie, and code that it brings is not run."""
    liar = folder.rename(tmp_path / "video_llava-longva-nano")
    (liar / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    rewrite(liar / "config.json", auto_map={"AutoModel": "modeling_evil.Evil"})
    (liar / "chat_template.json").write_text(json.dumps({"chat_template": "{{ 1 / 0 }}"}))
    model = load(str(liar), dtype="float32")
    assert type(model.image_encoder.tower).__name__ == "SiglipTower"  # type: ignore[union-attr]
    assert not (tmp_path / "ran").exists()
    fits = [name for name in parts.names("families") if parts.find("families", name)().fits(config_of(liar))]
    assert fits == ["llava_onevision"]


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def test_every_recipe_is_of_one_family(saved: Callable[[str], Path]) -> None:
    for name in ONE_OF_EACH:
        config = config_of(saved(name))
        families = [family for family in parts.names("families") if parts.find("families", family)().fits(config)]
        assert len(families) == 1


def test_doctor_finds_them_well(saved: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ONE_OF_EACH:
        status, out, _ = Cli(capsys)("doctor", saved(name))
        assert status == 0 and out.splitlines()[-1] == "ok"


# What they do.


def asked(model: Model, path: Path) -> Watched:
    watched = watch(replace(model, sampler=Uniform(4)), open_video(path))
    assert ask(model, watched, QUESTION, FEW).tokens["visual"] == watched.visual_tokens
    return watched


@pytest.mark.parametrize("layout", parts.names("layouts"))
@pytest.mark.parametrize("name", ["llava_onevision tied", "video_llava"])
def test_every_layout_works_on_them(
    name: str, layout: str, saved: Callable[[str], Path], bunny: Path, photo: Path
) -> None:
    """OneVision has newlines, tiles and an odd grid; Video-LLaVA class tokens, two encoders and no newline."""
    model = load(str(saved(name)), device="cpu", dtype="float32")
    part = parts.find("layouts", layout)()
    swapped = replace(model, layout=part, image_layout=part, beyond_trained_context=True)
    film, picture = asked(swapped, bunny), asked(swapped, photo)
    assert film.prefix.length > film.visual_tokens > 0
    assert picture.prefix.length > picture.visual_tokens > 0


@pytest.mark.parametrize(
    ("name", "frames", "layout", "image_layout"),
    [
        ("llava_next vicuna", 50, "SlowFast", "Anyres"),
        ("llava_onevision tied", 32, "Bilinear", "Anyres"),
        ("llava_next_video", 32, "Grid", "Anyres"),
        ("video_llava", 8, "EveryToken", "EveryToken"),
    ],
)
def test_defaults(name: str, frames: int, layout: str, image_layout: str, saved: Callable[[str], Path]) -> None:
    model: Any = load(str(saved(name)), device="cpu", dtype="float32")
    assert (model.sampler.frames, model.engine.trained_context) == (frames, 8192)
    assert (type(model.layout).__name__, type(model.image_layout).__name__) == (layout, image_layout)


def test_a_llava_next_watches_films_as_slowfast_llava_does(saved: Callable[[str], Path], bunny: Path) -> None:
    """50 frames of 4 x 4 tokens, 10 of them of 4 x 2 more, in SlowFast-LLaVA's prompt."""
    model = load(str(saved("llava_next vicuna")), device="cpu", dtype="float32")
    watched = watch(model, open_video(bunny))
    assert watched.visual_tokens == 50 * 16 + 10 * 8
    assert watched.template is longtake.prompt.templates.find_template("slowfast")


def test_llava_next_video_takes_as_many_frames_as_its_context_holds(folder: Path, tmp_path: Path) -> None:
    """LLaVA-NeXT-Video-7B reads 4,096 positions; 24 frames of 144 tokens leave 640, 32 would leave none."""
    recipe = RECIPES["llava_next_video"]
    narrow = replace(recipe, text={**recipe.text, "max_position_embeddings": 600})
    model: Any = load(str(narrow.save(tmp_path / "narrow")), device="cpu", dtype="float32")
    assert (model.encoder.grid_height, model.encoder.grid_width) == (2, 2)
    assert model.sampler.frames == (600 - 512) // 4 == 22


def test_class_tokens_come_before_each_frame(saved: Callable[[str], Path], bunny: Path) -> None:
    """Without them nothing else changes."""
    model: Any = load(str(saved("video_llava")), device="cpu", dtype="float32")
    video = open_video(bunny)
    frames = list(video.read([0, 60, 120], chunk=2, shrink=model.encoder.shrinker()))
    kept = model.encoder.encode(frames)
    bare = replace(model.encoder, class_token=False).encode(frames)
    assert kept.class_TD.shape == (3, 32) and bare.class_TD is None
    (with_class,), (without,) = EveryToken().arrange(kept), EveryToken().arrange(bare)
    assert (len(with_class.tokens_ND), len(without.tokens_ND)) == (3 * 17, 3 * 16)
    rows = with_class.tokens_ND.unflatten(0, (3, 17))
    torch.testing.assert_close(rows[:, 0], kept.class_TD)
    torch.testing.assert_close(rows[:, 1:].flatten(0, 1), without.tokens_ND)
    assert with_class.times_s.tolist() == np.repeat(kept.times_s, 17).tolist()


def test_class_tokens_are_counted_before_a_haystack_is_read(saved: Callable[[str], Path]) -> None:
    eye = Eye(load(str(saved("video_llava")), device="cpu", dtype="float32"))
    assert stand_in(eye, (), 5).haystack.kept_THWD.shape == (5, 1, 17, 1)


def test_a_layout_that_is_named_is_for_several_pictures_too(
    saved: Callable[[str], Path], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By itself OneVision shows of several pictures only the whole: 25 features and a newline."""
    cli, asking = Cli(capsys), ("ask", photo, photo, QUESTION, "--max-new-tokens", "1", "--model")
    tokens = []
    for options in ((), ("--layout", "grid"), ("--set", "layout.merge=spatial")):
        told = cli.json(*asking, saved("llava_onevision tied"), *options)
        tokens.append(told["tokens"]["visual"])
        assert [file["still"] for file in told["files"]] == [True, True]
    assert tokens[:2] == [2 * 26, 2 * 4]
    assert tokens[2] > 2 * 26, "the model's own layout for one picture, with that option"
