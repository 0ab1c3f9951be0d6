"""train/read: the text stages: captions, questions and answers in words alone teach a language model to find things.

Short films come first; then come haystacks whose frames are numbered as if they lay far apart (stretched positions:
PoSE, arXiv 2309.10400), so that a thousand tokens teach places that only films of hours have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import Qwen2ForCausalLM

from longtake.train.conversations import (
    TOKENS_A_FRAME,
    TOKENS_A_TURN,
    Batch,
    Talk,
    Writer,
    answer_loss,
    answered,
    draw_counts,
    draw_talks,
)
from longtake.train.loop import Rates
from longtake.world.films import HELD_OUT, TRAINING, Hay, Source, draw_counted, draw_haystack, draw_needles, draw_shots
from longtake.world.questions import KINDS, ask_about, can_ask
from longtake.world.scenes import Scene
from longtake.world.vocabulary import COLOURS, NUMBERS, PLACES, SHAPES, SIDES, WORDS

HAYSTACK_SHARES = {
    "value": 0.36,
    "colour": 0.13,
    "shape": 0.12,
    "letter": 0.15,
    "order": 0.08,
    "several": 0.08,
    "missing": 0.04,
    "motion": 0.04,
}
SYMBOLS = (0.0, 0.15, 0.5, 1.0)
SYMBOLS_SHARES = (0.25, 0.15, 0.45, 0.15)
"""Haystacks of which this much shows other scenes are read that often."""
CLUTTER = (0.0, 0.1, 0.4, 0.9)
"""Haystacks of which this much of what is no scene shows bits of one are equally frequent."""
NOWHERE_SHARES = (0.0, 0.5, 1.0)
"""Haystacks of which this much of scenery and clutter is of no place are equally frequent."""
HAY_TAKES = (1.0, 1.0, 4.0, 25.0)
"""Haystacks that show the same for so many frames in a row, on average, are equally frequent."""
MOST_NEEDLES = 6
HAYSTACK_TURNS = 8
PIECES = 16
"""A stretched text has so many places at which its numbering jumps."""
TAKE_FRAMES = (10, 30, 100)
"""Steps whose takes have so many frames on average are equally frequent, for what film does alike within a take."""
HALF_SEEN, HALF_SEEN_OFTEN = 0.75, 0.6
"""At most this share of words that are not there is mixed into frames without a scene, in so many of the steps."""
HALF_SEEN_AT_ONCE, BOTH_HALF_SEEN = 0.6, 0.4
"""At most this share where colour and shape are both half seen, in so many of the takes."""
SLOTS: tuple[tuple[str, ...], ...] = (tuple(COLOURS), SHAPES, (*NUMBERS, *WORDS, *SIDES), PLACES)
"""The words that can stand at each of a frame's four places."""
EXAM_QUESTIONS = 32


@dataclass(frozen=True)
class Diet:
    """What a text stage reads.

    Attributes:
        lengths: classes of short films, (fewest, most) frames.
        length_shares: how often each class is read.
        counting: share of the steps that read films made for counting.
        counting_frames: (fewest, most) frames of these.
        haystacks: share of the steps that read haystacks.
        haystack_frames: their classes: the most frames; the fewest are half as many.
        haystack_shares: how often each is read.
        span: positions over which a text may be stretched; 0 leaves the numbering alone.
    """

    lengths: tuple[tuple[int, int], ...] = ((1, 12), (8, 24), (20, 48))
    length_shares: tuple[float, ...] = (0.65, 0.2, 0.15)
    counting: float = 0.35
    counting_frames: tuple[int, int] = (3, 36)
    haystacks: float = 0.0
    haystack_frames: tuple[int, ...] = (120, 250, 500, 1000)
    haystack_shares: tuple[float, ...] = (0.35, 0.3, 0.2, 0.15)
    span: int = 0

    @property
    def most_frames(self) -> int:
        """Of the longest film."""
        return max(*(most for _, most in self.lengths), *(self.haystack_frames if self.haystacks else ()))


SHORT = Diet()
LONG = Diet(counting=0.35, haystacks=0.4, span=16_384)
LONG_CUT_SHORT = replace(LONG, haystack_frames=(24, 32, 48), haystack_shares=(0.35, 0.35, 0.3), span=0)
"""For controls: all that LONG tells of, in films no longer than short ones. What differs is length alone."""


