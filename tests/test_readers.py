"""readers: a model that only reads, and one behind a real socket that may answer anything."""

from __future__ import annotations

import gzip
import json
import math
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
import torch

import longtake
import tiny
from chat import Chat, Sent, refused, said, served
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.prompt import Prompt, segment_ids, stream_text
from longtake.readers import Reply
from longtake.readers.endpoint import Endpoint, Patience, endpoint_at
from longtake.readers.finding import find_reader
from longtake.readers.own import OwnReader

FEW = GenerateOptions(max_new_tokens=12)
TEXT = "what number is on the red star?"
KEY = "sk-very-secret-0123456789"
HASTY = Patience(connect_s=2.0, reply_s=0.4, tries=3, pause_s=0.25, longest_pause_s=8.0, reply_bytes=20_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return longtake.load(str(tiny.checkpoint(tmp_path_factory.mktemp("nano"))), device="cpu")


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(Chat()) as running:
        yield running


class Pauses(list[float]):
    """Notes how long was waited, and does not wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def asking(chat: Chat, pauses: Pauses | None = None) -> Endpoint:
    return Endpoint(chat.url, "m", KEY, HASTY, Pauses() if pauses is None else pauses)


def failure(act: object) -> LongtakeError:
    assert callable(act)
    with pytest.raises(LongtakeError) as caught:
        act()
    assert KEY not in str(caught.value) and KEY not in repr(caught.value.__cause__)
    return caught.value


def test_own_reader_says_what_the_engine_says(model: Model) -> None:
    template = model.image_template
    ids = segment_ids(model.tokenizer, (*template.opening, TEXT, *template.closing))
    prefix = model.engine.prefill(Prompt(torch.tensor(ids), torch.zeros(0, 1)))
    said_ids = list(model.engine.generate(prefix, [], FEW))
    expected = model.tokenizer.decode(said_ids)
    heard: list[str] = []
    reply = OwnReader(model).read(TEXT, FEW, on_text=heard.append)
    assert (reply.text, reply.read_tokens) == (expected, len(ids))
    assert heard == list(stream_text(model.tokenizer, said_ids))
    assert reply.new_tokens is not None and reply.cut == (reply.new_tokens == FEW.max_new_tokens)
    assert OwnReader(model).count_prompt(TEXT) == len(ids)


def test_own_reader_picks_by_probability(model: Model) -> None:
    """Two roads to one number: the answer's log probability, token by token."""
    template = model.image_template
    ids = segment_ids(model.tokenizer, (*template.opening, TEXT, *template.closing))
    prefix = model.engine.prefill(Prompt(torch.tensor(ids), torch.zeros(0, 1)))
    answers = ("red", "blue", "star")
    weights = [float(model.engine.logprobs(prefix, [], model.tokenizer.encode(answer)).sum()) for answer in answers]
    picked = OwnReader(model).pick(TEXT, answers, FEW)
    assert picked.shares is not None
    assert picked.place == weights.index(max(weights))
    assert sum(picked.shares) == pytest.approx(1)
    # These words are written in one way only: behind a line break each begins with the space that it has by itself.
    for share, weight in zip(picked.shares, weights, strict=True):
        assert math.log(share / picked.shares[0]) == pytest.approx(weight - weights[0], abs=1e-4)


def test_own_reader_refuses_what_is_too_long(model: Model) -> None:
    long = "red " * 300
    error = failure(lambda: OwnReader(model).read(long, FEW))
    assert error.code is ErrorCode.LIMIT_CONTEXT and "256" in error.reason
    assert OwnReader(replace(model, beyond_trained_context=True)).read(long, FEW).read_tokens > 256


def test_request_and_reply(chat: Chat, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    chat.script = [said(" It is 417. \n", end="length")]
    heard: list[str] = []
    options = GenerateOptions(max_new_tokens=9, temperature=0.5, seed=3)
    reply = asking(chat).read(TEXT, options, on_text=heard.append)
    assert (reply.text, reply.read_tokens, reply.new_tokens, reply.cut) == ("It is 417.", 11, 3, True)
    assert heard == ["It is 417."]
    messages = [{"role": "user", "content": TEXT}]
    assert chat.requests == [{"model": "m", "messages": messages, "max_tokens": 9, "temperature": 0.5, "seed": 3}]
    assert chat.keys == [f"Bearer {KEY}"]
    assert "POST" in caplog.text and KEY not in caplog.text


def test_usage_may_be_missing_or_nonsense(chat: Chat) -> None:
    for usage in ({}, {"usage": None}, {"usage": {"prompt_tokens": -1, "completion_tokens": "many"}}):
        body = {"choices": [{"message": {"content": "yes"}}], **usage}
        chat.script = [Sent(json.dumps(body).encode())]
        reply = asking(chat).read(TEXT, FEW)
        assert (reply.text, reply.read_tokens, reply.new_tokens, reply.cut) == ("yes", None, None, False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>it works</html>",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [7]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": "  "}}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b"[" * 19_000,
        b"x" * 30_000,
    ],
)
def test_garbage_is_an_error_and_no_answer(chat: Chat, body: bytes) -> None:
    chat.script = [Sent(body)]
    error = failure(lambda: asking(chat).read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_BAD_REPLY
    assert error.subject == f"{chat.url}#m"
    assert len(chat.texts) == 1


def test_compressed_reply_is_not_inflated(chat: Chat) -> None:
    chat.script = [Sent(gzip.compress(bytes(1 << 20)), headers=(("Content-Encoding", "gzip"),))]
    assert "compressed" in failure(lambda: asking(chat).read(TEXT, FEW)).reason


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(chat: Chat, status: int) -> None:
    chat.script, pauses = [refused(status, "busy"), refused(status, "busy"), said("417")], Pauses()
    assert asking(chat, pauses).read(TEXT, FEW).text == "417"
    assert pauses == [0.25, 0.5]
    assert len(chat.texts) == 3


def test_retry_after_is_heeded_up_to_a_limit(chat: Chat) -> None:
    waits = [("Retry-After", "3"), ("Retry-After", "3600")]
    chat.script, pauses = [*(refused(429, "busy", wait) for wait in waits), said("417")], Pauses()
    assert asking(chat, pauses).read(TEXT, FEW).text == "417"
    assert pauses == [3.0, 8.0]
    chat.script, pauses = [refused(429, "busy", ("Retry-After", "Mon, 06 Nov 1995 12:00:00 GMT")), said("4")], Pauses()
    assert asking(chat, pauses).read(TEXT, FEW).text == "4"
    assert pauses == [0.25]
    for then in (formatdate(time.time() + 6, usegmt=True), formatdate(time.time() + 6).replace("+0000", "-0000")):
        chat.script, pauses = [refused(429, "busy", ("Retry-After", then)), said("4")], Pauses()
        assert asking(chat, pauses).read(TEXT, FEW).text == "4"
        assert len(pauses) == 1 and 0.25 < pauses[0] <= 6
    for nonsense in ("soon", "-3", "1e9", "Mon, 99 Nov 2026 12:00:00 GMT", "23 Nov 99999999999 12:00:00 GMT"):
        chat.script, pauses = [refused(429, "busy", ("Retry-After", nonsense)), said("4")], Pauses()
        assert asking(chat, pauses).read(TEXT, FEW).text == "4"
        assert pauses == [0.25], nonsense


def test_patience_ends(chat: Chat) -> None:
    chat.reply = lambda text: refused(429, "busy")
    error = failure(lambda: asking(chat).read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_UNREACHABLE
    assert "status 429, 3 times in a row" in error.reason
    assert len(chat.texts) == 3


def test_all_tries_together_have_a_limit(chat: Chat) -> None:
    """A pause that would end behind it is not begun: whoever asks for an hour is told off at once."""
    patience = replace(HASTY, tries=9, whole_s=3.0)
    chat.script, pauses = [refused(429, "busy", ("Retry-After", "3600"))], Pauses()
    error = failure(lambda: replace(asking(chat, pauses), patience=patience).read(TEXT, FEW))
    assert (
        error.code is ErrorCode.NETWORK_UNREACHABLE
        and "status 429; another try would take more than 3 s" in error.reason
    )
    assert not pauses and len(chat.texts) == 1


def test_conversation_and_who_says_so(chat: Chat) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    body = {"model": "m-2026", "choices": [{"message": {"content": "417"}, "finish_reason": "stop"}]}
    chat.script = [Sent(json.dumps(body).encode())]
    assert asking(chat).say(messages, FEW) == Reply("417", None, None, cut=False, by="m-2026")
    assert chat.requests[0]["messages"] == messages


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"message": {"content": None, "refusal": f"Not with {KEY}."}}, "will not answer: 'Not with ***.'"),
        ({"message": {"content": "Sure, I"}, "finish_reason": "content_filter"}, "filtered"),
    ],
)
def test_a_reply_that_says_no_is_a_refusal(chat: Chat, choice: dict[str, object], reason: str) -> None:
    chat.script = [Sent(json.dumps({"choices": [choice]}).encode())]
    error = failure(lambda: asking(chat).read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_REFUSED and reason in error.reason


def test_nobody_there_may_be_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pauses = Pauses()
    patience = replace(HASTY, waits_for_server=True)
    reader = Endpoint(f"http://127.0.0.1:{port}/v1", "m", KEY, patience, pauses)
    error = failure(lambda: reader.read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_UNREACHABLE and "nobody answers" in error.reason
    assert pauses == [0.25, 0.5]


@pytest.mark.parametrize(
    "slow", [Sent(said("late").body, pause_s=1.2), Sent(said("late").body, trickle_s=0.02)], ids=["silent", "trickling"]
)
def test_slow_reply_is_given_up(chat: Chat, slow: Sent) -> None:
    chat.reply = lambda text: slow
    error = failure(lambda: replace(asking(chat), patience=replace(HASTY, tries=1)).read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_UNREACHABLE
    assert "no reply in time" in error.reason or "no whole reply in 0.4 s" in error.reason


def test_torn_connection_is_tried_again(chat: Chat) -> None:
    chat.script = [Sent(said("half").body, torn=True), said("whole")]
    assert asking(chat).read(TEXT, FEW).text == "whole"


def test_nobody_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pauses = Pauses()
    reader = Endpoint(f"http://127.0.0.1:{port}/v1", "m", KEY, HASTY, pauses)
    for act in (reader.check, lambda: reader.read(TEXT, FEW)):
        assert failure(act).code is ErrorCode.NETWORK_UNREACHABLE
    assert not pauses


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 301])
def test_refusal_is_told_with_its_reason_but_never_the_key(chat: Chat, status: int) -> None:
    chat.script = [refused(status, f"you sent {KEY}", ("Location", "http://127.0.0.1:9/elsewhere"))]
    error = failure(lambda: asking(chat).read(TEXT, FEW))
    assert error.code is ErrorCode.NETWORK_REFUSED
    assert f"status {status}" in error.reason
    assert ("you sent ***" in error.reason) == (status not in (401, 403))
    assert len(chat.keys) == 1


def test_garbage_that_holds_the_key_is_shown_without_it(chat: Chat) -> None:
    chat.script = [Sent(f"your key is {KEY}".encode())]
    assert "your key is ***" in failure(lambda: asking(chat).read(TEXT, FEW)).reason
    assert KEY not in repr(asking(chat)) and KEY not in asking(chat).name


def test_check_wants_somebody_who_takes_the_key(chat: Chat) -> None:
    asking(chat).check()
    chat.models = refused(404, "no list here")
    asking(chat).check()
    chat.models = refused(401, "no")
    assert failure(lambda: asking(chat).check()).code is ErrorCode.NETWORK_REFUSED
    assert chat.keys == [f"Bearer {KEY}"] * 3


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("B", 1),
        ("(A)", 0),
        ("A", 0),
        ("A.", 0),
        ("The best option is (C).", 2),
        ("Answer: A", 0),
        ("A) a dog", 0),
        ("B. A dog runs.", 1),
    ],
)
def test_pick_finds_the_one_that_is_named(chat: Chat, reply: str, place: int) -> None:
    chat.script = [said(reply)]
    picked = asking(chat).pick(TEXT, ("A", "B", "C"), FEW, letters=True)
    assert (picked.place, picked.shares) == (place, None)


