"""A server that plays the Hugging Face hub for tests: folders in, what the hub's client asks for out."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Refusal:
    """A repository that is not given: a status, and the word by which the hub tells what kind of refusal it is."""

    status: int
    kind: str = ""
    files_only: bool = False
    """Whether the list of files is given nevertheless, as that of gated models is."""


TORN = Refusal(0, files_only=True)
"""The connection breaks in the middle of each file."""


@dataclass
class Hub:
    """What the server has, and what it was asked for.

    Attributes:
        models: folder by name.
        refused: names that are refused; their folders, if they have any, are in `models`.
        asked: method and path of every request, in the order in which they came.
    """

    models: dict[str, Path]
    refused: dict[str, Refusal] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def files(self, name: str) -> dict[str, bytes]:
        """The content of every file of a model."""
        folder = self.models[name]
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """Serves `hub` at `hub.url`."""

    class Handler(_Handler):
        here = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    here: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at `asked`."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.here.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        of_files = parts[0] != "api"
        name, rest = ("/".join(parts[:2]), parts[2:]) if of_files else ("/".join(parts[2:4]), parts[4:])
        refusal = self.here.refused.get(name, None if name in self.here.models else Refusal(404, "RepoNotFound"))
        if refusal is not None and refusal is not TORN and (of_files or not refusal.files_only):
            self._send(b"", status=refusal.status, told={"X-Error-Code": refusal.kind} if refusal.kind else {})
        elif of_files:
            self._send_file(self.here.files(name).get("/".join(rest[2:])), torn=refusal is TORN)
        elif rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in self.here.files(name).items()
            ]
            self._send(json.dumps(entries).encode())
        else:
            siblings = [{"rfilename": path} for path in self.here.files(name)]
            self._send(json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())

    def _send_file(self, data: bytes | None, *, torn: bool) -> None:
        if data is None:
            self._send(b"", status=404, told={"X-Error-Code": "EntryNotFound"})
            return
        told = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if torn and self.command == "GET":
            told["Content-Length"] = str(len(data))
            data = data[: len(data) // 2]
        self._send(data, told=told)

    def _send(self, data: bytes, *, status: int = 200, told: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(told or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
