"""readers.endpoint: text in, text out, by a model behind an OpenAI-compatible address. Knows nothing of video.

httpx2 carries it rather than the package openai: one question of one shape is asked here, and a whole deadline and a
limit on the reply's bytes, which that package does not have, are wanted; httpx2 comes with huggingface_hub anyway.
The key is read from the environment, goes into one header, and is never shown, kept in a value's name, or passed on:
redirects are not followed.
"""

from __future__ import annotations

import json
import math
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from longtake.engines import GenerateOptions
from longtake.errors import DoorRefused, ErrorCode, LongtakeError
from longtake.prompt import ChatTemplate, chatml, refuse_unreadable
from longtake.prompt.choices import choosing
from longtake.readers import OnText, Picked, Reply

KEY = "OPENAI_API_KEY"
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of HTTP that may be gone the next time."""
KEY_REFUSED = (401, 403)
OF_THE_WORDS = (400, 413, 422, 451)
"""Statuses of a refusal that may be of what was asked; any other refuses whoever asks whatever."""
BYTES_A_TOKEN = 4
"""Of English in today's vocabularies, about; for a guess that is told as one."""
OPENAI = "api.openai.com"
_MARKED = r"\({0}\)|\b{0}\)|^\W*{0}[.:]"
_SHOWN_CHARACTERS = 200
_SPELLING = "write an address with the model behind #, like http://localhost:8000/v1#qwen2.5-7b"


