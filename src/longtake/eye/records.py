"""eye/records: what is kept of one video's frames, picture by picture: taken out checked, put in. Reads no video.

Tensors of a file are called `12 values` and `12 class`, 12 being the number of the frame that a picture shows;
`0,5,10 values` where it shows several. `first` is the picture that frames were compared with, `newline` the encoder's.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.store import Entry, Header
from longtake.store.files import MISSHAPEN, discarded, salvage, tensors_of
from longtake.video.seen import Facts, Seen, facts_told
from longtake.vision.glancing import glanced

Group = tuple[int, ...]
"""The numbers of the frames that one picture shows."""


@dataclass(frozen=True)
class Record:
    """What the encoder made of one picture.

    Attributes:
        values_VHWD: features of its views: the whole, and behind it its tiles.
        class_VD: tokens of the views as a whole, where the model reads them.
        newline_D: the vector that ends a row, where the model has one.
    """

    values_VHWD: torch.Tensor
    class_VD: torch.Tensor | None
    newline_D: torch.Tensor | None


class Records:
    """Kept features of one video, as one encoder sees it.

    Attributes:
        lost: numbers of frames that are known not to come.
        first_CHW: the picture that frames were compared with; None where that is not kept.
        damaged: how many records were found not to be what they were; they are as if they had never been kept.
        refused: why the last of them could not be kept; "" where all could.
        bytes: that were written.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._where: dict[Group, Header] = {}
        self._facts: dict[int, Facts] = {}
        self.lost: set[int] = set()
        self.first_CHW: NDArray[np.uint8] | None = None
        self.refused, self.bytes = "", 0
        headers, self.damaged = entry.headers()
        for header in headers:
            self._list(header)

    @property
    def folder(self) -> str:
        """Where it is on disk."""
        return str(self._entry.path)

    def facts(self, numbers: Iterable[int]) -> dict[int, Facts]:
        """What is kept of some frames beside their features; of others nothing."""
        return {number: self._facts[number] for number in numbers if number in self._facts}

    def take(self, groups: Iterable[Group]) -> dict[Group, Record]:
        """Those of some pictures that are kept, checked."""
        by_file: dict[str, tuple[Header, list[Group]]] = {}
        for group in groups:
            if group in self._where and len(self.facts(group)) == len(group):
                header = self._where[group]
                by_file.setdefault(str(header.path), (header, []))[1].append(group)
        taken: dict[Group, Record] = {}
        for header, some in by_file.values():
            taken |= self._taken(header, some)
        if taken:
            self._entry.used()
        return taken

    def put(self, records: Mapping[Group, Record], seen: Seen, lost: set[int]) -> None:
        """Keep what was made of some pictures; where the disk refuses, say so in `refused`, and go on."""
        tensors: dict[str, torch.Tensor] = {}
        for group, record in records.items():
            name = ",".join(map(str, group))
            tensors[f"{name} values"] = record.values_VHWD.cpu()
            if record.class_VD is not None:
                tensors[f"{name} class"] = record.class_VD.cpu()
            if record.newline_D is not None:
                tensors["newline"] = record.newline_D.cpu()
        if self.first_CHW is None and seen.first_CHW is not None:
            self.first_CHW = seen.first_CHW
            tensors["first"] = torch.from_numpy(seen.first_CHW)
        facts = {number: seen.facts[number] for group in records for number in group}
        self._add(tensors, {"facts": _by_name(facts), "lost": sorted(lost)}, records=len(records))

    def put_facts(self, facts: Mapping[int, Facts]) -> None:
        """Keep more of frames whose features are kept already."""
        self._add({}, {"facts": _by_name(facts), "lost": []}, records=0)

    def _add(self, tensors: Mapping[str, torch.Tensor], told: Mapping[str, object], *, records: int) -> None:
        try:
            self.bytes += self._entry.add(tensors, told, records=records)
        except OSError as error:
            self.refused = error.strerror or str(error)

    def _list(self, header: Header) -> None:
        """Note what a file has; one that tells of it in another form than `put` wrote is removed."""
        try:
            facts, lost = facts_told(header.told["facts"]), set(map(operator.index, header.told["lost"]))
            groups = [
                tuple(map(int, name.removesuffix(" values").split(",")))
                for name in header.sums
                if name.endswith(" values")
            ]
            if not facts.keys() >= {number for group in groups for number in group}:
                raise ValueError("of some frames nothing is told")
            if self.first_CHW is None and "first" in header.sums:
                _, first = next(tensors_of(header, ["first"]))
                self.first_CHW = None if first is None else first.numpy().copy()
        except MISSHAPEN:
            self.damaged += discarded(header.path)
            return
        # Of one frame several files may tell, one its hash and another not.
        self._facts |= {number: {**self._facts.get(number, {}), **own} for number, own in facts.items()}
        self.lost |= lost
        self._where |= dict.fromkeys(groups, header)

    def _taken(self, header: Header, groups: Sequence[Group]) -> dict[Group, Record]:
        wanted = {group: ",".join(map(str, group)) for group in groups}
        names = [f"{name} {what}" for name in wanted.values() for what in ("values", "class")]
        found = dict(tensors_of(header, [name for name in (*names, "newline") if name in header.sums]))
        if any(tensor is None for tensor in found.values()) and header.path.exists():
            self.damaged += salvage(header.path)[1]
        if "newline" in found and found["newline"] is None:
            return {}
        taken = {}
        for group, name in wanted.items():
            values, class_ = found[f"{name} values"], found.get(f"{name} class")
            if values is not None and (f"{name} class" not in found or class_ is not None):
                taken[group] = Record(values, class_, found.get("newline"))
        return taken


class Glances(Records):
    """Kept glances at one video; those at frames of which whole features are kept are made of them."""

    def __init__(self, entry: Entry, whole: Records) -> None:
        super().__init__(entry)
        self._whole = whole
        self.lost |= whole.lost
        self.damaged += whole.damaged
        # What frames were compared with has its name in their facts, so it is to be one for both.
        self.first_CHW = whole.first_CHW if self.first_CHW is None else self.first_CHW

    def facts(self, numbers: Iterable[int]) -> dict[int, Facts]:
        """Of either; of one frame one may tell its hash and the other not."""
        wanted = list(numbers)
        whole, own = self._whole.facts(wanted), super().facts(wanted)
        return {number: {**whole.get(number, {}), **own.get(number, {})} for number in whole.keys() | own.keys()}

    def take(self, groups: Iterable[Group]) -> dict[Group, Record]:
        """Of either, each of one place."""
        wanted, damaged = list(groups), self._whole.damaged
        taken = super().take(wanted)
        whole = self._whole.take([group for group in wanted if group not in taken])
        self.damaged += self._whole.damaged - damaged
        return taken | {group: Record(glanced(record.values_VHWD), None, None) for group, record in whole.items()}


def _by_name(facts: Mapping[int, Facts]) -> dict[str, dict[str, str]]:
    """As JSON tells them."""
    return {str(number): dict(own) for number, own in facts.items()}
