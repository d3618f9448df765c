"""What a fuzz target is, and how one example of it is judged.

A target makes hostile input and gives it to one parser. Whatever the input is, only these may come of it: an answer, or an
error of our own tree; within seconds of processor time. What was accepted has to keep the target's promise as well.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis.strategies import SearchStrategy

from provisioning.errors import ConfigError, ProvisioningError

Check = Callable[[Any], str]
"""Takes one example and returns what came of it, in a word or two: `accepted`, `refused: syntax`."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """`prepare` gets a folder of its own and returns the check. `quick` examples are tried in `make test`."""

    name: str
    examples: SearchStrategy[Any]
    prepare: Callable[[Path], Check]
    quick: int = 60
    limit_s: float = 2.0  # of processor time, for one example
    refuses: bool = True  # whether there is input that it refuses


@dataclass
class Tally:
    """What came of the examples so far."""

    examples: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0  # processor time
    slowest: str = ""

    def add(self, outcome: str, cpu_s: float, example: object) -> None:
        """Count one example."""
        self.examples += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if cpu_s > self.slowest_s:
            self.slowest_s, self.slowest = cpu_s, repr(example)[:200]


class _TooLong(BaseException):
    """No `except Exception` of the code under test may swallow it."""


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Fail when the block uses more processor time. It is interrupted wherever Python runs or a pattern searches."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, limit_s, 0.2)  # again and again: the first may fall where exceptions are dropped
    try:
        yield
    except _TooLong:
        raise AssertionError(f"took more than {limit_s:g} s of processor time") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(target: Target, check: Check, example: object, tally: Tally) -> None:
    """Try one example. Raises whatever the parser must not raise, AssertionError for a broken promise."""
    began_s = time.process_time()
    with within(target.limit_s):
        try:
            outcome = check(example)
        except ProvisioningError as error:
            outcome = refusal(error)
    tally.add(outcome, time.process_time() - began_s, example)


def refusal(error: ProvisioningError) -> str:
    """Return the class of a refusal, having looked at its text."""
    assert "Traceback" not in error.message + error.hint
    faults = error.faults if isinstance(error, ConfigError) else ()
    return f"refused: {faults[0].code if faults else error.code}"
