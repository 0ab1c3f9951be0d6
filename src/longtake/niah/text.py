"""niah.text: text files or a seed in, a haystack of tokens and needles of words out; lays any cell. Knows no engine.

The needle in a haystack without pictures: the length of a haystack is counted in tokens, all else is as with frames.
A needle goes to the end of the sentence, or of the caption, in which its place falls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.errors import ErrorCode, LongtakeError
from longtake.families import Model
from longtake.niah import Cell, Grid, Insertion, Trial
from longtake.prompt import Prompt, Tokenizer, segment_ids
from longtake.world.scenes import Scene, draw_scenery

NEEDLE = "\nThe magic number of {name} is {number}.\n"
QUESTION = "What is the magic number of {name}? Answer with the number alone."
NAMES = tuple(
    """
    Aberdeen Bergen Cordoba Dresden Edmonton Fukuoka Ghent Havana Innsbruck Jaipur Krakow Lagos Malmo Nairobi Oslo
    Porto Quito Riga Seville Tampere Utrecht Valparaiso Windhoek Xalapa York Zagreb Bogota Cusco Dakar Essen
    """.split()
)
LOWEST, HIGHEST = 1_000_000, 9_999_999

MOST_MOVED_TOKENS = 256
"""Where no sentence ends within so many tokens, a needle stays in its place."""
_ENDINGS = (".", "!", "?", "\n")
_ADVICE = "give a text file in UTF-8"
_BLOCK_CHARACTERS = 1 << 16
_STREAM = 4
"""Keeps these random numbers apart from others drawn from the same seed."""


@dataclass(frozen=True)
class TextHaystack:
    """Tokens in which needles hide.

    Attributes:
        ids_L: as long as the longest cell's haystack; shorter ones are its beginnings.
        ends: ascending places where a sentence or caption has just ended; 0 is one.
        origin: where they come from, for the summary.
    """

    ids_L: NDArray[np.int64]
    ends: NDArray[np.int64]
    origin: Mapping[str, object]

    def place(self, share: float, tokens: int) -> int:
        """Where in the first `tokens` tokens something of that depth goes: int(share x tokens), moved on to the next
        end where one is near.
        """
        wanted = int(share * tokens)
        number = int(np.searchsorted(self.ends, wanted))
        near = number < len(self.ends) and self.ends[number] - wanted <= MOST_MOVED_TOKENS
        return min(int(self.ends[number]), tokens) if near else wanted


@dataclass(frozen=True)
class TextCell(Cell):
    """A cell whose insertions go where sentences end; `frames` are tokens here."""

    exact_places: tuple[int, ...] = ()

    @property
    def places(self) -> tuple[int, ...]:
        """Before which token of the haystack each insertion comes."""
        return self.exact_places


def cells_in(haystack: TextHaystack, grid: Grid, trials: Sequence[Trial]) -> list[Cell]:
    """Every length, every depth, every trial."""
    return [
        TextCell(cell.frames, cell.depth, cell.trial, exact_places=_places(haystack, cell))
        for cell in grid.cells(trials)
    ]


def _places(haystack: TextHaystack, cell: Cell) -> tuple[int, ...]:
    return tuple(haystack.place(one.depth_in(cell.depth), cell.frames) for one in cell.trial.insertions)


@dataclass(frozen=True)
class LaidText:
    """Haystack and needles as tokens: any cell's prompt can be put together.

    Attributes:
        model: whose template and tokenizer are used.
        haystack: as long as the longest cell's.
        needles: for each trial's name, the tokens of each insertion.
    """

    model: Model
    haystack: TextHaystack
    needles: Mapping[str, Sequence[list[int]]]

    @classmethod
    def of(cls, model: Model, haystack: TextHaystack, trials: Sequence[Trial]) -> LaidText:
        """With the trials' words as tokens."""
        encode = model.tokenizer.encode
        return cls(model, haystack, {trial.name: [encode(one.text) for one in trial.insertions] for trial in trials})

    def prompt(self, cell: Cell) -> Prompt:
        """All that is read before the question: the haystack's first tokens with the insertions in their places."""
        parts, begin = [np.asarray(segment_ids(self.model.tokenizer, self.model.template.opening))], 0
        placed = zip(cell.places, self.needles[cell.trial.name], strict=True)
        for place, needle_ids in sorted(placed, key=lambda one: one[0]):
            parts += [self.haystack.ids_L[begin:place], np.asarray(needle_ids)]
            begin = place
        parts.append(self.haystack.ids_L[begin : cell.frames])
        return Prompt(torch.from_numpy(np.concatenate(parts).astype(np.int64)), torch.zeros(0, 1))


def number_needles(count: int, *, seed: int, distractors: int = 0) -> list[Trial]:
    """Trials in English: the magic number of somewhere is so and so; `distractors` others stand at depths of their own.

    Raises:
        LongtakeError: `usage.bad_option` for more distractors than there are other names.
    """
    if not 0 <= distractors < len(NAMES):
        reason = f"{distractors} are not between none and {len(NAMES) - 1}, as many as there are other names"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "--distractors", reason, "LongVA takes 0, 3 and 5")
    return [_number_needle(number, seed, distractors) for number in range(count)]


def _number_needle(number: int, seed: int, distractors: int) -> Trial:
    rng = np.random.default_rng([seed, _STREAM, number])
    names = [NAMES[place] for place in rng.permutation(len(NAMES))[: 1 + distractors]]
    numbers = rng.choice(HIGHEST - LOWEST + 1, 1 + distractors, replace=False) + LOWEST
    depths = [None, *rng.random(distractors).tolist()]
    insertions = tuple(
        Insertion((), depth, text=NEEDLE.format(name=name, number=magic))
        for name, magic, depth in zip(names, numbers, depths, strict=True)
    )
    chance = 1 / (HIGHEST - LOWEST + 1)
    return Trial(f"number-{number:02}", insertions, QUESTION.format(name=names[0]), str(numbers[0]), chance)


