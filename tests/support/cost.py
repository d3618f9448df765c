"""What a piece of work costs, in lines of Python executed: the same on a busy machine as on a quiet one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Cost:
    """Lines executed so far."""

    lines: int = 0


@contextmanager
def counted() -> Iterator[Cost]:
    """Count the lines that this thread executes in the block."""
    cost = Cost()

    def on_line(_frame: FrameType, event: str, _argument: Any) -> Any:
        cost.lines += event == "line"
        return on_line

    before = sys.gettrace()
    sys.settrace(on_line)
    try:
        yield cost
    finally:
        sys.settrace(before)
