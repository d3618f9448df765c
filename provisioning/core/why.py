"""Why a step does not run: everything that still keeps it waiting, each with a reason that a person understands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from provisioning.core.frozen import dataclass
from provisioning.core.model import NO_LABELS, RUN_ENDED, STEP_ENDED, GateKind, HandlerOn, RunState, StepState
from provisioning.core.placement import Roster, followed, place
from provisioning.core.presence import OWN, Presence, is_own
from provisioning.core.ready import needs
from provisioning.core.run import ACTIVE, Run, StepRun, satisfied


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One thing that a step waits for.

    `kind`: step, signal, approval, breakpoint, hold, pool, key, limit, retry, worker, paused, queued, handler. `name` is that
    of the step, gate, pool or key; `reason` says it in words.
    """

    kind: str
    name: str
    reason: str


QUEUED = "queued:"
Holders = Mapping[str, Sequence[str]]
"""By pool or key, as `core.ready.needs` names them: `run/step` of each that has a slot; by `QUEUED` and queue: the runs."""
_NOT_BEGUN = frozenset({RunState.CREATED, RunState.QUEUED})


def holders(runs: Iterable[Run]) -> Holders:
    """Return who holds which slots, in all open runs."""
    found: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        for queue in run.workflow.policy.queues if run.state not in {*_NOT_BEGUN, *RUN_ENDED} else ():
            found[f"{QUEUED}{queue}"].append(run.id)
        for step in run.steps.values():
            if step.state in ACTIVE:
                for name in needs(run, step.spec.id):
                    found[name].append(f"{run.id}/{step.spec.id}")
    return found


def blockers(
    run: Run, step_id: str, held: Holders, capacity: Mapping[str, int] | None, there: Sequence[Presence] | None = None
) -> list[Blocker]:
    """Return all that keeps a step from running; nothing for one that runs or has ended.

    `capacity` is that of global pools, of which one that is not there has one slot. None: only who drives the runs knows it.
    `there` are the workers, where they are on several machines.
    """
    step = run.steps[step_id]
    if step.state in STEP_ENDED or step.state is StepState.RUNNING:
        return []
    found = _of_run(run, held)
    if step.state is StepState.PENDING:
        return found + _steps(run, step) + _gates(run, step) + _handler(run, step)
    if step.state is StepState.RETRY_WAIT:
        what = "tried again" if step.error_kind else "repeated"
        return [*found, Blocker(kind="retry", name=step_id, reason=f"attempt {step.attempt} ended; it is {what} at {step.due}")]
    if step.state is StepState.DISPATCHED:
        return [*found, absent(run, step_id, there) or _worker(step)]
    return found or _slots(run, step_id, held, capacity) or [absent(run, step_id, there) or _worker(step)]


def absent(run: Run, step_id: str, there: Sequence[Presence] | None) -> Blocker | None:
    """Return that no worker is there for a step that is ready or was handed out, if none is, and what would help."""
    step = run.steps[step_id]
    if there is None or step.state not in {StepState.READY, StepState.DISPATCHED}:
        return None
    return _nobody(run, step, there) if step.state is StepState.READY else _gone(step, there)


def why_queued(run: Run, held: Holders) -> list[Blocker]:
    """Return what a run waits for that has not begun; nothing for one that has."""
    if run.state not in _NOT_BEGUN:
        return []
    full = [
        Blocker(kind="queued", name=queue, reason=f"{queue} is taken ({len(having)} of {most}): {_few(having)}")
        for queue, most in run.workflow.policy.queues.items()
        if len(having := held.get(f"{QUEUED}{queue}", ())) >= most
    ]
    return full or [Blocker(kind="queued", name=run.id, reason="as many runs as may run at once are running")]


# ---------------------------------------------------------------- parts


def _of_run(run: Run, held: Holders) -> list[Blocker]:
    if run.state in _NOT_BEGUN:
        return [replace(one, reason=f"the run is queued: {one.reason}") for one in why_queued(run, held)]
    if run.state in {RunState.PAUSING, RunState.PAUSED}:
        return [Blocker(kind="paused", name=run.id, reason="the run is paused")]
    return []


def _steps(run: Run, step: StepRun) -> list[Blocker]:
    waiting = []
    for dep in dict.fromkeys(step.spec.deps):
        other = run.steps[dep.step]
        if not (other.state in STEP_ENDED and satisfied(dep.on, other)):
            reason = f"waits for step {dep.step}, which is {_words(other.state)}"
            waiting.append(Blocker(kind="step", name=dep.step, reason=reason))
    return waiting


