"""engines: logits in, the next token out: the likeliest, or one that is drawn. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Callable

import torch

from longtake.engines import GenerateOptions


def chooser(options: GenerateOptions) -> Callable[[torch.Tensor], int]:
    """How the next token is taken from its logits (V,): the likeliest, or drawn with the options' own generator."""
    if options.temperature == 0:
        return lambda logits_V: int(logits_V.argmax())
    generator = torch.Generator().manual_seed(options.seed)

    def draw(logits_V: torch.Tensor) -> int:
        # The largest logit is taken off first, in double precision: divided by a tiny temperature it would overflow.
        chances_V = ((logits_V - logits_V.max()).double() / options.temperature).softmax(-1)
        return int(torch.multinomial(chances_V, 1, generator=generator))

    return draw
