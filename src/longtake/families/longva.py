"""families.longva: LongVA's checkpoints in the original layout in, a model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from longtake import parts
from longtake.checkpoint import CONFIG, placement
from longtake.families import Model, Release
from longtake.families._loaded import no_such_model, trained_context
from longtake.families._original import NEWLINE, SEES, SIDE, load_original, networks_of, renamed, spelled, tower_folder
from longtake.families._published import QWEN2_7B, SHAPES
from longtake.layouts import Layout
from longtake.prompt.templates import find_template
from longtake.prompt.tokenizers import read_tokenizer

ARCHITECTURE = "LlavaQwenForCausalLM"
FRAMES = 128
"""With so many LongVA-7B's Video-MME is best (arXiv 2406.16852, table 4)."""

RELEASED = {
    "architectures": [ARCHITECTURE],
    "mm_patch_merge_type": "unires",
    **SEES,
    **dict(zip(SHAPES, QWEN2_7B, strict=True)),
    "vocab_size": 152_064,
    "tie_word_embeddings": False,
}
"""The shapes of Qwen2-7B-Instruct, on which both releases stand."""


@dataclass(frozen=True)
class Longva:
    """LongVA-7B and LongVA-7B-DPO: Qwen2 extended on long text, CLIP, UniRes. Source: arXiv 2406.16852.

    A video's frames are cropped to squares, as released; a picture is cut into up to 49 tiles. The newline that such
    checkpoints store is never read: UniRes has none.
    """

    def fits(self, config: dict[str, object]) -> bool:
        """Whether config.json names the architecture LlavaQwenForCausalLM and the merge type unires."""
        return config.get("architectures") == [ARCHITECTURE] and config.get("mm_patch_merge_type") == "unires"

    def networks(self, config: dict[str, Any], *, folder: Path) -> Mapping[str, nn.Module]:
        """Tower, projector and Qwen2."""
        _layout(config)
        return networks_of(config, folder, _qwen2, newline=False)

    def trained_context(self, config: dict[str, Any], networks: Mapping[str, nn.Module]) -> int:
        """What the language model's config or the tokenizer's length tells, whichever is more."""
        return trained_context(config, networks)

    def known(self) -> tuple[Release, ...]:
        """Both were trained on text of so many tokens (section 3.1); DPO came after."""
        layout = _layout(RELEASED)
        return tuple(
            Release(name, RELEASED, context=224_000, frames=FRAMES, side=SIDE, layout=layout)
            for name in ("lmms-lab/LongVA-7B", "lmms-lab/LongVA-7B-DPO")
        )

    def folders(self, config: dict[str, Any], folder: Path) -> tuple[Path, ...]:
        """Where the tower's configuration lies, and its weights where they were not tuned."""
        return (tower_folder(config, folder),)

    def renamed(self, name: str) -> str | None:
        """The original layout's names; the newline is left out."""
        return None if name == NEWLINE else renamed(name)

    def spelled(self, own: str) -> str:
        """The original layout's names of a tower that was tuned and of what else such a checkpoint may lack."""
        return spelled(own)

    def met(self, language: Mapping[str, Any], tower: Mapping[str, Any], tower_name: str) -> dict[str, Any]:
        """The config.json of a Qwen2 and a CLIP tower that have not been trained together yet.

        Args:
            language: config.json of the one.
            tower: of the other, or of a whole CLIP.
            tower_name: where the tower is found: a name of the hub, or a folder in or beside the checkpoint.

        Raises:
            ValueError: they are no Qwen2 and no CLIP.
        """
        seen = tower.get("vision_config", tower)
        if language.get("model_type") != "qwen2":
            raise ValueError(f"its model_type is {language.get('model_type')}; LongVA's layout holds a qwen2")
        if seen.get("model_type") != "clip_vision_model":
            raise ValueError(f"the tower's model_type is {seen.get('model_type')}; want clip_vision_model")
        sees = {key: value for key, value in SEES.items() if key != "vision_config"}
        own = {"mm_hidden_size": seen["hidden_size"], "mm_vision_tower": tower_name, "model_type": "llava_qwen"}
        return {**language, **sees, **own, "architectures": [ARCHITECTURE], "mm_patch_merge_type": "unires"}

    def load(self, folder: Path, *, name: str, device: str, dtype: str) -> Model:
        """Load strictly: every tensor that the model has and no other.

        Raises:
            LongtakeError: `model.bad_checkpoint`, `model.not_found`, `model.nonfinite`; `usage.bad_option` for a device
                or dtype that does not exist.
        """
        original = load_original(self, folder, placement(device, dtype))
        loaded = original.loaded
        tokenizer, template = read_tokenizer(folder), find_template("chatml")
        try:
            layout = _layout(loaded.config)
        except (TypeError, ValueError) as error:
            raise no_such_model(folder / CONFIG, error) from error
        return Model(
            name=name,
            sampler=parts.find("samplers", "uniform")(frames=FRAMES),
            encoder=original.encoder("crop"),
            layout=layout,
            image_layout=parts.find("layouts", "unires_image")(),
            template=template,
            image_template=template,
            tokenizer=tokenizer,
            engine=loaded.engine(tokenizer, template),
        )


def _layout(config: Mapping[str, Any]) -> Layout:
    pool, mode = config.get("mm_spatial_pool_stride", 2), config.get("mm_spatial_pool_mode", "average")
    layout: Layout = parts.find("layouts", "grid")(pool=pool, mode=mode)
    return layout


def _qwen2(config: Mapping[str, Any]) -> nn.Module:
    return Qwen2ForCausalLM(Qwen2Config.from_dict({**config, "model_type": "qwen2"}))
