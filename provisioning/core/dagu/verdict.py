"""What follows from how an attempt of a step ended: another try, another round, or its end and what that is worth."""

from __future__ import annotations

from provisioning.core.dagu.again import Failure, Retrying, Round, repeats, retrying, wait_s
from provisioning.core.dagu.conditions import Ended, Fate, Finds, Judgement, fate_of
from provisioning.core.dagu.declared import ContinueOn, RepeatMode
from provisioning.core.dagu.statuses import StepStatus
from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """A retry policy whose numbers are known."""

    limit: int
    interval_s: float
    backoff: float | None = None
    longest_s: float | None = None
    exit_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A repeat policy whose numbers are known, and what its condition says of this round."""

    mode: RepeatMode
    interval_s: float
    limit: int | None = None
    backoff: float | None = None
    longest_s: float | None = None
    exit_codes: tuple[int, ...] = ()
    judged: Judgement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt ended. `tries` and `rounds` count it."""

    succeeded: bool
    exit_code: int | None = None
    timed_out: bool = False
    stdout: str = ""
    tries: int = 1
    rounds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`again_in_s` asks for another attempt: a try, or with `repeats` a round. Else this is the end, and `fate` its worth."""

    fate: Fate = Fate.GOOD
    again_in_s: float | None = None
    repeats: bool = False


def judge(attempt: Attempt, allowed: ContinueOn, tries: Tries | None, rounds: Rounds | None, finds: Finds) -> Verdict:
    """Return what follows. First comes another try, then another round, then the end. Raises ConfigError for a bad pattern."""
    filtered = False
    if not attempt.succeeded and tries is not None:
        failure = Failure(tries=attempt.tries, exit_code=attempt.exit_code, timed_out=attempt.timed_out)
        after = retrying(failure, limit=tries.limit, exit_codes=tries.exit_codes)
        if after is Retrying.AGAIN:
            pause_s = wait_s(tries.interval_s, attempt.tries - 1, backoff=tries.backoff, longest_s=tries.longest_s)
            return Verdict(again_in_s=pause_s)
        filtered = after is Retrying.FILTERED
    if rounds is not None and _another_round(attempt, rounds):
        pause_s = wait_s(rounds.interval_s, attempt.rounds - 1, backoff=rounds.backoff, longest_s=rounds.longest_s)
        return Verdict(again_in_s=pause_s, repeats=True)
    status = StepStatus.SUCCEEDED if attempt.succeeded else StepStatus.FAILED
    ended = Ended(status=status, exit_code=attempt.exit_code, stdout=attempt.stdout, filtered=filtered)
    return Verdict(fate=fate_of(ended, allowed, finds))


def _another_round(attempt: Attempt, rounds: Rounds) -> bool:
    ended = Round(rounds=attempt.rounds, succeeded=attempt.succeeded, exit_code=attempt.exit_code, condition=rounds.judged)
    return repeats(ended, rounds.mode, limit=rounds.limit, exit_codes=rounds.exit_codes)
