"""engines: a rope in, a transformers model that turns its positions by it out. Knows nothing of tokens or words.

transformers' models compute cosines and sines once a forward, in a module of their own; its dynamic kind remembers the
longest text that it has met, so that one prompt changes the next, and how a prompt is cut into chunks changes what is
read. Here that module remembers nothing: whoever reads tells how long the whole prompt is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from longtake.errors import ErrorCode, LongtakeError
from longtake.ropes import Rope, Trained
from longtake.ropes.dynamic import Dynamic

TURNER = "model.rotary_emb"
"""Where transformers' language models keep the module."""
UNTOUCHED, BY_LENGTH = "default", "dynamic"
"""Of transformers' `rope_type`: not scaled; the kind that remembers."""
ALREADY_WHOLE = ("llama3", "longrope")
"""Kinds of scaling with which `max_position_embeddings` says what the model reads, whatever the factor."""


@dataclass(frozen=True)
class Steering:
    """How a language model's positions are turned instead of by transformers.

    Attributes:
        rope: turns them.
        trained: how they were turned in training.
    """

    rope: Rope
    trained: Trained

    def alike(self, one: int, other: int) -> bool:
        """Whether prompts of these lengths are turned alike, so that what was read for one serves the other."""
        if not self.rope.by_length or one == other:
            return True
        first, second = self.rope.turning(self.trained, one), self.rope.turning(self.trained, other)
        return first.scale == second.scale and torch.equal(first.frequencies_F, second.frequencies_F)

    @contextmanager
    def told(self, whole_tokens: int) -> Iterator[None]:
        """Inside, forwards of a model that `steered` has prepared turn as for a prompt of so many positions.

        Positions behind the prompt, those of the answer, are each turned as the last of a text that ends with it: so
        they come out the same whether an answer is generated token by token or read at once.
        """
        token = _TOLD.set((self, whole_tokens))
        try:
            yield
        finally:
            _TOLD.reset(token)

    def angles(self, positions_L: torch.Tensor, whole_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine, (L, width) float32, of positions (L,)."""
        lengths_L = (positions_L + 1).clamp(min=whole_tokens if self.rope.by_length else int(positions_L.max()) + 1)
        different, which_L = lengths_L.unique(return_inverse=True)
        turnings = [self.rope.turning(self.trained, int(length)) for length in different]
        frequencies_LF = torch.stack([turning.frequencies_F for turning in turnings]).to(positions_L.device)[which_L]
        scale_L1 = torch.tensor([turning.scale for turning in turnings], device=positions_L.device)[which_L, None]
        angles_LF = positions_L[:, None].float() * frequencies_LF
        angles_LW = torch.cat([angles_LF, angles_LF], dim=-1)
        return angles_LW.cos() * scale_L1, angles_LW.sin() * scale_L1


# transformers hands its rotary module positions and nothing else; this is how the engine's word gets past its forward,
# also where several threads read with one model.
_TOLD: ContextVar[tuple[Steering, int] | None] = ContextVar("longtake_turning", default=None)


class Steered(nn.Module):
    """A rotary module that does what it is told by `Steering.told`; outside of it, what the model's own does."""

    def __init__(self, own: nn.Module) -> None:
        super().__init__()
        self.own = own

    def forward(self, hidden_BLD: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine, (B, L, width) in the model's dtype."""
        told = _TOLD.get()
        if told is None:
            own: tuple[torch.Tensor, torch.Tensor] = self.own(hidden_BLD, position_ids)
            return own
        steering, whole_tokens = told
        cosine_LW, sine_LW = steering.angles(position_ids.flatten(), whole_tokens)
        shape = (*position_ids.shape, -1)
        return cosine_LW.view(shape).to(hidden_BLD.dtype), sine_LW.view(shape).to(hidden_BLD.dtype)


def steering_of(language: Any, rope: Rope | None) -> Steering | None:
    """The model, prepared for `rope`, or for the dynamic scaling that its own config tells; None where transformers'
    own turning serves.

    The model's rotary module is put inside one that can be told; unless it is told, nothing changes.
    """
    rope = rope or _dynamic(language.config)
    if rope is None:
        return None
    if not isinstance(language.get_submodule(TURNER), Steered):
        language.set_submodule(TURNER, Steered(language.get_submodule(TURNER)))
    return Steering(rope, trained_of(language.config))


def trained_of(config: Any) -> Trained:
    """How a model of this transformers config turned positions when it was trained."""
    told = config.rope_parameters
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = int(head * told.get("partial_rotary_factor", 1.0))
    return Trained(float(told["rope_theta"]), width, _original_positions(config))


def trained_context_of(config: Any) -> int:
    """How many positions a model of this transformers config reads, the scaling that config.json tells included."""
    told, positions = _told(config), int(config.max_position_embeddings)
    if told.get("rope_type", UNTOUCHED) in ALREADY_WHOLE:
        return positions
    return max(positions, int(float(told.get("factor") or 1.0) * _original_positions(config)))


def scaling_of(config: Any) -> str:
    """The scaling that a transformers config tells, in words: `linear, factor 2`; `none`."""
    told = _told(config)
    kind = told.get("rope_type", UNTOUCHED)
    if kind == UNTOUCHED:
        return "none"
    return f"{kind}, factor {told['factor']:g}" if "factor" in told else str(kind)


def refuse_scaled(config: Any) -> None:
    """Check that no rope was chosen when the checkpoint was made.

    Raises:
        LongtakeError: `usage.bad_option`.
    """
    kind = _told(config).get("rope_type", UNTOUCHED)
    if kind != UNTOUCHED:
        reason = f"this checkpoint brings its own RoPE scaling, {kind}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--rope", reason, "leave --rope out")


def _told(config: Any) -> dict[str, Any]:
    """What config.json tells about turning; nothing where a model has none, or has it by kinds of layers."""
    told = getattr(config, "rope_parameters", None) or {}
    return told if "rope_theta" in told else {}


def _original_positions(config: Any) -> int:
    return int(_told(config).get("original_max_position_embeddings") or config.max_position_embeddings)


def _dynamic(config: Any) -> Rope | None:
    told = _told(config)
    return Dynamic(float(told["factor"])) if told.get("rope_type") == BY_LENGTH else None