@dataclass(frozen=True)
class Reading:
    """Learn to answer about captions.

    Attributes:
        module: the language model; parameters that want no gradient stay as they are.
        writer: writes the conversations.
        diet: what is read.
        tokens: of a step.
        noise: the most that is added to embeddings, in their own standard deviations; visual tokens are no exact words.
        as_film: frames are also off as real film is: alike within a take, and half seen where there is no scene. A
            model that cannot find things yet learns more slowly so.
        exam_frames: lengths of the films that held-out questions are about.
    """

    module: Qwen2ForCausalLM
    writer: Writer
    steps: int
    diet: Diet = SHORT
    tokens: int = 4096
    noise: float = 0.6
    as_film: bool = False
    exam_frames: tuple[int, ...] = (8, 32)
    name: str = "read"
    rates: Rates = Rates(matrices=1e-2, others=1.5e-3, hold=0.6)

    def loss(self, rng: np.random.Generator) -> torch.Tensor:
        """Films of one class of lengths, and questions about each."""
        talks = self.draw(rng)
        batch = self.writer.write(talks)
        positions_BL = stretched(rng, *batch.ids_BL.shape, span=self.diet.span)
        counting = talks[0][1][0].kind == "count"
        with torch.autocast("cpu", torch.bfloat16):
            words_BLD = self.module.model.embed_tokens(batch.ids_BL)
            noise_BLD = words_BLD.std() * self._noise(rng, batch, counting=counting)
            half_seen = self.as_film and not counting
            seen_BLD = self._half_seen(rng, batch, words_BLD) if half_seen else words_BLD
            noisy_BLD = seen_BLD + noise_BLD
            # Without a mask transformers takes a jump in the numbering for the start of another text.
            hidden_BLD = self.module.model(
                inputs_embeds=noisy_BLD,
                position_ids=positions_BL,
                attention_mask=torch.ones_like(batch.ids_BL),
                use_cache=False,
            ).last_hidden_state
            return answer_loss(hidden_BLD, self.module.lm_head, batch)

    def _noise(self, rng: np.random.Generator, batch: Batch, *, counting: bool) -> torch.Tensor:
        """(B, L, D): for every token by itself, and as film alike for all frames of a take; each from none to `noise`.

        Where things are to be counted there is mostly little.
        """
        shares = rng.random(2) ** 2 / 2 if counting else rng.random(2)
        alone, alike = (self.noise * shares).tolist()
        shape = (*batch.ids_BL.shape, self.module.config.hidden_size)
        noise_BLD: torch.Tensor = alone * torch.randn(shape)
        if not self.as_film:
            return noise_BLD
        takes_F = _takes(rng, batch)
        off_TND = alike * torch.randn(int(takes_F.max()) + 1, TOKENS_A_FRAME, shape[-1])
        noise_BLD.index_put_(_places(batch), off_TND[takes_F], accumulate=True)
        return noise_BLD

    def _half_seen(self, rng: np.random.Generator, batch: Batch, words_BLD: torch.Tensor) -> torch.Tensor:
        """The same, where some takes without a scene look a little like a colour, a shape, a value: in all their frames
        a share of two words is mixed in. So does film of anywhere look to eyes that know the drawn world only.
        """
        takes_F = _takes(rng, batch)
        takes = int(takes_F.max()) + 1
        words_TN2 = torch.tensor([[self._two(rng, words) for words in SLOTS] for _ in range(takes)])
        parts_TN1 = torch.from_numpy(rng.random((takes, TOKENS_A_FRAME, 1)).astype(np.float32))
        shares_TN = torch.from_numpy(rng.uniform(0, HALF_SEEN, (takes, TOKENS_A_FRAME)).astype(np.float32))
        # A colour and its shape together would be a scene, if either were clear.
        either_T2 = torch.nn.functional.one_hot(torch.from_numpy(rng.integers(0, 2, takes)), 2)
        both_T1 = torch.from_numpy(rng.random((takes, 1)) < BOTH_HALF_SEEN)
        shares_TN[:, :2] *= torch.where(both_T1, HALF_SEEN_AT_ONCE / HALF_SEEN, either_T2)
        shares_TN *= float(rng.random() < HALF_SEEN_OFTEN)
        empty_F = torch.tensor([not isinstance(shot, Scene) for shot in batch.shots])
        shares_FN1 = (shares_TN[takes_F] * empty_F[:, None])[..., None]
        two_TN2D = self.module.model.embed_tokens.weight.detach()[words_TN2]
        other_TND = parts_TN1 * two_TN2D[:, :, 0] + (1 - parts_TN1) * two_TN2D[:, :, 1]
        other_FND = other_TND[takes_F]
        places = _places(batch)
        mixed_FND = (1 - shares_FN1) * words_BLD[places] + shares_FN1 * other_FND
        return words_BLD.index_put(places, mixed_FND.to(words_BLD.dtype))

    def _two(self, rng: np.random.Generator, words: tuple[str, ...]) -> list[int]:
        return [self.writer.word_ids[words[number]] for number in rng.integers(len(words), size=2)]

    def draw(self, rng: np.random.Generator) -> list[Talk]:
        """What one step reads."""
        diet = self.diet
        what = rng.random()
        if what < diet.counting:
            return draw_counts(rng, TRAINING, diet.counting_frames, tokens=self.tokens)
        if what >= diet.counting + diet.haystacks:
            lengths = diet.lengths[rng.choice(len(diet.lengths), p=diet.length_shares)]
            return draw_talks(rng, TRAINING, lengths, turns=4, tokens=self.tokens)
        most = diet.haystack_frames[rng.choice(len(diet.haystack_frames), p=diet.haystack_shares)]
        symbols = SYMBOLS[rng.choice(len(SYMBOLS), p=SYMBOLS_SHARES)]
        films = max(1, round(self.tokens / (0.75 * most * TOKENS_A_FRAME + HAYSTACK_TURNS * TOKENS_A_TURN)))
        clutter, nowhere, take = (kinds[rng.integers(len(kinds))] for kinds in (CLUTTER, NOWHERE_SHARES, HAY_TAKES))
        return [
            haystack_talk(rng, TRAINING, Hay(int(rng.integers(most // 2, most + 1)), symbols, clutter, nowhere, take))
            for _ in range(films)
        ]

    @torch.inference_mode()
    def figures(self) -> dict[str, float]:
        """Held-out questions of each kind about films of some lengths: the share answered word for word."""
        shares = {}
        for frames in self.exam_frames:
            for kind in KINDS:
                shares[f"{kind}@{frames}"] = self._share(_exam(kind, frames))
        for symbols in (0.0, 0.5) if self.diet.haystacks else ():
            rng = np.random.default_rng(7)
            talks = [haystack_talk(rng, HELD_OUT, Hay(1000, symbols), turns=1) for _ in range(EXAM_QUESTIONS)]
            shares[f"needle@1000/{symbols}"] = float(np.mean([self._share([talk]) for talk in talks]))
        return shares

    def _share(self, talks: list[Talk]) -> float:
        batch = self.writer.write(talks)
        hidden_BLD = self.module.model(input_ids=batch.ids_BL, use_cache=False).last_hidden_state
        return float(answered(hidden_BLD, self.module.lm_head, batch).float().mean())


def haystack_talk(rng: np.random.Generator, source: Source, hay: Hay, *, turns: int = HAYSTACK_TURNS) -> Talk:
    """A film with a few needles far apart, and questions about these. See `draw_haystack`."""
    move = source.move(rng)
    needles = draw_needles(rng, int(rng.integers(1, MOST_NEEDLES + 1)), source, besides=move)
    events = [[scene] for scene in needles] + ([list(move)] if rng.random() < 0.5 else [])
    shots = draw_haystack(rng, events, source, hay)
    found = {scene for event in events for scene in event}
    in_order = [shot for shot in shots if shot in found]
    shares = HAYSTACK_SHARES | ({"missing": 0.0} if hay.symbols else {})
    kinds = [kind for kind in shares if can_ask(in_order, kind)]
    chances = np.array([shares[kind] for kind in kinds])
    asked = rng.choice(len(kinds), turns, p=chances / chances.sum())
    return shots, [ask_about(rng, in_order, kinds[number]) for number in asked]


def _takes(rng: np.random.Generator, batch: Batch) -> torch.Tensor:
    """(F,) the number of the take that each frame belongs to; see TAKE_FRAMES."""
    mean_frames = TAKE_FRAMES[rng.integers(len(TAKE_FRAMES))]
    return torch.from_numpy((rng.random(len(batch.shots)) < 1 / mean_frames).cumsum())


def _places(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(F, TOKENS_A_FRAME) rows and positions of all frames' tokens."""
    rows_FN = batch.frame_places[:, :1].expand(-1, TOKENS_A_FRAME)
    return rows_FN, batch.frame_places[:, 1:] + torch.arange(TOKENS_A_FRAME)


def stretched(rng: np.random.Generator, rows: int, length: int, *, span: int) -> torch.Tensor:
    """(rows, length) position numbers; in four of five cases they jump ahead at PIECES places, within `span`."""
    steps_BL = np.ones((rows, length), dtype=np.int64)
    steps_BL[:, 0] = 0
    if span > length and rng.random() < 0.8:
        for row in range(rows):
            jumps = rng.multinomial(int(rng.integers(span - length)), rng.dirichlet(np.ones(PIECES)))
            np.add.at(steps_BL[row], rng.integers(0, length, PIECES), jumps)
    return torch.from_numpy(steps_BL.cumsum(1))


def _exam(kind: str, frames: int) -> list[Talk]:
    rng = np.random.default_rng([frames, *kind.encode()])
    draw = draw_counted if kind == "count" else draw_shots
    talks: list[Talk] = []
    while len(talks) < EXAM_QUESTIONS:
        shots = draw(rng, frames, HELD_OUT)
        if can_ask(shots, kind):
            talks.append((shots, [ask_about(rng, shots, kind)]))
    return talks