@dataclass(frozen=True)
class Patience:
    """How long one waits, how often one tries, and how much one takes.

    Attributes:
        connect_s: for somebody to answer at all.
        reply_s: for the whole reply, however slowly it comes.
        tries: the first included. Nobody there at all is told at once.
        pause_s: before the second try; doubled before each later one.
        longest_pause_s: also where the other side asks for more (Retry-After).
        reply_bytes: more is not read.
        whole_s: for all tries of one question and the pauses between them; no try begins that would be later.
        waits_for_server: nobody there at all may be gone the next time too: a server that is started anew.
    """

    connect_s: float = 10.0
    reply_s: float = 300.0
    tries: int = 4
    pause_s: float = 1.0
    longest_pause_s: float = 30.0
    reply_bytes: int = 4 << 20
    whole_s: float = math.inf
    waits_for_server: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible address.

    Attributes:
        address: up to and without `/chat/completions`.
        model: its name there.
        key: sent as a bearer token; "" for none.
        patience: how long one waits.
        wait: lets so many seconds pass before the next try.
    """

    address: str
    model: str
    key: str = field(default="", repr=False)
    patience: Patience = Patience()
    wait: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Address and model, as the user wrote them."""
        return f"{self.address}#{self.model}"

    @property
    def template(self) -> ChatTemplate:
        """Says only how choices are offered: the other side writes prompts in a template of its own."""
        return choosing(chatml())

    @property
    def context_tokens(self) -> int | None:
        """Nobody knows; what is too long the other side refuses."""
        return None

    @property
    def goes_beyond(self) -> bool:
        """Nobody here would stop it."""
        return True

    def check(self) -> None:
        """Ask for the list of models: somebody must be there, and take the key. What the list says does not matter.

        Raises:
            LongtakeError: `network.unreachable`, `network.refused`.
        """
        with suppress(_NotTheKey, _OtherRefusal):
            self._asked("GET", "models")

    def count(self, text: str) -> int:
        """About so many tokens."""
        return guessed_tokens(text)

    def count_prompt(self, text: str) -> int:
        """About as many: its template is not known."""
        return self.count(text)

    def read(self, text: str, options: GenerateOptions, *, on_text: OnText | None = None) -> Reply:
        """Read `text` and answer; the answer comes in one piece.

        Raises:
            LongtakeError: `network.unreachable` if nobody answers, or not in time, or too many ask; `network.refused`
                if the other side will not; `network.bad_reply` for what is no reply; `environment.missing`;
                `usage.blank_question`, `usage.bad_text`.
        """
        refuse_unreadable(text)
        reply = self.say([{"role": "user", "content": text}], options)
        if on_text:
            on_text(reply.text)
        return reply

    def say(self, messages: Sequence[Mapping[str, str]], options: GenerateOptions) -> Reply:
        """What comes next in a conversation; `messages` have a `role` and a `content` each.

        Raises:
            LongtakeError: `network.*`, as `read`.
        """
        return self._reply(self._asked("POST", "chat/completions", self._request(messages, options)))

    def pick(self, text: str, answers: Sequence[str], options: GenerateOptions, *, letters: bool = False) -> Picked:
        """The one of `answers` that the reply names; no probabilities.

        Raises:
            LongtakeError: as `read`; `network.bad_reply` also for a reply that names none of them, or several.
        """
        reply = self.read(text, options)
        named = _named(reply.text, answers)
        if len(named) != 1:
            wanted = f"one of {', '.join(answers)} was asked for"
            raise _bad_reply(self.name, f"{wanted}, and {self._shown(reply.text)!r} came")
        return Picked(named[0], None, reply.read_tokens, reply.new_tokens)

    def _request(self, messages: Sequence[Mapping[str, str]], options: GenerateOptions) -> bytes:
        # OpenAI has renamed the limit; others know it by its first name.
        limit = "max_completion_tokens" if urlsplit(self.address).hostname == OPENAI else "max_tokens"
        asked = {
            "model": self.model,
            "messages": list(messages),
            limit: options.max_new_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
        }
        return json.dumps(asked).encode()

    def _asked(self, method: str, path: str, request: bytes = b"") -> bytes:
        """The body of a reply with status 200; what passes is tried again."""
        pause_s, begin_s = self.patience.pause_s, time.monotonic()
        for tried in range(1, self.patience.tries + 1):
            try:
                return self._asked_once(method, path, request)
            except _Passing as passing:
                wait_s = min(max(pause_s, passing.pause_s), self.patience.longest_pause_s)
                late = time.monotonic() - begin_s + wait_s > self.patience.whole_s
                if late or tried == self.patience.tries:
                    times = f", {tried} times in a row" if tried > 1 else ""
                    limit = f"; another try would take more than {self.patience.whole_s:g} s" if late else ""
                    raise _unreachable(self.name, f"{passing.reason}{times}{limit}") from passing
                self.wait(wait_s)
                pause_s *= 2
        raise ValueError(f"tries is {self.patience.tries}; want at least 1")

    def _asked_once(self, method: str, path: str, request: bytes) -> bytes:
        import httpx2

        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        timeout = httpx2.Timeout(self.patience.reply_s, connect=self.patience.connect_s)
        sent: dict[str, Any] = {"content": request, "headers": headers, "timeout": timeout, "verify": _trusted()}
        try:
            with httpx2.stream(method, f"{self.address}/{path}", **sent) as response:
                body = self._body(response.iter_raw())
                return self._checked(response.status_code, response.headers, body)
        except httpx2.ConnectError as error:
            reason = f"nobody answers: {_told(error)}"
            if self.patience.waits_for_server:
                raise _Passing(reason) from error
            raise _unreachable(self.name, reason) from error
        except httpx2.TimeoutException as error:
            raise _Passing(f"no reply in time ({type(error).__name__})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _Passing(_told(error)) from error

    def _body(self, pieces: Iterator[bytes]) -> bytes:
        """All of it, if it is neither too much nor too slow. A server that trickles is never silent for long."""
        body, deadline_s = bytearray(), time.monotonic() + self.patience.reply_s
        for some in pieces:
            body += some
            if len(body) > self.patience.reply_bytes:
                raise _bad_reply(self.name, f"more than {self.patience.reply_bytes:,} bytes came")
            if time.monotonic() > deadline_s:
                raise _Passing(f"no whole reply in {self.patience.reply_s:g} s")
        return bytes(body)

    def _checked(self, status: int, headers: Any, body: bytes) -> bytes:
        if status in PASSING:
            raise _Passing(f"it answers with status {status}", _seconds(headers.get("Retry-After")))
        if status != 200:
            # What a server says of a key may hold the key.
            kind = DoorRefused if status in KEY_REFUSED else _OtherRefusal if status in OF_THE_WORDS else _NotTheKey
            said = "" if status in KEY_REFUSED else self._shown(_complaint(body))
            advice = f"check the model's name{f', and the key in {KEY}' if self.key else f'; a key goes in {KEY}'}"
            raise kind(ErrorCode.NETWORK_REFUSED, self.name, f"refuses with status {status}{said}", advice)
        if headers.get("Content-Encoding", "identity") != "identity":
            raise _bad_reply(self.name, "it came compressed, which was not asked for")
        return body

    def _reply(self, body: bytes) -> Reply:
        """What a body says, if it is a chat completion with words in it."""
        try:
            told = json.loads(body)
            choice = told["choices"][0]
            message, usage, end = choice["message"], told.get("usage"), choice.get("finish_reason")
            text, refusal, by = message.get("content"), message.get("refusal"), told.get("model")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            said = self._shown(body.decode("utf-8", "replace"))
            raise _bad_reply(self.name, f"it is no chat completion: {said!r}") from error
        if isinstance(refusal, str) and refusal.strip():
            raise _refused(self.name, f"will not answer: {self._shown(refusal)!r}")
        if end == "content_filter":
            raise _refused(self.name, "its reply was filtered for what it says")
        if not isinstance(text, str) or not text.strip():
            raise _bad_reply(self.name, "it holds no words")
        counts = usage if isinstance(usage, dict) else {}
        read, new = (_count(counts.get(key)) for key in ("prompt_tokens", "completion_tokens"))
        named = self._shown(by) if isinstance(by, str) else ""
        return Reply(self._without_key(text.strip()), read, new, cut=end == "length", by=named)

    def _shown(self, text: str) -> str:
        """Some of what the other side says, on one line; the key, if it says that, left out."""
        whole = " ".join(self._without_key(text).split())
        return whole if len(whole) <= _SHOWN_CHARACTERS else f"{whole[:_SHOWN_CHARACTERS]}..."

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


class _Passing(Exception):
    """What may be gone the next time."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.pause_s = reason, pause_s


class _NotTheKey(DoorRefused):
    """Refused because of the address or the model's name."""


class _OtherRefusal(LongtakeError):
    """The other side refuses what it was asked."""


def guessed_tokens(text: str) -> int:
    """About so many tokens, in whichever vocabulary."""
    return len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN + 1


def is_address(name: str) -> bool:
    """Whether a reader's name is an address; else it is a model's."""
    return name.lower().startswith(("http://", "https://"))


def endpoint_at(name: str, *, option: str = "--reader") -> Endpoint:
    """The reader that `name` spells, `http://host:port/v1#model`; its key is in the environment.

    Args:
        option: what the user wrote it behind.

    Raises:
        LongtakeError: `usage.bad_option` for an address that is none, that names no model or holds a password, and for
            a key that cannot be sent; `environment.missing` if there is no httpx2.
    """
    address, _, model = name.partition("#")
    try:
        parts = urlsplit(address)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise _bad_option(option, "is not written like an address", _SPELLING) from None
    if parts.username is not None or parts.password is not None:
        raise _bad_option(option, "the address holds a password", f"put the key into {KEY}, and leave it out here")
    if not whole or parts.query or not model.strip() or not address.isprintable() or " " in address:
        raise _bad_option(name, "is not written like an address and a model", _SPELLING)
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise _bad_option(KEY, "holds characters that no key has", "set it to the key alone, or leave it unset")
    _refuse_without_client()
    return replace(Endpoint(address.rstrip("/"), model), key=key)


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted. To read them takes longer than a small question; they serve all."""
    import httpx2

    return httpx2.create_ssl_context()


def _refuse_without_client() -> None:
    try:
        import httpx2  # noqa: F401  to be told now if it is missing, before captions are made
    except ImportError as error:
        reason, advice = "asking an address needs the package httpx2", "pip install 'longtake[endpoints]'"
        raise LongtakeError(ErrorCode.ENVIRONMENT_MISSING, "httpx2", reason, advice) from error


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _named(text: str, answers: Sequence[str]) -> list[int]:
    """The places of the answers that `text` gives: those marked as an option is, `(B)`, `B)` or `B.` at its beginning;
    where none is, those that stand in it as words. "A" is a word of English, and must stand alone or last.
    """
    marked = [place for place, answer in enumerate(answers) if re.search(_MARKED.format(re.escape(answer)), text)]
    words = re.findall(r"\w+", text)
    standing = [place for place, answer in enumerate(answers) if answer in words]
    if marked or [answers[place] for place in standing] != ["A"]:
        return marked or standing
    return standing if words[-1] == "A" else []


def _complaint(body: bytes) -> str:
    """What a refusal says for itself, if it says it as OpenAI does."""
    try:
        said = json.loads(body)["error"]["message"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return f": {said}" if isinstance(said, str) else ""


def _told(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _seconds(text: str | None) -> float:
    """Retry-After in seconds from now, whether it is told so or as a date; 0 where it is nothing, or over."""
    if text and re.fullmatch(r"\d{1,6}(\.\d+)?", text.strip()):
        return float(text)
    try:
        then = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return 0.0
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _bad_option(subject: str, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, reason, advice)


def _unreachable(name: str, reason: str) -> LongtakeError:
    advice = "check the address, and that a server runs there; then ask again"
    return LongtakeError(ErrorCode.NETWORK_UNREACHABLE, name, reason, advice)


def _refused(name: str, reason: str) -> LongtakeError:
    advice = "ask otherwise, or another model; nothing was made up in its place"
    return LongtakeError(ErrorCode.NETWORK_REFUSED, name, reason, advice)


def _bad_reply(name: str, reason: str) -> LongtakeError:
    advice = "ask again, or take another --reader; nothing was made up in its place"
    return LongtakeError(ErrorCode.NETWORK_BAD_REPLY, name, f"its reply cannot be used: {reason}", advice)
