"""fuzz/running: minutes and a folder in, counts and findings out. Goes on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .child import Child, Ended
from .edits import Edit, applied, mutation
from .seeds import Seed

KEPT_OF_A_KIND = 3
MOST_TRIES = 60
"""To make a finding smaller."""

_SAVED_EVERY_S = 10.0


@dataclass
class State:
    """What a run has counted; written to `state.json` so that it can go on.

    Attributes:
        outcomes: "error ok", "skip media.corrupt", ...: how both ways of reading ended.
        frames: frames that came out, by what they show.
        findings: how often each kind was met.
    """

    seed: int = 1
    inputs: int = 0
    cpu_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)

    def total(self, kind: str) -> int:
        """How many findings begin with `kind`."""
        return sum(count for name, count in self.findings.items() if name.startswith(kind))


class Run:
    """Chooses, tries, judges, keeps and counts."""

    def __init__(self, folder: Path, seeds: list[Seed], *, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._seeds = folder, seeds
        self._saved = folder / "state.json"
        self.state = self._loaded(seed)
        self._child = Child()

    def go(self, *, cpu_s: float, tell: Callable[[State], None]) -> State:
        """Try inputs until they have taken `cpu_s` of processor time in all, earlier runs in this folder included."""
        saved_s = time.monotonic()
        try:
            while self.state.cpu_s < cpu_s:
                self._one()
                tell(self.state)
                if time.monotonic() - saved_s > _SAVED_EVERY_S:
                    self._save()
                    saved_s = time.monotonic()
        finally:
            self._child.close()
            self._save()
        return self.state

    def _one(self) -> None:
        chance = random.Random(f"{self.state.seed}/{self.state.inputs}")
        seed = chance.choice(self._seeds)
        edits = mutation(seed, self._seeds, chance)
        ended = self._try(seed, edits)
        state = self.state
        state.inputs += 1
        state.cpu_s += ended.cpu_s
        for mode, outcome in ended.trial.get("outcomes", {}).items():
            state.outcomes[f"{mode} {outcome}"] += 1
        state.frames.update(ended.trial.get("counts", {}))
        for kind in kinds(ended, seed):
            state.findings[kind] += 1
            if state.findings[kind] <= KEPT_OF_A_KIND:
                self._keep(kind, seed, edits, ended)

    def _try(self, seed: Seed, edits: list[Edit]) -> Ended:
        path = self._folder / "input.bin"
        path.write_bytes(applied(seed.data, edits))
        return self._child(path, seed)

    def _keep(self, kind: str, seed: Seed, edits: list[Edit], ended: Ended) -> None:
        smaller = self._smaller(kind, seed, edits)
        name = f"{kind.split()[0]}_{hashlib.blake2b(kind.encode(), digest_size=4).hexdigest()}"
        stem = self._folder / f"{name}_{self.state.findings[kind]}"
        stem.with_suffix(".bin").write_bytes(applied(seed.data, smaller))
        told = {
            "kind": kind,
            "input": self.state.inputs - 1,
            "seed": seed.name,
            "edits": [[at, removed, new.hex()] for at, removed, new in smaller],
            "ended": vars(ended),
        }
        stem.with_suffix(".json").write_text(json.dumps(told, indent=1))

    def _smaller(self, kind: str, seed: Seed, edits: list[Edit]) -> list[Edit]:
        """Fewer edits that end in the same kind; hangs are kept as they are, since each try costs a deadline."""
        tries, place = MOST_TRIES if not kind.startswith("hang") else 0, 0
        while place < len(edits) and tries and len(edits) > 1:
            tries -= 1
            fewer = edits[:place] + edits[place + 1 :]
            if kind in kinds(self._try(seed, fewer), seed):
                edits = fewer
            else:
                place += 1
        return edits

    def _loaded(self, seed: int) -> State:
        if not self._saved.exists():
            return State(seed=seed)
        kept: dict[str, Any] = json.loads(self._saved.read_text())
        counters = {name: Counter(kept.pop(name)) for name in ("outcomes", "frames", "findings")}
        return State(**kept, **counters)

    def _save(self) -> None:
        self._saved.write_text(json.dumps(vars(self.state), indent=1))


def kinds(ended: Ended, seed: Seed) -> list[str]:
    """What is to be looked at in how an input ended; two findings of one kind most likely have one cause."""
    if ended.death:
        return [f"{ended.death} | {seed.name}"]
    found = [f"bug {_without_numbers(bug)}" for bug in ended.trial["bugs"]]
    if ended.trial["wrong"]:
        found.append(f"wrong frame in {seed.name}, {ended.trial['wrong'][0].split(':')[0]}")
    return sorted(set(found))


def _without_numbers(text: str) -> str:
    head, _, places = text.partition(" | ")
    return f"{re.sub(r'[0-9]+', 'N', head)} | {places}"
