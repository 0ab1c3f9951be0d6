"""A server that speaks as OpenAI's does, for tests: a real socket, and what it replies is scripted or computed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Sent:
    """What the server sends back: a status, a body, and how."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pause_s: float = 0.0
    """Before the body."""
    torn: bool = False
    """The connection breaks in the middle of the body."""
    trickle_s: float = 0.0
    """So long between the body's bytes."""


def said(text: str, *, end: str = "stop") -> Sent:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": end}
    usage = {"prompt_tokens": 11, "completion_tokens": 3}
    return Sent(json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def refused(status: int, message: str, *headers: tuple[str, str]) -> Sent:
    """A refusal in OpenAI's shape."""
    return Sent(json.dumps({"error": {"message": message, "type": "x"}}).encode(), status, headers)


@dataclass
class Chat:
    """What the server replies, and what it was asked.

    Attributes:
        reply: computes it from the text that it was sent.
        script: sent first, one after the other.
        models: what a list of models gets.
        texts: of every question.
        requests: the object of every question.
        keys: the header that held the key, or none, of everything that was asked.
    """

    reply: Callable[[str], str | Sent] = lambda text: "ok"
    script: list[Sent] = field(default_factory=list)
    models: Sent = Sent(b'{"data": []}')
    texts: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""

    def next(self, text: str) -> Sent:
        if self.script:
            return self.script.pop(0)
        reply = self.reply(text)
        return said(reply) if isinstance(reply, str) else reply


@contextmanager
def served(chat: Chat, *, port: int = 0) -> Iterator[Chat]:
    """Serves `chat` at `chat.url`; at any free port, or at this one."""

    class Handler(_Handler):
        here = chat

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield chat
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    here: Chat

    def do_GET(self) -> None:
        self.here.keys.append(self.headers.get("Authorization"))
        self._send(self.here.models if self.path == "/v1/models" else refused(404, "no such page"))

    def do_POST(self) -> None:
        self.here.keys.append(self.headers.get("Authorization"))
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(refused(404, "no such page"))
            return
        self.here.requests.append(asked)
        self.here.texts.append(asked["messages"][-1]["content"])
        self._send(self.here.next(self.here.texts[-1]))

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at what was asked."""

    def _send(self, sent: Sent) -> None:
        self.send_response(sent.status)
        for key, value in (("Content-Length", str(len(sent.body))), *sent.headers):
            self.send_header(key, value)
        self.end_headers()
        time.sleep(sent.pause_s)
        pieces: Sequence[bytes] = [sent.body[: len(sent.body) // 2] if sent.torn else sent.body]
        if sent.trickle_s:
            pieces = [bytes([one]) for one in sent.body]
        try:
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(sent.trickle_s)
        except OSError:
            # Whoever asked has had enough.
            self.close_connection = True
