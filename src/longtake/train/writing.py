"""train/writing: a checkpoint and what was learned of its parts in; a checkpoint in the same layout out. Any family's.

Each tensor keeps the name and the kind of numbers that it is stored under in the checkpoint that the training began
from: one in LongVA's original layout gives another, one in transformers' own gives one that transformers loads. What
did not learn is copied as it is stored.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from torch import nn

from longtake.checkpoint import INDEX, StoredTensor, bad_checkpoint, stored_in, without_memory, write_tensors
from longtake.families import Family, folders_of, spelled_by
from longtake.loading import family_of

SHARD_BYTES = 5 * 10**9
"""Of one file, at most: as large as transformers makes them, and as the hub likes them."""
BESIDE = (
    *("config.json", "generation_config.json", "*token*.json", "vocab.json", "merges.txt", "*.model", "*.jinja"),
    *("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json", "chat_template.json"),
)
"""What lies beside weights and makes a model what it is. No card, figures and sums: they are of other weights."""
NO_TOWERS = ("projector", "language", "newline")


@dataclass(frozen=True)
class Tensor:
    """A tensor that is to be written: one that learned, or one as it is stored.

    Attributes:
        name: in the checkpoint.
        dtype: of its numbers there.
    """

    name: str
    dtype: torch.dtype
    learned: torch.Tensor | None
    stored: StoredTensor | None

    @property
    def outline(self) -> torch.Tensor:
        """Its shape and numbers without memory."""
        told = self.learned if self.learned is not None else self.stored
        assert told is not None
        return torch.empty(tuple(told.shape), dtype=self.dtype, device="meta")

    def read(self) -> torch.Tensor:
        """The tensor itself, in memory of its own."""
        if self.learned is not None:
            return self.learned.detach().to(device="cpu", dtype=self.dtype, copy=True).contiguous()
        assert self.stored is not None
        with safe_open(str(self.stored.path), framework="pt") as file:
            found: torch.Tensor = file.get_tensor(self.name)
        return found


def refuse_unwritable(source: Path, parts: Mapping[str, nn.Module], learned: Collection[str]) -> None:
    """Refuse, before a training, a checkpoint whose learned parts could not be written after it.

    Raises:
        LongtakeError: `model.bad_checkpoint`.
    """
    _tensors(source, parts, learned)


def write_parts(
    source: Path,
    out: Path,
    parts: Mapping[str, nn.Module],
    learned: Collection[str],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint folder like `source` with what was learned.

    Args:
        parts: vision, projector, language.
        learned: the names of those that are written anew.
        shard_bytes: of one weights file, at most; a larger tensor has a file of its own.

    Raises:
        LongtakeError: `model.bad_checkpoint` where a learned tensor has no name in such a checkpoint.
    """
    tensors = {tensor.name: tensor for tensor in _tensors(source, parts, learned)}
    out.mkdir(parents=True, exist_ok=True)
    # With shapes alone: weights of seven billion parameters are not held twice.
    split = split_torch_state_dict_into_shards(
        {name: tensor.outline for name, tensor in tensors.items()}, max_shard_size=shard_bytes
    )
    for file, names in split.filename_to_tensors.items():
        write_tensors({name: tensors[name].read() for name in names}, out / file)
    if split.is_sharded:
        told = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (out / INDEX).write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    copy_files(source, out, BESIDE)
    for other, place in _named_beside(source):
        copy_files(other, out / place, (*BESIDE, "*.safetensors", INDEX))


def _tensors(source: Path, parts: Mapping[str, nn.Module], learned: Collection[str]) -> list[Tensor]:
    """All that is to be written, in the order in which it is stored."""
    family, config = family_of(str(source), source)
    with without_memory():
        networks = family.networks(config, folder=source)
    own = dict(_own(source, networks, parts, learned))
    stored = stored_in(source)
    tensors, written = [], set()
    for name, tensor in stored.items():
        target = family.renamed(name)
        found = own.get(target) if target is not None else None
        written |= {id(found)} if found is not None else set()
        tensors.append(Tensor(name, tensor.dtype, found, tensor))
    dtype = next(tensor.dtype for tensor in stored.values() if tensor.dtype.is_floating_point)
    for target, learned_tensor in own.items():
        if id(learned_tensor) not in written:
            tensors.append(Tensor(_spelled(family, source, target), dtype, learned_tensor, None))
            written.add(id(learned_tensor))
    return tensors


def _own(
    source: Path, networks: Mapping[str, nn.Module], parts: Mapping[str, nn.Module], learned: Collection[str]
) -> Iterator[tuple[str, torch.Tensor]]:
    """What was learned, by `MODULE.TENSOR` as the family calls it."""
    towers = [name for name in networks if name not in NO_TOWERS]
    if "vision" in learned and len(towers) != 1:
        reason = f"has {len(towers)} towers ({', '.join(towers)}), of which one would learn"
        raise bad_checkpoint(source, reason, "train projector and language")
    for part in learned:
        prefix = towers[0] if part == "vision" else part
        if prefix not in networks:
            raise bad_checkpoint(source, f"has no {part} of its own", "train another part")
        for name, tensor in _inner(parts[part], networks[prefix]).state_dict(keep_vars=True).items():
            yield f"{prefix}.{name}", tensor


def _inner(part: nn.Module, network: nn.Module) -> nn.Module:
    """The module inside a part that holds what the checkpoint's network holds; a family may put another around it."""
    held = network.state_dict().keys()
    return next((module for module in part.modules() if module.state_dict().keys() == held), part)


def _spelled(family: Family, source: Path, target: str) -> str:
    name = spelled_by(family, target)
    if name is None:
        raise bad_checkpoint(source, f"stores no {target}, which would learn", "train other parts")
    return name


def _named_beside(source: Path) -> Iterator[tuple[Path, Path]]:
    """Folders that the checkpoint names and that lie in it or next to it, and where they go in a copy of it."""
    family, config = family_of(str(source), source)
    for other in folders_of(family, config, source)[1:]:
        for around in (source.absolute(), source.absolute().parent):
            if other.absolute() != around and other.absolute().is_relative_to(around):
                yield other, other.absolute().relative_to(around)
                break


def copy_files(source: Path, out: Path, patterns: Collection[str]) -> None:
    """Copy the files of `source` that match some pattern into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
        shutil.copyfile(path, out / path.name)
