"""Whether a stream is a terminal that may get colours."""

from __future__ import annotations

import os
import sys


def colored() -> bool:
    """Whether the terminal may get colours and cursor movements."""
    return colored_stream(sys.stdout)


def colored_stream(stream: object) -> bool:
    """Whether a stream is a terminal that nobody asked to be plain."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    isatty = getattr(stream, "isatty", None)
    return not plain and isatty is not None and bool(isatty())
