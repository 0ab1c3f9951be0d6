"""lmms/wanted: a request of lmms-eval, taken apart, in; what is to be seen and asked out. Knows no model.

A simple request names its visuals and its words apart: files come first, then the question. A chat request is a list
of messages; longtake's templates have the files before the words too, so messages that mix them otherwise are refused,
and what a system message says stands above the question.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.lmms.media import Medium, medium_of
from longtake.lmms.settings import Settings

_UNDERSTOOD = frozenset({"max_new_tokens", "max_gen_toks", "temperature", "do_sample", "until", "top_p", "num_beams"})
_OTHERS = frozenset({"image_aspect_ratio", "modalities", "max_agentic_steps", "num_return_sequences", "top_k"})
"""Options that mean nothing here: they are of other models, or of drawing from fewer tokens."""


@dataclass(frozen=True)
class Wanted:
    """One question.

    Attributes:
        seen: what it is about, in order; questions of which it is equal share what was read.
        visuals: the same as the task hands it on, when it is needed: pictures of all questions would fill the memory.
        question: in words.
        options: how the answer's tokens are chosen.
        until: the answer ends before the first of these.
    """

    seen: tuple[Medium, ...]
    visuals: Callable[[], Sequence[Any]]
    question: str
    options: GenerateOptions
    until: tuple[str, ...] = ()

    def cut(self, text: str) -> str:
        """An answer up to where the task wants it to end."""
        return min((text.partition(end)[0] for end in self.until if end), key=len, default=text)


def wanted(name: str, visuals: Callable[[], Any], question: str, how: Mapping[str, Any], settings: Settings) -> Wanted:
    """A question of a simple request.

    Args:
        name: of the task and its question, for refusals.
        visuals: gives what is to be seen: a list, one thing, or None.
        how: the task's generation_kwargs.

    Raises:
        LongtakeError: `data.bad` where nothing is to be seen, or something that is no video or picture;
            `usage.bad_option` for ways of drawing that longtake has not.
    """
    seen = tuple(map(medium_of, listed(visuals())))
    if not seen:
        reason, advice = "shows neither video nor picture", "longtake answers about what it sees; leave this task out"
        raise LongtakeError(ErrorCode.DATA_BAD, name, reason, advice)
    until = how.get("until") or ()
    ends = (until,) if isinstance(until, str) else tuple(until)
    return Wanted(seen, lambda: listed(visuals()), question, options_of(how, settings), ends)


def from_messages(
    name: str, messages: Callable[[], Sequence[Mapping[str, Any]]], how: Mapping[str, Any], settings: Settings
) -> Wanted:
    """A question of a chat request.

    Raises:
        LongtakeError: as `wanted`; `data.bad` for earlier turns and for files that do not come first.
    """
    words: list[str] = []
    asked: list[str] = []
    for message in messages():
        role = message.get("role")
        if role not in ("system", "user"):
            raise _unreadable(name, f"there is a message of the {role}: longtake reads no examples")
        (asked if role == "user" else words).extend(_words(name, message, behind=bool(asked)))
    question = "\n".join([*words, *asked])
    return wanted(name, lambda: [part for message in messages() for part in _files(message)], question, how, settings)


def options_of(how: Mapping[str, Any], settings: Settings) -> GenerateOptions:
    """How a task wants its answers' tokens chosen. Without a temperature the likeliest are taken.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    for name in how:
        if name not in _UNDERSTOOD | _OTHERS:
            _tell_once(f"generation option {name} means nothing to longtake")
    draws = how.get("do_sample")
    told = how.get("temperature")
    temperature = 0.0 if draws is False else float(told) if told is not None else float(bool(draws))
    beams, share = how.get("num_beams") or 1, how.get("top_p")
    if beams != 1:
        raise _no_such_way("num_beams", beams, "1")
    if temperature and share not in (None, 1, 0):
        raise _no_such_way("top_p", share, "1, or temperature 0")
    most = how.get("max_new_tokens") or how.get("max_gen_toks") or settings.max_new_tokens
    try:
        return GenerateOptions(int(most), temperature, settings.seed)
    except ValueError as error:
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--gen_kwargs", str(error), "give a value that fits") from error


def listed(visuals: Any) -> list[Any]:
    """What a task's doc_to_visual gives, as a list."""
    if visuals is None:
        return []
    return list(visuals) if isinstance(visuals, list | tuple) else [visuals]


def _words(name: str, message: Mapping[str, Any], *, behind: bool) -> list[str]:
    """The texts of a message; `behind`: there were words of the user before it."""
    found: list[str] = []
    for part in _content(message):
        if part.get("type") == "text":
            found.append(str(part["text"]))
        elif found or behind:
            raise _unreadable(name, f"a {part.get('type')} comes after words: longtake sees files first")
    return found


def _files(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for part in _content(message) if part.get("type") != "text"]


def _content(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def _unreadable(name: str, reason: str) -> LongtakeError:
    advice = "take --force_simple, in which files come first, or leave this task out"
    return LongtakeError(ErrorCode.DATA_BAD, name, reason, advice)


def _no_such_way(name: str, value: Any, fits: str) -> LongtakeError:
    advice = f"take {fits}: --gen_kwargs {name}=..."
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, name, f"{value} is no way in which longtake draws", advice)


@cache
def _tell_once(text: str) -> None:
    logging.getLogger("longtake").warning(text)
