"""engines: a prompt in, token ids out, by a transformers model in this process. Knows nothing of video or words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast

import torch
from torch import nn
from transformers.cache_utils import Cache

from longtake.engines import Forced, GenerateOptions, Prefix, Progress
from longtake.engines.attention import told_apart
from longtake.engines.kept import KeptPrefix, RoomyLayer
from longtake.engines.noticing import Hiding, Notice, Span, Tally, noticing
from longtake.engines.turning import Steering, refuse_scaled, steering_of
from longtake.errors import LongtakeError
from longtake.networks import input_device, is_finite, nonfinite
from longtake.prompt import VISUAL_PLACE, Prompt
from longtake.ropes import Rope


class LanguageModel(Protocol):
    """What is used of a transformers causal language model."""

    @property
    def config(self) -> Any: ...
    @property
    def model(self) -> Callable[..., Any]: ...
    @property
    def lm_head(self) -> Callable[[torch.Tensor], torch.Tensor]: ...
    def get_input_embeddings(self) -> torch.nn.Module: ...


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
    """

    language: LanguageModel
    stop_ids: tuple[int, ...]
    trained_context: int
    chunk_tokens: int = 1024
    vocabulary_size: int | None = None
    rope: Rope | None = None

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
        length = _length(prompt)
        layers = tuple(
            RoomyLayer.expecting(length + room_tokens) for _ in range(self.language.config.num_hidden_layers)
        )
        return self._filled(layers, prompt, length + after_tokens, progress)

    def extend(self, prefix: Prefix, keep: int, prompt: Prompt, *, progress: Progress | None = None) -> KeptPrefix:
        """Forget all but the first `keep` positions of `prefix`, and read `prompt` after them, in the same memory.

        `prefix` is spent: only what is returned can be read on from. Nobody may be reading on from it. Where positions
        are turned by the length of the whole, and the whole is now turned otherwise, all is read anew.

        Raises:
            ValueError: `prefix` is spent or in use, it has no `keep` positions, or `prompt` has none.
        """
        kept, length = _kept(prefix), _length(prompt)
        whole = keep + length
        cache = kept.handed_on(keep)
        if kept.prompt is None:
            return KeptPrefix(kept.layers, whole, self._read(cache, prompt, whole, progress=progress), whole)
        together = _followed(kept.prompt, keep, prompt)
        if not self._alike(kept.whole_tokens, whole):
            for layer in kept.layers:
                layer.rewind(0)
            return self._filled(kept.layers, together, whole, progress)
        last_hidden_1D = self._read(cache, prompt, whole, progress=progress)
        return KeptPrefix(kept.layers, whole, last_hidden_1D, whole, together)

    def generate(self, prefix: Prefix, token_ids: Sequence[int], options: GenerateOptions) -> Iterator[int]:
        """Read `token_ids` after `prefix`, then yield new token ids one by one, the stop token excluded.

        `prefix` is as it was when the iterator ends or is closed. Any number of iterators may be open on one prefix.

        Raises:
            LongtakeError: `model.nonfinite` if logits are not finite.
        """
        choose = chooser(options)
        with self._asked(_kept(prefix), token_ids) as (cache, last_hidden_1D):
            for step in range(options.max_new_tokens):
                token_id = choose(self._logits(last_hidden_1D)[0])
                if token_id in self.stop_ids:
                    return
                yield token_id
                if step + 1 < options.max_new_tokens:
                    last_hidden_1D = self._read(cache, _text([token_id], last_hidden_1D), 0)

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
        found, likeliest = [torch.zeros(0)], [torch.zeros(0, dtype=torch.int64)]
        with self._asked(_kept(prefix), token_ids, notice) as (cache, last_hidden_1D):
            for start in range(0, len(answer_ids), self.chunk_tokens):
                chunk_A = torch.tensor(answer_ids[start : start + self.chunk_tokens])
                hidden_AD = self._hidden(cache, chunk_A, last_hidden_1D[:0], whole_tokens=0)
                logits_AV = self._logits(torch.cat([last_hidden_1D, hidden_AD[:-1]]))
                found.append(logits_AV.log_softmax(-1).gather(1, chunk_A[:, None])[:, 0])
                likeliest.append(logits_AV.argmax(-1))
                last_hidden_1D = hidden_AD[-1:]
            behind = int(self._logits(last_hidden_1D).argmax())
        return Forced(torch.cat(found), torch.cat(likeliest), ends=behind in self.stop_ids)

    @property
    def tells_attention(self) -> bool:
        """Whether `attended` and hiding work: all layers attend by `engines.attention.attend`."""
        return told_apart(self.language)

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
        kept, read = _kept(prefix), [*token_ids, *answer_ids][:-1]
        if not answer_ids:
            raise ValueError("there is no answer whose attention could be told")
        tally = Tally(kept.length, len(read))
        with self._asked(kept, token_ids, tally) as (cache, last_hidden_1D):
            if len(answer_ids) > 1:
                self._read(cache, _text(answer_ids[:-1], last_hidden_1D), 0)
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
    def _asked(
        self, kept: KeptPrefix, token_ids: Sequence[int], notice: Notice | None = None
    ) -> Iterator[tuple[Cache, torch.Tensor]]:
        """A cache that holds prefix and `token_ids`, to read on from, and the last position's hidden state (1, D).

        `notice` attends to all that is read behind the prefix, but not to a prefix that is read anew.

        A prefix that was read as part of a prompt turned otherwise is read anew, in memory of its own, and what was
        kept is left as it is: it costs time and memory, but one question never changes what another is told.
        """
        whole = kept.length + len(token_ids)
        if kept.prompt is None or self._alike(kept.whole_tokens, whole):
            with kept.borrowed() as cache, noticing(notice):
                yield cache, self._read_on(cache, token_ids, kept.last_hidden_1D, whole)
            return
        kept.refuse_spent()
        fresh = self.prefill(kept.prompt, after_tokens=len(token_ids))
        with fresh.borrowed() as cache, noticing(notice):
            yield cache, self._read_on(cache, token_ids, fresh.last_hidden_1D, whole)

    def _read_on(self, cache: Cache, token_ids: Sequence[int], last_1D: torch.Tensor, whole: int) -> torch.Tensor:
        """Read text only; returns the last position's hidden state (1, D): the one given, if there is no text."""
        return self._read(cache, _text(token_ids, last_1D), whole) if token_ids else last_1D

    def _filled(
        self, layers: tuple[RoomyLayer, ...], prompt: Prompt, whole: int, progress: Progress | None
    ) -> KeptPrefix:
        """A prompt read into empty layers, as part of `whole` positions."""
        last_hidden_1D = self._read(Cache(layers=list(layers)), prompt, whole, progress=progress)
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
            hidden_CD = self._hidden(cache, ids_C, prompt.visual_ND[used : used + places], whole_tokens=whole)
            used += places
            if progress:
                progress(start + len(ids_C), length)
        return hidden_CD[-1:].clone()

    def _hidden(self, cache: Cache, ids_C: torch.Tensor, visual_ND: torch.Tensor, *, whole_tokens: int) -> torch.Tensor:
        """The final hidden states (C, D) of one chunk read after what `cache` holds, as part of so many positions."""
        embedding = self.language.get_input_embeddings()
        device, past = input_device(embedding), cache.get_seq_length()
        ids_C = ids_C.to(device)
        embedded_CD = embedding(ids_C.clamp(min=0))
        embedded_CD[ids_C == VISUAL_PLACE] = visual_ND.to(device, embedded_CD.dtype)
        with self._steering.told(whole_tokens) if self._steering else nullcontext():
            output = self.language.model(inputs_embeds=embedded_CD[None], past_key_values=cache, use_cache=True)
            hidden_CD: torch.Tensor = output.last_hidden_state[0]
            if not is_finite(hidden_CD):
                raise self._nonfinite(cache, past, embedded_CD)
        return hidden_CD

    def _nonfinite(self, cache: Cache, past: int, embedded_CD: torch.Tensor) -> LongtakeError:
        """The refusal of a chunk that was read after `past` positions; it is read once more to find the layer."""

        def again() -> None:
            for layer in cache.layers:
                cast(RoomyLayer, layer).rewind(past)
            self.language.model(inputs_embeds=embedded_CD[None], past_key_values=cache, use_cache=True)

        return nonfinite({"language.model": cast(nn.Module, self.language.model)}, again)

    @torch.inference_mode()
    def _logits(self, hidden_CD: torch.Tensor) -> torch.Tensor:
        """(C, vocabulary) float32 on the processor, finite."""
        logits_CV = self.language.lm_head(hidden_CD)[:, : self.vocabulary_size].float().cpu()
        if not is_finite(logits_CV):
            head = self.language.lm_head
            raise nonfinite({"language.lm_head": cast(nn.Module, head)}, lambda: head(hidden_CD))
        return logits_CV


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


def _length(prompt: Prompt) -> int:
    if not len(prompt.token_ids_L):
        raise ValueError("the prompt is empty")
    return len(prompt.token_ids_L)


def _text(token_ids: Sequence[int], like_1D: torch.Tensor) -> Prompt:
    """A prompt of text only."""
    return Prompt(torch.tensor(token_ids), like_1D[:0])


def _followed(first: Prompt, keep: int, more: Prompt) -> Prompt:
    """The first `keep` positions of one prompt, and another behind them."""
    places = int((first.token_ids_L[:keep] == VISUAL_PLACE).sum())
    visual_ND = torch.cat([first.visual_ND[:places], more.visual_ND.to(first.visual_ND)])
    return Prompt(torch.cat([first.token_ids_L[:keep], more.token_ids_L]), visual_ND)


def _kept(prefix: Prefix) -> KeptPrefix:
    if not isinstance(prefix, KeptPrefix):
        raise ValueError(f"a LocalEngine reads on from what a LocalEngine has read, not from a {type(prefix).__name__}")
    return prefix
