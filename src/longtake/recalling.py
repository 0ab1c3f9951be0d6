"""recalling: what is planned of files in; the prefix that was once read of them, and what was seen, out of the store.

A kept prefix is found before anything is read: neither the files' pixels nor their features are needed then. It is
mapped from its file, and attended to where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os.path import basename
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longtake import parts
from longtake.engines import PLAIN, Keeping, Prefix
from longtake.eye import Kept, Reading, Saw
from longtake.eye.naming import Unnameable, features_about, hashes_lack
from longtake.families import Model
from longtake.plan import Plan
from longtake.prompt import ChatTemplate
from longtake.prompt.templates import name_of
from longtake.store import Entry, Header
from longtake.store.files import MISSHAPEN, discarded, salvage, tensors_of
from longtake.video import Video
from longtake.video.seen import Seen, facts_told

PREFIX_VERSION = 2
"""Of layouts, prompts and engines; raised when the same features give other keys and values."""
IDS = "prompt ids"
"""The name of a tensor that is kept beside those of a prefix's state."""


@dataclass(frozen=True)
class Recalled:
    """What was read of some files, at another time or now.

    Attributes:
        prefix: that the engine reads on from; None where it is not kept.
        ids_L: (L,) the prompt's ids.
        of_files: what was seen of each file.
        kept: what the store has of the prefix; None where it keeps no prefixes.
        again: whether it came out of the store.
    """

    prefix: Prefix | None = None
    ids_L: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    of_files: Sequence[Saw] = ()
    kept: Kept | None = None
    again: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth saying."""
        if self.again:
            return ("keys and values from the store",)
        return () if self.kept is None else tuple(f"keys and values: {note}" for note in self.kept.notes())


class Recall:
    """The place in a model's store of one prefix: some files by their plans, in order, behind a template.

    Without a store, or where something has no name, nothing is found and nothing kept.
    """

    def __init__(
        self, model: Model, files: Sequence[tuple[Video, Plan]], template: ChatTemplate, reading: Reading
    ) -> None:
        self._model, self._files, self._clock = model, files, reading.clock
        self._entry: Entry | None = None
        self._damaged = 0
        if model.store is None:
            return
        try:
            about = {
                "features": [dict(features_about(model, *file, reading)) for file in files],
                "frames": [plan.numbers for _, plan in files],
                "sifters": [plan.sifter and dict(parts.told(plan.sifter, "samplers")) for _, plan in files],
                "layouts": [dict(parts.told(plan.layout, "layouts")) for _, plan in files],
                "template": {"name": name_of(template), **asdict(template)},
                **_engine_about(model),
            }
            label = ", ".join(basename(video.path) for video, _ in files)
            self._entry = model.store.entry("prefixes", about, label=label)
        except Unnameable:
            return

    def found(self) -> Recalled:
        """The prefix, checked; none where there is none."""
        if self._entry is None or not self._entry.path.is_dir():
            return Recalled()
        with self._clock.stage("store"):
            headers, self._damaged = self._entry.headers()
            for header in reversed(headers):
                restored = self._restored(header)
                if restored is not None:
                    self._entry.used()
                    return restored
        return Recalled()

    def keep(self, prefix: Prefix, saw: Sequence[Saw], ids_L: NDArray[np.int64]) -> Recalled:
        """Keep a prefix, if the store keeps any; where the disk refuses, what is returned says so.

        Args:
            prefix: to keep.
            saw: of each file.
            ids_L: (L,) of the prompt that was read.
        """
        return Recalled(prefix, ids_L, saw, self._kept(prefix, saw, ids_L))

    def _kept(self, prefix: Prefix, saw: Sequence[Saw], ids_L: NDArray[np.int64]) -> Kept | None:
        store, entry = self._model.store, self._entry
        if store is None or not store.prefixes:
            return Kept(0, damaged=self._damaged) if self._damaged else None
        if entry is None:
            return Kept(0, refused="a file or the model cannot be told from others")
        state: Any = getattr(prefix, "state", None)
        if state is None:
            return Kept(0, refused="this engine keeps nothing on disk")
        told = {"files": [_told(one) for one in saw]}
        folder, written, refused = str(entry.path), 0, ""
        with self._clock.stage("store"):
            try:
                tensors = {name: tensor.cpu() for name, tensor in state().items()}
                written = entry.add({**tensors, IDS: torch.from_numpy(ids_L)}, told, records=1)
            except OSError as error:
                refused = error.strerror or str(error)
        return Kept(0, folder, damaged=self._damaged, bytes=written, refused=refused)

    def _restored(self, header: Header) -> Recalled | None:
        assert self._entry is not None
        try:
            of_files = [_seen(*file, told) for file, told in zip(self._files, header.told["files"], strict=True)]
        except MISSHAPEN:
            self._damaged += discarded(header.path)
            return None
        if any(hashes_lack(video, one.seen) for (video, _), one in zip(self._files, of_files, strict=True)):
            return None
        restore: Any = getattr(self._model.engine, "restored", None)
        state = {name: tensor for name, tensor in tensors_of(header) if tensor is not None}
        if len(state) < len(header.sums):
            self._damaged += salvage(header.path)[1]
            return None
        try:
            ids_L = state.pop(IDS).numpy()
            prefix: Prefix | None = None if restore is None else restore(state)
        except ValueError:
            return None  # this engine attends in a way that takes no state
        except LookupError:
            self._damaged += discarded(header.path)
            return None
        kept = Kept(0, str(self._entry.path), damaged=self._damaged)
        return None if prefix is None else Recalled(prefix, ids_L, of_files, kept, again=True)


def _told(saw: Saw) -> dict[str, object]:
    """What is kept of a file beside the prefix."""
    facts = {str(number): dict(facts) for number, facts in saw.seen.facts.items()}
    return {"facts": facts, "chosen": saw.came.numbers if saw.chosen else None}


def _seen(video: Video, plan: Plan, told: Mapping[str, Any]) -> Saw:
    """What was seen of a file; raises one of `MISSHAPEN` where `told` is not as `_told` wrote it."""
    seen = Seen(video, plan.numbers)
    seen.remember(facts_told(told["facts"]))
    chosen = told["chosen"]
    if not seen.numbers or not {*plan.numbers} >= {*seen.numbers} >= {*(chosen or ())}:
        raise ValueError("frames are told that were not asked for, or none")
    kept = Kept(len(seen.numbers), came=len(seen.numbers))
    return Saw(seen, plan.of(seen.numbers if chosen is None else chosen), kept, chosen is not None)


def _engine_about(model: Model) -> Mapping[str, object]:
    """What decides, beside prompt and weights, which keys and values an engine makes, and in which numbers.

    Raises:
        Unnameable: its networks were put together by hand.
    """
    engine, origin = model.engine, model.origin
    places = None if origin is None else origin.places(engine)
    if places is None:
        raise Unnameable("the model's engine was put together by hand")
    rope = None if engine.rope is None else dict(parts.told(engine.rope, "ropes"))
    # Where a prefix lies decides none of its numbers.
    keeping: Keeping = getattr(engine, "keeping", PLAIN)
    return {"language": list(places), "rope": rope, "keeping": keeping.dtype, "version": PREFIX_VERSION}
