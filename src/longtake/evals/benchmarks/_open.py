"""evals.benchmarks._open: what the benchmarks of short open questions have in common. Knows none of them."""

from __future__ import annotations

from collections.abc import Sequence

from longtake.evals import Item
from longtake.evals.asking import Asking
from longtake.evals.figures import Figure, Mark, open_figures

IG_VLM = ("video_id", "answer", "question", "video_name", "question_id", "question_type")
"""The columns of IG-VLM's files of open questions (github.com/imagegridworth/IG-VLM, data/open_ended_qa)."""
METRIC = "share of answers that a judge takes for the reference, and its mean score of 0 to 5"


class JudgedOpen:
    """Open questions with a short reference, which a judge compares answers with."""

    def asking(self, item: Item) -> Asking | None:
        """Nothing is published but what a model's own template says."""
        return None

    def figures(self, marks: Sequence[Mark]) -> tuple[Figure, ...]:
        """The share of answers that a judge takes for the reference, its mean score, and the share by category."""
        return open_figures(marks)
