"""lmms/model: requests of lmms-eval in, what its tasks mark out. Only lmms-eval imports this file.

Written for lmms-eval 0.7.3. Of its requests we take

    simple    generate_until              (question, how, doc_to_visual, doc_id, task, split)
              generate_until_multi_round  (question, how, doc_to_visual, doc_to_text, doc_id, task, split)
              loglikelihood               (question, continuation, doc_to_visual, doc_id, task, split)
    chat      generate_until              (question, doc_to_messages, how, doc_id, task, split)
              generate_until_multi_round  the same; doc_to_messages takes the round too

What comes of `loglikelihood` is read as a *loss*: tasks of multiple choice take the least of it (its api/task.py and
issue 370), so the logarithm is handed on with its sign turned, summed over the continuation's tokens. Release 0.7.3
makes text of every bare pair (`unwrap_generation_output`), which its own tasks cannot take apart again; a pair inside
a GenerationResult comes through. Its `--use_cache` can keep neither.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from tqdm import tqdm

from longtake.errors import ErrorCode, LongtakeError
from longtake.lmms.answering import Answerer, Done, Said, grouped
from longtake.lmms.settings import Settings, own_card
from longtake.lmms.wanted import Wanted, from_messages, wanted


class _Longtake(lmms):  # type: ignore[misc]  # lmms-eval has no types, and is not installed where types are checked
    """What both kinds of model have in common. Its arguments are `lmms.settings.Settings`."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.settings = Settings.read(given)
        first = own_card(self.settings.device).partition(",")[0].partition("=")[0]
        self.device = torch.device("cpu" if first == "auto" else first)
        """Where lmms-eval gathers the counts of several processes."""
        self._kept: Answerer | None = None
        self._answerer()  # a model that cannot be loaded is told before lmms-eval loads its data

    def clean(self) -> None:
        """Lets go of the model, so that a judge may be run on the same card; it is loaded again when it is asked."""
        self._kept = None
        super().clean()

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """See `lmms_eval.api.model.lmms`."""
        seeds = _seeds(requests)
        wants = [self._wanted(request, seed) for request, seed in zip(requests, seeds, strict=True)]
        with self._told(len(wants)) as (done, tell):
            said = self._answerer().answers(wants, done)
            tell(said)
        return [
            GenerationResult(one.text, None if one.error else TokenCounts(one.read_tokens, one.new_tokens))
            for one in said
        ]

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[list[str]]:
        """A list of answers for each request, one a round; rounds about the same video share what was read."""
        answers = []
        with self._told(len(requests)) as (done, tell):
            for request, seed in zip(requests, _seeds(requests), strict=True):
                said = list(self._rounds(request, seed))
                answers.append([one.text for one in said])
                tell(said)
                done(1)
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Not of chat models: lmms-eval makes no such requests of them."""
        raise LongtakeError(
            ErrorCode.USAGE_BAD_OPTION,
            "loglikelihood",
            "chat requests have no continuation that could be weighed",
            "take --force_simple",
        )

    def _answerer(self) -> Answerer:
        if self._kept is None:
            settings = self.settings
            self._kept = Answerer(settings.load(), batch_size=settings.batch_size, failed=settings.failed)
        return self._kept

    def _doc(self, task: str, split: str, doc_id: Any) -> Any:
        return self.task_dict[task][split][doc_id]

    @abstractmethod
    def _wanted(self, request: Instance, seed: int) -> Wanted:
        """What a request asks of which files."""

    @abstractmethod
    def _rounds(self, request: Instance, seed: int) -> Iterator[Said]:
        """What is said round after round of a request."""

    def _drawing(self, seed: int) -> Settings:
        return replace(self.settings, seed=self.settings.seed + seed)

    @contextmanager
    def _told(self, many: int) -> Iterator[tuple[Done, Callable[[Sequence[Said]], None]]]:
        """A bar, and what lmms-eval is told of speed and of how often a video was read."""
        answerer, began_s, said = self._answerer(), time.perf_counter(), list[Said]()
        reads, errors = answerer.reads, len(answerer.errors)
        with tqdm(total=many, disable=self.rank != 0, desc="longtake") as bar:
            yield bar.update, said.extend
        spent_s, new_tokens = time.perf_counter() - began_s, sum(one.new_tokens for one in said)
        log_metrics(
            total_elapsed_time=spent_s,
            total_gen_tokens=new_tokens,
            avg_speed=new_tokens / spent_s,
            additional_metrics={
                "rank": self.rank,
                "requests": many,
                "watched": answerer.reads - reads,
                "failed": len(answerer.errors) - errors,
            },
        )


class Simple(_Longtake):
    """`--model longtake --force_simple`: files first, then the task's words."""

    is_simple = True

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """(loss, whether it is the greedy answer) of each; see `lmms_eval.api.model.lmms`, and above of the form."""
        texts = [self._continuation(request) for request in requests]
        wants = [self._wanted(request, 0) for request in requests]
        losses: dict[int, GenerationResult] = {}
        with self._told(len(requests)) as (done, _):
            for about in grouped(range(len(wants)), lambda place: wants[place].seen):
                for places in grouped(about, lambda place: wants[place].question):
                    found = self._answerer().likely(wants[places[0]], [texts[place] for place in places])
                    for place, likely in zip(places, found, strict=True):
                        losses[place] = GenerationResult((-likely.logprob, likely.greedy))
                    done(len(places))
        return [losses[place] for place in range(len(requests))]

    def _continuation(self, request: Instance) -> str:
        """The text to be weighed, without the delimiter before it: templates have their own."""
        if len(request.args) != 6:
            reason, advice = "asks without anything to be seen (acc_mutual_info)", "leave that metric out"
            raise LongtakeError(ErrorCode.DATA_BAD, request.task_name or "the task", reason, advice)
        _, continuation, _, doc_id, task, split = request.args
        told = continuation(self._doc(task, split, doc_id)) if callable(continuation) else continuation
        return str(told).lstrip(" ")

    def _wanted(self, request: Instance, seed: int) -> Wanted:
        question, how, doc_to_visual, doc_id, task, split = request.args
        how = how if isinstance(how, Mapping) else {}
        name, see = f"{task}, question {doc_id}", partial(_of_doc, doc_to_visual, self, (task, split, doc_id))
        return wanted(name, see, question, how, self._drawing(seed))

    def _rounds(self, request: Instance, seed: int) -> Iterator[Said]:
        question, how, doc_to_visual, doc_to_text, doc_id, task, split = request.args
        doc, name, told, said = self._doc(task, split, doc_id), f"{task}, question {doc_id}", None, list[str]()
        visuals = doc_to_visual(doc)
        while True:
            want = wanted(name, partial(_same, visuals), question, how, self._drawing(seed))
            (one,) = self._answerer().answers([want])
            yield one
            said.append(one.text)
            visuals, question, ended, _, told = doc_to_text(
                doc, previous_output=list(said), round_idx=len(said), previous_round_info=told
            )
            if ended:
                return


