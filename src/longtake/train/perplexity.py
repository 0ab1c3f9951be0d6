"""train/perplexity: a language model and text in, how well it foresees each next token, by position, out.

    documents -> windows of `length` tokens -> keys and values, chunk by chunk -> losses in blocks -> sums by position

A model that uses what it read long ago loses less the further it has come; one that reads beyond what it was trained on
loses more, often all at once. Neither shows in one number, so losses are told in stretches of doubling length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from longtake.checkpoint import placement
from longtake.loading import folder_of
from longtake.networks import nonfinite
from longtake.train.corpus import Document, bad_data, find_files, read_documents
from longtake.train.entropy import losses_of
from longtake.train.language import Start, from_folder
from longtake.train.packing import Packer
from longtake.train.reading_on import doubling
from longtake.train.worldly import World

CHUNK_TOKENS = 512
"""Of a window, read at once: what a window takes beside keys and values does not grow with its length."""
BY_LENGTH = ("dynamic", "longrope")
"""Scalings that turn all positions by the length of the whole: such windows are read in one piece."""


@dataclass(frozen=True)
class Windows:
    """How documents are cut.

    Attributes:
        length: tokens of a window; a document's last may be shorter.
        stride: from one window's first token to the next one's; 0 begins where the last one ended. Smaller ones give
            more tokens a long past.
        most: so many windows are read; 0 reads all.
        joined: documents follow one another, each ended by its token, as in rows of a training; what fills no last
            window is left out. Else a window never holds more than one.
    """

    length: int
    stride: int = 0
    most: int = 0
    joined: bool = False

    def __post_init__(self) -> None:
        if self.length < 2 or not 0 <= self.stride <= self.length or self.most < 0:
            told = f"length is {self.length}, stride {self.stride} and most {self.most}"
            raise ValueError(f"{told}; want a length of 2 or more, a stride of at most that, and none below 0")
        if self.joined and self.stride:
            raise ValueError("windows of joined documents do not overlap: want no stride")

    def cut(self, ids: Sequence[int], opening: Sequence[int] = ()) -> Iterator[tuple[list[int], int]]:
        """The windows of one document, each with how many of its tokens no earlier window has read.

        Args:
            opening: stands before each, and is part of its length.
        """
        room = max(1, self.length - len(opening))
        step = min(self.stride or room, room)
        start = seen = 0
        while seen < len(ids):
            part = ids[start : start + room]
            yield [*opening, *part], start + len(part) - seen
            seen, start = start + len(part), start + step


@dataclass
class Sums:
    """Losses added up, by the position of the token that each was foreseen from."""

    loss_L: np.ndarray[Any, np.dtype[np.float64]]
    count_L: np.ndarray[Any, np.dtype[np.int64]]
    new_loss: float = 0.0
    new_count: int = 0
    windows: int = 0

    def add(self, losses_K: torch.Tensor, new: int) -> None:
        """One window's losses, of which the last `new` are of tokens that count for the whole."""
        read = losses_K.double().numpy()
        self.loss_L[: len(read)] += read
        self.count_L[: len(read)] += 1
        self.new_loss += float(read[-new:].sum())
        self.new_count += min(new, len(read))
        self.windows += 1

    def rows(self, trained: int) -> list[dict[str, Any]]:
        """What each stretch of positions lost; a stretch that the trained context ends in is two."""
        length = int(self.count_L.nonzero()[0][-1]) + 1
        edges = sorted(
            {edge for both in doubling(length) for edge in both} | ({trained} if trained < length else set())
        )
        return [
            {
                "from": start,
                "to": end,
                "tokens": int(self.count_L[start:end].sum()),
                **_told(self.loss_L[start:end].sum(), self.count_L[start:end].sum()),
                "beyond": start >= trained,
            }
            for start, end in zip(edges, edges[1:], strict=False)
        ]


def load_reader(name: str, *, device: str, dtype: str) -> Start:
    """A language model to be measured.

    Args:
        name: of a bundled nano or a model of the hub, or a folder with either.

    Raises:
        LongtakeError: `model.*`, `usage.bad_option`; of the hub `network.unreachable` and `disk.write` too.
    """
    where = placement(device, dtype)
    start = from_folder(folder_of(name), where.device, where.dtype)
    start.language.eval()
    return start


def documents_in(patterns: Sequence[str], text_field: str) -> Iterator[Document]:
    """The documents of files, folders and globs, in order; files that are not there are refused at once.

    Raises:
        LongtakeError: `usage.bad_option`; while reading `data.bad`.
    """
    files = find_files(patterns, option="")
    return (document for path in files for document in read_documents(path, text_field))


