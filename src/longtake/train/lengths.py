"""train/lengths: files of text in, documents out, more of the long ones. Knows nothing of tokens or models.

What a model reads decides how far it learns to look: of most text too little is long. As Fu et al. found (arXiv
2402.10171, section 3), the long documents of *each* source are drawn more often, and how much of the whole each source
gives stays as it was: to take long ones from wherever they are would make books of everything.

A source is the files of one folder. Nothing comes twice in a round: where long documents are to be more, short ones are
passed over. Shares are counted in characters, and what a source gives of the whole in the bytes of its files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from longtake.train.corpus import Corpus, Document, nothing_to_train_on

WAITING = 16
"""Documents of the kind that is not wanted now, kept for when it is; earlier ones are passed over."""


@dataclass(frozen=True)
class MoreLong:
    """A corpus whose long documents make a given share of its text, source by source.

    Attributes:
        corpus: whose documents these are.
        long_characters: from how many on a document is long.
        long_share: of each source's characters come from long documents; a source of one kind only gives that.
    """

    corpus: Corpus
    long_characters: int
    long_share: float

    def training(self, seed: Sequence[int]) -> Iterator[Document]:
        """Documents to train on, without end; the same seed gives the same again.

        Raises:
            LongtakeError: `data.bad`, also when no source holds a document.
        """
        sources = self.sources()
        streams = {place: self._balanced(source, [*seed, place]) for place, source in enumerate(sources)}
        shares = [max(1, sum(path.stat().st_size for path in source.files)) for source in sources]
        given = [0] * len(sources)
        while streams:
            place = min(streams, key=lambda place: given[place] / shares[place])
            document = next(streams[place], None)
            if document is None:
                # All of it is held out or blank.
                del streams[place]
                continue
            given[place] += len(document.text)
            yield document
        raise nothing_to_train_on(self.corpus.files)

    def held_out(self) -> Iterator[Document]:
        """The corpus's own, as they come."""
        return self.corpus.held_out()

    def told(self) -> dict[str, Any]:
        """As the corpus; the recipe has the rest."""
        return self.corpus.told()

    def sources(self) -> list[Corpus]:
        """One for each folder that files lie in, in the order of the files."""
        folders: dict[Path, list[Path]] = {}
        for path in self.corpus.files:
            folders.setdefault(path.parent, []).append(path)
        return [replace(self.corpus, files=tuple(files)) for files in folders.values()]

    def _balanced(self, source: Corpus, seed: Sequence[int]) -> Iterator[Document]:
        """The documents of one source, long ones whenever they are behind; ends only where there is none at all.

        As long as only one kind has been met, it is given, by WAITING documents at once; once the other is met, that is
        made up for.
        """
        waiting: dict[bool, deque[Document]] = {kind: deque(maxlen=WAITING) for kind in (True, False)}
        given = {True: 0, False: 0}
        found = set[bool]()
        for number in count():
            for document in source.round(seed, number):
                kind = len(document.text) >= self.long_characters
                found.add(kind)
                waiting[kind].append(document)
                if len(found) == 2:
                    yield from self._drawn(waiting, given)
                elif len(waiting[kind]) == WAITING:
                    yield from _emptied(waiting[kind], given, kind)
            if not found:
                return
            if len(found) == 1:
                kind = True in found
                yield from _emptied(waiting[kind], given, kind)

    def _drawn(self, waiting: dict[bool, deque[Document]], given: dict[bool, int]) -> Iterator[Document]:
        """Of what waits, whatever is wanted; adds to `given`."""
        while waiting[wanted := self._wanted(given)]:
            yield _next(waiting[wanted], given, wanted)

    def _wanted(self, given: dict[bool, int]) -> bool:
        """Whether a long document is wanted next."""
        return given[True] <= self.long_share * sum(given.values())


def _next(waiting: deque[Document], given: dict[bool, int], kind: bool) -> Document:
    given[kind] += len(waiting[0].text)
    return waiting.popleft()


def _emptied(waiting: deque[Document], given: dict[bool, int], kind: bool) -> Iterator[Document]:
    """All that wait, in order; adds to `given`."""
    while waiting:
        yield _next(waiting, given, kind)
