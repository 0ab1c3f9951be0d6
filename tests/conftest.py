"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of other people's media beside the checkout; without it the test skips and says so.

    `.ci/run` sets LONGTAKE_REQUIRE_SHARED where the folder exists, so that nothing skips there in silence.
    """
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("LONGTAKE_REQUIRE_SHARED"):
        pytest.fail("LONGTAKE_REQUIRE_SHARED is set but there is no folder `shared` beside the checkout")
    pytest.skip("needs other people's media: there is no folder `shared` beside the checkout")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers recorded from the original implementations."""
    return HERE / "golden"


@pytest.fixture(scope="session")
def bunny() -> Path:
    """5.3 s of Big Buck Bunny, 1280x720, 25 fps (credit: tests/media/README.md)."""
    return HERE / "media" / "bigbuckbunny_720p_5s.mp4"


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked twice is read twice, unless a test is about what is kept."""
    monkeypatch.setenv("LONGTAKE_STORE", "")


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own. Made when something is kept."""
    folder = tmp_path / "store"
    monkeypatch.setenv("LONGTAKE_STORE", str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell makes what it runs in the background deaf to Ctrl-C, and children inherit that; some tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
