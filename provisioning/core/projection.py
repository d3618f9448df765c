"""What an event changes in the history: the rows of runs, steps and attempts. Pure, so every store shows the same.

A change is a set of columns of one row, later ones win. Nothing here reads what was there before, which keeps a commit's
cost proportional to its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from provisioning.core.events import Event, Kind
from provisioning.core.model import RunState, Step, StepState, Workflow
from provisioning.core.upstream import REJECTED

Columns = dict[str, object]
AttemptKey = tuple[str, int, int]  # step, attempt, epoch


@dataclass(slots=True)
class Changes:
    """What the events of one commit change in one run's rows."""

    run: Columns = field(default_factory=dict)
    steps: dict[str, Columns] = field(default_factory=dict)
    attempts: dict[AttemptKey, Columns] = field(default_factory=dict)
    added: list[Columns] = field(default_factory=list)  # whole rows of new steps
    created: bool = False  # the rows of the workflow's steps have to be made first
    dead: list[Columns] = field(default_factory=list)  # whole rows of dead letters
    replayed: list[Columns] = field(default_factory=list)  # step, at, by: what became of dead letters
    settled: set[str] = field(default_factory=set)  # steps whose task and timers are over
    cancelled: bool = False  # what nobody has begun is not to begin
    finished: bool = False  # the run has ended: no task or timer of it is left

    def step(self, event: Event, **columns: object) -> None:
        """Change the row of the event's step."""
        self.steps.setdefault(event.step, {}).update(columns)

    def attempt(self, event: Event, **columns: object) -> None:
        """Change the row of the event's attempt, unless that has ended. Events of no attempt change none."""
        if not event.attempt:
            return
        row = self.attempts.setdefault((event.step, event.attempt, event.epoch), {})
        if "ended_at" not in row:
            row.update(columns)


def project(events: Iterable[Event]) -> Changes:
    """Return what these events, in order and of one run, change."""
    changes = Changes()
    for event in events:
        _PROJECT[event.kind](changes, event)
    return changes


def step_row(step: Step, position: int) -> Columns:
    """Return the first row of a step: what its spec says."""
    return {
        "step": step.id,
        "kind": step.kind,
        "formula": step.labels.get("formula", ""),
        "server": step.labels.get("server", ""),
        "taskserv": step.labels.get("taskserv", ""),
        "output_name": step.labels.get("output", ""),
        "state": StepState.PENDING,
        "position": position,
    }


def step_rows(workflow: Workflow) -> Iterator[Columns]:
    """Yield the first rows of all steps of a workflow, each with the same columns in the same order."""
    return (step_row(step, position) for position, step in enumerate(workflow.steps))


# ---------------------------------------------------------------- one function per event kind


def _run_created(changes: Changes, event: Event) -> None:
    changes.created = True
    changes.run.update(
        digest=str(event.data.get("workflow", "")),
        name=str(event.data.get("name", "")),
        trigger=str(event.data.get("trigger", "")),
        params=event.data.get("params"),
        actor=event.actor,
        state=RunState.QUEUED,
        created_at=event.at,
    )


def _run_started(changes: Changes, event: Event) -> None:
    changes.run.update(state=RunState.RUNNING, started_at=event.at)


def _run_moves(state: RunState) -> Callable[[Changes, Event], None]:
    def move(changes: Changes, _event: Event) -> None:
        changes.run["state"] = state

    return move


def _run_stops(changes: Changes, event: Event) -> None:
    reason = event.data.get("reason") or (f"{event.step} failed" if event.step else "")
    changes.run.setdefault("reason", str(reason))
    changes.cancelled = changes.cancelled or event.kind is Kind.CANCEL_REQUESTED


def _run_finished(changes: Changes, event: Event) -> None:
    changes.finished = True
    changes.run.update(state=RunState(str(event.data["state"])), reason=str(event.data.get("reason", "")), ended_at=event.at)


