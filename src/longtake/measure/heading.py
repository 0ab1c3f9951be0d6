"""measure.heading: a model, questions and how they are put in; the header of a run out. Reads no video."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longtake import parts
from longtake.engines import GenerateOptions
from longtake.families import Model
from longtake.manifests.making import build, model_told
from longtake.measure import Header, Scoring
from longtake.measure.asking import Manner
from longtake.measure.grouping import Sheet
from longtake.prompt.templates import name_of

OWN_TEMPLATE = "the model's own"


@dataclass(frozen=True)
class Settings:
    """What of a run its model does not tell.

    Attributes:
        scoring: of multiple choice.
        options: how answers' tokens are chosen.
        method: that answers are come by, if one is.
        reader: who reads for the method.
        reading: how videos are read.
        shard: which of several parts.
    """

    scoring: tuple[Scoring, ...]
    options: GenerateOptions
    method: Any = None
    reader: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    shard: str | None = None


def header_of(sheet: Sheet, manner: Manner, model: Model, settings: Settings) -> Header:
    """What the rows of a run have in common.

    Raises:
        LongtakeError: `usage.bad_option` for a model that was put together by hand; `model.bad_checkpoint` if its files
            have changed since it was loaded.
    """
    told = dataclasses.asdict(model_told(model))
    versions = {name: version for name, version in build(model).items() if name != "threads"}
    benchmark = parts.told(manner.benchmark, "evals.benchmarks")
    sampler: Any = model.sampler
    method = settings.method
    return Header(
        longtake=versions["longtake"],
        benchmark=str(benchmark["name"]),
        benchmark_options=dict(benchmark["options"]),  # type: ignore[call-overload]  # a part tells a mapping
        split=sheet.told,
        items=len(sheet.entries),
        digest=sheet.digest,
        model={"name": told.pop("name"), "sha256": told.pop("weights_sha256"), **told},
        parts={
            "sampler": parts.told(model.sampler, "samplers"),
            "layout": parts.told(model.layout, "layouts"),
            "image_layout": parts.told(model.image_layout, "layouts"),
            "method": None if method is None else parts.told(method, "methods"),
        },
        prompt=manner.wording,
        example=_example(sheet, manner),
        scoring=settings.scoring,
        frames=getattr(sampler, "frames", None) if method is None else getattr(method, "frames", None),
        drawing=dataclasses.asdict(settings.options),
        shard=settings.shard,
        versions=versions,
        more={
            "template": name_of(model.template) or OWN_TEMPLATE,
            "reading": dict(settings.reading),
            "reader": settings.reader,
            "split": sheet.split.why,
            "questions_sha256": _sha256(sheet, manner),
        },
    )


def _sha256(sheet: Sheet, manner: Manner) -> str:
    """Of all that is asked, word for word, and of what is right: files may change and keep their ids."""
    found = hashlib.sha256()
    for item in sheet.items:
        words = manner.words(item)
        told = (item.id, words.text, words.opening, words.called, item.options, item.right, item.reference, item.twin)
        found.update(json.dumps(told).encode())
    return found.hexdigest()


def _example(sheet: Sheet, manner: Manner) -> str:
    """What is asked first, its opening in its place."""
    for item in sheet.items:
        words = manner.words(item)
        return f"{words.text}\n{words.opening}" if words.opening else words.text
    return ""
