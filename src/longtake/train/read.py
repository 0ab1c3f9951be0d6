"""train/read: the text stage: captions, questions and answers in words alone teach a language model to find things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import Qwen2ForCausalLM

from longtake.train.conversations import KIND_SHARES, Talk, Writer, answer_loss, answered, draw_talks
from longtake.train.loop import Rates
from longtake.world.questions import ask_about, draw_shots, scenes_of
from longtake.world.scenes import Scene, draw_scene

LENGTHS = ((1, 12), (8, 32), (24, 72), (64, 230))
LENGTH_SHARES = (0.62, 0.18, 0.12, 0.08)
"""Films of these lengths in frames are read that often; 230 frames make about 1,000 tokens."""
EXAM_QUESTIONS = 32


@dataclass(frozen=True)
class Reading:
    """Learn to answer about captions.

    Attributes:
        module: the language model.
        writer: writes the conversations.
        tokens: of a step.
        noise: added to the embeddings, in their own standard deviations, so that visual tokens need not be exact words.
        exam_frames: lengths of the films that held-out questions are about.
    """

    module: Qwen2ForCausalLM
    writer: Writer
    steps: int
    tokens: int = 4096
    noise: float = 0.25
    exam_frames: tuple[int, ...] = (8, 64, 230)
    name: str = "read"
    rates: Rates = Rates(matrices=1e-2, others=1.5e-3, hold=0.6)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Films of one class of lengths, and four questions about each."""
        lengths = LENGTHS[rng.choice(len(LENGTHS), p=LENGTH_SHARES)]
        batch = self.writer.write(draw_talks(rng, training_source, lengths, turns=4, tokens=self.tokens))
        with torch.autocast("cpu", torch.bfloat16):
            words_BLD = self.module.model.embed_tokens(batch.ids_BL)
            noisy_BLD = words_BLD + self.noise * words_BLD.std() * torch.randn_like(words_BLD)
            hidden_BLD = self.module.model(inputs_embeds=noisy_BLD, use_cache=False).last_hidden_state
            return answer_loss(hidden_BLD, self.module.lm_head, batch)

    @torch.inference_mode()
    def figures(self) -> dict[str, float]:
        """Held-out questions of each kind about films of some lengths: the share answered word for word."""
        shares = {}
        for frames in self.exam_frames:
            for kind in KIND_SHARES:
                batch = self.writer.write(_exam(kind, frames))
                hidden_BLD = self.module.model(input_ids=batch.ids_BL, use_cache=False).last_hidden_state
                shares[f"{kind}@{frames}"] = float(answered(hidden_BLD, self.module.lm_head, batch).float().mean())
        return shares


def training_source(rng: np.random.Generator, like: Scene | None) -> Scene:
    """Scenes that may be trained on."""
    return draw_scene(rng, held_out=False, like=like)


def held_out_source(rng: np.random.Generator, like: Scene | None) -> Scene:
    """Scenes that are kept from all training."""
    return draw_scene(rng, held_out=True, like=like)


def _exam(kind: str, frames: int) -> list[Talk]:
    rng = np.random.default_rng([frames, *kind.encode()])
    talks: list[Talk] = []
    while len(talks) < EXAM_QUESTIONS:
        shots = draw_shots(rng, frames, held_out_source)
        if kind != "order" or len(scenes_of(shots)) > 1:
            talks.append((shots, [ask_about(rng, shots, kind)]))
    return talks
