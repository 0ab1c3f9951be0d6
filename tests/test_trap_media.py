"""No file makes longtake open another file or address: traps beside each and at a port of this machine prove it.

A named pipe is a trap for files: its writer wakes when somebody opens it for reading. A listening socket is a trap for
addresses, whatever the protocol: it counts connections.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from longtake.cli import main
from media.bad_playlists import TEXTS, reference_movie, text_of

ADDRESSES = (
    "http://127.0.0.1:{port}/x.mp4", "tcp://127.0.0.1:{port}", "rtsp://127.0.0.1:{port}/x", "concat:{file}",
    "rtmp://127.0.0.1:{port}/a/b", "file:{file}", "subfile,,start,0,end,9,,:{file}", "async:{file}", "cache:{file}",
    "crypto:{file}", "pipe:0", "-", "fd:0",
)  # fmt: skip
"""What FFmpeg's protocols would take for something to open; to longtake each is the name of a file."""

PATIENCE_S = 5.0
"""A guard, not a measurement: a trap that springs wakes at once."""


@dataclass
class Pit:
    """A file trap and a port trap, and what fell into them."""

    file: Path
    port: int
    sprung: list[str] = field(default_factory=list)


@contextmanager
def traps(folder: Path) -> Iterator[Pit]:
    """A named pipe in `folder` and a listening port, watched by a thread until the end of the `with`."""
    pipe = folder / "trap.mp4"
    os.mkfifo(pipe)
    waking, wake = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        pit = Pit(pipe, server.getsockname()[1])
        watchers = [
            threading.Thread(target=_watch_pipe, args=(pit,), daemon=True),
            threading.Thread(target=_watch_port, args=(pit, server, waking), daemon=True),
        ]
        for watcher in watchers:
            watcher.start()
        try:
            yield pit
        finally:
            os.write(wake, b"x")
            watchers[1].join(PATIENCE_S)
            watchers[0].join(0.02)
            # The last reader of the pipe is the test itself.
            told = len(pit.sprung)
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            watchers[0].join(PATIENCE_S)
            pit.sprung[told:] = []
            os.close(waking)
            os.close(wake)


def _watch_pipe(pit: Pit) -> None:
    """Opening for writing waits until somebody opens the pipe for reading."""
    os.close(os.open(pit.file, os.O_WRONLY))
    pit.sprung.append("file")


def _watch_port(pit: Pit, server: socket.socket, waking: int) -> None:
    while True:
        ready, _, _ = select.select([server, waking], [], [])
        if server not in ready:
            return
        connection, _ = server.accept()
        pit.sprung.append("port")
        connection.close()


def bait(kind: str, pit: Pit) -> bytes:
    if kind == "alis":
        return reference_movie(b"alis", pit.file.name)
    if kind == "url ":
        return reference_movie(b"url ", f"http://127.0.0.1:{pit.port}/x.mov")
    return text_of(kind, file=str(pit.file), port=pit.port)


@pytest.mark.parametrize("kind", [*TEXTS, "alis", "url "])
def test_nothing_else_is_opened(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with traps(tmp_path) as pit:
        path = tmp_path / "bait.mp4"
        path.write_bytes(bait(kind, pit))
        sheet = str(tmp_path / "sheet.png")
        statuses = [
            main(["info", str(path)]),
            main(["info", "--json", str(path)]),
            main(["frames", str(path), "-o", sheet]),
            main(["frames", str(path), "-o", sheet, "--on-corrupt", "skip"]),
        ]
        assert statuses == [3] * 4
    assert pit.sprung == []
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_no_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with traps(tmp_path) as pit:
        address = name.format(port=pit.port, file=pit.file)
        assert main(["info", "--", address]) == 3
        assert main(["frames", "-o", str(tmp_path / "sheet.png"), "--", address]) == 3
    assert pit.sprung == []
    assert capsys.readouterr().err.count("error[media.not_found]") == 2


@pytest.mark.parametrize(
    ("kind", "trap"), [("hls_http", "port"), ("concat_http", "port"), ("hls_file", "file"), ("concat", "file")]
)
def test_the_traps_can_spring(kind: str, trap: str, tmp_path: Path) -> None:
    """FFmpeg, left alone, walks into them: so a test that finds them empty means something."""
    with traps(tmp_path) as pit:
        path = tmp_path / ("bait.m3u8" if kind.startswith("hls") else "bait.ffconcat")
        path.write_bytes(bait(kind, pit))
        options = {"protocol_whitelist": "file,http,tcp,crypto,data", "allowed_extensions": "ALL", "safe": "0"}
        with pytest.raises((av.error.FFmpegError, OSError)), av.open(str(path), container_options=options, timeout=3.0):
            pass
    assert trap in pit.sprung


def test_a_name_with_a_pattern_is_one_file(tmp_path: Path, bunny: Path) -> None:
    """FFmpeg would take `%03d` for a row of pictures and open each."""
    with traps(tmp_path) as pit:
        (tmp_path / "x001.mp4").symlink_to(pit.file)
        path = tmp_path / "x%03d.mp4"
        path.write_bytes(bunny.read_bytes())
        assert main(["info", str(path)]) == 0
    assert pit.sprung == []
