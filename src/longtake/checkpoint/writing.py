"""checkpoint/writing: tensors in; a safetensors file that others may read, as any other file of the folder, out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a weights file that whoever may read and write the folder may read and write.

    safetensors writes to a temporary file first, which is its owner's alone, and stays so when it gets its name.

    Raises:
        OSError: it cannot be written.
    """
    save_file(dict(tensors), path, metadata={"format": "pt"})
    path.chmod(path.parent.stat().st_mode & 0o666)
