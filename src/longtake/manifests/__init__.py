"""manifests: what an answer rests on, as one file that can be held against the world again. Knows no model or decoder.

docs/manifest.md describes the file. `manifests.making` makes a manifest of an answer, `manifests.verifying` tells what
of it is still so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from longtake.errors import ErrorCode, LongtakeError, writing
from longtake.manifests.shapes import Misfit, shaped

VERSION = 1
"""Counted up where a reader of the old form would misread the new one."""
VERSION_KEY = "longtake_manifest"
MOST_BYTES = 1 << 28
"""A larger file is no manifest: one of 100,000 frames takes a twentieth of this."""

_LINE = 120


@dataclass(frozen=True)
class FrameTold:
    """One frame that the model saw: its place in the frame table, its presentation time, the hash of its pixels."""

    number: int
    time_s: float
    sha256: str


@dataclass(frozen=True)
class PartTold:
    """A sampler, layout or rope by the name that finds it, with its options."""

    name: str
    options: dict[str, None | bool | int | float | str]

    @property
    def is_foreign(self) -> bool:
        """Whether it is no part of longtake's own. Who wrote the name decides what importing it would run."""
        return ":" in self.name


@dataclass(frozen=True)
class FileTold:
    """One file and what was seen of it.

    Attributes:
        name: without its folder.
        bytes, sha256: of the whole file.
        stream: the video stream that was read, by its index in the file.
        on_corrupt, deinterlace: as in `ReadOptions`.
        height_px, width_px: as displayed.
        table_frames: how many frames the file shows.
        duration_s: of the video.
        still: whether it is one picture.
        sampler, layout: that chose and arranged the frames.
        asked_frames, got_frames: how many the sampler picked, and how many came; of one that looks before it chooses
            (`distinct`) those that it chose, and as asked for also those that it would have looked at and that did not
            come.
        degraded: whether anything is missing that the video should show.
        lost_s: stretches that nobody could see; an end of null is one that nobody knows.
        missing: numbers of the frames that did not come.
        visual_tokens: how many positions of the prompt show this file.
        frames: that came, in order.
    """

    name: str
    bytes: int
    sha256: str
    stream: int
    on_corrupt: Literal["error", "skip"]
    deinterlace: Literal["off", "auto"]
    height_px: int
    width_px: int
    table_frames: int
    duration_s: float
    still: bool
    sampler: PartTold
    layout: PartTold
    asked_frames: int
    got_frames: int
    degraded: bool
    lost_s: list[tuple[float, float | None]]
    missing: list[int]
    visual_tokens: int
    frames: list[FrameTold]

    def __post_init__(self) -> None:
        numbers = [frame.number for frame in self.frames]
        if not self.name or {"/", "\\", "\0"} & set(self.name) or self.name in (".", ".."):
            raise ValueError("name is no file's name without its folder")
        if not numbers or self.asked != sorted({*numbers, *self.missing}) or numbers != sorted(numbers):
            raise ValueError("the numbers of frames and missing are not ascending, each once, at least one of frames")
        if self.asked[0] < 0 or (len(numbers), len(self.asked)) != (self.got_frames, self.asked_frames):
            raise ValueError("asked_frames and got_frames are not how many there are in frames and missing")
        if self.degraded != any(end_s is None or end_s > 0 for _, end_s in self.lost_s):
            raise ValueError("degraded does not follow from lost_s")

    @property
    def asked(self) -> list[int]:
        """The numbers of all frames that were asked for, ascending."""
        return sorted([*(frame.number for frame in self.frames), *self.missing])


@dataclass(frozen=True)
class ModelTold:
    """What answered.

    Attributes:
        name: a bundled model, one of the hub, or the name of the checkpoint's folder.
        weights_sha256: of weights, configuration and tokenizer.
        dtype: what it computes in; `int8 in bfloat16` where matrices are kept in eight bits.
        device: kind of the device: `cpu`, `cuda`, ...
        tower: what computes the vision tower.
        rope: that was chosen; null where positions are turned as the checkpoint tells.
        key_values: `int8` where keys and values were kept in eight bits, else `auto`.
        trained_context: how many positions it reads.
        beyond_trained_context: whether more might be read.
    """

    name: str
    weights_sha256: str
    dtype: Literal["float32", "bfloat16", "float16", "int8 in float32", "int8 in bfloat16"]
    device: str
    tower: Literal["torch", "openvino", "openvino-int8"]
    rope: PartTold | None
    key_values: Literal["auto", "int8"]
    trained_context: int
    beyond_trained_context: bool


@dataclass(frozen=True)
class PromptTold:
    """What the model read: the template by name (null: its own), how many ids, and the SHA-256 of them all as 64-bit
    little-endian numbers, -1 for each visual token.
    """

    template: str | None
    tokens: int
    visual_tokens: int
    sha256: str


@dataclass(frozen=True)
class DrawingTold:
    """How the answer's tokens were chosen."""

    max_new_tokens: int
    temperature: float
    seed: int

    def __post_init__(self) -> None:
        # Here, for it brings torch, which a manifest alone does not need.
        from longtake.engines import GenerateOptions

        GenerateOptions(self.max_new_tokens, self.temperature, self.seed)


