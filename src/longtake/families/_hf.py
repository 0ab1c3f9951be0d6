"""families._hf: checkpoints in transformers' own layout in, their networks and preprocessing out. No family itself.

Tensors have other names on the hub, where older releases of transformers wrote them, than what release 5 saves, and
others again while a model is in memory; each spelling is read:

    on the hub                            saved by 5                    in memory
    vision_tower.vision_model.encoder.*   vision_tower.encoder.*        model.vision_tower.encoder.*
    language_model.model.layers.*         language_model.model.layers.* model.language_model.layers.*
    language_model.lm_head.*              language_model.lm_head.*      lm_head.*
    multi_modal_projector.linear_1.*      the same                      model.multi_modal_projector.linear_1.*
    image_newline                         the same                      model.image_newline
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from longtake.checkpoint import (
    CONFIG,
    UNBUILT,
    Placement,
    bad_checkpoint,
    read_config,
    read_object,
    require_files,
    stored_in,
)
from longtake.families import Family, knows
from longtake.families._loaded import Loaded, Newline, load_networks, no_such_model, recipe_of, refuse_sizeless
from longtake.prompt import Tokenizer
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import Fit
from longtake.vision.projector import Projector
from longtake.vision.tiles import LLAVA_TILES, TileGrid

PICTURES, FILMS, BOTH = "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"
BICUBIC = 3
"""Pillow's number of the filter that pictures are resized with."""
CHATML, LLAMAS_END = "<|im_start|>", "</s>"
OF_LLAMA = ("llama", "mistral")

LAID_ASIDE = (".position_ids", ".inv_freq")
"""What early releases stored of what is computed: numbers of places, rotary frequencies."""
SPELLINGS = (
    ("language_model.lm_head.", "language.lm_head."),
    ("lm_head.", "language.lm_head."),
    ("language_model.model.", "language.model."),
    ("language_model.", "language.model."),
    ("multi_modal_projector.linear_1.", "projector.rise."),
    ("multi_modal_projector.linear_2.", "projector.land."),
    ("image_newline", "newline.vector_D"),
    *(
        (f"{tower}.{older}", f"{tower}.model.")
        for tower in ("vision_tower", "image_tower", "video_tower")
        for older in ("vision_model.", "")
    ),
)


def renamed(name: str) -> str | None:
    """`MODULE.TENSOR` of a tensor in transformers' layout."""
    if name.endswith(LAID_ASIDE):
        return None
    short = name.removeprefix("model.")
    for stored, own in SPELLINGS:
        if short.startswith(stored):
            return own + short.removeprefix(stored)
    return name


def is_a(config: Mapping[str, object], architecture: str) -> bool:
    """Whether config.json names this architecture, and no other."""
    return config.get("architectures") == [architecture]


def networks_of(
    config: Mapping[str, Any], *towers: str, languages: Collection[str], newline: bool
) -> dict[str, nn.Module]:
    """The networks that config.json describes, without weights of any meaning.

    Args:
        config: the object of config.json.
        towers: names of vision towers, all of the one form that it describes.
        languages: kinds of language models (`text_config.model_type`) whose chat the family knows.
        newline: whether there is a vector for the end of a row of a picture.

    Raises:
        UNBUILT: `config` does not describe such networks.
    """
    if config.get("projector_hidden_act", "gelu") != "gelu" or not config.get("multimodal_projector_bias", True):
        raise ValueError("the projector is not two layers with biases and GELU between them")
    kind = config["text_config"]["model_type"]
    if kind not in languages:
        raise ValueError(f"text_config.model_type is {kind}; want {' or '.join(languages)}")
    refuse_sizeless(config["text_config"])
    refuse_sizeless(config["vision_config"])
    eyes = {name: _tower(config) for name in towers}
    language = _language(config)
    seen, width = eyes[towers[0]].width, language.config.hidden_size
    projector = Projector(in_width=seen, hidden_width=width, out_width=width)
    networks = {**eyes, "projector": projector, "language": language}
    return {**networks, "newline": Newline(width)} if newline else networks


def _tower(config: Mapping[str, Any]) -> Any:
    # Here, for a class of transformers takes its time to import, and each family's page is read at each load.
    from longtake.vision.clip import ClipTower
    from longtake.vision.siglip import SiglipTower

    kinds: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any, int], Any]]] = {
        "clip_vision_model": ("default", transformers.CLIPVisionConfig.from_dict, ClipTower),
        "siglip_vision_model": ("full", transformers.SiglipVisionConfig.from_dict, SiglipTower),
    }
    told, layer = config["vision_config"], config["vision_feature_layer"]
    kind = told["model_type"]
    if kind not in kinds:
        raise ValueError(f"vision_config.model_type is {kind}; want {' or '.join(kinds)}")
    selected, form, make = kinds[kind]
    if config["vision_feature_select_strategy"] != selected:
        strategy = config["vision_feature_select_strategy"]
        raise ValueError(f"vision_feature_select_strategy is {strategy}; want {selected} of a {kind}")
    if not isinstance(layer, int):
        raise ValueError(f"vision_feature_layer is {layer}; want one layer")
    return make(form(told), layer)


def _language(config: Mapping[str, Any]) -> Any:
    told = {**config["text_config"]}
    # Of a model that ties its word embeddings, one of the two configurations says so.
    told["tie_word_embeddings"] = bool(told.get("tie_word_embeddings") or config.get("tie_word_embeddings"))
    if told["model_type"] == "qwen2":
        return transformers.Qwen2ForCausalLM(transformers.Qwen2Config.from_dict(told))
    if told["model_type"] == "mistral":
        return transformers.MistralForCausalLM(transformers.MistralConfig.from_dict(told))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(told))


