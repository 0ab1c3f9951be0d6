"""shares: so many right of so many asked in; the share and its interval out. Knows nothing of what was asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Standard normal quantile of 0.975."""


@dataclass(frozen=True)
class Share:
    """So many right of so many asked, with the Wilson 95 % interval of the share."""

    right: int
    asked: int

    @property
    def share(self) -> float | None:
        """None where nothing was asked."""
        return self.right / self.asked if self.asked else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (E. B. Wilson 1927): also sound at 0 and 1, where mean +- error is not."""
        if not self.asked:
            return 0.0, 1.0
        share, weight = self.right / self.asked, Z_95**2 / self.asked
        middle = (share + weight / 2) / (1 + weight)
        reach = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
        # At 0 and 1 the bounds are exact; the last bits of the two sums are not.
        low = 0.0 if self.right == 0 else middle - reach
        return low, 1.0 if self.right == self.asked else middle + reach

    def as_dict(self) -> dict[str, object]:
        """For summary.json."""
        low, high = self.interval
        share = None if self.share is None else round(self.share, 4)
        return {"right": self.right, "asked": self.asked, "share": share, "low": round(low, 4), "high": round(high, 4)}
