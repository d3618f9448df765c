"""Whether a step is tried again after a failure, or done again by its repeat policy, and after how long."""

from __future__ import annotations

from enum import StrEnum

from provisioning.core.dagu.conditions import Judgement
from provisioning.core.dagu.declared import RepeatMode
from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a try of a step failed. `tries` counts those made so far, this one included."""

    tries: int
    exit_code: int | None
    timed_out: bool = False
    stopping: bool = False  # the run is being stopped


class Retrying(StrEnum):
    """What follows a failed try."""

    AGAIN = "again"
    FILTERED = "filtered"  # there are tries left, but not for this exit code: `mark_success` does not count then
    OVER = "over"


def retrying(failure: Failure, *, limit: int, exit_codes: tuple[int, ...] = ()) -> Retrying:
    """Return what follows a failed try of a step that may be tried `limit` times more than once.

    A timeout is never tried again, and nothing is in a run that is being stopped. Without `exit_codes` any failure counts.
    """
    if failure.timed_out or failure.stopping or failure.tries > limit:
        return Retrying.OVER
    return Retrying.AGAIN if not exit_codes or failure.exit_code in exit_codes else Retrying.FILTERED


def wait_s(interval_s: float, times: int, *, backoff: float | None = None, longest_s: float | None = None) -> float:
    """Return how long to wait when `times` waits have been before: interval times backoff to that power, capped.

    Without a `longest_s` a year is the cap, so that a number stays a number.
    """
    cap_s = longest_s if longest_s is not None and longest_s > 0 else 365 * 86_400.0
    try:
        return min(interval_s * (backoff or 1.0) ** times, cap_s)
    except OverflowError:
        return cap_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How one round of a step ended. `rounds` counts those made so far, this one included."""

    rounds: int
    succeeded: bool
    exit_code: int | None = None
    condition: Judgement | None = None  # of the repeat policy's condition; None where it has none
    stopping: bool = False


def repeats(ended: Round, mode: RepeatMode, *, limit: int | None = None, exit_codes: tuple[int, ...] = ()) -> bool:
    """Whether a step is done again, also after a failure. The limit always wins; a stop ends it after its current round.

    A condition goes before exit codes, and these before success. A condition that nobody could judge ends the repetition.
    """
    if ended.stopping or (limit and ended.rounds >= limit):
        return False
    if ended.condition is not None:
        if ended.condition.error:
            return False
        holds = ended.condition.met
    else:
        holds = ended.exit_code in exit_codes if exit_codes else ended.succeeded
    return holds is (mode is RepeatMode.WHILE)
