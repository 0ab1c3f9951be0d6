"""longtake answers questions about hour-long videos with open image-language models, on your own machine.

>>> import longtake
>>> model = longtake.load("nano")
>>> video = longtake.open_video("film.mp4")
>>> watched = longtake.watch(model, video)
>>> longtake.ask(model, watched, "What number is on the red star?").text

Importing this package imports nothing heavy: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.conversation import Conversation as Conversation
    from longtake.errors import LongtakeError as LongtakeError
    from longtake.loading import load as load
    from longtake.manifests import Manifest as Manifest
    from longtake.manifests.making import manifest_of as manifest_of
    from longtake.manifests.verifying import verify as verify
    from longtake.pipeline import ask as ask
    from longtake.pipeline import ask_all as ask_all
    from longtake.pipeline import choose as choose
    from longtake.pipeline import watch as watch
    from longtake.store import Store as Store
    from longtake.video.opening import open_video as open_video

__version__ = "0.1.0"

_HOMES = {
    "LongtakeError": "longtake.errors",
    "load": "longtake.loading",
    "open_video": "longtake.video.opening",
    "Store": "longtake.store",
    "watch": "longtake.pipeline",
    "ask": "longtake.pipeline",
    "ask_all": "longtake.pipeline",
    "choose": "longtake.pipeline",
    "Conversation": "longtake.conversation",
    "Manifest": "longtake.manifests",
    "manifest_of": "longtake.manifests.making",
    "verify": "longtake.manifests.verifying",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'longtake' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
