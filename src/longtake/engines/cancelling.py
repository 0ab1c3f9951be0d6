"""engines: somebody's wish to stop in, a refusal at the next layer out. Knows nothing of models or threads.

A forward cannot be broken off from outside; but each layer puts its keys and values away before it attends, and asks
here first. So a run ends within one layer of one chunk, or of one token, and not at the end of a long prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from longtake.errors import ErrorCode, LongtakeError

_CHECK: ContextVar[Callable[[], bool] | None] = ContextVar("longtake_cancel", default=None)


@contextmanager
def cancelled_by(check: Callable[[], bool]) -> Iterator[None]:
    """Inside, in this thread, engines stop as soon as `check()` is true: `cancelled_by(event.is_set)`.

    What runs then ends with LongtakeError `interrupted`. Prefixes that were read before stay as they are; of one that
    was being read nothing is left.
    """
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)


def heed() -> None:
    """Go on, unless it was cancelled.

    Raises:
        LongtakeError: `interrupted`.
    """
    check = _CHECK.get()
    if check is not None and check():
        raise LongtakeError(ErrorCode.INTERRUPTED, "", "cancelled", "what was read before is kept: ask again")
