"""Whether preconditions hold, and what becomes of a step that failed or was skipped, and of those that depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from provisioning.core.dagu.declared import ContinueOn
from provisioning.core.dagu.patterns import MARK
from provisioning.core.dagu.statuses import StepStatus
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.errors import ConfigError

Finds = Callable[[str, str], bool]
"""(pattern, text) -> whether it is in there; raises ConfigError for a pattern that is none."""


# ---------------------------------------------------------------- preconditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a condition holds, and why not. With `error` nobody knows: that is never a reason to skip."""

    met: bool
    reason: str = ""
    error: str = ""


MET = Judgement(met=True)


def judge_match(value: str, expected: str, finds: Finds, *, negate: bool = False) -> Judgement:
    """Judge a value: one of its lines has to be what is expected, or the pattern after `re:` has to be found in it.

    `expected` is never expanded. An invalid pattern is an error, negated or not.
    """
    try:
        met = _matches(value, expected, finds)
    except ConfigError as error:
        return Judgement(met=False, error=error.message)
    how = "is" if negate else "is not"
    return _judged(met, negate, f"{quote(value)} {how} {quote(expected)}")


def judge_command(exit_code: int | None, *, negate: bool = False) -> Judgement:
    """Judge a command by its exit code: 0 is met. None is a command that could not be run at all, which is an error."""
    if exit_code is None:
        return Judgement(met=False, error="the command could not be run")
    return _judged(exit_code == 0, negate, f"the command ended with exit code {exit_code}")


def all_met(judgements: Iterable[Judgement]) -> Judgement:
    """Judge all conditions together: they all have to hold. An error counts before one that does not hold."""
    unmet: Judgement | None = None
    for one in judgements:
        if one.error:
            return one
        unmet = unmet if unmet is not None or one.met else one
    return unmet or MET


def _judged(met: bool, negate: bool, reason: str) -> Judgement:  # noqa: FBT001 - two truths, one exclusive or
    return MET if met is not negate else Judgement(met=False, reason=reason)


def _matches(value: str, expected: str, finds: Finds) -> bool:
    if expected.startswith(MARK):
        return finds(expected.removeprefix(MARK), value)
    lines = value.removesuffix("\n").split("\n")
    return any(line.removesuffix("\r") == expected for line in lines)


# ---------------------------------------------------------------- what becomes of a step


class Dependents(StrEnum):
    """What becomes of those that depend on a step that has ended."""

    RUN = "run"
    SKIP = "skip"
    ABORT = "abort"


class Fate(StrEnum):
    """What becomes of a step that has ended."""

    GOOD = "good"
    FORGIVEN = "forgiven"  # it failed, and counts as succeeded (`mark_success`)
    ALLOWED = "allowed"  # it failed, its dependents run, and the run can be no more than partially succeeded
    FAILED = "failed"
    PASSED_OVER = "passed_over"  # it was skipped, and its dependents run
    SKIPPED = "skipped"
    STOPPED = "stopped"  # aborted or rejected

    @property
    def dependents(self) -> Dependents:
        """Return what becomes of those that depend on it."""
        return _DEPENDENTS.get(self, Dependents.RUN)


_DEPENDENTS = {Fate.FAILED: Dependents.ABORT, Fate.STOPPED: Dependents.ABORT, Fate.SKIPPED: Dependents.SKIP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a step ended. Of stdout only the part up to `max_output_size` is looked at: the caller cuts it."""

    status: StepStatus
    exit_code: int | None = None
    stdout: str = ""
    filtered: bool = False  # not tried again because of its exit code, although there were tries left


def fate_of(ended: Ended, allowed: ContinueOn, finds: Finds) -> Fate:
    """Return what becomes of a step. Any of the rules of `continue_on` is enough.

    `mark_success` counts only where a rule applies, and not for a failure that the exit codes of the retry policy kept from
    being tried again: Dagu does so. Raises ConfigError for an output pattern that is none.
    """
    if ended.status is StepStatus.SKIPPED:
        return Fate.PASSED_OVER if allowed.skipped else Fate.SKIPPED
    if ended.status in {StepStatus.ABORTED, StepStatus.REJECTED}:
        return Fate.STOPPED
    if ended.status is not StepStatus.FAILED:
        return Fate.GOOD
    if not _may_fail(ended, allowed, finds):
        return Fate.FAILED
    return Fate.FORGIVEN if allowed.mark_success and not ended.filtered else Fate.ALLOWED


def dependent(fates: Iterable[Fate]) -> Dependents:
    """Return what becomes of a step whose dependencies have all ended: to be aborted goes before to be skipped."""
    found = {fate.dependents for fate in fates}
    return next((one for one in (Dependents.ABORT, Dependents.SKIP) if one in found), Dependents.RUN)


def _may_fail(ended: Ended, allowed: ContinueOn, finds: Finds) -> bool:
    if allowed.failure or (ended.exit_code is not None and ended.exit_code in allowed.exit_codes):
        return True
    return any(_printed(ended.stdout, wanted, finds) for wanted in allowed.output)


def _printed(stdout: str, wanted: str, finds: Finds) -> bool:
    """Whether stdout has a text anywhere, or a pattern."""
    return finds(wanted.removeprefix(MARK), stdout) if wanted.startswith(MARK) else wanted in stdout
