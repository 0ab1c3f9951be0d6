"""train/reference: pairs in; what the model gave their answers before it was trained, computed once and kept, out.

One line of JSON for each pair, by the model's sum and the pair's own: whoever goes on, and whoever trains the same
model on the same pairs in another way, computes none of them again. Each pair is read by itself, so that its numbers
do not depend on which were computed together.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.train.corpus import bad_data
from longtake.train.looking import Looker
from longtake.train.preferences import Preference
from longtake.train.preferring import Pair, log_probabilities

KEPT = "reference.jsonl"
BEGINNING = b'{"model": '
"""Of each line."""
ADVICE = "remove that line, or name another file as reference: what is not there is computed"


@dataclass
class References:
    """What is kept in a file.

    Attributes:
        path: the file.
        model: what tells the model from others, with how it sees and computes.
        leads: whether this rank writes it; others only remember what is added.

    Raises:
        LongtakeError: `data.bad`, naming file and line, where the file holds anything else; `disk.write`.
    """

    path: Path
    model: str
    leads: bool = True
    _found: dict[str, tuple[float, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            kept = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise bad_data(str(self.path), error.strerror or str(error), ADVICE) from error
        *lines, half = kept.split(b"\n")
        rows = [_row(line, f"{self.path}:{number}") for number, line in enumerate(lines, 1)]
        if half and half[: len(BEGINNING)] != BEGINNING[: len(half)]:
            # Of another file than this one writes nothing is cut off.
            raise bad_data(f"{self.path}:{len(lines) + 1}", "holds no reference", ADVICE)
        if half and self.leads:
            # A process that was killed may have left half a line; that pair is computed again.
            with writing(str(self.path)):
                os.truncate(self.path, len(kept) - len(half))
        self._found = {row["pair"]: (row["chosen"], row["rejected"]) for row in rows if row["model"] == self.model}

    def of(self, preference: Preference) -> tuple[float, float]:
        """The log probabilities of the chosen and of the rejected answer.

        Raises:
            KeyError: they have not been computed.
        """
        return self._found[preference.key]

    def lacking(self, preferences: Iterable[Preference]) -> list[Preference]:
        """Those that are still to be computed."""
        return [one for one in preferences if one.key not in self._found]

    def add(self, preference: Preference, found: tuple[float, float]) -> None:
        """Keep what was computed of a pair.

        Raises:
            LongtakeError: `disk.write`.
        """
        self._found[preference.key] = found
        if not self.leads:
            return
        row = {"model": self.model, "pair": preference.key, "chosen": found[0], "rejected": found[1]}
        with writing(str(self.path)), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


# Not in inference mode: what FSDP gathers there could not be learned with any more.
@torch.no_grad()
def given(looker: Looker, pair: Pair) -> tuple[float, float]:
    """What the model gives the two answers of a pair."""
    for part in looker.parts.values():
        part.eval()
    chosen, rejected = log_probabilities(looker, [pair], learning=False)[0].tolist()
    return chosen, rejected


Found = tuple[float, float] | LongtakeError | None


def compute(
    looker: Looker,
    references: References,
    preferences: Iterable[Preference],
    *,
    read: Callable[[Preference], Pair],
    heard: Callable[[LongtakeError | None], bool],
) -> bool:
    """Compute and keep what is lacking. Every rank calls it, and all remember what any of them found.

    Args:
        read: reads a pair's files.
        heard: hears of each pair that was computed, and why another could not be; true asks to stop.

    Returns:
        Whether all are there; false if it was stopped.

    Raises:
        LongtakeError: any rank's, but `data.bad`, which is heard.
    """
    spread, lacking = looker.spread, references.lacking(preferences)
    for first in range(0, len(lacking), spread.ranks.size):
        some = lacking[first : first + spread.ranks.size]
        own = some[spread.ranks.rank] if spread.ranks.rank < len(some) else None
        stop = False
        for preference, found in zip(some, spread.told(_found(looker, own, read)), strict=False):
            if isinstance(found, LongtakeError) and found.code is not ErrorCode.DATA_BAD:
                raise found
            if isinstance(found, tuple):
                references.add(preference, found)
            stop = heard(found if isinstance(found, LongtakeError) else None) or stop
        if spread.any(stop):
            return False
    return True


def _row(line: bytes, place: str) -> dict[str, Any]:
    """One line of the file.

    Raises:
        LongtakeError: `data.bad`, where it is not as `add` writes it.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_data(place, f"cannot be read as JSON: {error}", ADVICE) from error
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("model", "pair")):
        raise bad_data(place, 'holds no "model" and "pair"', ADVICE)
    if not all(isinstance(row.get(key), float) and math.isfinite(row[key]) for key in ("chosen", "rejected")):
        raise bad_data(place, 'has no finite numbers under "chosen" and "rejected"', ADVICE)
    return row


def _found(looker: Looker, own: Preference | None, read: Callable[[Preference], Pair]) -> Found:
    """What this rank's pair is given, or why that cannot be told; None where it has none."""
    pair: Pair | None = None
    refused: LongtakeError | None = None
    try:
        pair = read(own) if own is not None else None
    except LongtakeError as error:
        refused = error
    if pair is not None:
        return given(looker, pair)
    if looker.spread.hold != "whole":
        # The others gather the parts of the model that this rank holds.
        given(looker, _no_pair(looker))
    return refused


def _no_pair(looker: Looker) -> Pair:
    """The shortest one, of words alone."""
    nothing = Preference("nothing", (), (), "?", "a", "b")
    return Pair(nothing, (), looker.model.template, tokens=0, chosen_tokens=0)
