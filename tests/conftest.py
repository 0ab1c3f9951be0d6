"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
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
