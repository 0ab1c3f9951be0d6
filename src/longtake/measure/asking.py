"""measure.asking: an item and a wording in; the words that a model gets, and what its options are called, out.

`evals.asking` has the wordings of benchmarks. One more is of models: `template`, as `longtake ask --choice` offers
options, in the words that the model's template has for them. SlowFast-LLaVA's way of asking lies there, and nano's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from longtake.evals import Benchmark, Item
from longtake.evals.asking import Wording as BenchmarkWording
from longtake.evals.asking import asking_of
from longtake.prompt import ChatTemplate
from longtake.prompt.choices import choosing, options_text

Wording = Literal["published", "plain", "brief", "template"]


@dataclass(frozen=True)
class Words:
    """What a model is asked.

    Attributes:
        text: for the question's slot of a template.
        opening: words that the answer is made to begin with.
        called: what the options are called, of which the likelihood may be asked; () for an open question.
        lettered: they are called by letters, which some models come to by saying first what a letter rests on.
        offered: the options are written as the template has them.
    """

    text: str
    opening: str = ""
    called: tuple[str, ...] = ()
    lettered: bool = False
    offered: bool = False


@dataclass(frozen=True)
class Manner:
    """How a run puts its questions."""

    benchmark: Benchmark
    wording: Wording
    template: ChatTemplate

    def words(self, item: Item, subtitles: Sequence[str] = (), *, question: str = "") -> Words:
        """What is asked.

        Args:
            subtitles: lines to show; the benchmark's protocol says where they stand, whatever the wording.
            question: asked instead of the item's own: its twin.
        """
        if self.wording == "template" and item.options and not item.labels:
            return self._offered(item, subtitles)
        wording: BenchmarkWording = "plain" if self.wording == "template" else self.wording
        asking = replace(asking_of(self.benchmark, item, wording), subtitles_lead=self.subtitles_lead(item))
        text = asking.text(item, subtitles, question=question)
        if asking.option and not item.labels:
            return Words(text, asking.opening, item.called, lettered=True)
        # The question names its options itself: by labels, or by nothing but their own words.
        return Words(text, asking.opening, item.labels or item.options)

    def subtitles_lead(self, item: Item) -> str:
        """What stands above the subtitles; "" where the benchmark shows none."""
        published = self.benchmark.asking(item)
        return published.subtitles_lead if published else ""

    def _offered(self, item: Item, subtitles: Sequence[str]) -> Words:
        """Not by `with_choices`, which refuses an option that stands there twice, as it does in five real rows."""
        style = choosing(self.template).choices
        assert style is not None
        lead = self.subtitles_lead(item)
        spoken = "".join(f"{line}\n" for line in (lead, *subtitles)) if subtitles and lead else ""
        text = f"{spoken}{item.question}{style.lead}{options_text(style, item.options)}{style.request}"
        return Words(text, called=item.called, lettered=True, offered=True)
