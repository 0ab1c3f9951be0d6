"""costs: a plan in; what carrying it out takes in memory and time, stage by stage, out. Reads no weights.

Memory is counted where it is alive at once. Each stage of the pipeline holds some kinds of bytes, and the largest sum
of a stage is the peak:

    load      process | weights | what a tensor is read through
    encode    process | weights | pixels | features so far | activations of a chunk of views
    arrange   process | weights |          features        | what the layout makes of them
    prefill   process | weights | visual tokens | key-values | activations of a chunk of positions
    ask       process | weights |                 key-values | activations of the question, logits

Activations and what is computed come from a *rehearsal*: the model's own code is run on tensors that have a shape and
no numbers (`costs.rehearsing`). Seconds are what is computed, by its kind, times what a little of each kind took here
(`costs.rates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longtake.engines.shelves import ROOM_TOKENS as ROOM_TOKENS

KINDS = ("process", "weights", "key-values", "activations", "features", "pixels")
"""Of bytes: the process itself (Python, torch, decoder tables, tokenizer); features: what the tower made, and visual
tokens; pixels: small frames that wait, and what the decoder holds."""
STAGES = ("start", "load", "read", "encode", "prefill", "question", "answer")
"""Of seconds: `question` is a question's tokens and its answer's first, `answer` the further ones."""


@dataclass(frozen=True)
class Stage:
    """What is alive at once in one stage, in bytes by kind."""

    name: str
    bytes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """All kinds."""
        return sum(self.bytes.values())


@dataclass(frozen=True)
class Cost:
    """What a run takes.

    Attributes:
        stages: memory, in the order in which they come.
        apart: whether all but the process is in the memory of another device than the processor's.
        processor_s: processor seconds by stage; None where nobody has measured what would compute.
    """

    stages: tuple[Stage, ...]
    apart: bool
    processor_s: Mapping[str, float] | None

    @property
    def peak(self) -> Stage:
        """The stage that holds most."""
        return max(self.stages, key=lambda stage: self._counted(stage))

    @property
    def memory_bytes(self) -> int:
        """The most that is held at once, of the memory that the model is in."""
        return self._counted(self.peak)

    @property
    def seconds(self) -> float | None:
        """Processor seconds of all of it, with the answer's tokens."""
        return None if self.processor_s is None else sum(self.processor_s.values())

    def _counted(self, stage: Stage) -> int:
        left_out = ("process", "pixels") if self.apart else ()
        return sum(count for kind, count in stage.bytes.items() if kind not in left_out)