@dataclass(frozen=True)
class Released:
    """A checkpoint in transformers' layout, loaded.

    Attributes:
        loaded: its config.json and networks.
        pictures, films: how each is preprocessed, as the released processors say.
        tiles: the grids of tiles that a picture may be cut into.
    """

    loaded: Loaded
    pictures: Mapping[str, Any]
    films: Mapping[str, Any]
    tiles: tuple[TileGrid, ...]

    def picture_encoder(self, fit: Fit | None = None, *, tower: str = "vision_tower") -> Encoder:
        """What pictures are seen with; one that is not tiled is fitted into a square as released, or by `fit`."""
        return self._encoder(tower, self.pictures, fit or _fit(self.pictures))

    def film_encoder(self, fit: Fit | None = None, *, tower: str = "vision_tower") -> Encoder:
        """What videos are seen with; each frame is fitted into a square as released, or by `fit`."""
        return self._encoder(tower, self.films, fit or _fit(self.films))

    def _encoder(self, tower: str, pixels: Mapping[str, Any], fit: Fit) -> Encoder:
        networks: Any = self.loaded.networks
        seeing = networks[tower]
        recipe, newline_D = recipe_of(pixels, seeing.side_px, fit), self.loaded.newline_D
        return Encoder(recipe, seeing, networks["projector"], seeing.patch_px, tiles=self.tiles, newline_D=newline_D)


def load_released(family: Family, folder: Path, where: Placement) -> Released:
    """Read config, preprocessing and weights strictly.

    Raises:
        LongtakeError: `model.bad_checkpoint`, `model.nonfinite`.
    """
    require_files(folder, [CONFIG])
    config = read_config(folder)
    loaded = load_networks(family, folder, where, config, stored_in(folder))
    try:
        side_px = int(config["vision_config"]["image_size"])
        tiles = _tiles(config.get("image_grid_pinpoints"), side_px)
    except UNBUILT as error:
        raise no_such_model(folder / CONFIG, error) from error
    pictures, films = _pixels(folder, side_px)
    return Released(loaded, pictures, films, tiles)


def chat_of(folder: Path, config: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """The template of a LLaVA of Yi (whose tokenizer knows ChatML's tokens), Mistral or Vicuna.

    Raises:
        LongtakeError: `model.bad_checkpoint` if its tokenizer is none of theirs.
    """
    if knows(tokenizer, CHATML):
        return "chatml_direct_hf"
    if not knows(tokenizer, LLAMAS_END):
        reason = f"its tokenizer has neither {CHATML} nor {LLAMAS_END}: it is not Vicuna's, Mistral's or Yi's"
        raise bad_checkpoint(
            folder, reason, "take a checkpoint of one of these; longtake knows no other chat of LLaVA's"
        )
    return "mistral_hf" if config["text_config"]["model_type"] == "mistral" else "user_assistant"


def _tiles(pinpoints: Any, side_px: int) -> tuple[TileGrid, ...]:
    """The grids of tiles of `image_grid_pinpoints`, which are (height, width) here."""
    if not pinpoints:
        return LLAVA_TILES
    if any(length < 1 or length % side_px for pair in pinpoints for length in pair):
        raise ValueError(f"image_grid_pinpoints are {pinpoints}; want multiples of {side_px}")
    return tuple((width // side_px, height // side_px) for height, width in pinpoints)


def _pixels(folder: Path, side_px: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """How pictures and videos are preprocessed: release 5 writes one file for both, older ones wrote one for each, or
    one of pictures alone that does for both.

    Raises:
        LongtakeError: `model.bad_checkpoint`.
    """
    told = {name: read_object(folder / name) for name in (BOTH, PICTURES, FILMS) if (folder / name).is_file()}
    both = told.get(BOTH, {})
    of_pictures = [(BOTH, both.get("image_processor")), (PICTURES, told.get(PICTURES))]
    of_films = [(BOTH, both.get("video_processor")), (FILMS, told.get(FILMS)), *of_pictures]
    return _first(folder, of_pictures, side_px), _first(folder, of_films, side_px)


def _first(folder: Path, places: Sequence[tuple[str, Any]], side_px: int) -> Mapping[str, Any]:
    """What the first file says that says anything, checked."""
    for name, pixels in places:
        if pixels is None:
            continue
        try:
            _check(pixels, side_px)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise no_such_model(folder / name, error) from error
        told: Mapping[str, Any] = pixels
        return told
    reason = f"has no {PICTURES}, and no {BOTH} that tells how pictures are preprocessed"
    raise bad_checkpoint(folder, reason, "copy the whole checkpoint")


def _check(pixels: Mapping[str, Any], side_px: int) -> None:
    """That pictures come out as the tower reads them, and that nothing is asked for which is not done here.

    Raises:
        KeyError, TypeError, ValueError: they do not.
    """
    recipe_of(pixels, side_px, "stretch")
    if pixels.get("resample", BICUBIC) != BICUBIC:
        raise ValueError(f"resample is {pixels['resample']}; want {BICUBIC}, bicubic")
    if not all(pixels.get(step, True) for step in ("do_resize", "do_rescale", "do_normalize")):
        raise ValueError("pictures are not resized, rescaled and normalised")
    size = pixels["crop_size" if pixels.get("do_center_crop") else "size"]
    sides = set(size.values()) if isinstance(size, dict) else {size}
    if sides - {None} != {side_px}:
        raise ValueError(f"pictures become {size}; the tower reads {side_px} x {side_px}")


def _fit(pixels: Mapping[str, Any]) -> Fit:
    return "crop" if pixels.get("do_center_crop") else "stretch"
