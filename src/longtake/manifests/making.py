"""manifests.making: a model, files and its answer in, the manifest out. Reads each file once, for its SHA-256."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from numpy.typing import NDArray

from longtake import parts
from longtake.answer import Answer, Asked, Look
from longtake.engines import PLAIN, Keeping
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.identity import file_sha256
from longtake.manifests import (
    AnswerTold,
    ChoiceTold,
    DrawingTold,
    FileTold,
    FrameTold,
    Made,
    Manifest,
    ModelTold,
    PartTold,
    PromptTold,
)
from longtake.prompt.templates import name_of
from longtake.video.video_file import VideoFile

PACKAGES = ("longtake", "av", "numpy", "pillow", "tokenizers", "torch", "transformers")
"""What decodes, shrinks, counts and computes."""


def manifest_of(model: Model, files: VideoFile | Sequence[VideoFile], answer: Answer) -> Manifest:
    """All that an answer rests on, to be written beside it.

    Args:
        model: that answered.
        files: that were watched, in order, opened with `ReadOptions(hash_pixels=True)`.
        answer: from `longtake.ask` or `longtake.choose`.

    Raises:
        LongtakeError: `usage.bad_option` for an answer of which none can be made: files that were opened without
            hashes, a model that was put together by hand, a later question of a conversation, captions that were read;
            `media.container` if a file has changed meanwhile; `model.bad_checkpoint` if the checkpoint has.
    """
    videos = list(files) if isinstance(files, Sequence) else [files]
    asked = answer.asked
    if asked is None or asked.turn:
        reason = "rests on captions or on two looks" if asked is None else "rests on what was said before"
        raise _none_of("the answer", reason, "ask the question by itself, without --method")
    if [video.path for video in videos] != [look.path for look in answer.looks]:
        raise ValueError("these are not the files that the answer is about")
    if len(asked.prompt_ids_L) != answer.tokens["visual"] + answer.tokens["text"]:
        raise _none_of("the answer", "rests on a prompt whose ids are not known", "watch the files anew")
    return Manifest(
        question=asked.question,
        answer=_answer(answer, asked),
        degraded=answer.degraded,
        files=[_file(video, look) for video, look in zip(videos, answer.looks, strict=True)],
        model=model_told(model),
        prompt=prompt_told(answer, asked),
        drawing=DrawingTold(asked.options.max_new_tokens, float(asked.options.temperature), asked.options.seed),
        build=build(model),
        notes=[note for note in answer.notes if note not in answer.asides],
        made=Made(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds={stage: round(spent_s, 4) for stage, spent_s in answer.seconds.items()},
        ),
    )


def model_told(model: Model) -> ModelTold:
    """What a manifest tells of a model.

    Raises:
        LongtakeError: `usage.bad_option` for one that was not loaded as it is; `model.bad_checkpoint` if its files have
            changed since.
    """
    origin = model.origin
    if origin is None or not (origin.made(model.engine) and origin.made(model.encoder)):
        raise _none_of(model.name, "is not as it was loaded", "take it as longtake.load gives it")
    rope = model.engine.rope
    return ModelTold(
        name=_without_folder(model.name),
        weights_sha256=origin.sha256,
        dtype=origin.dtype,  # type: ignore[arg-type]  # as load takes it, which refuses others
        device=origin.device,
        tower=origin.tower,  # type: ignore[arg-type]  # the same
        rope=None if rope is None else _part(parts.told(rope, "ropes")),
        key_values=kept_in(model),
        trained_context=model.engine.trained_context,
        beyond_trained_context=model.beyond_trained_context,
    )


def kept_in(model: Model) -> Literal["auto", "int8"]:
    """In which numbers an engine keeps keys and values; one that does not say so keeps what it computes."""
    keeping: Keeping = getattr(model.engine, "keeping", PLAIN)
    return keeping.dtype


def _without_folder(name: str) -> str:
    """A model's name as users know it: of a checkpoint's folder its last part."""
    return Path(name).resolve().name if os.path.isdir(name) or os.path.isabs(name) else name


def prompt_told(answer: Answer, asked: Asked) -> PromptTold:
    """What a manifest tells of what was read."""
    ids_L = asked.prompt_ids_L
    return PromptTold(name_of(asked.template), len(ids_L), answer.tokens["visual"], ids_sha256(ids_L))


def ids_sha256(ids_L: NDArray[np.int64]) -> str:
    """SHA-256 of token ids as 64-bit little-endian numbers."""
    return hashlib.sha256(ids_L.astype("<i8").tobytes()).hexdigest()


def build(model: Model) -> dict[str, str]:
    """Versions of what decodes and computes, and what of the processor decides how sums are rounded."""
    packages = [*PACKAGES, *(["openvino"] if model.origin and model.origin.tower != "torch" else [])]
    ffmpeg = {name: ".".join(map(str, number)) for name, number in sorted(av.library_versions.items())}
    machine = {"machine": platform.machine(), "processor": torch.backends.cpu.get_cpu_capability()}
    threads = {"threads": str(torch.get_num_threads())}
    return {**{name: version(name) for name in packages}, **ffmpeg, **machine, **threads, **_accelerator(model)}


def _accelerator(model: Model) -> Mapping[str, str]:
    if model.origin is None or model.origin.device != "cuda":
        return {}
    return {"accelerator": torch.cuda.get_device_name()}


def _answer(answer: Answer, asked: Asked) -> AnswerTold:
    choices = [ChoiceTold(offered.letter, offered.text, offered.probability) for offered in answer.choices]
    return AnswerTold(answer.text, list(asked.answer_ids), choices)


def _file(video: VideoFile, look: Look) -> FileTold:
    numbers, times_s = look.numbers.tolist(), look.times_s.tolist()
    if len(look.hashes) != len(numbers):
        reason, advice = "was opened without hashes of its pixels", "open it with ReadOptions(hash_pixels=True)"
        raise _none_of(video.path, reason, advice)
    return FileTold(
        name=os.path.basename(video.path),
        bytes=video.state.size_bytes,
        sha256=media_sha256(video),
        stream=video.stream,
        on_corrupt=video.options.on_corrupt,
        deinterlace=video.options.deinterlace,
        height_px=video.height_px,
        width_px=video.width_px,
        table_frames=len(video.times_s),
        duration_s=float(video.duration_s),
        still=look.still,
        sampler=_part(look.parts["sampler"]),
        layout=_part(look.parts["layout"]),
        asked_frames=len(numbers) + len(look.missing),  # a sampler that looks first leaves out others that came
        got_frames=len(numbers),
        degraded=look.degraded,
        lost_s=[(float(start_s), None if end_s is None else float(end_s)) for start_s, end_s in look.lost_s],
        missing=list(look.missing),
        visual_tokens=look.visual_tokens,
        frames=[FrameTold(*each) for each in zip(numbers, times_s, look.hashes, strict=True)],
    )


def media_sha256(video: VideoFile) -> str:
    """The SHA-256 of a file that was opened.

    Raises:
        LongtakeError: `media.container` if it has changed since, `media.not_found` if it is gone.
    """
    try:
        found = file_sha256(video.path)
        status = os.stat(video.path)
    except OSError as error:
        reason, advice = f"cannot be read any more: {error.strerror}", "name the file where it lies now"
        raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, video.path, reason, advice) from error
    if (status.st_size, status.st_mtime_ns) != (video.state.size_bytes, video.state.modified_ns):
        reason, advice = "changed after it was opened", "let whoever writes it end, and ask again"
        raise LongtakeError(ErrorCode.MEDIA_CONTAINER, video.path, reason, advice)
    return found


def _part(told: Mapping[str, object]) -> PartTold:
    return PartTold(str(told["name"]), dict(told["options"]))  # type: ignore[call-overload]  # a part tells a mapping


def _none_of(subject: str, reason: str, advice: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, subject, f"no manifest can be made: it {reason}", advice)
