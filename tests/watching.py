"""For the tests of what is kept: a video that counts what is read of it, and ways of damaging what a store holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import torch

from longtake.families import Model
from longtake.pipeline import ask, watch
from longtake.samplers.every import Every
from longtake.store import Store
from longtake.video import Frames
from longtake.video.opening import open_video
from longtake.video.options import AS_IS, ReadOptions
from media import numbered

NOBODY = 65534
QUESTION = "What number is on the red star?"


def film_of(path: Path, shown: Sequence[int]) -> Path:
    """Write a video, ten frames a second, a key frame each second, that shows these numbers."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for number in shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered.draw(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@dataclass
class Counting:
    """A real video; `read_numbers` are those of the frames that somebody read."""

    inner: Any
    read_numbers: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, numbers: Sequence[int], **options: Any) -> Iterator[Frames]:
        for frames in self.inner.read(numbers, **options):
            self.read_numbers += frames.numbers.tolist()
            yield frames


@dataclass(frozen=True)
class Watch:
    """What came of one watch: numbers that were read, the prompt's keys and values, the answer."""

    read: list[int]
    keys: tuple[torch.Tensor, ...]
    look: Any
    text: str
    notes: tuple[str, ...]
    seconds: dict[str, float]


def watched(model: Model, path: Path, *, options: ReadOptions = AS_IS, start_s: float | None = None) -> Watch:
    """Open and watch a file anew, as another process would; ask a question."""
    opened = open_video(path, options=options)
    video = Counting(opened if start_s is None else opened.stretch(start_s, None))
    seen = watch(model, video, QUESTION)
    prefix: Any = seen.prefix
    keys = tuple(layer.dense()[0] for layer in prefix.layers)
    answer = ask(model, seen, QUESTION)
    return Watch(video.read_numbers, keys, seen.looks[0], answer.text, answer.notes, dict(seen.seconds))


def with_store(model: Model, folder: Path, *, seconds: float = 1.0, **changes: Any) -> Model:
    """The model with a store, looking every so many seconds."""
    store, sampler = Store(folder, **changes), Every(seconds=seconds)
    return replace(model, store=store, sampler=sampler, beyond_trained_context=True)


def kept_files(folder: Path, kind: str = "features") -> list[Path]:
    """Files of tensors, oldest first."""
    return sorted(folder.glob(f"{kind}/*/*.safetensors"), key=lambda path: path.stat().st_mtime_ns)


def same(one: Watch, other: Watch) -> bool:
    """Whether two watches came to the same, but for what rounding does where chunks are cut otherwise."""
    return one.text == other.text and all(
        torch.allclose(mine, theirs, atol=1e-4) for mine, theirs in zip(one.keys, other.keys, strict=True)
    )


@contextmanager
def unprivileged(place: Path) -> Iterator[None]:
    """Inside, the process is nobody's if it was root's, who may write anywhere; `place` can be reached."""
    for folder in (place, *place.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextmanager
def locked(*folders: Path) -> Iterator[None]:
    """Inside, nothing can be put into these folders or removed from them."""
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def flip(path: Path, *, from_end: int) -> None:
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[-from_end] ^= 1
    path.write_bytes(data)
