"""train/llava: files of conversations about pictures in, checked samples out. Knows nothing of models.

The form is LLaVA's: a JSON list (or jsonl) of {"id", "image" or "images", "conversations": [{"from", "value"}, ...]},
`human` and `gpt` taking turns, with `<image>` in the human's words for each picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from longtake.errors import LongtakeError
from longtake.train.corpus import LINE_ENDINGS, bad_data

MARK = "<image>"
PAIR_ENDINGS = (".json", *LINE_ENDINGS)
ASKS = ("human", "user")
ANSWERS = ("gpt", "assistant")


@dataclass(frozen=True)
class Turn:
    """A question with its answer; `pictures` of the sample's pictures are shown before the question."""

    question: str
    answer: str
    pictures: int


@dataclass(frozen=True)
class Sample:
    """A conversation about some pictures.

    Attributes:
        place: file and sample, for messages.
        pictures: their files, in the order in which the conversation shows them.
    """

    place: str
    pictures: tuple[Path, ...]
    turns: tuple[Turn, ...]

    @property
    def likeness(self) -> tuple[int, int]:
        """What batches are put together by: how many pictures there are, and about how long the words are."""
        return len(self.pictures), sum(len(turn.question) + len(turn.answer) for turn in self.turns)

    def held_out(self, share: float) -> bool:
        """Whether it is kept from training, by a hash of its words and its pictures' names."""
        words = json.dumps([[path.name for path in self.pictures], [[t.question, t.answer] for t in self.turns]])
        digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < share * 2**64


def read_samples(path: Path, folder: Path, *, most_images: int) -> Iterator[Sample | LongtakeError]:
    """The samples of a file in order; in place of one that is not as it should be, what is wrong with it (`data.bad`).

    Args:
        folder: that the pictures' names are relative to.
        most_images: that a sample may show.

    Raises:
        LongtakeError: `data.bad` if the file itself cannot be read.
    """
    for number, row in enumerate(_rows(path)):
        if isinstance(row, LongtakeError):
            yield row
            continue
        name = f" ({row['id']})" if isinstance(row, dict) and row.get("id") is not None else ""
        place = f"{path}: sample {number}{name}"
        try:
            yield _sample(row, place, folder, most_images)
        except LongtakeError as error:
            yield error


def open_picture(sample: Sample, path: Path) -> NDArray[np.uint8]:
    """A picture as it is to be looked at: (H, W, 3) uint8, turned as its EXIF says, on white where it is see-through.

    Raises:
        LongtakeError: `data.bad`, naming sample and file.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                clear = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"the picture {path} cannot be seen: {' '.join(str(error).split())}"
        raise bad_data(sample.place, reason, "mend it, or leave such samples out with --on-bad skip") from error


def _rows(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in LINE_ENDINGS:
            # Not splitlines: other ends of lines, such as U+2028, may stand inside a JSON text.
            return [_row(line, f"{path}:{number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise bad_data(str(path), f"cannot be read as JSON: {error}", "mend it") from error
    if not isinstance(rows, list):
        advice = "want [{id, image, conversations: [{from, value}, ...]}, ...]"
        raise bad_data(str(path), f"holds no list but {type(rows).__name__}", advice)
    return rows


def _row(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return bad_data(place, f"cannot be read as JSON: {error}", "mend it, or leave it out with --on-bad skip")


def _sample(row: Any, place: str, folder: Path, most_images: int) -> Sample:
    if not isinstance(row, dict) or not isinstance(row.get("conversations"), list):
        raise bad_data(place, "has no list of conversations", "want {id, image, conversations: [{from, value}, ...]}")
    pictures = tuple(folder / name for name in _names(row, place))
    if len(pictures) > most_images:
        advice = f"show at most {most_images}, or set most_images"
        raise bad_data(place, f"shows {len(pictures)} pictures", advice)
    turns = tuple(_turns(row["conversations"], place))
    marks = sum(turn.pictures for turn in turns)
    if marks != len(pictures):
        reason = f"has {len(pictures)} pictures and {marks} times {MARK}"
        raise bad_data(place, reason, "write it once for each picture")
    for path in pictures:
        if not path.is_file():
            advice = "put it there, name its folder with --pictures, or leave such samples out with --on-bad skip"
            raise bad_data(place, f"the picture {path} is not there", advice)
    return Sample(place, pictures, turns)


def _names(row: dict[str, Any], place: str) -> list[str]:
    found = row.get("images", row.get("image", []))
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_data(place, "its image is neither a name nor a list of names", "name files")
    return names


def _turns(conversation: Sequence[Any], place: str) -> Iterator[Turn]:
    """Question and answer, question and answer."""
    said = [_said(part, place) for part in conversation]
    if not said or len(said) % 2:
        raise bad_data(place, f"has {len(said)} parts of a conversation", "each question wants its answer")
    for number, ((asker, question), (answerer, answer)) in enumerate(zip(said[::2], said[1::2], strict=True)):
        if asker not in ASKS or answerer not in ANSWERS:
            reason = f"turn {number} is from {asker} and {answerer}"
            raise bad_data(place, reason, f"want from {ASKS[0]}, then from {ANSWERS[0]}")
        words = _words(question)
        if not words:
            raise bad_data(place, f"the question of turn {number} has no words", "ask something")
        _refuse_half_characters(words + answer, place)
        yield Turn(words, answer.strip(), question.count(MARK))


def _refuse_half_characters(text: str, place: str) -> None:
    """A lone surrogate is valid JSON and no text; said here, where its sample is known."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_data(place, f"holds no Unicode text: {error.reason}", "mend or remove it") from error


def _words(question: str) -> str:
    """The words without the marks: a model is asked with all pictures before the question, wherever the marks stood."""
    return question.replace(f"{MARK}\n", "").replace(f"\n{MARK}", "").replace(MARK, "").strip()


def _said(part: Any, place: str) -> tuple[str, str]:
    if isinstance(part, dict) and isinstance(part.get("from"), str) and isinstance(part.get("value"), str):
        return part["from"], part["value"]
    raise bad_data(place, "a part of its conversation is not {from, value}", "want texts")