_GATES = {
    GateKind.SIGNAL: "waits for signal {name}",
    GateKind.APPROVAL: "waits for approval {name}",
    GateKind.BREAKPOINT: "stopped at breakpoint {name}",
    GateKind.HOLD: "held: {name}",
}


def _gates(run: Run, step: StepRun) -> list[Blocker]:
    closed = [gate for gate in dict.fromkeys(step.spec.gates) if (gate.kind.value, gate.name) not in run.opened]
    return [Blocker(kind=gate.kind.value, name=gate.name, reason=_GATES[gate.kind].format(name=gate.name)) for gate in closed]


def _handler(run: Run, step: StepRun) -> list[Blocker]:
    if step.spec.handler is None or run.verdict is not None:
        return []
    if step.spec.handler is HandlerOn.WAIT:
        return (
            [] if run.has_waited else [Blocker(kind="handler", name="wait", reason="it is for a run that waits for approval")]
        )
    return [Blocker(kind="handler", name=step.spec.handler.value, reason="it is a handler: all other steps have to end first")]


def _slots(run: Run, step_id: str, held: Holders, capacity: Mapping[str, int] | None) -> list[Blocker]:
    """Return the pools, keys and limits of which no slot is free."""
    found = []
    for name in needs(run, step_id):
        kind, shown, most = _named(run, name, capacity)
        having = held.get(name, ())
        if len(having) >= most:
            share = f"{len(having)} of {most}" if capacity is not None or kind != "pool" else f"{len(having)} of its slots"
            found.append(Blocker(kind=kind, name=shown, reason=f"{kind} {shown} is taken ({share}): {_few(having)}"))
    return found


def _few(having: Sequence[str]) -> str:
    return ", ".join(having[:3]) + (f" and {len(having) - 3} more" if len(having) > 3 else "")


def _named(run: Run, name: str, capacity: Mapping[str, int] | None) -> tuple[str, str, int]:
    """Return kind, shown name and slots of what `core.ready.needs` names."""
    if name == f"run:{run.id}":
        return "limit", "max_parallel", run.workflow.policy.max_parallel
    kind, _, rest = name.partition(":")
    if kind == "run":
        pool = rest.removeprefix(f"{run.id}/")
        return "pool", pool, run.workflow.pools[pool]
    return kind, rest, (capacity or {}).get(rest, 1) if kind == "pool" else 1


def _nobody(run: Run, step: StepRun, there: Sequence[Presence]) -> Blocker | None:
    roster = Roster()
    roster.update(there)
    found = place(run, step, roster)
    if not found.waits:
        return None
    wanted = followed(run, step)
    target = found.key if is_own(found.key) else wanted.target or ""
    reason = f"{found.waits}: {_to_start(target, wanted.selector)}"
    return Blocker(kind="worker", name=target.removeprefix(OWN), reason=reason)


def _gone(step: StepRun, there: Sequence[Presence]) -> Blocker | None:
    if any(one.serves(step.target) for one in there):
        return None
    name = step.target.removeprefix(OWN)
    if is_own(step.target):
        return Blocker(
            kind="worker", name=name, reason=f"worker {name}, to which it was handed, is gone: others are asked soon"
        )
    which = f" of {name}" if name else ""
    return Blocker(kind="worker", name=name, reason=f"no worker{which} is there any more: {_to_start(name, NO_LABELS)}")


def _to_start(target: str, labels: Mapping[str, str]) -> str:
    """Return the command that starts a worker which may run it."""
    options = [f"--name {target.removeprefix(OWN)}"] if is_own(target) else [f"--target {target}"] if target else []
    options += [f"--label {name}={value}" for name, value in sorted(labels.items())]
    return f"start one with `{' '.join(['provisioning worker start', *options])}`"


def _worker(step: StepRun) -> Blocker:
    placement = step.spec.placement
    where = step.target or placement.target or ""
    name = where.removeprefix(OWN)
    if is_own(where):
        return Blocker(kind="worker", name=name, reason=f"waits for worker {name} to have time for it")
    labels = ", ".join(f"{name}={value}" for name, value in sorted(placement.selector.items()))
    wanted = f"{f' of {where}' if where else ''}{f' with {labels}' if labels else ''}"
    return Blocker(kind="worker", name=where, reason=f"waits for a free worker{wanted}")


def _words(state: StepState) -> str:
    return state.value.replace("_", " ")
