"""What a step can know of its run when it starts: the outputs of everything above it, and where the run stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from provisioning.core.model import STEP_ENDED, STEP_FAILED, GateKind, StepState
from provisioning.core.run import Run, StepRun

REJECTED = "rejected"
"""The error kind of a step to which a person said no."""
Answers = Mapping[str, tuple[str, ...]]
_NEVER = datetime.min.replace(tzinfo=UTC)


def upstream(run: Run, step: StepRun) -> dict[str, object]:
    """Return the outputs of all steps that this one depends on, near or far, in the order in which they ended.

    A handler knows those of all steps. Takes time linear in the steps that have one: see `_nearest`.
    """
    if step.spec.handler is not None:
        found = [other for other in run.steps.values() if _left_something(other)]
    else:
        found = [run.steps[id] for id in _above(run, step.spec.id)]
    found.sort(key=lambda other: (other.ended_at or _NEVER, other.index))
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
    """Return the steps with an output from which one gets here past none that has one. Does not recurse.

    A long chain without outputs shares one answer, and one with an output at each link has one each. Remembered in the run as
    soon as it can no longer change: what was skipped early may have steps above it that still work.
    """
    known, passing, rest = run.nearest, dict[str, tuple[str, ...]](), [id]
    while rest:
        deps = [run.steps[dep.step] for dep in run.steps[rest[-1]].spec.deps]
        plain = [other.spec.id for other in deps if not _left_something(other)]
        missing = [other for other in plain if other not in known and other not in passing]
        if missing:
            rest.extend(missing)
            continue
        parts = [(other.spec.id,) if _left_something(other) else _either(known, passing, other.spec.id) for other in deps]
        last = all(other in known for other in plain) and all(other.state in STEP_ENDED for other in deps)
        (known if last else passing)[rest.pop()] = _joined(parts)
    return _either(known, passing, id)


def _left_something(step: StepRun) -> bool:
    return step.output is not None and step.state in STEP_ENDED


def _either(known: Answers, passing: Answers, id: str) -> tuple[str, ...]:
    return known[id] if id in known else passing[id]


def _joined(parts: list[tuple[str, ...]]) -> tuple[str, ...]:
    if len(parts) == 1:
        return parts[0]
    return tuple(dict.fromkeys(id for part in parts for id in part))