@pytest.mark.parametrize(
    "reply",
    ["A or B", "(A) is wrong, (B) is right", "none of them", "D", "A dog runs.", "4", "I cannot see the video."],
)
def test_pick_never_guesses(chat: Chat, reply: str) -> None:
    chat.script = [said(reply)]
    error = failure(lambda: asking(chat).pick(TEXT, ("A", "B", "C"), FEW, letters=True))
    assert error.code is ErrorCode.NETWORK_BAD_REPLY
    assert reply in error.reason


@pytest.mark.parametrize(
    "name",
    [
        "http://",
        "http://#m",
        "http://localhost:8000/v1",
        "http://localhost:8000/v1#",
        "http://localhost:8000/v1# ",
        "http://localhost:eight/v1#m",
        "http://localhost:99999/v1#m",
        "http://[::1/v1#m",
        "http://local host/v1#m",
        "http://localhost/v1?key=a#m",
    ],
)
def test_address_that_is_none(name: str) -> None:
    assert failure(lambda: endpoint_at(name)).code is ErrorCode.USAGE_BAD_OPTION


def test_password_in_an_address_is_refused_and_not_shown() -> None:
    error = failure(lambda: endpoint_at(f"https://me:{KEY}@example.org/v1#m"))
    assert error.code is ErrorCode.USAGE_BAD_OPTION and "password" in error.reason


def test_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert endpoint_at("http://localhost:8000/v1/#a/b-7b") == Endpoint("http://localhost:8000/v1", "a/b-7b")
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert endpoint_at("http://localhost:8000/v1#m").key == KEY
    for bad in (f"{KEY}\u00e9", f"{KEY} {KEY}", f"{KEY}\nX: y"):
        monkeypatch.setenv("OPENAI_API_KEY", bad)
        error = failure(lambda: endpoint_at("http://localhost:8000/v1#m"))
        assert error.code is ErrorCode.USAGE_BAD_OPTION and error.subject == "OPENAI_API_KEY"


def test_reader_by_name(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert find_reader(None, model) == OwnReader(model)
    assert find_reader("HTTPS://example.org/v1#m", model).name == "HTTPS://example.org/v1#m"
    other = tiny.checkpoint(tmp_path / "other", seed=1)
    found = find_reader(str(other), replace(model, beyond_trained_context=True), device="cpu")
    assert found.name == str(other) and found.goes_beyond
    assert failure(lambda: find_reader("nobody's", model)).code is ErrorCode.MODEL_NOT_FOUND
