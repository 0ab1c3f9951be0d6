"""families.nano: longtake's own small model: its checkpoint in, a model out; and how training writes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake import parts
from longtake.checkpoint import (
    CONFIG,
    TOKENIZER,
    UNBUILT,
    WEIGHTS,
    Placement,
    bad_checkpoint,
    fill,
    placement,
    read_config,
    require_files,
    stored_in,
    stored_tensors,
    without_memory,
    write_tensors,
)
from longtake.engines.attention import folding
from longtake.engines.local import LocalEngine
from longtake.errors import writing
from longtake.families import Model, Release
from longtake.prompt import ChoiceStyle, HubTokenizer, chatml
from longtake.vision.encoding import Encoder
from longtake.vision.nano import REDUCTION, NanoTower
from longtake.vision.pixels import PixelRecipe
from longtake.vision.projector import Projector

ARCHITECTURE = "LongtakeNano"
BUNDLED = Path(__file__).parents[1] / "assets" / "nano"
TEMPLATE = replace(chatml(), choices=ChoiceStyle(lead="", start=" ", mark=" ", end="", stated=True))
"""It learned options as `Which? (A) one (B) two`, and to answer `one (A)`."""
CAPTION_PROMPT = "What does it say?"
"""A wording that it learned (world/questions): it says colour, shape and value of a scene, or `not shown`."""


@dataclass(frozen=True)
class NanoModules:
    """The three networks of a nano."""

    vision: NanoTower
    projector: Projector
    language: Qwen2ForCausalLM

    def named(self) -> dict[str, nn.Module]:
        """By the prefix of their tensors' names in the checkpoint."""
        return {"vision": self.vision, "projector": self.projector, "language": self.language}


@dataclass(frozen=True)
class Nano:
    """longtake's own small model, which ships in the package; it knows only the little drawn world.

    A checkpoint is a folder with tokenizer.json, model.safetensors (`vision.*`, `projector.*`, `language.*`) and
    config.json: keyword arguments of the three networks under those names, `trained_context` in tokens, `frames`.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LongtakeNano."""
        return config.get("architectures") == [ARCHITECTURE]

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`; `usage.bad_option` for a device or dtype that does not exist.
        """
        where = placement(device, dtype, exact=True)
        config, modules, tokenizer = read_checkpoint(folder, where)
        for module in modules.named().values():
            module.eval().requires_grad_(False)
        stop_ids = tuple(tokenizer.control(token) for token in TEMPLATE.stop)
        return Model(
            name=name,
            sampler=parts.find("samplers", "uniform")(frames=config["frames"]),
            encoder=encoder(modules),
            layout=parts.find("layouts", "grid")(),
            image_layout=parts.find("layouts", "grid")(),
            template=TEMPLATE,
            image_template=TEMPLATE,
            tokenizer=tokenizer,
            engine=LocalEngine(folding(modules.language), stop_ids, config["trained_context"]),
            caption_prompt=CAPTION_PROMPT,
        )

    def known(self) -> tuple[Release, ...]:
        """The one that ships."""
        config = read_config(BUNDLED)
        side = config["vision"]["side_px"] // REDUCTION
        layout = parts.find("layouts", "grid")()
        context, frames = config["trained_context"], config["frames"]
        return (Release("nano", config, context, frames, side, layout, licence="Apache-2.0, as longtake"),)

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """The three networks that config.json describes."""
        return build(config).named()

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """config.json says it."""
        return int(config["trained_context"])

    def renamed(self, name: str) -> str | None:
        """Tensors are stored under the names that they have."""
        return name


def encoder(modules: NanoModules) -> Encoder:
    """nano's eye: frames stretched to the tower's square, then tower and projector."""
    side_px = modules.vision.side_px
    recipe = PixelRecipe(side_px, fit="stretch", method="fast")
    return Encoder(recipe, modules.vision, modules.projector, side_px // modules.vision.grid_height)


def build(config: Mapping[str, Any]) -> NanoModules:
    """The three networks that a config.json describes, with random weights.

    Raises:
        UNBUILT: `config` does not describe a nano.
    """
    language = Qwen2Config(**config["language"])
    projector = Projector(**config["projector"])
    vision = NanoTower(**config["vision"])
    if config["projector"]["out_width"] != language.hidden_size or config["projector"]["in_width"] != vision.width:
        raise ValueError("the projector's widths are not the tower's and the language model's")
    return NanoModules(vision, projector, Qwen2ForCausalLM(language))


def read_checkpoint(folder: Path, where: Placement) -> tuple[dict[str, Any], NanoModules, HubTokenizer]:
    """config.json's object, the networks with their weights, and the tokenizer.

    Raises:
        LongtakeError: `model.bad_checkpoint`.
    """
    require_files(folder, (CONFIG, TOKENIZER, WEIGHTS))
    config = read_config(folder)
    stored = stored_in(folder)
    tokenizer = HubTokenizer.from_file(folder / TOKENIZER)
    try:
        with without_memory():
            modules = build(config)
        if min(int(config["trained_context"]), int(config["frames"])) < 1:
            raise ValueError("trained_context and frames are at least 1")
        if tokenizer.vocabulary_size > modules.language.config.vocab_size:
            raise ValueError(f"the tokenizer has {tokenizer.vocabulary_size:,} tokens, more than the language model")
    except UNBUILT as error:
        reason = f"does not describe a nano: {type(error).__name__} {error}"
        raise bad_checkpoint(folder / CONFIG, reason, "take the config.json that belongs to the weights") from error
    fill(modules.named(), stored, where, renamed=Nano().renamed, folder=folder)
    return config, modules, tokenizer


def write_checkpoint(
    folder: Path, config: Mapping[str, Any], modules: NanoModules, *, tokenizer: HubTokenizer, dtype: torch.dtype
) -> None:
    """Write a folder that `Nano.load` reads.

    Args:
        folder: is made if need be.
        config: as `build` takes it, with `trained_context` and `frames`.
        modules: built from that config.
        tokenizer: whose ids the language model was trained on.
        dtype: of the stored numbers.

    Raises:
        LongtakeError: `disk.write`.
    """
    tensors = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in stored_tensors(modules.named()).items()
    }
    told = {"architectures": [ARCHITECTURE], "model_type": "longtake_nano", **config}
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(tensors, folder / WEIGHTS)
        tokenizer.save(folder / TOKENIZER)
        (folder / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
