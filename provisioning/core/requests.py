"""What operators ask of a run, and what becomes of runs that have lost their runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from provisioning.core.consequences import settle
from provisioning.core.decision import Decision
from provisioning.core.events import Kind
from provisioning.core.model import (
    STEP_ENDED,
    STEP_FAILED,
    STEP_GOOD,
    Gate,
    GateKind,
    OnFailure,
    RunState,
    StepState,
)
from provisioning.core.outcomes import lose, maybe_halt
from provisioning.core.ports import Request, Timer
from provisioning.core.run import ACTIVE, Run, StepRun
from provisioning.core.starting import handed_out
from provisioning.core.upstream import REJECTED


def on_request(decision: Decision, request: Request) -> None:
    """Take what an operator asks. What makes no sense in the run's state is ignored."""
    run = decision.run
    if run.ended:
        return
    decision.actor = request.actor
    if request.kind == "cancel":
        _cancel(decision, str(request.data.get("reason", "cancelled")))
    elif request.kind == "pause" and run.state is RunState.RUNNING:
        decision.emit(Kind.PAUSE_REQUESTED)
    elif request.kind == "resume" and run.state in {RunState.PAUSING, RunState.PAUSED}:
        decision.emit(Kind.RUN_RESUMED)
    elif request.kind == "open_gate":
        _open_gate(decision, request.data)
    elif request.kind == "reject":
        _reject(decision, str(request.data["name"]), str(request.data.get("reason", "")))
    elif request.kind == "continue":
        for gate in stopped_at(run, str(request.data.get("step", ""))):
            _open_gate(decision, {"kind": gate.kind.value, "name": gate.name})
    decision.actor = ""


def _cancel(decision: Decision, reason: str) -> None:
    """Cancel. While the handlers of a run work, its end is decided: then only they are stopped."""
    run = decision.run
    if not run.cancel_reason or (run.state is RunState.FINISHING and not run.stop_handlers):
        decision.emit(Kind.CANCEL_REQUESTED, data={"reason": reason})


def _open_gate(decision: Decision, data: Mapping[str, object]) -> None:
    if (str(data["kind"]), str(data["name"])) not in decision.run.opened:
        decision.emit(Kind.GATE_OPENED, data=data)


def _reject(decision: Decision, name: str, reason: str) -> None:
    """Fail the steps that wait for this approval: a person says no. What is approved already stays so."""
    run, gate = decision.run, (GateKind.APPROVAL.value, name)
    if gate in run.opened:
        return
    for id in run.gated.get(gate, ()):
        step = run.steps[id]
        if step.state is StepState.PENDING:
            error = {"kind": REJECTED, "message": f"rejected: {reason}" if reason else "rejected"}
            decision.emit(Kind.STEP_FAILED, step, {"error": error})
            maybe_halt(decision, step)


def stopped_at(run: Run, step_id: str = "") -> list[Gate]:
    """Return the breakpoints at which steps stop now: nothing else keeps them. Those of one step, or of all."""
    found: dict[Gate, None] = {}
    for (kind, _name), ids in run.gated.items():
        if kind != GateKind.BREAKPOINT:
            continue
        for id in ids if not step_id else [each for each in ids if each == step_id]:
            closed = closed_breakpoints(run, run.steps[id])
            if closed and run.steps[id].state is StepState.PENDING and run.steps[id].remaining == len(closed):
                found.update(dict.fromkeys(closed))
    return list(found)


def closed_breakpoints(run: Run, step: StepRun) -> list[Gate]:
    """Return the breakpoints of a step that nobody has opened."""
    gates = dict.fromkeys(gate for gate in step.spec.gates if gate.kind is GateKind.BREAKPOINT)
    return [gate for gate in gates if (gate.kind.value, gate.name) not in run.opened]


# ---------------------------------------------------------------- once more


class Extent(StrEnum):
    """How much of a run is run again."""

    NEEDED = "needed"  # what failed and what that kept from running; from a step, also all below it
    BELOW = "below"  # what failed, and all below it, also what has succeeded
    ALONE = "alone"  # the step that is named, and nothing else


def reopen(
    decision: Decision,
    from_step: str | None = None,
    *,
    keep_going: bool = False,
    max_parallel: int = 0,
    extent: Extent = Extent.NEEDED,
) -> list[str]:
    """Open an ended run again from its failed frontier, or from `from_step` and all below it; return the steps run again.

    Its handlers run again as well. `keep_going` and `max_parallel`, where given, replace what the run was started with.
    """
    run = decision.run
    again = _wanted(run, from_step, extent)
    if again:
        on_failure = {"on_failure": OnFailure.SKIP_DOWNSTREAM.value} if keep_going else {}
        limit = {"max_parallel": max_parallel} if max_parallel else {}
        decision.emit(Kind.RUN_REOPENED, data={"steps": _with_handlers(run, again), **on_failure, **limit})
    return again