def _run_retry_wait(changes: Changes, event: Event) -> None:
    changes.run["reason"] = f"{event.data.get('reason', '')}; run again at {event.data.get('due', '')}"


def _run_reopened(changes: Changes, event: Event) -> None:
    changes.finished = False
    changes.run.update(reason="", ended_at=None, exit_code=None)
    if not event.data.get("rerun"):  # that one has not ended, and may be paused
        changes.run["state"] = RunState.RUNNING
    again = event.data.get("steps")
    for name in again if isinstance(again, list | tuple) else ():
        changes.steps.setdefault(str(name), {}).update(_CLEAN, late_at=None, state=StepState.PENDING)
        changes.replayed.append({"step": str(name), "replayed_at": event.at, "replayed_by": event.actor})


def _nothing(_changes: Changes, _event: Event) -> None:
    """An event that shows in the journal only."""


def _step_added(changes: Changes, event: Event) -> None:
    spec = event.data.get("spec")
    if isinstance(spec, Step):
        changes.added.append(step_row(spec, 0))


def _dispatched(changes: Changes, event: Event) -> None:
    before = _CLEAN if event.epoch > 1 else {}  # the first dispatch finds nothing to clean up
    changes.step(event, **before, state=StepState.DISPATCHED, attempts=event.attempt)
    if event.attempt > 1:
        changes.replayed.append({"step": event.step, "replayed_attempt": event.attempt})
    changes.attempt(event, state=StepState.DISPATCHED)


def _started(changes: Changes, event: Event) -> None:
    changes.step(event, state=StepState.RUNNING, started_at=event.at)
    changes.attempt(event, state=StepState.RUNNING, started_at=event.at, worker=str(event.data.get("worker", "")))


def _ends(state: StepState) -> Callable[[Changes, Event], None]:
    def end(changes: Changes, event: Event) -> None:
        outcome = _outcome(event)
        changes.settled.add(event.step)
        changes.attempt(event, **outcome, state=state, ended_at=event.at)
        step: Columns = {**outcome, "state": state, "ended_at": event.at}
        step["reason"], step["because"] = str(event.data.get("reason", "")), str(event.data.get("because", ""))
        if event.data.get("output") is not None:
            step["output"] = event.data["output"]
        step |= _told(event, state)
        changes.step(event, **step)
        if state in _DEAD and event.attempt and not event.data.get("passes"):
            changes.dead.append(_dead_letter(event, outcome))

    return end


def _told(event: Event, state: StepState) -> Columns:
    """Return what the history keeps of the attempt besides its outcome: what it printed, and what its end is worth."""
    data, error = event.data, event.data.get("error")
    columns: Columns = {name: data[name] for name in ("stdout", "stderr") if data.get(name)}
    if isinstance(error, Mapping) and error.get("kind") == REJECTED:
        columns["mark"] = "rejected"
    elif data.get("passes") and state in _DEAD:
        columns["mark"] = "allowed"
    elif data.get("partial"):
        columns["mark"] = "partial"
    return columns


def _retry_wait(changes: Changes, event: Event) -> None:
    outcome = _outcome(event)
    changes.settled.add(event.step)
    ended = StepState.TIMED_OUT if outcome.get("error_kind") == "timeout" else StepState.FAILED
    changes.attempt(event, **outcome, state=ended, ended_at=event.at)
    due = str(event.data.get("due", ""))
    changes.step(event, **outcome, state=StepState.RETRY_WAIT, reason=f"tried again at {due}")


def _repeat_wait(changes: Changes, event: Event) -> None:
    outcome = _outcome(event)
    changes.settled.add(event.step)
    ended = StepState.FAILED if "error_kind" in outcome else StepState.SUCCEEDED
    changes.attempt(event, **outcome, state=ended, ended_at=event.at)
    due = str(event.data.get("due", ""))
    changes.step(event, **outcome, state=StepState.RETRY_WAIT, reason=f"repeated at {due}")


