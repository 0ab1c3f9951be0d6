"""evals/letters: an answer and the options in, the option that it names out. Knows no benchmark and no model.

A model answers as it likes: `B`, `(B)`, `B. a dog`, `The answer is B`, `a dog`. The rules below read what is said, in
this order, and never guess: what names no option, or more than one, is unreadable, and is counted as that.

1. The whole answer is an option's words, or one option's letter.
2. It is stated: `answer: B`, `the best option is (B)`, `option B`.
3. It begins with a letter that a mark ends: `B.`, `B)`, `(B)`, `B:`, `B,`, or a line of its own.
4. Letters in brackets, anywhere: `(B)`.
5. One option's words stand in it, and no other's.
6. A capital by itself. `A` counts only before a mark or the end: else it is the article; `I` never counts.

A letter that is denied (`A is wrong`, `it isn't (A)`, `neither A nor B`, `A: no`) is never the answer: by rules 2 to 4
the answer is unreadable then, by rule 6 the other letters count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from longtake.evals import Item

Why = Literal["read", "likeliest", "empty", "ambiguous", "nothing"]


@dataclass(frozen=True)
class Reading:
    """What an answer names.

    Attributes:
        option: its place; None where the answer is unreadable.
        why: how it was found, or why not: it is empty, names several, or none.
    """

    option: int | None
    why: Why


EMPTY, AMBIGUOUS, NOTHING = Reading(None, "empty"), Reading(None, "ambiguous"), Reading(None, "nothing")

_LETTER = r"[\(\[\"'*]*([A-Z])(?![A-Za-z0-9'’])[\)\]\"'*]*"
_STATED = re.compile(
    rf"\b(?:answer|choice|options?|letter)\b(?:\s+(?:is|are|would\s+be))?\s*[:=]?\s*(?:option\s+)?{_LETTER}",
    re.IGNORECASE,
)
_FIRST = re.compile(r"[\(\[\"'*]*([A-Z])(?:[\)\]\"'*]+|[.:,;](?=\s|$)|\s*(?:\n|$)|\s+[-–—]\s)")
_WHOLE = re.compile(r"[\(\[\"'*]*([A-Za-z])[\)\]\"'*.:]*")
_BRACKETED = re.compile(r"[\(\[]([A-Z])[\)\]]")
_CAPITAL = re.compile(r"(?<![A-Za-z0-9'’.&-])([A-Z])(?![A-Za-z0-9'’&-])")
_ARTICLE = re.compile(r"A\s+(?!(?:and|or|but|because|since|as|is|was)\b)\w", re.IGNORECASE)
_MORE = re.compile(r"\s*(?:,|/|&|\band\b|\bor\b)\s*[\(\[]?([A-Z])(?![A-Za-z0-9'’])[\)\]]?")
_NEXT = re.compile(r"\s*[\(\[]?([A-Z])[\)\]]")
_ALL = re.compile(r"(?:[\(\[]?[A-Z][\)\].:,;]*(?:\s+|$))+")
_BAD = r"(?:wrong|incorrect|false|untrue|not\s+(?:right|correct|true|it|the\s+\w+|an?\s+\w+))"
_FILLING = (
    r"(?:a|an|the|it|is|be|it's|that|this|or|nor|and|in|of|for|with|to|by|as|any|either|neither|one|right|correct|best"
    r"|likely|say|think|believe|claim|answer|answered|choose|pick|select|support|justify|accept|agree|recommend|go|see|call"
    r"|favou?r|options?|choices?|answers?|letters?|being)"
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|except|wrong|incorrect|false|no\s+way|rather\s+than|instead\s+of"
    r"|(?:reject|exclud|eliminat)(?:e|ing)?|rul(?:e|ing)\s+out)|n['’]t)"
    rf"(?:[ \t]+(?:{_FILLING}|[\(\[\"'*]*[A-Z][\)\]\"'*]*))*[ \t]+[\(\[\"'*]*$",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    r"[\)\]\"'*]*(?:\s*(?:,|/|&|\band\b|\bor\b|\bnor\b)\s*[\(\[]?(?-i:[A-Z])(?!\w)[\)\]]?){0,26}(?:"
    r"\s*:?\s*(?:(?:is|was|are|were|do|does|did|can|could|would|will|must|should|may|might|seems?|looks?|appears?"
    r"|makes|has)"
    r"(?:\s+(?:to|be|also|just|simply|both|\w+ly))*\s+(?:not|never|no|nothing|wrong|incorrect|false|untrue|out|unlikely"
    r"|impossible|ruled|eliminated|excluded|rejected)\b"
    r"|cannot\b|\w+n['’]t\b)"
    rf"|[\s.:?!,;–—-]*\b(?:{_BAD}\s*(?:[.,;:!?\n)–—-]|$|(?:because|since|as|and|but)\b)"
    r"|nop?e?\s*(?:[.;:!?\n)–—-]|$|,\s*(?:but\s+)?[\(\[]?(?-i:[A-HJ-Z])(?!\w))))",
    re.IGNORECASE,
)
_WORDS_DENIED_BEFORE = r"(?:\b(?:not|neither|nor)|n t)"
_WORDS_DENIED_BEHIND = (
    r"(?:(?:is|was)(?: not|n t)? (?:wrong|incorrect|false)|(?:is not|isn t) (?:right|correct|it|true))\b"
)


def read_option(answer: str, options: Sequence[str], labels: Sequence[str] = ()) -> Reading:
    """The option that `answer` names.

    Args:
        options: the words of each.
        labels: what they are called in the question ("Option 1"); () for letters.
    """
    said = answer.strip()
    if not said:
        return EMPTY
    whole = _same(said, options)
    if whole:
        return _only(whole)
    return _by_label(said, options, labels) if labels else _by_letter(said, options)


def likeliest(shares: Sequence[float]) -> Reading:
    """The option that a model gives most of its probability (`longtake.choosing` weighs them); the first of equals."""
    return Reading(max(range(len(shares)), key=shares.__getitem__), "likeliest") if shares else EMPTY


def is_right(item: Item, reading: Reading) -> bool:
    """Whether it names the right option, or one in the very same words (five rows of real files have one twice).

    Raises:
        ValueError: the right option of this item is not known.
    """
    if item.right is None:
        raise ValueError(f"the right option of {item.id} is not known")
    if reading.option is None:
        return False
    return _plain(item.options[reading.option]) == _plain(item.options[item.right])


def _by_letter(said: str, options: Sequence[str]) -> Reading:
    letters = ascii_uppercase[: len(options)]
    alone = _WHOLE.fullmatch(said)
    if alone:
        return _named([alone.group(1).upper()], letters)
    if _ALL.fullmatch(said):
        return _named(re.findall("[A-Z]", said), letters)
    stated, behind = _stated(said, options)
    if stated:
        return _agreeing(_named(stated, letters), behind, options)
    if _echoes(said, options):
        return AMBIGUOUS
    bracketed = [_unless_denied(said, one, options) for one in _BRACKETED.finditer(said)]
    for found, behind in (_first(said, options), (bracketed, "")):
        if found:
            return _agreeing(_named(found, letters), behind, options)
    inside = _inside(said, options)
    if inside:
        return _only(inside)
    capitals = [one for one in _CAPITAL.finditer(said) if not _is_word(said, one.start())]
    return _named([one.group(1) for one in capitals if not _denied(said, one, options)], letters)


def _denied(said: str, one: re.Match[str], options: Sequence[str]) -> bool:
    """Whether the letter that is found there is said not to be the answer.

    What stands behind it denies nothing where the letter's own option begins so: `(B) no, he is not`.
    """
    # No further back than this: an answer that repeats one letter for ever would be searched from every one.
    if _DENIED_BEFORE.search(said, max(0, one.start(1) - 120), one.start(1)):
        return True
    if not _DENIED_BEHIND.match(said, one.end(1)):
        return False
    place = ord(one.group(1).upper()) - ord("A")
    words = _folded(options[place]).split() if place < len(options) else []
    return words[:1] != _folded(said[one.end(1) :]).split()[:1]


def _unless_denied(said: str, one: re.Match[str], options: Sequence[str]) -> str | None:
    """The letter that is found there; None, which `_named` cannot read, where it is denied."""
    return None if _denied(said, one, options) else one.group(1).upper()


def _stated(said: str, options: Sequence[str]) -> tuple[list[str | None], str]:
    """Letters that are stated to be the answer (None for one that is denied), and what stands behind the last.

    A small one counts only where nothing but a mark or the end follows.
    """
    found: list[str | None] = []
    behind = ""
    for one in _STATED.finditer(said):
        letter, rest = one.group(1), said[one.end() :]
        bare = one.end() == one.end(1)
        if bare and _ARTICLE.match(said, one.start(1)):
            continue
        if letter.isupper() or re.match(r"\s*([.,;:\n]|$)", rest):
            found += [_unless_denied(said, one, options), *_listed(said, one.end())]
            behind = rest
    return found, behind


def _listed(said: str, at: int) -> list[str]:
    """The letters that go on from a place in a list: `, B and C`, or `B) C)`."""
    one = _MORE.match(said, at) or _NEXT.match(said, at)
    return [one.group(1), *_listed(said, one.end())] if one else []


def _is_word(said: str, at: int) -> bool:
    """Whether a capital by itself is the article or the pronoun."""
    return said[at] == "I" or bool(_ARTICLE.match(said, at))


def _first(said: str, options: Sequence[str]) -> tuple[list[str | None], str]:
    """The letter that an answer begins with (None if it is denied), those listed after it, and what stands behind."""
    found = _FIRST.match(said)
    if not found:
        return [], ""
    return [_unless_denied(said, found, options), *_listed(said, found.end())], said[found.end() :]


def _echoes(said: str, options: Sequence[str]) -> bool:
    """Whether an answer begins by saying the options over: `A. a boat B. a dog`."""
    listed = " ".join(f"{letter} {option}" for letter, option in zip(ascii_uppercase, options[:2], strict=False))
    return f"{_folded(said)} ".startswith(f"{_folded(listed)} ")


def _agreeing(reading: Reading, behind: str, options: Sequence[str]) -> Reading:
    """`reading`, unless what stands behind the letter is another option, word for word."""
    others = _same(behind, options)
    if reading.option is None or not others:
        return reading
    return reading if _plain(options[reading.option]) in {_plain(options[other]) for other in others} else AMBIGUOUS


def _by_label(said: str, options: Sequence[str], labels: Sequence[str]) -> Reading:
    """Labels such as `Option 1` and `Caption A`, their last part alone (`1`), or the words of the option."""
    found = _same(said, labels) or _same(said, [label.split()[-1] for label in labels])
    found = found or _inside(said, labels) or _inside(said, options)
    return _only(found) if found else NOTHING


def _named(found: Iterable[str | None], letters: str) -> Reading:
    """The one option that all letters name; None stands for a letter that is denied."""
    several = set(found)
    if not several:
        return NOTHING
    if len(several) > 1 or None in several:
        return AMBIGUOUS
    (letter,) = several
    return Reading(letters.index(letter), "read") if letter and letter in letters else NOTHING


def _only(places: Sequence[int]) -> Reading:
    return Reading(places[0], "read") if len(places) == 1 else AMBIGUOUS


def _same(said: str, options: Sequence[str]) -> list[int]:
    """The options that are said word for word; with their marks, if that tells them apart (`2 > 1`, `2 < 1`)."""
    exact = [place for place, option in enumerate(options) if _plain(option) == _plain(said) != ""]
    words = _folded(said)
    return _distinct(
        exact or [place for place, option in enumerate(options) if _folded(option) == words != ""], options
    )


def _inside(said: str, options: Sequence[str]) -> list[int]:
    """The options whose words stand in what is said, but for those that only stand in another such option's."""
    words = f" {_folded(said)} "
    found = {place: f" {_folded(option)} " for place, option in enumerate(options)}
    there = [
        place
        for place, option in found.items()
        if option.strip() and option in words and not _words_denied(words, option)
    ]
    longest = [
        place
        for place in there
        if not any(found[place] != found[other] and found[place] in found[other] for other in there)
    ]
    return _distinct(longest, options)


def _words_denied(words: str, option: str) -> bool:
    """Whether an option's words, a space around them, are said not to be the answer."""
    said = re.escape(option)
    return bool(re.search(f"{_WORDS_DENIED_BEFORE}{said}|{said}{_WORDS_DENIED_BEHIND}", words))


def _distinct(places: Sequence[int], options: Sequence[str]) -> list[int]:
    """The first of each that stand there in the same words."""
    return list({_plain(options[place]): place for place in reversed(places)}.values())


def _plain(text: str) -> str:
    """Case, white space and a full stop at the end left out."""
    return " ".join(text.casefold().split()).removesuffix(".")


def _folded(text: str) -> str:
    """Words only: marks left out too."""
    return " ".join(re.findall(r"\w+", text.casefold()))
