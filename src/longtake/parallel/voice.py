"""parallel/voice: an error that one of several ranks has met in; whether it is this rank's to tell, out.

Most of what goes wrong all ranks meet: a recipe that none can read, a lost rank. The leading one tells it. Others wait
for that, since torchrun ends all once one has ended; who hears nothing has met something of its own and tells it, and
what several of them have met only one of them tells. They know of each other through the store that torchrun keeps.
"""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch exports it without saying so

PATIENCE = timedelta(seconds=10)
"""So long another rank waits for the leading one to tell. Both imported the same and began together."""
REACH = timedelta(seconds=5)
"""So long the store is looked for."""


def told() -> None:
    """The leading rank has told what went wrong, so that others need not."""
    store = _store()
    if store is not None:
        store.set(_name("leader"), "told")


def is_mine(words: str) -> bool:
    """Whether a rank that does not lead has to tell: the leading one has not, nor another the same."""
    store = _store()
    if store is None:
        return True
    try:
        store.wait([_name("leader")], PATIENCE)
    except RuntimeError:
        # It is at work, or gone without a word.
        return bool(store.add(_name(hashlib.sha256(words.encode()).hexdigest()), 1) == 1)
    return False


def _store() -> TCPStore | None:
    """Torchrun's; None where nobody keeps one any more."""
    try:
        return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=REACH)
    except (KeyError, ValueError, RuntimeError):
        return None


def _name(what: str) -> str:
    """Torchrun may start all ranks again, which then have not told anything."""
    return f"longtake/told/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{what}"
