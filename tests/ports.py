"""Nothing in, a port of this machine at which nobody listens out."""

from __future__ import annotations

import socket


def free_port() -> int:
    """One that the system has just chosen, and given back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
