"""families._original: checkpoints in LLaVA's original layout in, their networks and pictures out. No family itself.

model.layers.*, model.embed_tokens, model.norm, lm_head   the language model
model.mm_projector.{0,2}                                   the projector
model.vision_tower.vision_tower.vision_model.*             the tower, if it was tuned: it wins over its base
model.image_newline                                        the vector that ends a row of a picture
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import CLIPVisionConfig

from longtake.checkpoint import (
    CONFIG,
    UNBUILT,
    Placement,
    StoredTensor,
    folder_of,
    read_config,
    read_object,
    require_files,
    stored_in,
)
from longtake.families import Family
from longtake.families._loaded import Loaded, Newline, load_networks, no_such_model, recipe_of, refuse_sizeless
from longtake.families._published import CLIP_L_336, side_of
from longtake.vision.clip import ClipTower
from longtake.vision.encoding import Encoder
from longtake.vision.pixels import Fit
from longtake.vision.projector import Projector
from longtake.vision.tiles import LLAVA_TILES, TileGrid

PIXELS = "preprocessor_config.json"
TOWER = "model.vision_tower.vision_tower.vision_model."
BASE_TOWER = "vision_model."
NEWLINE = "model.image_newline"
SHIFTS = (("model.mm_projector.0.", "projector.rise."), ("model.mm_projector.2.", "projector.land."))
PROJECTOR = "mlp2x_gelu"


SEES = {
    "mm_projector_type": PROJECTOR,
    "mm_hidden_size": CLIP_L_336["hidden_size"],
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "vision_config": CLIP_L_336,
}
"""What the config.json of all releases in this layout says of seeing, and of that tower its own."""
SIDE = side_of(CLIP_L_336)


@dataclass(frozen=True)
class Original:
    """A checkpoint in the original layout, loaded.

    Attributes:
        loaded: its config.json and networks; the tower is called vision.
        pixels: the object of the tower's preprocessor_config.json.
    """

    loaded: Loaded
    pixels: Mapping[str, Any]

    def encoder(self, fit: Fit) -> Encoder:
        """Tower and projector behind the tower's own preprocessing."""
        networks: Any = self.loaded.networks
        tower = networks["vision"]
        tiles = tile_grids(self.loaded.config.get("image_grid_pinpoints"), tower.side_px)
        recipe = recipe_of(self.pixels, tower.side_px, fit)
        newline_D = self.loaded.newline_D
        return Encoder(recipe, tower, networks["projector"], tower.patch_px, tiles=tiles, newline_D=newline_D)


def renamed(name: str) -> str | None:
    """`MODULE.TENSOR` of a tensor in the original layout."""
    for stored, own in (*SHIFTS, (TOWER, "vision.model.")):
        if name.startswith(stored):
            return own + name.removeprefix(stored)
    return "newline.vector_D" if name == NEWLINE else f"language.{name}"


def spelled(own: str) -> str:
    """What the original layout calls `MODULE.TENSOR`: the other way round than `renamed`."""
    for stored, ours in (*SHIFTS, (TOWER, "vision.model."), (NEWLINE, "newline.vector_D"), ("", "language.")):
        if own.startswith(ours):
            return stored + own.removeprefix(ours)
    raise ValueError(f"{own} is of no network of this layout")


