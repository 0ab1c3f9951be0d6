"""judges.prompts: a question with its answer in, what a judge is asked out. Knows nobody who could be asked.

The words are in a TOML file: longtake's own, or a user's in its place (the papers' released ones, say).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from longtake.errors import ErrorCode, LongtakeError
from longtake.evals.judged import MATCH, OPEN
from longtake.identity import told_sha256
from longtake.judges import Answered, Request

_PLACES = ("question", "twin", "reference", "answer", "twin_answer", "points")
_PLACE = re.compile(r"\{(" + "|".join(_PLACES) + r")\}")
_TRIPLE = frozenset({"question", "reference", "answer"})


@dataclass(frozen=True)
class Kind:
    """One thing that a judge can be asked.

    Attributes:
        aspects: what it marks.
        places: that its words may hold.
        needed: those that they must.
    """

    aspects: tuple[str, ...]
    places: frozenset[str] = _TRIPLE
    needed: frozenset[str] = frozenset({"reference", "answer"})


KINDS: Mapping[str, Kind] = {
    "open": Kind(OPEN),
    "caption": Kind((MATCH,)),
    "correctness": Kind(("correctness",)),
    "detail": Kind(("detail",)),
    "context": Kind(("context",)),
    "temporal": Kind(("temporal",)),
    "consistency": Kind(
        ("consistency",), _TRIPLE | {"twin", "twin_answer"}, frozenset({"reference", "answer", "twin_answer"})
    ),
    "sub_scene": Kind(("accuracy", "relevance"), _TRIPLE | {"points"}, frozenset({"points", "answer"})),
    "summary": Kind(("completeness", "reliability")),
}
"""By the name of its section: short open questions, TempCompass's captions, VCGBench's five, MLVU's two."""


@dataclass(frozen=True)
class JudgePrompt:
    """The words of one kind, with places in braces.

    Attributes:
        system: "" for none.
    """

    name: str
    system: str
    user: str

    @property
    def sha256(self) -> str:
        """Of the words."""
        return told_sha256([self.system, self.user])

    def request(self, answered: Answered) -> Request:
        """The places filled in, once: what stands in an answer is not looked through for places."""
        filling = _filling(answered)
        roles = (("system", self.system), ("user", self.user))
        messages = tuple(
            {"role": role, "content": _PLACE.sub(lambda found: filling[found[1]], words)}
            for role, words in roles
            if words
        )
        aspects = KINDS[self.name].aspects
        return Request(answered.item.id, self.name, self.sha256, aspects, messages, answered.sha256)


def own_prompts() -> dict[str, JudgePrompt]:
    """Longtake's, for every kind."""
    file = resources.files("longtake.judges") / "prompts.toml"
    return _prompts(file.read_text(encoding="utf-8"), file.name)


def read_prompts(path: Path) -> dict[str, JudgePrompt]:
    """A user's, for the kinds that the file has.

    Raises:
        LongtakeError: `media.not_found`; `data.bad` for what is no such file, naming section and place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(str(path), "is not UTF-8 text") from error
    except OSError as error:
        reason, advice = error.strerror or str(error), "name a TOML file of judges' prompts"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path), reason, advice) from error
    return _prompts(text, str(path))


def requests_of(answered: Answered, prompts: Mapping[str, JudgePrompt]) -> list[Request]:
    """All that a judge is asked about one answer.

    Raises:
        LongtakeError: `data.bad` where a kind has no words, or an aspect no kind.
    """
    return [_words_for(name, answered, prompts).request(answered) for name in kinds_of(answered.item.aspects)]


def kinds_of(aspects: Sequence[str]) -> list[str]:
    """The names of the kinds that mark `aspects`: one for all of them, or one for each.

    Raises:
        LongtakeError: `data.bad` for an aspect that none marks alone.
    """
    whole = [name for name, kind in KINDS.items() if kind.aspects == tuple(aspects)]
    if whole:
        return whole
    alone = {kind.aspects[0]: name for name, kind in KINDS.items() if len(kind.aspects) == 1}
    unknown = [aspect for aspect in aspects if aspect not in alone]
    if unknown:
        reason = f"a judge is to mark {', '.join(aspects)}, and nothing is known that asks for {', '.join(unknown)}"
        raise LongtakeError(ErrorCode.DATA_BAD, "", reason, f"the kinds are {', '.join(KINDS)}")
    return [alone[aspect] for aspect in aspects]


def aspects_of(prompt: str) -> tuple[str, ...]:
    """What the kind of this name marks; () for one that is not known."""
    return KINDS[prompt].aspects if prompt in KINDS else ()


def _words_for(name: str, answered: Answered, prompts: Mapping[str, JudgePrompt]) -> JudgePrompt:
    if name not in prompts:
        reason = f"{answered.item.id} needs the section {name}, and the prompts' file has {', '.join(prompts)}"
        raise LongtakeError(ErrorCode.DATA_BAD, "--templates", reason, f"add [{name}]; nothing is mixed in")
    return prompts[name]


def _filling(answered: Answered) -> dict[str, str]:
    item = answered.item
    points = "\n".join(f"{number}. {point}" for number, point in enumerate(item.points, 1))
    return {
        "question": item.question,
        "twin": item.twin,
        "reference": item.reference or "",
        "answer": answered.answer,
        "twin_answer": answered.twin_answer,
        "points": points,
    }


def _prompts(text: str, subject: str) -> dict[str, JudgePrompt]:
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad(subject, f"is no TOML: {error}") from error
    if not sections:
        raise _bad(subject, "has no section")
    return {name: _prompt(name, section, subject) for name, section in sections.items()}


def _prompt(name: str, section: object, subject: str) -> JudgePrompt:
    if name not in KINDS:
        raise _bad(subject, f"has a section {name}; known are {', '.join(KINDS)}")
    if not isinstance(section, dict) or not section.keys() <= {"system", "user"}:
        raise _bad(subject, f"[{name}] may hold `system` and `user` only")
    if not all(isinstance(words, str) for words in section.values()) or not section.get("user"):
        raise _bad(subject, f"[{name}] needs `user`, a text (and `system` may be one)")
    prompt = JudgePrompt(name, section.get("system", ""), section["user"])
    found, kind = set(_PLACE.findall(prompt.system + prompt.user)), KINDS[name]
    if not kind.needed <= found:
        missing = ", ".join(f"{{{place}}}" for place in _PLACES if place in kind.needed - found)
        raise _bad(subject, f"[{name}] has no place for {missing}")
    if not found <= kind.places:
        strange = ", ".join(f"{{{place}}}" for place in _PLACES if place in found - kind.places)
        raise _bad(subject, f"[{name}] has a place for {strange}, which there is not")
    return prompt


def _bad(subject: str, reason: str) -> LongtakeError:
    advice = "docs/evals.md says what such a file holds; src/longtake/judges/prompts.toml is one"
    return LongtakeError(ErrorCode.DATA_BAD, subject, reason, advice)
