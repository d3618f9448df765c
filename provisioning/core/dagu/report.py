"""A run of a Dagu file as Dagu would tell of it: its words for statuses, and only the steps that are in the file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from provisioning.core.dagu.statuses import (
    RunNow,
    RunStatus,
    StepEnd,
    StepNow,
    StepStatus,
    run_status,
    step_status,
)
from provisioning.core.frozen import dataclass
from provisioning.core.history import UNMET, RunDetail, StepRecord, iso, step_document
from provisioning.core.model import RUN_ENDED, STEP_FAILED, RunState, StepState

SHOWN = frozenset({"step", "handler"})
GONE = "its process is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step or handler."""

    record: StepRecord
    status: StepStatus

    def document(self) -> dict[str, object]:
        """Return one entry of `steps` in the JSON of a run."""
        record = self.record
        told = {**step_document(record), "state": self.status.value}
        streams = {"stdout": record.stdout, "stderr": record.stderr}
        return {**told, **{name: text for name, text in streams.items() if text}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run. `lost` is one that is open and whose process is gone."""

    detail: RunDetail
    status: RunStatus
    steps: tuple[StepReport, ...]
    lost: bool = False

    @property
    def reason(self) -> str:
        """Why it is as it is, where there is something to say."""
        return GONE if self.lost else self.detail.summary.reason

    def document(self) -> dict[str, object]:
        """Return the JSON of `dag run` and `dag status` (design 7)."""
        detail = self.detail
        given = detail.params.get("params")
        return {
            "run_id": detail.run_id,
            "workflow": detail.summary.workflow,
            "status": self.status.value,
            "reason": self.reason,
            "exit_code": detail.exit_code if not self.lost else 1,
            "created_at": iso(detail.summary.created_at),
            "started_at": iso(detail.summary.started_at),
            "ended_at": iso(detail.summary.ended_at),
            "trigger": detail.summary.trigger,
            "actor": detail.summary.actor,
            "params": given if isinstance(given, list) else [],
            "outputs": dict(detail.outputs),
            "steps": [step.document() for step in self.steps],
        }


def report(detail: RunDetail, *, waiting: Collection[str] = (), lost: bool = False) -> RunReport:
    """Return the report of a run. `waiting` are the ids of steps that wait for a person now."""
    ended = detail.summary.state in RUN_ENDED
    over = lost or detail.summary.state in {RunState.FAILED, RunState.TIMED_OUT}
    unmet, failed_before = detail.summary.reason.startswith(UNMET), _setup_failed(detail) or _broke(detail)
    unready = failed_before or _init_failed(detail)
    shown = _steps(detail, frozenset(waiting), over=over, lost=lost)
    steps = tuple(_unless_begun(step, everything=unmet or unready) for step in shown)
    now = RunNow(
        steps=[
            StepEnd(status=step.status, allowed=step.record.mark == "allowed") for step in steps if step.record.kind == "step"
        ],
        precondition_error=failed_before,
        precondition_unmet=unmet,
        init_failed=_init_failed(detail),
        cancelled=detail.summary.state is RunState.CANCELLED,
        timed_out=detail.summary.state is RunState.TIMED_OUT,
        handler_failed=ended and any(_counts(step) for step in steps),
    )
    state = detail.summary.state
    queued = state is RunState.CREATED  # a run that needs no turn is created and started at once
    status = RunStatus.FAILED if lost else RunStatus.QUEUED if queued else run_status(state, now)
    return RunReport(detail=detail, status=status, steps=steps, lost=lost)


def _steps(detail: RunDetail, waiting: frozenset[str], *, over: bool, lost: bool) -> Iterator[StepReport]:
    """Yield the steps and handlers. What waits for a person behind a step is a part of that step."""
    records = list(detail.steps)
    for record, after in zip(records, [*records[1:], None], strict=False):  # a run may have none
        if record.kind not in SHOWN:
            continue
        approval = after if after is not None and after.kind == "approval" else None
        yield StepReport(record=_merged(record, approval), status=_status(record, approval, waiting, over=over, lost=lost))


def _unless_begun(step: StepReport, *, everything: bool) -> StepReport:
    """A handler that nothing asked for has not started; neither has anything of a run that was not to begin."""
    idle = step.record.attempts == 0 and step.record.state in {StepState.SKIPPED, StepState.CANCELLED}
    if idle and (everything or step.record.kind == "handler"):
        return replace(step, status=StepStatus.NOT_STARTED)
    return step


def _merged(record: StepRecord, approval: StepRecord | None) -> StepRecord:
    if approval is None or approval.mark != "rejected":
        return record
    return replace(record, mark="rejected", error_kind=approval.error_kind, error=approval.error)


def _status(record: StepRecord, approval: StepRecord | None, waiting: frozenset[str], *, over: bool, lost: bool) -> StepStatus:
    if lost and record.state in {StepState.RUNNING, StepState.DISPATCHED, StepState.RETRY_WAIT}:
        return StepStatus.FAILED
    waits = record.step in waiting or (approval is not None and approval.step in waiting)
    now = StepNow(
        state=record.state,
        begun=record.attempts > 0,
        blocked=record.reason.startswith("blocked:"),
        repeating=record.reason.startswith("repeated"),
        partial=record.mark == "partial",
        waiting=waits and not lost,
        rejected=record.mark == "rejected" or (approval is not None and approval.mark == "rejected"),
        run_ended=over,
    )
    return step_status(now)


def _counts(step: StepReport) -> bool:
    return step.record.kind == "handler" and step.record.state in STEP_FAILED and step.record.step != "(wait)"


def _setup_failed(detail: RunDetail) -> bool:
    return any(step.kind == "setup" and step.state in STEP_FAILED for step in detail.steps)


def _init_failed(detail: RunDetail) -> bool:
    return detail.summary.reason == "the init handler failed"


def _broke(detail: RunDetail) -> bool:
    """Whether whoever drove the run failed, and no step of it."""
    return detail.summary.state is RunState.FAILED and not any(step.state in STEP_FAILED for step in detail.steps)
