"""conversation: what a model watched in; questions, each read after what was said before, and their answers out.

    | opening | frames | question | closing | answer | stop later question closing | answer | ...
    ------------------------------------- ^ ------------------------------------ ^
      kept, and read on from                  read before the next answer

Nothing is read again but each answer's own tokens, which come behind its question when the next one is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from longtake.answer import Answer, Watched
from longtake.clock import Clock
from longtake.engines import GenerateOptions
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.pipeline import Put, answer_to
from longtake.plan import GREEDY, refuse_too_long
from longtake.prompt import Prompt, later_ids, question_ids


class Conversation:
    """Questions about what was watched, in which each may go on from what was said before.

    `watched` stays as it is: any number of conversations may go on from it, each used by one thread at a time.

    Args:
        model: that watched it.
        watched: from `longtake.watch`.
    """

    def __init__(self, model: Model, watched: Watched) -> None:
        if watched.engine is not model.engine:
            raise ValueError("this was watched with another engine; watch it again with this model")
        self._model, self._watched = model, watched
        self.new()

    @property
    def turns(self) -> int:
        """How many questions have been answered since the conversation began."""
        return self._turns

    @property
    def tokens(self) -> int:
        """How many positions are taken: by what was watched, and by what was said."""
        return self._length + len(self._unread)

    def new(self) -> None:
        """Forget what was said; what was watched is kept."""
        self._prefix = self._watched.prefix
        self._ids_L, self._length, self._turns = self._watched.prompt_ids_L, self._watched.prefix.length, 0
        self._unread: list[int] = []

    def ask(
        self, question: str, options: GenerateOptions = GREEDY, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Answer a question, given what was said before.

        `on_text` may raise to stop the answer; after that and after every refusal the conversation is as it was before.

        Args:
            question: in plain words.
            options: how the answer's tokens are chosen.
            on_text: hears the answer's text as it comes.

        Raises:
            LongtakeError: `usage.blank_question`, `usage.bad_text`; `usage.bad_option` for a second question where the
                template takes one; `limit.context` if the conversation is full; `model.nonfinite`.
        """
        model, template = self._model, self._watched.template
        asking = later_ids if self._turns else question_ids
        ids = [*self._unread, *asking(template, model.tokenizer, question)]
        self._refuse_full(ids, options)
        clock = Clock()
        with clock.stage("generate"):
            watched = self._read(ids[:-1])
        answer = answer_to(model, watched, Put(question, options, ids[-1:], self._turns), on_text=on_text)
        said = answer.asked.answer_ids if answer.asked else ()
        self._prefix, self._ids_L, self._length = watched.prefix, watched.prompt_ids_L, watched.prefix.length
        self._unread, self._turns = [ids[-1], *said], self._turns + 1
        seconds = {**answer.seconds, "generate": answer.seconds["generate"] + clock.seconds["generate"]}
        return replace(answer, seconds=seconds)

    def _read(self, ids: Sequence[int]) -> Watched:
        """What was watched and said, with `ids` behind it."""
        more = Prompt(torch.tensor(ids, dtype=torch.int64), torch.zeros(0, 1))
        prefix = self._model.engine.fork(self._prefix, self._length, more)
        ids_L = np.concatenate([self._ids_L, np.array(ids, dtype=np.int64)])
        return replace(self._watched, prefix=prefix, prompt_ids_L=ids_L)

    def _refuse_full(self, ids: Sequence[int], options: GenerateOptions) -> None:
        video_tokens, reads = self._watched.prefix.length, self._model.engine.trained_context
        if not self._turns:
            refuse_too_long(self._model, video_tokens, len(ids), options.max_new_tokens)
            return
        said_tokens, question_tokens = self.tokens - video_tokens, len(ids) - len(self._unread)
        if self.tokens + question_tokens + options.max_new_tokens <= reads or self._model.beyond_trained_context:
            return
        reason = (
            f"the conversation is full: the video took {video_tokens:,} tokens and what was said {said_tokens:,}; the "
            f"question makes {question_tokens:,} and the answer may have {options.max_new_tokens:,}; this model reads "
            f"{reads:,}"
        )
        advice = "begin anew (/new, or Conversation.new), which keeps the video, or ask for a shorter answer"
        raise LongtakeError(ErrorCode.LIMIT_CONTEXT, "", reason, advice)
