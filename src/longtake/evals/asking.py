"""evals/asking: a question of a benchmark in, the words that a model is asked in out. Knows nothing of templates.

Three wordings. `published`: as the benchmark's protocol has it, so that scores compare with others' (each benchmark's
file says whose words they are). `plain` and `brief` are longtake's own: the question, and for `brief` a request for few
words. With options both ask for a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from longtake.evals import Benchmark, Item

Wording = Literal["published", "plain", "brief"]


@dataclass(frozen=True)
class Asking:
    """How a question is written out, from top to bottom.

    Attributes:
        before: stands above the question.
        asked: the question itself; `{question}` is filled in.
        lead: stands between the question and its options.
        option: one option; `{label}` and `{option}` are filled in. "" where the question names its options itself.
        joint: what joins question and options.
        after: stands below.
        glue: what joins `after` to what stands above it.
        opening: words that the answer is made to begin with.
        subtitles_lead: stands above the subtitles, where they are shown; "" where the protocol shows none.
    """

    before: str = ""
    asked: str = "{question}"
    lead: str = ""
    option: str = "{label}. {option}"
    joint: str = "\n"
    after: str = ""
    glue: str = "\n"
    opening: str = ""
    subtitles_lead: str = ""

    def text(self, item: Item, subtitles: Sequence[str] = (), *, question: str = "") -> str:
        """The whole of it.

        Args:
            subtitles: what is said in the video, line by line; shown only if the protocol does so.
            question: asked instead of the item's own (its twin).
        """
        spoken = [self.subtitles_lead, *subtitles] if subtitles and self.subtitles_lead else []
        asked = [self.asked.format(question=question or item.question)]
        if item.options and self.option:
            pairs = zip(item.called, item.options, strict=True)
            asked += [self.lead, *(self.option.format(label=label, option=option) for label, option in pairs)]
        whole = self.joint.join(part for part in asked if part)
        above = "\n".join(part for part in [*spoken, self.before, whole] if part)
        return f"{above}{self.glue}{self.after}" if self.after else above


LETTER_DIRECTLY = "Answer with the option's letter from the given choices directly."
"""lmms-eval's closing sentence of most multiple choice (LongVideoBench's own, which LLaVA was trained on)."""

PLAIN_CHOICE = Asking(
    lead="Options:", option="({label}) {option}", after="Which option is right? Give its letter only."
)
PLAIN_WORDS = Asking(option="", after="Give the right one of these answers, and nothing else.")
"""For questions that name their options themselves."""
PLAIN_OPEN = Asking()
BRIEF_OPEN = Asking(after="Answer in one word or a few.")


def asking_of(benchmark: Benchmark, item: Item, wording: Wording = "published") -> Asking:
    """How `item` is put; a benchmark without a published protocol is asked plainly."""
    published = benchmark.asking(item) if wording == "published" else None
    if published is not None:
        return published
    if item.options:
        return PLAIN_WORDS if item.labels else PLAIN_CHOICE
    return BRIEF_OPEN if wording == "brief" else PLAIN_OPEN
