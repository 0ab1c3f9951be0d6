"""train/meeting: a language model and a vision tower in; both, with an untrained projector between them, out.

One checkpoint in LongVA's original layout (arXiv 2406.16852, section 4): what `train align` begins with. Weights are
copied as they are stored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from longtake import parts
from longtake.checkpoint import (
    CONFIG,
    INDEX,
    WEIGHTS,
    bad_checkpoint,
    folder_of,
    read_config,
    require_files,
    stored_in,
    write_tensors,
)
from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.train.writing import BESIDE, copy_files
from longtake.vision.projector import Projector

PIXELS = "preprocessor_config.json"
OWN, LANGUAGE = "projector.safetensors", "language.safetensors"
TOWER = "tower"


def bring_together(language: str, tower: str, out: Path, *, seed: int) -> dict[str, Any]:
    """Write a checkpoint of both into `out`; returns what it holds.

    Args:
        language: a Qwen2: a folder, or a name of the hub.
        tower: a CLIP: a folder, which is copied, or a name of the hub, which is named.
        out: a folder that is empty or not there.
        seed: of the projector's first weights.

    Raises:
        LongtakeError: `model.not_found`, `model.bad_checkpoint`, `network.unreachable`; `usage.bad_option` for a folder
            that holds something; `disk.write`.
    """
    if out.exists() and any(out.iterdir()):
        reason = "holds something already"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, str(out), reason, "give a folder that is empty or not there")
    source, seen = folder_of(language), folder_of(tower)
    require_files(seen, [CONFIG, PIXELS])
    config, stored = read_config(source), stored_in(source)
    here = Path(tower).expanduser().is_dir()
    family: Any = parts.find("families", "longva")()
    try:
        told = family.met(config, read_config(seen), TOWER if here else tower)
    except (KeyError, ValueError) as error:
        raise bad_checkpoint(source / CONFIG, str(error), "give a Qwen2 and a CLIP tower") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = int(config["hidden_size"])
        projector = Projector(in_width=told["mm_hidden_size"], hidden_width=width, out_width=width)
    dtype = next(tensor.dtype for tensor in stored.values() if tensor.dtype.is_floating_point)
    tensors = {family.spelled(f"projector.{name}"): own.to(dtype) for name, own in projector.state_dict().items()}
    with writing(str(out)):
        copy_files(source, out, (*BESIDE, "*.safetensors"))
        if here:
            copy_files(seen, out / TOWER, (*BESIDE, "*.safetensors", INDEX))
        write_tensors(tensors, out / OWN)
        if (out / WEIGHTS).exists():
            # By that name it would be taken for all there is.
            (out / WEIGHTS).rename(out / LANGUAGE)
        files = {name: tensor.path.name for name, tensor in stored.items()}
        where = {name: LANGUAGE if file == WEIGHTS else file for name, file in files.items()}
        where |= dict.fromkeys(tensors, OWN)
        (out / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}, indent=2) + "\n", encoding="utf-8")
        (out / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return {
        "model": str(out),
        "projector": sum(own.numel() for own in tensors.values()),
        "tower": told["mm_vision_tower"],
    }
