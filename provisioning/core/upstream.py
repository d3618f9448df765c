"""What a step can know of its run when it starts: the outputs of everything above it, and where the run stands."""

from __future__ import annotations

from provisioning.core.model import STEP_FAILED, GateKind, StepState
from provisioning.core.run import Run, StepRun

REJECTED = "rejected"
"""The error kind of a step to which a person said no."""


def upstream(run: Run, step: StepRun) -> dict[str, object]:
    """Return the outputs of all steps that this one depends on, near or far, in the order in which they ended.

    A handler knows those of all steps. Takes time linear in the steps that have one: see `_nearest`.
    """
    if step.spec.handler is not None:
        found = [other for other in run.steps.values() if other.output is not None]
    else:
        found = [run.steps[id] for id in _above(run, step.spec.id)]
    found.sort(key=lambda other: (other.ended_at is None, other.ended_at, other.index))
    return {other.spec.id: other.output for other in found}


def facts(run: Run) -> dict[str, object]:
    """Return where the run stands: see `values.RunVerdict`."""
    steps = [step for step in run.steps.values() if step.spec.handler is None]
    failed = [step for step in steps if step.state in STEP_FAILED and not step.passes]
    return {
        "state": "waiting" if run.waiting else (run.verdict or run.state).value,
        "reason": run.reason,
        "failed": [step.spec.id for step in failed],
        "rejected": [step.spec.id for step in failed if step.error_kind == REJECTED],
        "waiting": [step.spec.id for step in awaiting(run)],
    }


def awaiting(run: Run) -> list[StepRun]:
    """Return the steps that nothing keeps from running but a person who has to approve."""
    found: dict[str, int] = {}
    for (kind, name), ids in run.gated.items():
        if kind == GateKind.APPROVAL and (kind, name) not in run.opened:
            for id in ids:
                found[id] = found.get(id, 0) + 1
    steps = ((run.steps[id], closed) for id, closed in found.items())
    return [step for step, closed in steps if step.state is StepState.PENDING and step.remaining == closed]


def _above(run: Run, id: str) -> list[str]:
    seen: dict[str, None] = dict.fromkeys(_nearest(run, id))
    rest = list(seen)
    while rest:
        for other in _nearest(run, rest.pop()):
            if other not in seen:
                seen[other] = None
                rest.append(other)
    return list(seen)


def _nearest(run: Run, id: str) -> tuple[str, ...]:
    """Return the steps with an output from which one gets here past none that has one. Remembered; does not recurse.

    A long chain without outputs shares one answer, and one with an output at each link has one each.
    """
    known, rest = run.nearest, [id]
    while rest:
        deps = [dep.step for dep in run.steps[rest[-1]].spec.deps]
        missing = [other for other in deps if run.steps[other].output is None and other not in known]
        if missing:
            rest.extend(missing)
            continue
        known[rest.pop()] = _joined([(other,) if run.steps[other].output is not None else known[other] for other in deps])
    return known[id]


def _joined(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    if len(parts) == 1:
        return parts[0]
    return tuple(dict.fromkeys(id for part in parts for id in part))
