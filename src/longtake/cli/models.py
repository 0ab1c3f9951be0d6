"""cli/models: the models that the families know in, a table of them out: list --models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from longtake.cli.output import say, say_json, table

if TYPE_CHECKING:
    from longtake.loading import Known

GIB = 2**30
HEAD = ("family", "model", "context", "tokens a frame", "bfloat16", "licence of the weights")


def print_models(*, as_json: bool) -> None:
    """`longtake list --models`."""
    from longtake.loading import known_models

    found = list(known_models())
    if as_json:
        say_json({"models": [_row(known) for known in found]})
        return
    say(table([HEAD, *(_line(known) for known in found)]))
    say("+ lies on this machine; the others are fetched from the hub when they are named. Others of a family load too.")


def _row(known: Known) -> Mapping[str, object]:
    release = known.release
    return {
        "family": known.family,
        "name": release.name,
        "here": known.here,
        "context": release.context,
        "frames": release.frames,
        "tokens_a_frame": round(release.tokens_a_frame, 2),
        "weights_bytes_bfloat16": known.weights_bytes,
        "licence": release.licence,
    }


def _line(known: Known) -> tuple[str, ...]:
    release = known.release
    return (
        known.family,
        f"{release.name}{' +' if known.here else ''}",
        f"{release.context:,}",
        f"{release.tokens_a_frame:.4g}",
        f"{known.weights_bytes / GIB:.3g} GiB",
        release.licence,
    )
