"""cli: `python -m longtake` is the command `longtake`."""

from __future__ import annotations

import sys

from longtake.cli import main

if __name__ == "__main__":
    sys.exit(main())
