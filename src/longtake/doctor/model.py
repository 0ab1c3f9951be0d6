"""doctor/model: a checkpoint's name in; what is well with it, without loading it, out. Reaches no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from longtake import parts
from longtake.checkpoint import (
    DTYPES,
    INT8,
    UNBUILT,
    fitting,
    stored_in,
    told_sums,
    weights_bytes,
    without_hub,
    without_memory,
)
from longtake.doctor import GIB, Finding
from longtake.engines.turning import scaling_of
from longtake.errors import LongtakeError
from longtake.loading import family_of, folder_of
from longtake.prompt.tokenizers import read_tokenizer

if TYPE_CHECKING:
    from torch import nn

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json")
NEVER_USED = ("*.py", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def examine_model(name: str) -> Iterator[Finding]:
    """Look at everything of a checkpoint but the numbers in its tensors, one finding after the other.

    Raises:
        LongtakeError: `model.not_found` if there is no such checkpoint on this machine.
    """
    folder = folder_of(name, fetch=False)
    yield Finding("folder", True, str(folder))
    unused = sorted(path.name for pattern in NEVER_USED for path in folder.glob(pattern))
    if unused:
        yield Finding("beside it", True, f"{', '.join(unused)}: code and pickles are neither run nor opened")
    yield _guarded("tokenizer", lambda: _tokenizer(folder))
    yield (weights := _guarded("weights", lambda: _weights(folder)))
    yield _guarded("sums", lambda: _sums(folder))
    yield (family := _guarded("family", lambda: _family(name, folder)))
    if not family.well:
        return
    yield (networks := _guarded("networks", lambda: _cost(_networks(name, folder))))
    if networks.well:
        yield _guarded("context", lambda: _context(name, folder))
    if weights.well and networks.well:
        yield _guarded("tensors", lambda: _fit(name, folder))


def _guarded(subject: str, look: Callable[[], str]) -> Finding:
    """What `look` finds; a refusal is a finding too."""
    try:
        return Finding(subject, True, look())
    except LongtakeError as error:
        about = Path(error.subject).name or error.subject
        return Finding(subject, False, f"{about} {error.reason}", error.advice)
    except UNBUILT as error:
        found = f"config.json does not describe them: {type(error).__name__} {error}"
        return Finding(subject, False, found, "take the config.json that belongs to the weights")


def _tokenizer(folder: Path) -> str:
    tokenizer = read_tokenizer(folder)
    files = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return f"{tokenizer.vocabulary_size:,} tokens, {len(tokenizer.control_ids):,} of them control tokens ({files[0]})"


def _weights(folder: Path) -> str:
    stored = stored_in(folder)
    kinds = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in stored.values())
    files = len({tensor.path for tensor in stored.values()})
    size_bytes = sum(tensor.size_bytes for tensor in stored.values())
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return f"{len(stored):,} tensors ({told}), {files} file{'s' if files > 1 else ''}, {size_bytes:,} bytes"


def _sums(folder: Path) -> str:
    told = told_sums(folder)
    if not told:
        return "nobody tells what the files' SHA-256 should be"
    return f"a SHA-256 is told of {len(told):,} file{'s' if len(told) > 1 else ''}; loading holds them against it"


def _family(name: str, folder: Path) -> str:
    family, config = family_of(name, folder)
    return f"{parts.told(family, 'families')['name']}, architectures {config.get('architectures')}"


def _networks(name: str, folder: Path) -> Mapping[str, nn.Module]:
    family, config = family_of(name, folder)
    with without_memory(), without_hub():
        return family.networks(config, folder=folder)


def _cost(networks: Mapping[str, nn.Module]) -> str:
    """What the weights take in memory, in each dtype that they can be loaded in; what is seen and said comes on top."""
    count = sum(parameter.numel() for network in networks.values() for parameter in network.parameters())
    sizes = {kind: weights_bytes(networks, dtype) for kind, dtype in DTYPES.items()}
    sizes[INT8] = weights_bytes(networks, DTYPES["bfloat16"], int8=True)
    costs = ", ".join(f"{size / GIB:.3g} GiB in {kind}" for kind, size in sizes.items())
    return f"{', '.join(networks)}: {count:,} parameters, {costs}"


def _context(name: str, folder: Path) -> str:
    family, config = family_of(name, folder)
    networks = _networks(name, folder)
    scaling = scaling_of(getattr(networks.get("language"), "config", None))
    return f"{family.trained_context(config, networks):,} tokens, RoPE scaling: {scaling}"


def _fit(name: str, folder: Path) -> str:
    family, _ = family_of(name, folder)
    fitting(_networks(name, folder), stored_in(folder), renamed=family.renamed, folder=folder)
    return "each has its place, and each place its tensor; their numbers were not read"