class Chat(_Longtake):
    """`--model longtake`: a list of messages, of which the files must come first."""

    is_simple = False

    def _wanted(self, request: Instance, seed: int) -> Wanted:
        _, doc_to_messages, how, doc_id, task, split = request.args
        messages = partial(_of_doc, doc_to_messages, self, (task, split, doc_id))
        return from_messages(f"{task}, question {doc_id}", messages, how, self._drawing(seed))

    def _rounds(self, request: Instance, seed: int) -> Iterator[Said]:
        _, doc_to_messages, how, doc_id, task, split = request.args
        doc, name, told, said = self._doc(task, split, doc_id), f"{task}, question {doc_id}", None, list[str]()
        messages = doc_to_messages(doc)
        while True:
            (one,) = self._answerer().answers([from_messages(name, partial(_same, messages), how, self._drawing(seed))])
            yield one
            said.append(one.text)
            messages, ended, _, told = doc_to_messages(
                doc, round_idx=len(said), previous_output=list(said), previous_round_info=told
            )
            if ended:
                return


def _seeds(requests: Sequence[Instance]) -> list[int]:
    """0, and for a question that is asked again (`--repeats`) 1, 2 and so on: the same seed would draw the same."""
    times: Counter[int] = Counter()
    seeds = []
    for request in requests:
        seeds.append(times[id(request)])
        times[id(request)] += 1
    return seeds


def _of_doc(give: Callable[[Any], Any], model: _Longtake, place: tuple[str, str, Any]) -> Any:
    return give(model._doc(*place))


def _same(value: Any) -> Any:
    return value