def read_texts(tokenizer: Tokenizer, paths: Sequence[Path], wanted: int) -> TextHaystack:
    """The first `wanted` tokens of the files, one after the other; from the beginning again where they have fewer.

    Raises:
        LongtakeError: `media.not_found`, `media.not_a_file`, `media.empty`, `media.unknown_format`, naming the file.
    """
    ids: list[int] = []
    files = []
    for path in paths:
        # Also those that are not needed: a name mistyped is not passed over in silence.
        if not path.exists():
            raise LongtakeError(ErrorCode.MEDIA_NOT_FOUND, str(path), "there is no such file", _ADVICE)
    for path in paths:
        before = len(ids)
        for block in _blocks(path):
            ids += tokenizer.encode(block)
            if len(ids) >= wanted:
                break
        files.append({"path": str(path), "tokens": min(len(ids), wanted) - before})
        if len(ids) >= wanted:
            break
    if not ids:
        raise LongtakeError(ErrorCode.MEDIA_EMPTY, str(paths[0]), "holds no text", "give files with words in them")
    ids_L = np.resize(np.asarray(ids, dtype=np.int64), wanted)
    different = min(len(ids), wanted)
    origin = {
        "unit": "tokens",
        "tokens": wanted,
        "different_tokens": different,
        "cycled": different < wanted,
        "files": files,
    }
    return TextHaystack(ids_L, _sentence_ends(tokenizer, ids_L), origin)


def _blocks(path: Path) -> Iterator[str]:
    """The file's text, some lines at a time: what is not needed is not read."""
    try:
        with open(path, encoding="utf-8") as file:
            while lines := file.readlines(_BLOCK_CHARACTERS):
                yield "".join(lines)
    except OSError as error:
        raise LongtakeError(ErrorCode.MEDIA_NOT_A_FILE, str(path), error.strerror or str(error), _ADVICE) from error
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text: {error.reason}"
        raise LongtakeError(ErrorCode.MEDIA_UNKNOWN_FORMAT, str(path), reason, _ADVICE) from error


def _sentence_ends(tokenizer: Tokenizer, ids_L: NDArray[np.int64]) -> NDArray[np.int64]:
    @cache
    def ends_one(token_id: int) -> bool:
        return tokenizer.decode([token_id]).rstrip(" ").endswith(_ENDINGS)

    behind = [place + 1 for place, token_id in enumerate(ids_L.tolist()) if ends_one(token_id)]
    return np.asarray([0, *behind], dtype=np.int64)


def write_world(
    tokenizer: Tokenizer, wanted: int, symbols: Sequence[Sequence[Scene]] = (), *, share: float = 0.0, seed: int = 0
) -> TextHaystack:
    """`wanted` tokens of captions of scenery, of which about a `share` is of `symbols` instead, all captions of one
    together: what a model of the drawn world reads instead of frames.
    """
    rng = np.random.default_rng([seed, _STREAM])
    ids: list[int] = []
    ends, captions, replaced = [0], 0, 0
    # One caption of a symbol stands against one of scenery, however many captions a symbol has.
    chance = share / (share + (1 - share) * len(symbols[0])) if symbols else 0.0
    while len(ids) < wanted:
        symbol = bool(symbols) and rng.random() < chance
        shots = symbols[int(rng.integers(len(symbols)))] if symbol else (draw_scenery(rng),)
        ids += [token_id for shot in shots for token_id in tokenizer.encode(" ".join(shot.caption))]
        ends.append(len(ids))
        captions, replaced = captions + len(shots), replaced + symbol * len(shots)
    told = {"captions": captions, "symbol_captions": replaced, "symbol_share_asked": share}
    ends_L = np.asarray([end for end in ends if end <= wanted], dtype=np.int64)
    return TextHaystack(np.asarray(ids[:wanted], dtype=np.int64), ends_L, {"unit": "tokens", "tokens": wanted, **told})


@dataclass(frozen=True)
class AsReleased:
    """Where LongVA's released text needle puts things.

    Each distractor goes behind the first period after a random place, where there is one, else to that place; then the
    needle likewise at int(depth x length), but for depth 0 and 1, which are the very beginning and end. Lengths grow by
    what is put in, and a period that ends just before a place is not looked at.

    `number_needles` and `TextHaystack.place` do otherwise: a length is the haystack's alone, a needle's place does not
    hang on the distractors, theirs are kept in the rows, and the nearest end of a sentence counts.

    Attributes:
        period_ids: the tokenizer's tokens of a period.
        seed: of the places of the distractors.
    """

    period_ids: frozenset[int]
    seed: int

    def place(
        self, needle: Sequence[int], haystack: Sequence[int], distractors: Iterable[Sequence[int]], *, depth: float
    ) -> list[int]:
        """`haystack` with distractors and needle in it."""
        random = np.random.RandomState(self.seed)
        tokens = list(haystack)
        for distractor in distractors:
            place = self._behind_period(tokens, int(random.randint(0, len(tokens))))
            tokens[place:place] = distractor
        if depth in (0, 1):
            place = len(tokens) if depth else 0
        else:
            place = self._behind_period(tokens, int(depth * len(tokens)))
        return [*tokens[:place], *needle, *tokens[place:]]

    def _behind_period(self, tokens: Sequence[int], place: int) -> int:
        return next((number + 1 for number in range(place, len(tokens)) if tokens[number] in self.period_ids), place)
