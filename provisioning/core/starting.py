"""How runs and steps begin: what is recorded, and what the worker is handed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from provisioning.core.decision import Decision
from provisioning.core.events import Event, Kind
from provisioning.core.model import STEP_GOOD
from provisioning.core.placement import Place, place
from provisioning.core.ports import Outcome, Report, Task, Timer
from provisioning.core.presence import worker_target as worker_target  # noqa: PLC0414 - part of this door
from provisioning.core.run import Run, StepRun
from provisioning.core.upstream import facts, upstream
from provisioning.core.values import Marker, Payload, Ref, RunParams, Upstream, resolve

_ANYWHERE: Mapping[str, object] = {"target": ""}  # one for all
NO_WORKER = "placement"
"""The error kind of a step whose place cannot be found."""


def create(decision: Decision, workflow_digest: str, *, name: str, trigger: str, params: Mapping[str, object]) -> None:
    """Record that the run exists. It is queued; `start` follows."""
    data = {"workflow": workflow_digest, "name": name, "trigger": trigger, "params": dict(params)}
    decision.emit(Kind.RUN_CREATED, data=data)


def start(decision: Decision) -> None:
    """Start a queued run, and the timers that watch over it."""
    run = decision.run
    decision.emit(Kind.RUN_STARTED)
    for step in run.steps.values():
        if step.spec.unchanged:
            decision.emit(Kind.STEP_UNCHANGED, step)
        if step.spec.sla_s is not None:
            _watch(decision, f"late {step.spec.id}", step.spec.sla_s)
    policy = run.workflow.policy
    if policy.timeout_s is not None:
        _watch(decision, "timeout", policy.timeout_s)
    if policy.sla_s is not None:
        _watch(decision, "late", policy.sla_s)


def _watch(decision: Decision, kind: str, after_s: float) -> None:
    due = decision.now + timedelta(seconds=after_s)
    decision.timers.append(Timer(run=decision.run.id, step="", attempt=0, kind=kind, due=due))


def dispatch(decision: Decision, step_id: str, where: Place | None = None) -> Report | None:
    """Hand a ready step to the workers, `where` `core.placement` says. Its slots have been taken.

    Returns None; where no worker can be named, a report that says so, which is taken as any other.
    """
    run = decision.run
    step = run.steps[step_id]
    where = where or place(run, step)
    _begin(decision, step, where.target)
    if where.problem:
        return _refusal(run, step, NO_WORKER, where.problem)
    decision.tasks.append(_task(run, step, where.target))
    return None


def handed_out(run: Run, step: StepRun) -> Task:
    """Return the task of a step that a worker has or is to have, as it was handed out."""
    return _task(run, step, step.target)


def reject(decision: Decision, step_id: str, kind: str, message: str) -> Report:
    """Begin an attempt that no worker will see; return the report of its failure, which is taken as any other."""
    step = decision.run.steps[step_id]
    _begin(decision, step, "")
    return _refusal(decision.run, step, kind, message)


def lost(run: Run, step_id: str) -> Report:
    """Return the report that the worker of an attempt is gone, which is taken as any other."""
    task = _task(run, run.steps[step_id], run.steps[step_id].target, resolved=False)
    return Report(task=task, worker=run.steps[step_id].worker, outcome=Outcome.LOST)


# ---------------------------------------------------------------- parts


def _begin(decision: Decision, step: StepRun, target: str) -> None:
    decision.record(
        Event(
            run=decision.run.id,
            kind=Kind.STEP_DISPATCHED,
            at=decision.now,
            seq=decision.run.seq + 1,
            step=step.spec.id,
            attempt=step.attempt if step.lost else step.attempt + 1,
            epoch=step.epoch + 1,
            data={"target": target} if target else _ANYWHERE,
        )
    )


def _refusal(run: Run, step: StepRun, kind: str, message: str) -> Report:
    task = _task(run, step, step.target, resolved=False)
    return Report(task=task, worker="", outcome=Outcome.FAILED, error_kind=kind, error=message)


def _task(run: Run, step: StepRun, target: str, *, resolved: bool = True) -> Task:
    spec = step.spec
    return Task(
        run=run.id,
        step=spec.id,
        attempt=step.attempt,
        epoch=step.epoch,
        action=spec.action,
        args=resolve(spec.args, lambda marker: _value(run, step, marker)) if resolved and spec.args is not None else None,
        target=target,
        timeout_s=spec.timeout_s,
        deadline=_deadline(run),
        labels=spec.labels,
        tries=step.attempt - step.attempts_before,
        rounds=step.repeats + 1,
    )


def _deadline(run: Run) -> datetime | None:
    limit_s = run.workflow.policy.timeout_s
    if limit_s is None or run.started_at is None or run.verdict is not None:
        return None
    return run.started_at + timedelta(seconds=limit_s)


def _value(run: Run, step: StepRun, marker: Marker) -> object:
    """Return what a marker stands for. What a signal never brought is null: the step does not wait for it, then."""
    if isinstance(marker, Ref):
        source = run.steps[marker.step]
        return source.output if source.state in STEP_GOOD else marker.default
    if isinstance(marker, Payload):
        return run.opened.get(("signal", marker.signal), run.opened.get(("approval", marker.signal)))
    if isinstance(marker, Upstream):
        return upstream(run, step)
    return run.params if isinstance(marker, RunParams) else facts(run)