def documents_of_world() -> Iterator[Document]:
    """Films in words about combinations that nano was never trained on."""
    return World().held_out()


def measure(
    start: Start,
    documents: Iterable[Document],
    windows: Windows,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """The loss of the next token, in nats, and its exponential, of some text and by position.

    Each window begins anew at position 0, behind the token that the tokenizer's files put before a text, if any. A loss
    stands at the position of the last token that was read for it; whatever lies at `trained_context` or behind is
    beyond what the model was trained to read. The whole counts no token twice: in overlapping windows where it has
    the longest past. What begins a window is foreseen from nothing, so it counts only where the window before reaches
    over it, or a token stands before.

    Args:
        progress: hears how many windows are read.

    Raises:
        LongtakeError: `data.bad` if no document has two tokens, or one cannot be spelt; `model.nonfinite`.
    """
    sums = Sums(np.zeros(windows.length), np.zeros(windows.length, np.int64))
    places: list[str] = []
    for window, new in _windows(start, _noting(documents, places), windows):
        if len(window) < 2:
            continue
        # Of what follows the first token, which nothing foretells.
        sums.add(losses_of_window(start.language, torch.tensor(window)), min(new, len(window) - 1))
        progress(sums.windows)
        if sums.windows == windows.most:
            break
    if not sums.windows:
        wanted = f"{windows.length:,} tokens for a window" if windows.joined else "two tokens in a document"
        place = f"{len(places):,} documents" if len(places) > 1 else places[0] if places else "no document"
        raise bad_data(place, f"want {wanted}", "give files with more words in them")
    return {
        "trained_context": start.context,
        "length": windows.length,
        "stride": windows.stride or windows.length,
        "documents": len(places),
        "windows": sums.windows,
        "tokens": sums.new_count,
        **_told(sums.new_loss, sums.new_count),
        "by_position": sums.rows(start.context),
    }


@torch.inference_mode()
def losses_of_window(language: Any, ids_L: torch.Tensor) -> torch.Tensor:
    """(L - 1,) float32 on the processor: what each token but the first lost, given those before it.

    Raises:
        LongtakeError: `model.nonfinite`.
    """
    device = next(language.parameters()).device
    scaling = language.config.rope_parameters.get("rope_type")
    by_length = scaling in BY_LENGTH
    at_once = len(ids_L) if by_length else CHUNK_TOKENS

    def read() -> torch.Tensor:
        if by_length:
            # transformers' dynamic scaling stays at the longest that it has read until it reads something short.
            language.model(input_ids=ids_L[None, :1].to(device), use_cache=False)
        cache, losses = DynamicCache(config=language.config), []
        # Nothing follows the last token; it only counts where the length of the whole does.
        last = len(ids_L) - 1
        for start in range(0, last, at_once):
            chunk_C = ids_L[start : start + at_once if by_length else min(start + at_once, last)].to(device)
            output = language.model(input_ids=chunk_C[None], past_key_values=cache, use_cache=True)
            asked_C = ids_L[start + 1 : start + 1 + len(chunk_C)].to(device)
            losses.append(losses_of(output.last_hidden_state[0, : len(asked_C)], asked_C, language.lm_head).cpu())
        return torch.cat(losses)

    losses_K = read()
    if not bool(losses_K.isfinite().all()):
        raise nonfinite({"language": language}, read)
    return losses_K


def _noting(documents: Iterable[Document], places: list[str]) -> Iterator[Document]:
    for document in documents:
        places.append(document.place)
        yield document


def _windows(start: Start, documents: Iterator[Document], windows: Windows) -> Iterator[tuple[list[int], int]]:
    packer, opening = Packer(start.tokenizer, start.end_id), start.tokenizer.beginning_ids
    if windows.joined:
        room = max(1, windows.length - len(opening))
        yield from (([*opening, *row], room) for row in packer.rows(documents, room))
        return
    for document in documents:
        # Without the token that ends it.
        yield from windows.cut(packer.ids(document)[:-1], opening)


def _told(loss: float, count: int) -> dict[str, Any]:
    """None for what is no number, or too large for one."""
    mean = float(loss) / int(count) if count else None
    perplexity = None if mean is None or mean > 700 else round(math.exp(mean), 4)
    return {"loss": None if mean is None else round(mean, 4), "perplexity": perplexity}
