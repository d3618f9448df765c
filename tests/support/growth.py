"""Whether work grows with its input and no faster, measured in processor time: also for what happens inside the library's C."""

from __future__ import annotations

import time
from collections.abc import Callable

FACTOR = 8  # between the two inputs: linear work takes 8 times as long, quadratic work 64 times
_LEAST_S = 0.0005


def grows_linearly(work: Callable[[str], object], make: Callable[[int], str], size: int = 5_000) -> bool:
    """Whether `work` on `make(8 * size)` takes less than 24 times as long as on `make(size)`; the best of three counts."""
    return _least_s(work, make(size * FACTOR)) < 3 * FACTOR * max(_least_s(work, make(size)), _LEAST_S)


def _least_s(work: Callable[[str], object], text: str) -> float:
    took: list[float] = []
    for _ in range(3):
        began_s = time.process_time()
        work(text)
        took.append(time.process_time() - began_s)
    return min(took)
