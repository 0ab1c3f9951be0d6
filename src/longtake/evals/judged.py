"""evals/judged: a judge's reply in, its scores out, or why there are none. Knows nothing of who was asked, or how.

Strict on purpose: what is not just what was asked for is no score, and never 0. `released` has the papers' rule.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MATCH, SCORE = "match", "score"
"""Aspects of an open question: whether the answer means the reference (1 or 0), and how well (0 to 5)."""
OPEN = (MATCH, SCORE)
FORCED, GENERATED = "forced", "generated"
NEEDLE = (FORCED, GENERATED)
"""Aspects of a needle that was asked for (1 or 0): `longtake niah` gives them, no judge does."""
RANGES = {
    MATCH: (0, 1),
    SCORE: (0, 5),
    **dict.fromkeys(("correctness", "detail", "context", "temporal", "consistency"), (0, 5)),
    **dict.fromkeys(("accuracy", "relevance", "completeness", "reliability"), (1, 5)),
    **dict.fromkeys((FORCED, GENERATED), (0, 1)),
}
"""The least and the most of each aspect: open questions, VCGBench (Video-ChatGPT, arXiv 2306.05424), MLVU, needles."""
_SHOWN_CHARACTERS = 100
_FENCED = re.compile(r"```[a-z]*\s*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What a reply says.

    Attributes:
        scores: of each aspect; {} where there are none.
        why: what is wrong with it, or "".
    """

    scores: Mapping[str, float]
    why: str = ""


def verdict(reply: str, aspects: Sequence[str]) -> Verdict:
    """The scores of a reply that is one object, in JSON or as a Python literal, fenced or not.

    For an open question the object is `{"pred": "yes", "score": 4}`; else it has a number for each aspect (`score`
    where there is only one). Numbers are whole, but for `accuracy`, which is a mean over points. A key that nobody
    asked for, or one that comes twice, makes it no such object.
    """
    try:
        found = _object(reply)
    except _Doubled as error:
        return Verdict({}, f"the reply has {error} more than once")
    if found is None:
        return Verdict({}, "the reply is not one object")
    names = {aspect: _name(aspect, aspects, found) for aspect in aspects}
    extra = [repr(key) for key in found if key not in names.values()]
    if extra:
        return Verdict({}, f"the reply has {', '.join(extra)[:_SHOWN_CHARACTERS]} too, which was not asked for")
    scores: dict[str, float] = {}
    for aspect, name in names.items():
        value = {"yes": 1, "no": 0}.get(str(found.get(name)).strip().lower()) if aspect == MATCH else found.get(name)
        low, high = RANGES[aspect]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            fits = "yes or no" if aspect == MATCH else f"a number from {low} to {high}"
            return Verdict({}, f"{name} is {found.get(name)!r}; want {fits}")
        if value != int(value) and aspect != "accuracy":
            return Verdict({}, f"{name} is {value}, which is not whole")
        scores[aspect] = float(value)
    return Verdict(scores)


class _Doubled(Exception):
    """A key that an object has more than once: nobody can tell which of its values is meant."""


def _name(aspect: str, aspects: Sequence[str], found: Mapping[object, object]) -> str:
    """The key that holds the value of an aspect."""
    if aspect == MATCH:
        return "pred"
    return aspect if aspect in found or len(aspects) > 1 else "score"


def _object(reply: str) -> dict[Any, object] | None:
    """The one object of a reply; None where it is none.

    Raises:
        _Doubled: a key of it comes more than once.
    """
    fenced = _FENCED.fullmatch(reply.strip())
    text = fenced.group(1) if fenced else reply.strip()
    for read in (_json, _literal):
        try:
            found = read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_once)


def _literal(text: str) -> object:
    found = ast.literal_eval(text)
    whole = ast.parse(text.strip(), mode="eval").body
    if isinstance(whole, ast.Dict):
        _once([(ast.literal_eval(key), None) for key in whole.keys if key is not None])
    return found


def _once(pairs: Sequence[tuple[Any, object]]) -> dict[Any, object]:
    found: dict[Any, object] = {}
    for key, value in pairs:
        if key in found:
            raise _Doubled(repr(key)[:_SHOWN_CHARACTERS])
        found[key] = value
    return found
