"""Dagu's words for the states of runs and steps, in both vocabularies, and which of them a run ends with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from provisioning.core.frozen import dataclass
from provisioning.core.model import RUN_ENDED, STEP_FAILED, STEP_GOOD, RunState, StepState


class RunStatus(StrEnum):
    """The status of a run, in the current words and in the order of Dagu's numbers, from 0."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    FAILED = "failed"
    ABORTED = "aborted"
    SUCCEEDED = "succeeded"
    QUEUED = "queued"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    WAITING = "waiting"
    REJECTED = "rejected"


class StepStatus(StrEnum):
    """The status of a step, in the current words and in the order of Dagu's numbers, from 0."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    FAILED = "failed"
    ABORTED = "aborted"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    WAITING = "waiting"
    REJECTED = "rejected"
    RETRYING = "retrying"


Status = RunStatus | StepStatus

_OLD_WORDS = {
    "not_started": "not started",
    "aborted": "canceled",
    "succeeded": "finished",
    "partially_succeeded": "partial success",
    "retrying": "running",
}
_NEW_WORDS = {old: new for new, old in _OLD_WORDS.items() if old != "running"} | {"cancelled": "aborted", "canceled": "aborted"}
_OK = frozenset({StepStatus.SUCCEEDED, StepStatus.PARTIALLY_SUCCEEDED, StepStatus.SKIPPED})


def number(status: Status) -> int:
    """Return the number that Dagu stores for a status."""
    return list(type(status)).index(status)


def run_status_of(word: str) -> RunStatus | None:
    """Return what a word of either vocabulary means for a run, or None. Case, blanks and underscores do not matter."""
    plain = word.strip().lower().replace("_", " ")
    plain = _NEW_WORDS.get(plain, plain).replace(" ", "_")
    return RunStatus(plain) if plain in set(RunStatus) else None


# ---------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNow:
    """What we know of a step: its state, and what the state alone does not say."""

    state: StepState
    begun: bool = False  # an attempt of it has started
    blocked: bool = False  # skipped because something it needs failed
    repeating: bool = False  # waits for its next round, not for another try
    partial: bool = False  # it succeeded, but its sub-DAG only in part
    waiting: bool = False  # for a person
    rejected: bool = False  # by that person
    forgiven: bool = False  # its failure counts as a success
    run_ended: bool = False  # by a failure or a timeout: what did not start is aborted


def step_status(step: StepNow) -> StepStatus:
    """Return Dagu's status of a step.

    What was never started is aborted if something that it needs failed or the time of the run was over, and not started if the
    run was stopped.
    """
    cases = (
        (step.rejected, StepStatus.REJECTED),
        (step.waiting and step.state not in _ENDED_BADLY, StepStatus.WAITING),
        (step.partial and step.state in STEP_GOOD, StepStatus.PARTIALLY_SUCCEEDED),
        (step.forgiven and step.state in STEP_FAILED, StepStatus.SUCCEEDED),
        (step.blocked and step.state is StepState.SKIPPED, StepStatus.ABORTED),
        (step.repeating and step.state is StepState.RETRY_WAIT, StepStatus.RUNNING),
        (step.state is StepState.CANCELLED and not (step.begun or step.run_ended), StepStatus.NOT_STARTED),
    )
    return next((status for holds, status in cases if holds), _STATUSES[step.state])


_ENDED_BADLY = STEP_FAILED | {StepState.CANCELLED, StepState.SKIPPED}
_STATUSES = {
    StepState.PENDING: StepStatus.NOT_STARTED,
    StepState.READY: StepStatus.NOT_STARTED,
    StepState.DISPATCHED: StepStatus.RUNNING,
    StepState.RUNNING: StepStatus.RUNNING,
    StepState.RETRY_WAIT: StepStatus.RETRYING,
    StepState.SUCCEEDED: StepStatus.SUCCEEDED,
    StepState.UNCHANGED: StepStatus.SUCCEEDED,
    StepState.FAILED: StepStatus.FAILED,
    StepState.TIMED_OUT: StepStatus.FAILED,
    StepState.CANCELLED: StepStatus.ABORTED,
    StepState.INTERRUPTED: StepStatus.FAILED,
    StepState.SKIPPED: StepStatus.SKIPPED,
}


# ---------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """A step's status. `allowed` is a failure after which the run went on; one that counts as success is no failure."""

    status: StepStatus
    allowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """What we know of a run that has begun. Handlers are no steps: a failing one is in `handler_failed`."""

    steps: Collection[StepEnd]
    precondition_error: bool = False  # nobody knows whether its preconditions hold
    precondition_unmet: bool = False
    init_failed: bool = False
    cancelled: bool = False
    timed_out: bool = False
    handler_failed: bool = False


def derive(run: RunNow) -> RunStatus:
    """Return the status of a run: the first rule that applies.

    A precondition that nobody could judge is a failure. One that does not hold, and a failing init handler, abort the run; so
    does a stop, unless every step is fine all the same. Then comes what is still going on, then rejected and waiting. A run
    that took too long, or whose handler failed, is failed. It is partially succeeded when at least one step succeeded, one
    failed and was allowed to, and none failed that was not; a step whose sub-DAG succeeded in part counts as both. A run
    with any other failure is failed, every other one has succeeded, also if all its steps were skipped or it has none.
    """
    found = {step.status for step in run.steps}
    if run.precondition_error:
        return RunStatus.FAILED
    if run.precondition_unmet or run.init_failed or (run.cancelled and not found <= _OK):
        return RunStatus.ABORTED
    going_on = next((status for sign, status in _GOING_ON if sign in found), None)
    if going_on is not None:
        return going_on
    return RunStatus.FAILED if run.timed_out or run.handler_failed else _verdict(run.steps)


_GOING_ON = (
    (StepStatus.RUNNING, RunStatus.RUNNING),
    (StepStatus.RETRYING, RunStatus.QUEUED),
    (StepStatus.REJECTED, RunStatus.REJECTED),
    (StepStatus.WAITING, RunStatus.WAITING),
)


def _verdict(steps: Iterable[StepEnd]) -> RunStatus:
    ends = list(steps)
    failed = [step for step in ends if step.status is StepStatus.FAILED]
    in_part = any(step.status is StepStatus.PARTIALLY_SUCCEEDED for step in ends)
    succeeded = in_part or any(step.status is StepStatus.SUCCEEDED for step in ends)
    if any(not step.allowed for step in failed):
        return RunStatus.FAILED
    if succeeded and (failed or in_part):
        return RunStatus.PARTIALLY_SUCCEEDED
    return RunStatus.FAILED if failed else RunStatus.SUCCEEDED


def run_status(state: RunState, run: RunNow) -> RunStatus:
    """Return Dagu's status of one of our runs. One that has ended is what its steps make of it.

    One where nothing goes on but waiting for a person is waiting.
    """
    if state in RUN_ENDED:
        return derive(run)
    if state is RunState.CREATED:
        return RunStatus.NOT_STARTED
    if state is RunState.QUEUED:
        return RunStatus.QUEUED
    found = {step.status for step in run.steps}
    waits = StepStatus.WAITING in found and not found & {StepStatus.RUNNING, StepStatus.RETRYING}
    return RunStatus.WAITING if waits else RunStatus.RUNNING


def exit_code(run: RunNow) -> int:
    """Return the exit code of a command that ran the run: 0 also for one whose preconditions did not hold."""
    status = derive(run)
    fine = status in {RunStatus.SUCCEEDED, RunStatus.PARTIALLY_SUCCEEDED}
    return 0 if fine or (status is RunStatus.ABORTED and run.precondition_unmet) else 1