def networks_of(
    config: Mapping[str, Any], folder: Path, language: Callable[[Mapping[str, Any]], nn.Module], *, newline: bool
) -> dict[str, nn.Module]:
    """The networks that config.json describes, without weights of any meaning.

    Raises:
        LongtakeError: `model.bad_checkpoint`, `model.not_found` if there is no tower of that name.
        UNBUILT: `config` does not describe such networks.
    """
    if config.get("mm_projector_type") != PROJECTOR:
        raise ValueError(f"mm_projector_type is {config.get('mm_projector_type')}; want {PROJECTOR}")
    if config.get("mm_vision_select_feature", "patch") != "patch":
        raise ValueError(f"mm_vision_select_feature is {config['mm_vision_select_feature']}; want patch")
    # No such config.json tells its tower's shape; what is known of a release without having it does (`Release.config`).
    told = config if "vision_config" in config else read_config(tower_folder(config, folder))
    refuse_sizeless(config)
    refuse_sizeless(_vision(told))
    seen = CLIPVisionConfig(**_vision(told))
    tower = ClipTower(seen, config["mm_vision_select_layer"])
    width = int(config["hidden_size"])
    if tower.width != config["mm_hidden_size"]:
        raise ValueError(f"mm_hidden_size is {config['mm_hidden_size']}; the tower's is {tower.width}")
    tile_grids(config.get("image_grid_pinpoints"), tower.side_px)
    networks: dict[str, nn.Module] = {
        "vision": tower,
        "projector": Projector(in_width=tower.width, hidden_width=width, out_width=width),
        "language": language(config),
    }
    return {**networks, "newline": Newline(width)} if newline else networks


def load_original(family: Family, folder: Path, where: Placement) -> Original:
    """Read config, tower and weights strictly.

    Raises:
        LongtakeError: `model.bad_checkpoint`, `model.not_found`, `model.nonfinite`.
    """
    require_files(folder, [CONFIG])
    config = read_config(folder)
    stored = dict(stored_in(folder))
    tower = tower_folder(config, folder)
    require_files(tower, [CONFIG, PIXELS])
    if not any(name.startswith(TOWER) for name in stored):
        stored |= _base_tower(tower)
    pixels = read_object(tower / PIXELS)
    loaded = load_networks(family, folder, where, config, stored)
    try:
        original = Original(loaded, pixels)
        original.encoder("stretch")
    except UNBUILT as error:
        raise no_such_model(tower / PIXELS, error) from error
    return original


def tower_folder(config: Mapping[str, Any], folder: Path) -> Path:
    """Where the tower lies that config.json names: in or beside the checkpoint, or on the hub."""
    return folder_of(str(config.get("mm_vision_tower", "")), beside=folder)


def tile_grids(pinpoints: Any, side_px: int) -> tuple[TileGrid, ...]:
    """The grids of tiles of `image_grid_pinpoints`: (width, height) pairs, or "(1x1),...,(6x6)" of grids.

    Raises:
        TypeError, ValueError: they are neither.
    """
    if isinstance(pinpoints, str):
        found = [(int(wide), int(high)) for wide, high in re.findall(r"\((\d+)x(\d+)\)", pinpoints)]
        if len(found) != 2:
            raise ValueError(f"image_grid_pinpoints is {pinpoints!r}; want a range of grids like (1x1),...,(6x6)")
        (first, _), (last, _) = found
        return tuple((wide, high) for wide in range(first, last + 1) for high in range(first, last + 1))
    if not pinpoints:
        return LLAVA_TILES
    if any(length < side_px or length % side_px for pair in pinpoints for length in pair):
        raise ValueError(f"image_grid_pinpoints are {pinpoints}; want multiples of {side_px}")
    return tuple((wide // side_px, high // side_px) for wide, high in pinpoints)


def _base_tower(tower: Path) -> dict[str, StoredTensor]:
    """The base tower's weights, for a checkpoint that has none; CLIP's text half is left alone.

    transformers 5 writes a tower by itself without the prefix that it had before, and still has in a whole CLIP.
    """
    stored = stored_in(tower)
    prefix = BASE_TOWER if any(name.startswith(BASE_TOWER) for name in stored) else ""
    return {
        TOWER + name.removeprefix(prefix): tensor
        for name, tensor in stored.items()
        if name.startswith(prefix) and not name.endswith("position_ids")
    }


def _vision(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tower's own config, or that half of a whole CLIP's."""
    half: Mapping[str, Any] = config.get("vision_config", config)
    return half
