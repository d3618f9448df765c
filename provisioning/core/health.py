"""Decide what a health gate does next: probe, wait, or end.

Nothing here runs a probe or reads a clock: the engine does, and says what came of it. Three rules, whichever is met first:

- the first success opens the gate;
- after `retries` probes without success it has failed;
- it has failed when a probe ended at or past the deadline. A wait never reaches past the deadline, so the last probe starts
  exactly on it, if the number of probes allows one. That probe has no time left of its own and gets up to one second, so a
  gate ends within its deadline plus `GRACE_S`.

Times are seconds since the gate started, on a clock that only goes forward; probing counts as much as waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from provisioning.core.frozen import dataclass
from provisioning.core.shown import escaped, quote
from provisioning.errors import ConfigError

GRACE_S = 1.0  # the least a probe may take near the deadline, unless its own limit is shorter
GROWTH = 1.5
LONGEST_FIRST_WAIT_S = 10.0
PATTERN_MARK = "re:"
_AT_LINES = "(?m)"  # `^` and `$` mean lines
OUTPUT_LIMIT = 65_536  # characters of output that are looked at
_MOST_DOUBLINGS = 64  # growing further would only overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTimes:
    """The limits of one gate, defaults filled in."""

    retries: int  # probes, at least 1
    deadline_s: float
    probe_timeout_s: float
    interval_s: float  # the first wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """One probe that was made."""

    started_s: float
    ended_s: float
    healthy: bool


class Next(StrEnum):
    """What a gate does next."""

    PROBE = "probe"
    WAIT = "wait"
    OPEN = "open"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`seconds` is the probe's timeout or the length of the wait; `reason` says why a gate failed."""

    next: Next
    seconds: float = 0.0
    reason: str = ""


def gate_times(
    *, retries: int = 6, timeout_ms: int = 60_000, probe_timeout_ms: int | None = None, interval_ms: int | None = None
) -> GateTimes:
    """Fill in what was not said: probes may take a third of the deadline, the first wait is timeout / retries, at most 10 s.

    Raises ConfigError when a limit is out of bounds.
    """
    for name, value, least in (
        ("retries", retries, 1),
        ("timeout_ms", timeout_ms, 1),
        ("probe_timeout_ms", probe_timeout_ms, 1),
        ("interval_ms", interval_ms, 0),
    ):
        if value is not None and value < least:
            raise ConfigError(f"health gate: {name} is {value}, must be at least {least}")
    deadline_s = timeout_ms / 1000
    return GateTimes(
        retries=retries,
        deadline_s=deadline_s,
        probe_timeout_s=deadline_s / 3 if probe_timeout_ms is None else probe_timeout_ms / 1000,
        interval_s=min(deadline_s / retries, LONGEST_FIRST_WAIT_S) if interval_ms is None else interval_ms / 1000,
    )


def next_move(times: GateTimes, probed: Sequence[Probed], elapsed_s: float) -> Move:
    """Return what to do now, `elapsed_s` after the gate started, when `probed` (oldest first) have been made.

    Ask again after every probe and every wait; waking too early only leads to another, shorter wait.
    """
    if not probed:
        return _probe(times, elapsed_s)
    last = probed[-1]
    if last.healthy:
        return Move(next=Next.OPEN)
    if last.ended_s >= times.deadline_s:
        return Move(next=Next.FAILED, reason=f"deadline of {times.deadline_s:g} s passed")
    if len(probed) >= times.retries:
        return Move(next=Next.FAILED, reason=f"{len(probed)} of {times.retries} probes failed")
    due_s = min(last.ended_s + wait_s(times, len(probed)), times.deadline_s)
    if elapsed_s < due_s:
        return Move(next=Next.WAIT, seconds=due_s - elapsed_s)
    return _probe(times, elapsed_s)


def wait_s(times: GateTimes, probes: int) -> float:
    """Return how long to wait after the given number of probes (from 1), the deadline left aside."""
    return float(times.interval_s * GROWTH ** min(probes - 1, _MOST_DOUBLINGS))


def _probe(times: GateTimes, elapsed_s: float) -> Move:
    left_s = max(times.deadline_s - elapsed_s, GRACE_S)
    return Move(next=Next.PROBE, seconds=min(times.probe_timeout_s, left_s))


def matches(expected: str | None, stdout: str) -> bool:
    """Whether the output is what the gate expects: one line equal to it, blanks around aside, or its `re:` pattern found.

    Patterns are those of RE2, searched with `^` and `$` at lines, in time linear in the output. Output past 65,536 characters
    is not looked at. Without an expectation any output will do. Raises ConfigError for a pattern that is none.
    """
    if expected is None:
        return True
    lines = stdout[:OUTPUT_LIMIT].splitlines()
    if not expected.startswith(PATTERN_MARK):
        return any(line.strip() == expected.strip() for line in lines)
    if reason := pattern_fault(expected):
        raise ConfigError(f"health gate: expected pattern {quote(expected)} is invalid: {reason}")
    return _compiled(expected).search("\n".join(lines).encode("utf-8", "replace")) is not None


def pattern_fault(expected: str) -> str:
    """Return why an `re:` expectation is no pattern, or nothing."""
    import re2

    try:
        _compiled(expected)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace").replace(_AT_LINES, "")
        return f"not a regular expression of RE2 ({escaped(reason)})"
    return ""


@lru_cache(maxsize=64)
def _compiled(expected: str) -> Any:  # noqa: ANN401 - the library has no types
    """Return the pattern, of RE2, which never backtracks: `(a+)+$` keeps Python's own `re` busy for years, uninterruptibly."""
    import re2

    options = re2.Options()
    options.log_errors = False
    text = _AT_LINES + expected.removeprefix(PATTERN_MARK).lstrip()
    return re2.compile(text.encode("utf-8", "replace"), options)
