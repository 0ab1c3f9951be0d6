"""checkpoint/origin: the folders that a model was loaded from in; what tells it from every other model out.

Whoever keeps something that a model made, or says later what made it, needs a name that changes when the model does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import nn

from longtake.checkpoint.files import bad_checkpoint
from longtake.checkpoint.finding import FETCHED
from longtake.checkpoint.sums import sum_of, told_sums
from longtake.identity import told_sha256
from longtake.networks import input_device, networks_in


@dataclass(frozen=True)
class Origin:
    """Where a model came from, and in what numbers it computes. Made by `Origin.of`.

    Attributes:
        folders: the checkpoint, then those that it names of others.
        dtype: of numbers with a fraction, like "bfloat16"; with "int8 in " before it where matrices are in eight bits.
        device: kind of the device on which pictures are encoded: "cpu", "cuda", ...
        tower: what computes the vision tower, as `longtake.load` takes it.
        networks: that were loaded.
        states: name, size and times of change of the checkpoint's files when they were loaded.
    """

    folders: tuple[Path, ...]
    dtype: str
    device: str
    tower: str
    networks: tuple[nn.Module, ...] = field(repr=False, compare=False)
    states: tuple[tuple[str, int, int, int], ...] = field(repr=False)

    @classmethod
    def of(cls, folders: tuple[Path, ...], networks: Iterable[nn.Module], *, int8: bool, tower: str) -> Origin:
        """The origin of what has just been loaded.

        Args:
            folders: the checkpoint, then those that it names of others.
            networks: that were loaded; the first encodes pictures.
            int8: whether matrices are in eight bits.
            tower: what computes the vision tower.
        """
        loaded = tuple(networks)
        numbers = next(some.dtype for some in loaded[0].parameters() if some.is_floating_point())
        dtype = ("int8 in " if int8 else "") + str(numbers).removeprefix("torch.")
        return cls(folders, dtype, input_device(loaded[0]).type, tower, loaded, tuple(_states(folders)))

    def made(self, part: object) -> bool:
        """Whether all networks of a part of a model are still those that were loaded; one without any is not."""
        networks = networks_in(part)
        return bool(networks) and all(any(network is own for own in self.networks) for network in networks)

    @cached_property
    def sums(self) -> Mapping[str, str]:
        """The SHA-256 of every file that makes the model say what it says: weights, configurations, tokenizer.

        By `PLACE/NAME`, PLACE being the folder's number in `folders`: the same checkpoint elsewhere has the same sums.
        What loading has held against a told sum, or named by it on the hub, is not read again.

        Raises:
            LongtakeError: `model.bad_checkpoint` if files have changed since they were loaded, or cannot be read.
        """
        self._refuse_changed()
        found = {}
        for number, folder in enumerate(self.folders):
            told = told_sums(folder)
            for path in _files(folder):
                found[f"{number}/{path.name}"] = told.get(path.name) or sum_of(path)
        self._refuse_changed()
        return found

    @cached_property
    def sha256(self) -> str:
        """One sum of `sums`: it names the weights, configurations and tokenizer.

        Raises:
            LongtakeError: as `sums`.
        """
        return told_sha256(dict(self.sums))

    def _refuse_changed(self) -> None:
        changed = sorted({name for name, *_ in set(self.states) ^ set(_states(self.folders))})
        if changed:
            reason = f"has changed since it was loaded: {', '.join(changed)}"
            raise bad_checkpoint(self.folders[0], reason, "load it again")


def _files(folder: Path) -> list[Path]:
    return sorted({path for pattern in FETCHED for path in folder.glob(pattern) if path.is_file()})


def _states(folders: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for number, folder in enumerate(folders):
        for path in _files(folder):
            status = os.stat(path)
            yield f"{number}/{path.name}", status.st_size, status.st_mtime_ns, status.st_ctime_ns
