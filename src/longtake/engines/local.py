"""engines: a prompt in, token ids out, by a transformers model in this process. Knows nothing of video or words."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import cast

import torch
from torch import nn
from transformers.cache_utils import Cache

from longtake.engines import Forced, GenerateOptions, Prefix, Progress
from longtake.engines.attention import is_folding
from longtake.engines.cancelling import heed
from longtake.engines.drawing import chooser
from longtake.engines.forcing import forced
from longtake.engines.keeping import PLAIN, Keeping
from longtake.engines.kept import (
    DenseLayer,
    KeptPrefix,
    RoomyLayer,
    beside_layers,
    cache_of,
    followed,
    kept_of,
    length_of,
    text_prompt,
)
from longtake.engines.language import LanguageModel, embedded
from longtake.engines.many import answers_to
from longtake.engines.merging import Span
from longtake.engines.noticing import Hiding, Notice, Tally, noticing
from longtake.engines.turning import Steering, refuse_scaled, steering_of
from longtake.errors import ErrorCode, LongtakeError
from longtake.networks import input_device, is_finite, nonfinite
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.ropes import Rope


@dataclass(frozen=True)
class LocalEngine:
    """Runs a transformers causal language model in this process.

    Prompts are read in chunks and only positions that a token is chosen from become logits, so what a prompt takes
    beside its keys and values does not grow with its length.

    Attributes:
        language: the model, in evaluation mode, on its device and in its dtype.
        stop_ids: the ids that end an answer.
        trained_context: how many positions it was trained to read, or reads by its scaling.
        chunk_tokens: positions read at once.
        vocabulary_size: only so many ids, from the first, are ever said: those behind are padding. None: all.
        rope: turns positions instead of the model's own; None: as config.json tells. See `with_rope`.
        keeping: how keys and values of what is read are kept. See `with_keeping`.
    """

    language: LanguageModel
    stop_ids: tuple[int, ...]
    trained_context: int
    chunk_tokens: int = 1024
    vocabulary_size: int | None = None
    rope: Rope | None = None
    keeping: Keeping = PLAIN

    def __post_init__(self) -> None:
        if self.chunk_tokens < 1 or self.trained_context < 1:
            raise ValueError(
                f"chunk_tokens is {self.chunk_tokens}, trained_context {self.trained_context}; want 1 or more"
            )

    def with_rope(self, rope: Rope) -> LocalEngine:
        """The same model turning its positions by `rope`, to read as many as that makes.

        Raises:
            LongtakeError: `usage.bad_option` if the checkpoint brings its own scaling.
            ValueError: a rope was chosen before.
        """
        if self.rope is not None:
            raise ValueError("this engine has a rope; take the one that it was made from")
        refuse_scaled(self.language.config)
        return replace(self, rope=rope, trained_context=rope.reads(self.trained_context))

    def with_keeping(self, keeping: Keeping) -> LocalEngine:
        """The same model, which keeps what it reads from now on as `keeping` says. Prefixes of either serve the other.

        Raises:
            LongtakeError: `usage.bad_option` if the model attends by transformers' own functions.
        """
        if keeping != PLAIN and not is_folding(self.language):
            reason = "this model attends to a sliding window, which keeps keys and values as they are"
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--kv", reason, "leave it out")
        return replace(self, keeping=keeping)

    def stopping_at(self, token_ids: Sequence[int]) -> LocalEngine:
        """The same engine, whose answers end at these ids too."""
        return replace(self, stop_ids=tuple(dict.fromkeys((*self.stop_ids, *token_ids))))

    def prefill(
        self, prompt: Prompt, *, after_tokens: int = 0, room_tokens: int = 0, progress: Progress | None = None
    ) -> KeptPrefix:
        """Read a prompt from its first position, in chunks; keep keys and values.

        Args:
            prompt: of at least one position.
            after_tokens: how many positions of a question follow, as far as is known: where positions are turned by the
                length of the whole, that question then needs no second reading.
            room_tokens: memory for so many more positions is taken at once, for `extend`.
            progress: hears how many positions are read.
        """
        length = length_of(prompt)
        count = self.language.config.num_hidden_layers
        layers = tuple(self._layer(length + room_tokens) for _ in range(count))
        return self._filled(layers, prompt, length + after_tokens, progress)

    def restored(self, state: Mapping[str, torch.Tensor]) -> KeptPrefix:
        """The prefix whose `KeptPrefix.state()` this is, read by this model; perhaps by another process.

        Tensors in main memory, or mapped from a file, are attended to where they lie, and nothing is copied; but where
        layers lie on another device, and what they keep with them, the tensors are brought there.

        Raises:
            ValueError: it is of a model of another shape or dtype.
        """
        if not is_folding(self.language):
            raise ValueError("this model attends by transformers' own functions and takes no state")
        config, weight = self.language.config, cast(nn.Embedding, self.language.get_input_embeddings()).weight
        kept = KeptPrefix.restored(
            beside_layers(state, self.language) if self.keeping.where == "device" else dict(state),
            config.num_hidden_layers,
        )
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        came = (*state["layers.0.keys"].shape[1::2], *kept.last_hidden_1D.shape[1:], kept.last_hidden_1D.dtype)
        wanted = (config.num_key_value_heads, width, weight.shape[1], weight.dtype)
        if came != wanted:
            raise ValueError(f"this state is of a model of other heads, widths or dtype: {came}; this one is {wanted}")
        return replace(kept, last_hidden_1D=kept.last_hidden_1D.to(input_device(self.language.get_input_embeddings())))

    def fork(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> KeptPrefix:
        """The first `keep` positions of `prefix`, shared, and `prompt` read after them in memory of its own.

        `prefix` stays as it is, any number of forks may be made of it, and nothing of it is copied (but for a model
        that attends by transformers' own functions). Where positions are turned by the length of the whole, and the
        whole is turned otherwise, all is read anew.

        Raises:
            ValueError: `prefix` is spent, it has no `keep` positions, or `prompt` has none.
        """
        kept, length = kept_of(prefix), length_of(prompt)
        layers, whole = kept.forked(keep, keeping=self.keeping, expected=length), keep + length
        layers = tuple(layer.short_joined() for layer in layers)
        together = None if kept.prompt is None else followed(kept.prompt, keep, prompt)
        if together is not None and not self._alike(kept.whole_tokens, whole):
            return self.prefill(together, progress=progress)
        last_hidden_1D = self._read(cache_of(layers), prompt, whole, progress=progress)
        return KeptPrefix(layers, whole, last_hidden_1D, whole, together)

    def extend(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> KeptPrefix:
        """Forget all but the first `keep` positions of `prefix`, and read `prompt` after them, in the same memory.

        `prefix` is spent: only what is returned can be read on from. Nobody may be reading on from it. Where positions
        are turned by the length of the whole, and the whole is now turned otherwise, all is read anew.

        Raises:
            ValueError: `prefix` is spent or in use, it has no `keep` positions, or `prompt` has none.
        """
        kept, length = kept_of(prefix), length_of(prompt)
        whole = keep + length
        layers = kept.handed_on(keep, length)
        if kept.prompt is None:
            return KeptPrefix(layers, whole, self._read(cache_of(layers), prompt, whole, progress=progress), whole)
        together = followed(kept.prompt, keep, prompt)
        if not self._alike(kept.whole_tokens, whole):
            for layer in layers:
                layer.rewind(0)
            return self._filled(layers, together, whole, progress)
        last_hidden_1D = self._read(cache_of(layers), prompt, whole, progress=progress)
        return KeptPrefix(layers, whole, last_hidden_1D, whole, together)

    def generate(self, prefix: Prefix, token_ids: Sequence[int], options: GenerateOptions) -> Generator[int]:
        """Read `token_ids` after `prefix`, then yield new token ids one by one, the stop token excluded.

        `prefix` is as it was when the iterator ends or is closed. Any number of iterators may be open on one prefix.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        choose = chooser(options)
        with self.asked(kept_of(prefix), token_ids) as (cache, last_hidden_1D):
            for step in range(options.max_new_tokens):
                token_id = choose(self.logits(last_hidden_1D)[0])
                if token_id in self.stop_ids:
                    return
                yield token_id
                if step + 1 < options.max_new_tokens:
                    last_hidden_1D = self._read(cache, text_prompt([token_id], last_hidden_1D), 0)

    def generate_many(
        self, prefix: Prefix, questions: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[list[int]]:
        """The new token ids that `generate` yields for each of `questions`, which are read and answered together.

        The prefix is gone through once a step for all of them. Those whose positions would be turned otherwise than
        the prefix was, and all of a model that attends by transformers' own functions, are answered one by one.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        kept, told = kept_of(prefix), [list(token_ids) for token_ids in questions]
        kept.refuse_spent()
        together = [
            is_folding(self.language) and self._alike(kept.whole_tokens, kept.length + len(token_ids))
            for token_ids in told
        ]
        batched = [token_ids for token_ids, fits in zip(told, together, strict=True) if fits]
        answered = iter(answers_to(self, kept, batched, options))
        return [
            next(answered) if fits else list(self.generate(kept, token_ids, options))
            for token_ids, fits in zip(told, together, strict=True)
        ]

    def logprobs(self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int]) -> torch.Tensor:
        """(A,) float32 on the processor: the natural-log probability of each of `answer_ids` when read after `prefix`
        and `token_ids` (teacher forcing: each given the right ones before it).

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        return self.force(prefix, token_ids, answer_ids).logprobs_A

    @torch.inference_mode()
    def force(
        self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int], *, hidden: Sequence[Span] = ()
    ) -> Forced:
        """Teacher forcing: read `token_ids` and `answer_ids` after `prefix`; what was likeliest before each of the
        answer's tokens, and how likely that token was.

        Args:
            prefix, token_ids, answer_ids: in the order in which they are read.
            hidden: positions of the prefix that neither question nor answer may attend to; needs `tells_attention`.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
            ValueError: something is hidden where it cannot be, or there is no question to hide it from.
        """
        notice = None
        if hidden:
            self._refuse_untold(token_ids)
            notice = Hiding(tuple(hidden))
        return forced(self, kept_of(prefix), token_ids, answer_ids, notice)

    @property
    def tells_attention(self) -> bool:
        """Whether `attended` and hiding work: all layers attend by `engines.attention.attend`."""
        return is_folding(self.language)

    @torch.inference_mode()
    def attended(self, prefix: Prefix, token_ids: Sequence[int], answer_ids: Sequence[int]) -> torch.Tensor:
        """(R, P) float32 on the processor: the share of its attention that each position of `token_ids` and
        `answer_ids`, read in this order after `prefix`, gives to each of the prefix's P positions, averaged over all
        heads of all layers. The answer's last token is not read: nothing is chosen from it, so R is one less than both.

        Raises:
            LongtakeError: `model.nonfinite`.
            ValueError: there is no question, no answer, or no way to tell.
        """
        self._refuse_untold(token_ids)
        if not answer_ids:
            raise ValueError("there is no answer whose attention could be told")
        kept = kept_of(prefix)
        tally = Tally(kept.length, len(token_ids) + len(answer_ids) - 1)
        forced(self, kept, token_ids, answer_ids[:-1], tally)
        return tally.mean_RP

    def _refuse_untold(self, token_ids: Sequence[int]) -> None:
        if not token_ids:
            raise ValueError("what was read with the prefix has seen all of it; give the question as token_ids")
        if not self.tells_attention:
            raise ValueError("this model attends by functions of its own, which do not tell what they look at")

    @cached_property
    def _steering(self) -> Steering | None:
        return steering_of(self.language, self.rope)

    def _alike(self, one: int, other: int) -> bool:
        """Whether what was read as part of `one` positions serves as part of `other`."""
        return self._steering is None or self._steering.alike(one, other)

    @contextmanager
    def asked(
        self, kept: KeptPrefix, token_ids: Sequence[int], notice: Notice | None = None
    ) -> Iterator[tuple[Cache, torch.Tensor]]:
        """A cache that holds prefix and `token_ids`, to read on from, and the last position's hidden state (1, D).

        `notice` attends to all that is read behind the prefix, but not to a prefix that is read anew.

        A prefix that was read as part of a prompt turned otherwise is read anew, in memory of its own, and what was
        kept is left as it is: it costs time and memory, but one question never changes what another is told.
        """
        whole = kept.length + len(token_ids)
        if not token_ids and not len(kept.last_hidden_1D):
            raise ValueError("this prefix was cropped: its last position is not known, and no question follows")
        if kept.prompt is None or self._alike(kept.whole_tokens, whole):
            with kept.borrowed() as layers, noticing(notice):
                cache = cache_of(layers)
                yield cache, self._read_on(cache, token_ids, kept.last_hidden_1D, whole)
            return
        kept.refuse_spent()
        fresh = self.prefill(kept.prompt, after_tokens=len(token_ids))
        with fresh.borrowed() as layers, noticing(notice):
            cache = cache_of(layers)
            yield cache, self._read_on(cache, token_ids, fresh.last_hidden_1D, whole)

    def _read_on(self, cache: Cache, token_ids: Sequence[int], last_1D: torch.Tensor, whole: int) -> torch.Tensor:
        """Read text only; returns the last position's hidden state (1, D): the one given, if there is no text."""
        return self._read(cache, text_prompt(token_ids, last_1D), whole) if token_ids else last_1D

    def _filled(
        self, layers: tuple[RoomyLayer, ...], prompt: Prompt, whole: int, progress: Progress | None
    ) -> KeptPrefix:
        """A prompt read into empty layers, as part of `whole` positions."""
        last_hidden_1D = self._read(cache_of(layers), prompt, whole, progress=progress)
        by_length = self._steering is not None and self._steering.rope.by_length
        return KeptPrefix(layers, len(prompt.token_ids_L), last_hidden_1D, whole, prompt if by_length else None)

    @torch.inference_mode()
    def _read(self, cache: Cache, prompt: Prompt, whole: int, *, progress: Progress | None = None) -> torch.Tensor:
        """Read a prompt after what `cache` holds, as part of `whole` positions; returns the last position's hidden
        state, (1, D).
        """
        length, used = len(prompt.token_ids_L), 0
        hidden_CD = prompt.visual_ND
        for start in range(0, length, self.chunk_tokens):
            ids_C = prompt.token_ids_L[start : start + self.chunk_tokens]
            places = int((ids_C == VISUAL_PLACE).sum())
            hidden_CD = self.hidden(cache, ids_C, prompt.visual_ND[used : used + places], whole_tokens=whole)
            used += places
            if progress:
                progress(start + len(ids_C), length)
        return hidden_CD[-1:].clone()

    def hidden(self, cache: Cache, ids_C: torch.Tensor, visual_ND: torch.Tensor, *, whole_tokens: int) -> torch.Tensor:
        """The final hidden states (C, D) of one chunk read after what `cache` holds, as part of so many positions."""
        return self.run(cache, embedded(self.language, ids_C, visual_ND)[None], whole_tokens=whole_tokens)[0]

    def run(
        self, cache: Cache, embedded_BCD: torch.Tensor, *, whole_tokens: int, positions_BC: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The final hidden states (B, C, D) of a chunk.

        Args:
            cache: of layers that hold what was read before.
            embedded_BCD: the chunk, the same number of positions of B texts.
            whole_tokens: of how many positions it is a part; 0 behind the prompt.
            positions_BC: where they differ between the texts; None: behind what `cache` holds.

        Raises:
            LongtakeError: `model.nonfinite`; `interrupted`.
        """
        heed()
        past = cache.get_seq_length()
        forward = partial(self.forward, cache, embedded_BCD, whole_tokens=whole_tokens, positions_BC=positions_BC)

        def again() -> None:
            for layer in cache.layers:
                cast(RoomyLayer, layer).rewind(past)
            forward()

        hidden_BCD = forward()
        if not is_finite(hidden_BCD):
            raise nonfinite({"language.model": cast(nn.Module, self.language.model)}, again)
        return hidden_BCD

    def forward(
        self, cache: Cache, embedded_BCD: torch.Tensor, *, whole_tokens: int, positions_BC: torch.Tensor | None
    ) -> torch.Tensor:
        """What `run` does, whatever comes out."""
        with self._steering.told(whole_tokens) if self._steering else nullcontext():
            output = self.language.model(
                inputs_embeds=embedded_BCD, past_key_values=cache, use_cache=True, position_ids=positions_BC
            )
        hidden_BCD: torch.Tensor = output.last_hidden_state
        return hidden_BCD

    def _layer(self, expected: int) -> RoomyLayer:
        """An empty layer for so many positions."""
        if is_folding(self.language):
            return RoomyLayer(keeping=self.keeping, expected=expected)
        return DenseLayer(expected=expected)

    @torch.inference_mode()
    def logits(self, hidden_CD: torch.Tensor) -> torch.Tensor:
        """(C, vocabulary) float32 on the processor, finite."""
        logits_CV = self.language.lm_head(hidden_CD)[:, : self.vocabulary_size].float().cpu()
        if not is_finite(logits_CV):
            head = self.language.lm_head
            raise nonfinite({"language.lm_head": cast(nn.Module, head)}, lambda: head(hidden_CD))
        return logits_CV
