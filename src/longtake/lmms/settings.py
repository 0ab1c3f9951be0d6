"""lmms/settings: `--model_args` in, a model and how it is asked out. Knows nothing of requests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from longtake import parts
from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    from longtake.families import Model

Failed = Literal["stop", "empty"]
"""What is done about a video that cannot be read: the whole run ends, or its questions are answered with nothing."""
Tower = Literal["torch", "openvino", "openvino-int8"]
"""As of `longtake.load`."""
CHOICES: Mapping[str, tuple[str, ...]] = {"failed": get_args(Failed), "tower": get_args(Tower)}
PARTS = ("sampler", "layout", "rope")


@dataclass(frozen=True)
class Settings:
    """What `--model_args` can say, by the same names; `layout.slow_frames=8` sets an option of a part.

    Attributes:
        model: a bundled model, the folder of a checkpoint, or a model of the hub.
        sampler, layout, rope, template: instead of the model's own.
        frames: short for `sampler.frames`.
        device, dtype, tower: as `longtake.load` takes them. In one of several processes `auto` is that process's card.
        batch_size: how many questions about one video are answered together; None for all.
        max_new_tokens: where a task does not say; lmms-eval's own models take as many.
        seed: of drawing, where a task draws.
        store: a folder in which features are kept, so that a second run need not look again; "" keeps nothing.
        beyond_trained_context: go on where there are more tokens than the model was trained on.
        failed: what is done about a video that cannot be read.
        of_parts: for each part, option -> value as typed.
    """

    model: str = "nano"
    sampler: str | None = None
    layout: str | None = None
    rope: str | None = None
    template: str | None = None
    frames: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    tower: Tower = "torch"
    batch_size: int | None = 1
    max_new_tokens: int = 1024
    seed: int = 0
    store: str = ""
    beyond_trained_context: bool = False
    failed: Failed = "stop"
    of_parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Settings:
        """The settings that lmms-eval hands on: values that look like numbers or truths are such already.

        Raises:
            LongtakeError: `usage.bad_option`.
        """
        values: dict[str, Any] = {}
        of_parts: dict[str, dict[str, str]] = {part: {} for part in PARTS}
        most = given.get("max_batch_size")
        for name, value in given.items():
            part, dot, option = name.partition(".")
            if dot and part in PARTS:
                of_parts[part][option] = str(value)
            elif name == "batch_size":
                values[name] = _whole(name, most) if value == "auto" and most else _batch(value)
            elif name != "max_batch_size":
                values[name] = _fitting(name, value)
        if "frames" in values:
            if "frames" in of_parts["sampler"]:
                reason, advice = "frames says the same", "give one of the two"
                raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "sampler.frames", reason, advice)
            of_parts["sampler"]["frames"] = str(values["frames"])
        if of_parts["rope"] and "rope" not in values:
            option, advice = f"rope.{next(iter(of_parts['rope']))}", "name one, like rope=linear"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, option, "is an option of a rope, and none is named", advice)
        return cls(**values, of_parts=of_parts)

    def load(self) -> Model:
        """The model, with what was swapped in it.

        Raises:
            LongtakeError: as `longtake.load`, and for what does not fit.
        """
        from longtake.loading import load
        from longtake.prompt.templates import find_template
        from longtake.store import Store

        model = load(self.model, device=own_card(self.device), dtype=self.dtype, tower=self.tower)
        sampler = self._part("sampler", self.sampler, model.sampler)
        model = replace(model, sampler=sampler, beyond_trained_context=self.beyond_trained_context)
        layout = self._part("layout", self.layout, model.layout)
        model = replace(model, layout=layout)
        if self.layout is not None:
            model = replace(model, image_layout=layout, several_layout=None)
        if self.rope is not None:
            model = replace(model, engine=model.engine.with_rope(self._part("rope", self.rope, None)))
        if self.store:
            model = replace(model, store=Store(Path(self.store).expanduser()))
        return model if self.template is None else model.with_template(find_template(self.template), name=self.template)

    def _part(self, label: str, name: str | None, own: Any) -> Any:
        given = self.of_parts.get(label, {})
        if name is None:
            return parts.with_settings(own, given, label=label)
        return parts.build(f"{label}s", name, given, label=label)


def own_card(device: str) -> str:
    """`auto`, but for one of several processes on one machine (`accelerate launch`): those have a card each."""
    rank = os.environ.get("LOCAL_RANK")
    if device != "auto" or rank is None or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    import torch

    return f"cuda:{rank}" if torch.cuda.is_available() else "auto"


def _batch(value: Any) -> int | None:
    return None if value == "auto" else _whole("batch_size", value)


def _whole(name: str, value: Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < (0 if name == "seed" else 1):
        raise _unfit(name, value, "a whole number")
    return number


def _fitting(name: str, value: Any) -> Any:
    """A value of the field `name`."""
    known = {one.name: str(one.type) for one in fields(Settings) if one.name != "of_parts"}
    if name not in known:
        options = ", ".join([*known, *(f"{part}.OPTION" for part in PARTS)])
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION, name, "longtake has no such model argument", f"it has {options}"
        )
    if known[name].startswith("int"):
        return _whole(name, value)
    if known[name] == "bool":
        if not isinstance(value, bool):
            raise _unfit(name, value, "true or false")
        return value
    if name in CHOICES and value not in CHOICES[name]:
        raise _unfit(name, value, " or ".join(CHOICES[name]))
    return str(value)


def _unfit(name: str, value: Any, fits: str) -> LongtakeError:
    return LongtakeError(ErrorCode.USAGE_BAD_OPTION, name, f"{value!r} does not fit", f"give {fits}")
