"""eye/remembering: as the eye, but features that a store has are not made again, and what is made is kept there."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from os.path import basename

import numpy as np

from longtake.eye import Fresh, Kept, Reading, Sight, sight
from longtake.eye.naming import Unnameable, features_about, wants_hashes
from longtake.eye.records import Glances, Group, Record, Records
from longtake.families import Model
from longtake.layouts import view_of
from longtake.plan import Plan
from longtake.store import Entry, Store
from longtake.video import Frames, Video
from longtake.video.seen import PIXELS, Seen
from longtake.vision import FeatureGrid
from longtake.vision.glancing import Glancing

BATCH_PICTURES = 32
"""So many pictures are encoded before what came of them can be kept; encoders chunk views by as many."""
KEPT_AT_LEAST_EVERY_S, KEPT_AT_LEAST_EVERY_BYTES = 5.0, 64 << 20
"""What is lost of a watch that is killed, and what waits to be written; less would be many small files."""


@dataclass(frozen=True)
class Remembering:
    """Reads and encodes what the store lacks.

    Attributes:
        reading: does that.
        model: whose encoder it is.
        store: where features are.
    """

    reading: Reading
    model: Model
    store: Store

    def look(self, video: Video, plan: Plan) -> Sight:
        """The features of the planned frames. What keeps the store from its work is a note, and never a refusal."""
        try:
            with self.reading.clock.stage("store"):
                records = self._records(video, plan)
        except Unnameable as error:
            fresh = Fresh(self.reading).look(video, plan)
            kept = Kept(len(fresh.saw.seen.numbers), refused=str(error))
            return replace(fresh, saw=replace(fresh.saw, kept=kept))
        return _Look(self.reading, video, plan, records).whole()

    def _records(self, video: Video, plan: Plan) -> Records:
        """What is kept; of frames that are only glanced at, what is kept of them whole is of use too.

        Raises:
            Unnameable: nothing can be.
        """

        def entry(one: Plan) -> Entry:
            about = features_about(self.model, video, one, self.reading)
            return self.store.entry("features", about, label=basename(video.path))

        if not isinstance(plan.encoder, Glancing):
            return Records(entry(plan))
        return Glances(entry(plan), Records(entry(replace(plan, encoder=plan.encoder.encoder))))


class _Look:
    """One look at one video, by way of what is kept of it."""

    def __init__(self, reading: Reading, video: Video, plan: Plan, records: Records) -> None:
        self._reading, self._video, self._plan, self._records = reading, video, plan, records
        self._each = view_of(plan.layout).frames
        self._seen = Seen(video, plan.numbers, first_CHW=records.first_CHW)
        self._taken: dict[Group, Record] = {}
        self._made: set[int] = set()

    def whole(self) -> Sight:
        """Take what is kept, make the rest.

        A frame that does not come moves all that follow it to other places of their sheets; then one more round takes
        and makes what that asks for. Each round knows of more lost frames than the one before, so there is a last one.
        """
        lost = self._records.lost & set(self._plan.numbers)
        while True:
            groups = _grouped([number for number in self._plan.numbers if number not in lost], self._each)
            with self._reading.clock.stage("store"):
                wanted = (group for group in groups if group not in self._taken)
                self._taken |= self._records.take(wanted)
            missing = [number for group in groups if group not in self._taken for number in group]
            known = self._records.facts(number for group in groups for number in group if group in self._taken)
            self._seen.remember({number: facts for number, facts in known.items() if number not in self._made})
            if not missing:
                break
            self._reading.done += len(self._plan.numbers) - len(missing)
            lost |= self._make(missing)
            self._reading.done -= len(self._plan.numbers) - len(missing)
        self._seen.refuse_nothing()
        self._hash()
        self._reading.done += len(self._plan.numbers)
        for stage in ("read", "encode"):
            self._reading.tell(stage, self._reading.done, self._reading.asked)
        with self._reading.clock.stage("store"):
            grid = self._grid(groups)
        records, came = self._records, len(set(self._seen.numbers) - self._made)
        kept = Kept(len(self._seen.numbers), records.folder, came, records.damaged, records.bytes, records.refused)
        return sight(grid, self._seen, self._plan, kept=kept)

    def _hash(self) -> None:
        """Read frames whose features are kept without the hash of their pixels, if that is wanted, and keep it."""
        facts = self._seen.facts
        lacking = [number for number in self._seen.numbers if PIXELS not in facts[number]]
        if not (wants_hashes(self._video) and lacking):
            return
        kept, since_s = len(self._seen.passed), time.monotonic()
        with closing(self._reading.pictures(self._video, self._plan, lacking, self._seen)) as pictures:
            for _ in pictures:
                if time.monotonic() - since_s >= KEPT_AT_LEAST_EVERY_S:
                    self._keep_facts(self._seen.passed[kept:])
                    kept, since_s = len(self._seen.passed), time.monotonic()
        self._keep_facts(self._seen.passed[kept:])

    def _make(self, numbers: list[int]) -> set[int]:
        """Read, encode and keep some frames; returns those that did not come."""
        waiting: dict[Group, Record] = {}
        before, since_s = len(self._seen.passed), time.monotonic()
        with closing(self._reading.pictures(self._video, self._plan, numbers, self._seen)) as pictures:
            while made := self._encoded_next(pictures):
                waiting |= made
                self._taken |= made
                self._made |= {number for group in made for number in group}
                self._reading.encoded(math.ceil(len(self._made) / self._each), self._plan)
                size = sum(record.values_VHWD.nbytes for record in waiting.values())
                if size >= KEPT_AT_LEAST_EVERY_BYTES or time.monotonic() - since_s >= KEPT_AT_LEAST_EVERY_S:
                    self._keep(waiting, set())
                    waiting, since_s = {}, time.monotonic()
        lost = set(numbers) - set(self._seen.passed[before:])
        if waiting or lost:
            self._keep(waiting, lost)
        return lost

    def _encoded_next(self, pictures: Iterator[Frames]) -> dict[Group, Record]:
        """The next pictures, encoded; each shows those frames that have passed since the one before it."""
        with self._reading.clock.stage("encode", without="read"):
            before = len(self._seen.passed)
            batch = list(itertools.islice(pictures, BATCH_PICTURES))
            groups = _grouped(self._seen.passed[before:], self._each)
            return self._encoded(batch, groups) if batch else {}

    def _encoded(self, batch: list[Frames], groups: list[Group]) -> dict[Group, Record]:
        tilings = self._plan.shape.tilings[: len(batch)]
        grid = self._plan.encoder.encode(batch, tilings=tilings)
        views = [tiling.views for tiling in tilings] or [1] * len(batch)
        values = grid.values_THWD.split(views)
        classes = grid.class_TD.split(views) if grid.class_TD is not None else [None] * len(batch)
        return {
            group: Record(some, class_, grid.newline_D)
            for group, some, class_ in zip(groups, values, classes, strict=True)
        }

    def _keep(self, records: Mapping[Group, Record], lost: set[int]) -> None:
        if self._records.refused:
            return
        with self._reading.clock.stage("store"):
            self._records.put(records, self._seen, lost)

    def _keep_facts(self, numbers: list[int]) -> None:
        if self._records.refused or not numbers:
            return
        with self._reading.clock.stage("store"):
            self._records.put_facts({number: self._seen.facts[number] for number in numbers})

    def _grid(self, groups: Sequence[Group]) -> FeatureGrid:
        """All records in one grid; each is given up once it is copied, so that they are not held twice."""
        first = self._taken[groups[0]]
        views = [len(self._taken[group].values_VHWD) for group in groups]
        device = self._plan.encoder.device
        values = first.values_VHWD.new_empty((sum(views), *first.values_VHWD.shape[1:]), device=device)
        classes = None
        if first.class_VD is not None:
            classes = first.class_VD.new_empty((sum(views), *first.class_VD.shape[1:]), device=device)
        ends = itertools.accumulate(views)
        for group, count, end in zip(groups, views, ends, strict=True):
            record = self._taken.pop(group)
            values[end - count : end] = record.values_VHWD
            if classes is not None and record.class_VD is not None:
                classes[end - count : end] = record.class_VD
        times_s = np.array([float(np.mean(self._video.times_s[list(group)])) for group in groups])
        tilings = self._plan.shape.tilings[: len(groups)]
        newline_D = None if first.newline_D is None else first.newline_D.to(device)
        return FeatureGrid(values, times_s.repeat(views), newline_D, tilings, classes)


def _grouped(numbers: Iterable[int], each: int) -> list[Group]:
    left = iter(numbers)
    return list(iter(lambda: tuple(itertools.islice(left, each)), ()))
