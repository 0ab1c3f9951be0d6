"""cli/together: --ranks: what the user named in; a model that several processes run together out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from longtake.errors import ErrorCode, LongtakeError

if TYPE_CHECKING:
    import torch

    from longtake.families import Model
    from longtake.parallel.talking import Talk


@dataclass(frozen=True)
class Crew:
    """How many processes run a model, and so much of the user's choice as makes the same model on each.

    Attributes:
        ranks: how many; None: as many as torchrun has started, or one.
        model, device, dtype, rope: as typed.
        rope_settings: of --set.
    """

    ranks: int | None
    model: str
    device: str
    dtype: str
    rope: str | None
    rope_settings: Mapping[str, str]

    @property
    def alone(self) -> bool:
        """Whether there is but one, so that nobody has to be asked."""
        return (self.ranks or 1) == 1 and os.environ.get("WORLD_SIZE", "1") == "1"

    def begins(self) -> bool:
        """Whether there is more to do here: one that torchrun started, and not as the first, has done all behind this.

        Raises:
            LongtakeError: `usage.bad_option` for devices that ranks cannot have; `ranks.lost`.
        """
        if self.alone:
            return True
        if self.device not in ("auto", "cpu", "cuda"):
            reason = "each rank takes a graphics card of its own, or all share the processor"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, f"--device {self.device}", reason, "take cuda or cpu")
        # torch reads this when it is imported; what it warns of is told by an error of one line.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        if os.environ.get("RANK", "0") == "0":
            return True
        from longtake.parallel.joining import joined
        from longtake.parallel.talking import Talk

        with joined(self.place(), ranks=self.ranks) as ranks:
            follow(self, Talk.among(ranks))
        return False

    def place(self) -> torch.device:
        """The kind of device that every rank has one of.

        Raises:
            LongtakeError: `usage.bad_option` where there are fewer graphics cards here than ranks.
        """
        import torch

        if self.device == "cpu" or not torch.cuda.is_available():
            return torch.device("cpu")
        here, wanted = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", self.ranks or 1))
        if here < wanted:
            reason = f"each of {wanted} ranks needs a graphics card of its own, and this machine has {here}"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--ranks", reason, f"take {here}, or --device cpu")
        return torch.device("cuda")


Made = Callable[[str], "Model"]
"""Makes the model on a device that is named so."""


@contextmanager
def together(made: Made, crew: Crew) -> Iterator[Model]:
    """The model; inside, all ranks run its language model, and this process, the first of them, tells them what to do.

    Raises:
        LongtakeError: what making the model raises, on any rank; `usage.bad_option`; `ranks.lost`.
    """
    if crew.alone:
        yield made(crew.device)
        return
    from longtake.parallel.engine import leading
    from longtake.parallel.seats import company, started_size

    with company(partial(follow, crew), crew.ranks or started_size(), crew.place()) as talk:
        model = _agreed(talk, lambda: made(str(talk.ranks.device)))
        engine: Any = model.engine
        with leading(engine, talk) as spread:
            yield dataclasses.replace(model, engine=spread)


def follow(crew: Crew, talk: Talk) -> None:
    """What all ranks but the first do: load the same language model, and do what the first one orders.

    Raises:
        LongtakeError: `ranks.lost`.
    """
    from longtake.cli.asking import roped
    from longtake.loading import load
    from longtake.parallel.following import follow as obey
    from longtake.parallel.shards import Shards

    def language() -> Any:
        model = load(crew.model, device=str(talk.ranks.device), dtype=crew.dtype)
        return roped(model, crew.rope, crew.rope_settings).engine

    try:
        engine = _agreed(talk, language)
    except LongtakeError:
        return  # the first rank is told the same, and says it
    obey(Shards(engine, talk))


def _agreed(talk: Talk, make: Callable[[], Any]) -> Any:
    """What `make` makes, if it could be made on all ranks.

    Raises:
        LongtakeError: the first one's, of those who could not, on all ranks.
    """
    made, refused = None, None
    try:
        made = make()
    except LongtakeError as error:
        refused = error
    for found in talk.told(refused):
        if isinstance(found, LongtakeError):
            raise found
    return made