@dataclass(frozen=True)
class ChoiceTold:
    """One of the answers that were offered, with its probability."""

    letter: str
    text: str
    probability: float | None


@dataclass(frozen=True)
class AnswerTold:
    """What was said."""

    text: str
    token_ids: list[int]
    choices: list[ChoiceTold]


@dataclass(frozen=True)
class Made:
    """When, and how long each stage took: the only section in which two runs of the same differ."""

    at: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """All that an answer rests on; docs/manifest.md tells the meaning of every field.

    Attributes:
        question: as it was put.
        answer: what was said.
        degraded: whether anything of any file was missing.
        files: in the order in which the model read them.
        model, prompt, drawing: what answered, what it read, and how tokens were chosen.
        build: versions of what decodes and computes, and the processor's kind.
        notes: that were told with the answer.
        made: when.
    """

    question: str
    answer: AnswerTold
    degraded: bool
    files: list[FileTold]
    model: ModelTold
    prompt: PromptTold
    drawing: DrawingTold
    build: dict[str, str]
    notes: list[str]
    made: Made = field(compare=False)

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("files is empty")
        if self.degraded != any(told.degraded for told in self.files):
            raise ValueError("degraded does not follow from the files")
        if self.prompt.visual_tokens != sum(told.visual_tokens for told in self.files):
            raise ValueError("prompt.visual_tokens is not the sum of the files' visual_tokens")

    def refuse_strange_parts(self) -> None:
        """Refuse what is called like a part of longtake's own and is none; one from elsewhere is not imported.

        Raises:
            LongtakeError: `usage.bad_option`, naming the part or its option.
        """
        from longtake.prompt.templates import find_template

        told = [pair for file in self.files for pair in ((file.sampler, "samplers"), (file.layout, "layouts"))]
        told += [(self.model.rope, "ropes")] if self.model.rope is not None else []
        for part, room in told:
            if not part.is_foreign:
                built(part, room)
        if self.prompt.template is not None:
            find_template(self.prompt.template)

    def as_dict(self) -> dict[str, object]:
        """The object that is written."""
        return {VERSION_KEY: VERSION, **dataclasses.asdict(self)}

    def text(self) -> str:
        """The file: JSON in ASCII, keys always in the same order, short things on one line."""
        return _laid_out(self.as_dict(), "") + "\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file as a whole or not at all.

        Raises:
            LongtakeError: `disk.write`.
        """
        target = Path(path)
        with writing(os.fspath(path)):
            fresh = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
            try:
                with fresh.open("x", encoding="ascii") as file:
                    file.write(self.text())
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    fresh.unlink()
                raise

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Manifest:
        """The manifest in a file.

        Raises:
            LongtakeError: `manifest.bad`, naming the field that does not fit.
        """
        name = os.fspath(path)
        found = _object_in(name)
        version = found.pop(VERSION_KEY, None)
        if version != VERSION or isinstance(version, bool):
            if version is None:
                raise _bad(name, f"is no manifest of longtake: it has no {VERSION_KEY}")
            raise _bad(name, f"is a manifest of version {version!r}; this longtake reads {VERSION}")
        try:
            manifest: Manifest = shaped(cls, found)
        except Misfit as error:
            raise _bad(name, str(error)) from error
        try:
            manifest.refuse_strange_parts()
        except LongtakeError as error:
            raise _bad(name, f"{error.subject}: {error.reason}") from error
        return manifest


def built(told: PartTold, room: str) -> Any:
    """A part of longtake's own, as it is told.

    Raises:
        LongtakeError: `usage.bad_option` if there is no such part, or it has no such options.
    """
    from longtake import parts

    settings = {option: str(value) for option, value in told.options.items()}
    return parts.build(room, told.name, settings, label=room.removesuffix("s"))


def _object_in(name: str) -> dict[str, Any]:
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise _bad(name, "cannot be read: it is no regular file")
        if status.st_size > MOST_BYTES:
            raise _bad(name, f"has more than {MOST_BYTES:,} bytes: it is no manifest")
        found = json.loads(Path(name).read_bytes(), parse_constant=_no_constant, object_pairs_hook=_each_once)
    except OSError as error:
        raise _bad(name, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _bad(name, "is no manifest of longtake: it holds no object")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _bad(name: str, reason: str) -> LongtakeError:
    advice = "name a file that `longtake ask --manifest` wrote, as it was written"
    return LongtakeError(ErrorCode.MANIFEST_BAD, name, reason, advice)


def _laid_out(value: object, indent: str) -> str:
    """`value` as JSON; what fits stays on one line."""
    short = json.dumps(value, allow_nan=False)
    if len(indent) + len(short) <= _LINE or not isinstance(value, dict | list) or not value:
        return short
    deeper = indent + " "
    if isinstance(value, Mapping):
        lines = [f"{json.dumps(key)}: {_laid_out(inside, deeper)}" for key, inside in value.items()]
        opening, closing = "{", "}"
    else:
        lines = [_laid_out(inside, deeper) for inside in value]
        opening, closing = "[", "]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{closing}"
