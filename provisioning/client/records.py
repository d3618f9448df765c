"""What a client is told of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime

from provisioning.core.events import Event, Kind
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunDetail, RunSummary
from provisioning.core.model import NO_LABELS, RUN_ENDED
from provisioning.core.run import Run
from provisioning.core.why import Blocker


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """Why a step failed."""

    kind: str  # a stable word, or the name of the exception's class
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """A step as it stands. Times are UTC and those of its newest attempt."""

    id: str
    state: str
    attempts: int
    error: ErrorInfo | None = None
    result: object = None
    reason: str = ""
    log: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    late_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """A run as it stands."""

    run_id: str
    workflow: str
    status: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    late_at: datetime | None = None
    steps: tuple[StepInfo, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.status in RUN_ENDED

    def step(self, id: str) -> StepInfo:
        """Return a step. Raises KeyError."""
        found = next((step for step in self.steps if step.id == id), None)
        if found is None:
            raise KeyError(id)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """How long the newest attempt of a step took: from the hand-out to its begin, and from there to its end."""

    id: str
    state: str
    queue_s: float | None
    exec_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Debug:
    """Where a run stands, and what keeps it."""

    run_id: str
    status: str
    counts: Mapping[str, int]  # of steps, by state
    duration_s: float | None
    steps: tuple[StepTimes, ...]
    blockers: Mapping[str, tuple[Blocker, ...]]  # by step: those that wait


def summary_info(summary: RunSummary) -> Info:
    """Return what a list of runs says."""
    return Info(
        run_id=summary.run_id,
        workflow=summary.workflow,
        status=summary.state.value,
        reason=summary.reason,
        created_at=summary.created_at,
        started_at=summary.started_at,
        ended_at=summary.ended_at,
        labels=summary.labels,
        late_at=summary.late_at,
    )


def run_info(detail: RunDetail, outputs: Mapping[str, object]) -> Info:
    """Return all of a run. `outputs` are by step."""
    base = summary_info(detail.summary)
    steps = tuple(
        StepInfo(
            id=step.step,
            state=step.state.value,
            attempts=step.attempts,
            error=ErrorInfo(kind=step.error_kind, message=step.error) if step.error_kind else None,
            result=outputs.get(step.step),
            reason=step.reason,
            log=step.log,
            started_at=step.started_at,
            ended_at=step.ended_at,
            late_at=step.late_at,
        )
        for step in detail.steps
    )
    return Info(**{name: getattr(base, name) for name in base.__slots__ if name != "steps"}, steps=steps)


def run_debug(run: Run, events: Sequence[Event], why: Callable[[Run, str], Sequence[Blocker]], now: datetime) -> Debug:
    """Return where a run stands; `why` says what keeps one of its steps."""
    waiting = {id: tuple(why(run, id)) for id in run.steps}
    end = run.ended_at or now
    return Debug(
        run_id=run.id,
        status=run.state.value,
        counts={state.value: count for state, count in run.counts.items() if count},
        duration_s=(end - run.started_at).total_seconds() if run.started_at else None,
        steps=_times(run, events),
        blockers={id: found for id, found in waiting.items() if found},
    )


def _times(run: Run, events: Sequence[Event]) -> tuple[StepTimes, ...]:
    dispatched = {event.step: event.at for event in events if event.kind is Kind.STEP_DISPATCHED}
    return tuple(
        StepTimes(
            id=id,
            state=step.state.value,
            queue_s=_between(dispatched.get(id), step.started_at),
            exec_s=_between(step.started_at, step.ended_at),
        )
        for id, step in run.steps.items()
    )


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None