def rerun(decision: Decision) -> None:
    """Run what failed of a run that has not ended again, and all below it: its policy asks for that, and the time has come."""
    run = decision.run
    if run.rerun_due and not run.cancel_reason:
        again = below(run, [id for id, step in run.steps.items() if step.spec.handler is None and _is_frontier(step)])
        decision.emit(Kind.RUN_REOPENED, data={"steps": again, "rerun": True})


def replay(decision: Decision, step_ids: Sequence[str]) -> list[str]:
    """Run failed steps again, and what their failure kept from running, while the run goes on or later; return all of them."""
    run = decision.run
    first = [id for id in step_ids if run.steps[id].state in STEP_FAILED]
    again = [id for id in below(run, first) if id in first or _is_frontier(run.steps[id])]
    if again:
        handlers = _with_handlers(run, again) if run.ended or run.verdict is not None else again
        decision.emit(Kind.RUN_REOPENED, data={"steps": handlers, "replayed": first})
    return again


def _wanted(run: Run, from_step: str | None, extent: Extent) -> list[str]:
    if from_step is not None:
        return [from_step] if extent is Extent.ALONE else below(run, [from_step])
    frontier = [id for id, step in run.steps.items() if _is_frontier(step)]
    return below(run, frontier) if extent is Extent.BELOW else frontier


def _with_handlers(run: Run, ids: Sequence[str]) -> list[str]:
    handlers = [id for id, step in run.steps.items() if step.spec.handler is not None]
    return list(dict.fromkeys((*ids, *handlers)))


def _is_frontier(step: StepRun) -> bool:
    """Whether a retry runs the step again: it did not succeed, and not because a condition did not hold."""
    return step.blocked or step.state in STEP_ENDED - STEP_GOOD - {StepState.SKIPPED}


def below(run: Run, first: Sequence[str]) -> list[str]:
    """Return these steps and all that depend on them, in declaration order."""
    seen, rest = set(first), list(first)
    while rest:
        for target, _on in run.out_edges[rest.pop()]:
            if target not in seen:
                seen.add(target)
                rest.append(target)
    return [id for id in run.steps if id in seen]


# ---------------------------------------------------------------- without a runner


def recover(decision: Decision, *, workers_live: bool = False) -> None:
    """After a restart: what the dead process's workers had goes back to ready, or fails when that happened too often.

    Workers that live on have what they have. What may not have reached them is handed out as it was: no other dispatch.
    """
    run = decision.run
    for step in [step for step in run.steps.values() if step.state in ACTIVE]:
        if not workers_live:
            lose(decision, step, "runner died")
        elif not run.cancel_reason:
            decision.tasks.append(handed_out(run, step))
    decision.timers += _still_to_come(decision.run)


def _still_to_come(run: Run) -> list[Timer]:
    """Return the timers that a run waits for: those of the dead process may have fired while nobody drove the run."""
    waiting = [step for step in run.steps.values() if step.state is StepState.RETRY_WAIT and step.due]
    timers = [(step.spec.id, step.attempt, "retry", datetime.fromisoformat(step.due)) for step in waiting]
    if run.rerun_due:
        timers.append(("", run.reruns, "rerun", datetime.fromisoformat(run.rerun_due)))
    policy = run.workflow.policy
    slow = [
        step for step in run.steps.values() if step.spec.sla_s is not None and not step.late and step.state not in STEP_ENDED
    ]
    limits = [(f"late {step.spec.id}", step.spec.sla_s) for step in slow]
    for kind, after_s in (("timeout", policy.timeout_s), ("late", policy.sla_s), *limits):
        if after_s is not None and run.started_at is not None:
            timers.append(("", 0, kind, run.started_at + timedelta(seconds=after_s)))
    return [Timer(run=run.id, step=step, attempt=attempt, kind=kind, due=due) for step, attempt, kind, due in timers]


def abandon(decision: Decision, reason: str) -> None:
    """End a run whose runner is gone and will not come back: what ran is interrupted, the rest and the handlers never start."""
    run = decision.run
    if run.ended:
        return
    decision.emit(Kind.CANCEL_REQUESTED, data={"reason": reason})
    settle(decision)
    for step in list(run.steps.values()):
        if step.state in ACTIVE:
            decision.emit(Kind.STEP_INTERRUPTED, step, {"reason": reason})
    settle(decision)
    for step in list(run.steps.values()) if not run.ended else ():
        if step.state not in STEP_ENDED:
            decision.emit(Kind.STEP_CANCELLED, step, {"reason": f"not started: {reason}"})
    settle(decision)
