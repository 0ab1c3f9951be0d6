"""niah.sweep: cells in, rows out, reading only what was not read before. Knows nothing of pictures or layouts.

Cells come in an order in which neighbours begin alike: insertions from the deepest to the shallowest; at each place all
trials; for each trial the shorter haystacks first, so that one insertion serves every longer haystack.

    |---- haystack ----|needle|-------|  <- the next length reads on here
                       |needle 2|--...   <- the next trial, from the place of insertion
              |needle|--...              <- the next place: what is behind it is forgotten

What two prompts share is found by comparing what was read, so it holds for any layout and any number of insertions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import torch

from longtake.engines import GenerateOptions, Prefix
from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.niah import Cell, Row, Trial
from longtake.niah.scoring import is_right
from longtake.prompt import VISUAL_PLACE, Prompt, question_ids

PromptOf = Callable[[Cell], Prompt]
"""What is read before a cell's question."""

MORE_NEW_TOKENS = 8
"""A generated answer may have so many tokens more than the right one."""
LOGPROB_DIGITS = 4
_COMPARED_ROWS = 8192


def in_reading_order(cells: Sequence[Cell]) -> list[Cell]:
    """The cells so that neighbours begin alike; see the top of this file."""
    trials = {name: number for number, name in enumerate(dict.fromkeys(cell.trial.name for cell in cells))}
    return sorted(cells, key=lambda cell: (-min(cell.places, default=0), trials[cell.trial.name], cell.frames))


def sweep(
    model: Model,
    cells: Sequence[Cell],
    prompt_of: PromptOf,
    *,
    longest_tokens: int = 0,
    done: Collection[tuple[int, float, str]] = (),
) -> Iterator[Row]:
    """Ask every cell that is not `done`; a cell that fails is a row with its error.

    Args:
        model: is asked, whatever it was trained to read.
        cells: in any order.
        prompt_of: what is read before a cell's question.
        longest_tokens: positions of the longest prompt, for which memory is taken once.
        done: keys of cells to leave out.

    Raises:
        LongtakeError: `usage.blank_question`, `usage.bad_text`, before anything is read.
    """
    asked = {cell.trial.name: Asking(model, cell.trial) for cell in cells}
    reading = SharedReading(model, longest_tokens)
    for cell in in_reading_order(cells):
        if cell.key not in done:
            yield _row(reading, cell, asked[cell.trial.name], prompt_of)


def _row(reading: SharedReading, cell: Cell, asked: Asking, prompt_of: PromptOf) -> Row:
    frames, depth, name = cell.key
    row = Row(frames, depth, name, cell.places, cell.trial.question, cell.trial.answer, cell.trial.chance)
    try:
        scored = asked.score(reading.read(asked.after(prompt_of(cell))), row)
    except (LongtakeError, RuntimeError, MemoryError) as error:
        if isinstance(error, LongtakeError) and error.code is ErrorCode.RANKS_LOST:
            raise  # no other cell could be read either
        reading.forget()
        code = error.code.value.code if isinstance(error, LongtakeError) else type(error).__name__
        reason = error.reason if isinstance(error, LongtakeError) else str(error)
        scored = replace(row, error=f"{code}: {reason}")
    return scored


class Asking:
    """A trial's question and answer as tokens. The question is read as the prompt's end, once for both scores.

    Attributes:
        question_ids, answer_ids: as the model reads them.
    """

    def __init__(self, model: Model, trial: Trial) -> None:
        self._model = model
        self.question_ids = question_ids(model.template, model.tokenizer, trial.question)
        self.answer_ids = model.tokenizer.encode(trial.answer)

    def after(self, prompt: Prompt) -> Prompt:
        """The prompt with the question behind it, up to where the answer begins."""
        return Prompt(torch.cat([prompt.token_ids_L, torch.tensor(self.question_ids)]), prompt.visual_ND)

    def score(self, prefix: Prefix, row: Row) -> Row:
        """`row` with both scores, from a prefix that ends with the question."""
        engine = self._model.engine
        forced = engine.force(prefix, [], self.answer_ids)
        right = forced.likeliest_A.tolist() == self.answer_ids
        # Where the likeliest tokens are the answer's and then the end, that is what greedy generation says.
        new_ids = self.answer_ids if right and forced.ends else self._generated(prefix)
        text = self._model.tokenizer.decode(new_ids).strip()
        tokens = prefix.length + len(self.answer_ids)
        return replace(
            row,
            text=text,
            forced=right,
            generated=is_right(text, row.expected),
            logprob=round(float(forced.logprobs_A.sum()), LOGPROB_DIGITS),
            tokens=tokens,
            beyond_trained_context=tokens > engine.trained_context,
        )

    def _generated(self, prefix: Prefix) -> list[int]:
        options = GenerateOptions(max_new_tokens=len(self.answer_ids) + MORE_NEW_TOKENS)
        return list(self._model.engine.generate(prefix, [], options))


class SharedReading:
    """What an engine has read last; the next prompt is read from where it differs. One cache, no copies.

    Attributes:
        kept_tokens, new_tokens: of the last prompt, how many positions were there already, and how many were read.
    """

    def __init__(self, model: Model, longest_tokens: int = 0) -> None:
        self._engine, self._longest_tokens = model.engine, longest_tokens
        self._prompt: Prompt | None = None
        self._prefix: Prefix | None = None
        self.kept_tokens = self.new_tokens = 0

    def read(self, prompt: Prompt) -> Prefix:
        """What the engine keeps of `prompt`; what it kept before is spent."""
        prefix, before = self._prefix, self._prompt
        self.forget()
        # One position is always read: the next token is chosen from what the last one leaves.
        length = len(prompt.token_ids_L)
        keep = 0 if before is None else min(shared_tokens(before, prompt), length - 1)
        if prefix is None or keep == 0:
            del prefix
            kept = self._engine.prefill(prompt, room_tokens=max(0, self._longest_tokens - length))
        else:
            kept = self._engine.extend(prefix, keep, behind(prompt, keep))
        self._prompt, self._prefix = prompt, kept
        self.kept_tokens, self.new_tokens = keep, length - keep
        return kept

    def forget(self) -> None:
        """Let go of what is kept."""
        self._prompt = self._prefix = None
        self.kept_tokens = self.new_tokens = 0


def shared_tokens(one: Prompt, other: Prompt) -> int:
    """At how many positions, from the first on, two prompts have the same token or the same visual token."""
    length = min(len(one.token_ids_L), len(other.token_ids_L))
    ids_L = one.token_ids_L[:length]
    differing = (ids_L != other.token_ids_L[:length]).nonzero()
    first = int(differing[0]) if len(differing) else length
    places = (ids_L[:first] == VISUAL_PLACE).nonzero()[:, 0]
    row = _first_differing_row(one.visual_ND[: len(places)], other.visual_ND[: len(places)])
    return first if row is None else int(places[row])


def _first_differing_row(one_ND: torch.Tensor, other_ND: torch.Tensor) -> int | None:
    for start in range(0, len(one_ND), _COMPARED_ROWS):
        one, other = one_ND[start : start + _COMPARED_ROWS], other_ND[start : start + _COMPARED_ROWS]
        if not torch.equal(one, other):
            return start + int((one != other).any(1).nonzero()[0])
    return None


def behind(prompt: Prompt, keep: int) -> Prompt:
    """The prompt without its first `keep` positions."""
    places = int((prompt.token_ids_L[:keep] == VISUAL_PLACE).sum())
    return Prompt(prompt.token_ids_L[keep:], prompt.visual_ND[places:])
