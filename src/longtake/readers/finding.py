"""readers.finding: a name in, the reader out: an address, a model, or nobody else. Knows no method."""

from __future__ import annotations

from dataclasses import replace

from longtake.families import Model
from longtake.loading import load
from longtake.readers import Reader
from longtake.readers.endpoint import endpoint_at, is_address
from longtake.readers.own import OwnReader


def find_reader(name: str | None, model: Model, *, device: str = "auto", dtype: str = "auto") -> Reader:
    """Who reads captions and answers.

    Args:
        name: `http://host:port/v1#model`, or whatever `load` takes; None for `model` itself.
        model: that makes the captions.
        device, dtype: of another model.

    Raises:
        LongtakeError: `usage.bad_option`, `environment.missing`; as `load`.
    """
    if name is None or name == model.name:
        return OwnReader(model)
    if is_address(name):
        return endpoint_at(name)
    other = load(name, device=device, dtype=dtype)
    return OwnReader(replace(other, beyond_trained_context=model.beyond_trained_context))