def _run_late(changes: Changes, event: Event) -> None:
    changes.run["late_at"] = event.at


def _step_late(changes: Changes, event: Event) -> None:
    changes.step(event, late_at=event.at)


def _dead_letter(event: Event, outcome: Columns) -> Columns:
    return {
        "step": event.step,
        "attempt": event.attempt,
        "error_kind": outcome.get("error_kind", ""),
        "error": outcome.get("error", ""),
        "died_at": event.at,
    }


def _retry_due(changes: Changes, event: Event) -> None:
    changes.settled.add(event.step)
    changes.step(event, state=StepState.READY, reason="")


def _lease_lost(changes: Changes, event: Event) -> None:
    reason = str(event.data.get("reason", ""))
    changes.settled.add(event.step)
    changes.step(event, state=StepState.READY, reason=reason)
    changes.attempt(event, state=StepState.INTERRUPTED, error_kind="lease_lost", error=reason, ended_at=event.at)


def _outcome(event: Event) -> Columns:
    """Return the columns that tell how an attempt ended. An event without a log leaves the one that was recorded."""
    data, error = event.data, event.data.get("error")
    columns: Columns = {"exit_code": data.get("exit_code")}
    if isinstance(error, Mapping):
        columns.update(error_kind=str(error.get("kind", "")), error=str(error.get("message", "")))
    if data.get("log"):
        columns["log"] = str(data["log"])
    return columns


_DEAD = frozenset({StepState.FAILED, StepState.TIMED_OUT})
_CLEAN: Columns = {
    "reason": "",
    "because": "",
    "exit_code": None,
    "error_kind": "",
    "error": "",
    "started_at": None,
    "ended_at": None,
    "output": None,
    "mark": "",
    "stdout": "",
    "stderr": "",
}
_PROJECT: dict[Kind, Callable[[Changes, Event], None]] = {
    Kind.RUN_CREATED: _run_created,
    Kind.RUN_STARTED: _run_started,
    Kind.RUN_HALTING: _run_stops,
    Kind.CANCEL_REQUESTED: _run_stops,
    Kind.PAUSE_REQUESTED: _run_moves(RunState.PAUSING),
    Kind.RUN_PAUSED: _run_moves(RunState.PAUSED),
    Kind.RUN_RESUMED: _run_moves(RunState.RUNNING),
    Kind.RUN_FINISHING: _run_moves(RunState.FINISHING),
    Kind.RUN_FINISHED: _run_finished,
    Kind.RUN_LATE: _run_late,
    Kind.RUN_REOPENED: _run_reopened,
    Kind.GATE_OPENED: _nothing,
    Kind.RUN_WAITING: _nothing,
    Kind.RUN_RETRY_WAIT: _run_retry_wait,
    Kind.STEP_ADDED: _step_added,
    Kind.STEP_DISPATCHED: _dispatched,
    Kind.STEP_STARTED: _started,
    Kind.STEP_SUCCEEDED: _ends(StepState.SUCCEEDED),
    Kind.STEP_UNCHANGED: _ends(StepState.UNCHANGED),
    Kind.STEP_FAILED: _ends(StepState.FAILED),
    Kind.STEP_TIMED_OUT: _ends(StepState.TIMED_OUT),
    Kind.STEP_CANCELLED: _ends(StepState.CANCELLED),
    Kind.STEP_INTERRUPTED: _ends(StepState.INTERRUPTED),
    Kind.STEP_SKIPPED: _ends(StepState.SKIPPED),
    Kind.STEP_RETRY_WAIT: _retry_wait,
    Kind.STEP_REPEAT_WAIT: _repeat_wait,
    Kind.STEP_RETRY_DUE: _retry_due,
    Kind.STEP_LATE: _step_late,
    Kind.STEP_LEASE_LOST: _lease_lost,
}
