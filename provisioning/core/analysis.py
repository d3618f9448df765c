"""What can be said of a workflow as a whole: its critical path, and what lies before and behind a step. Pure, O(V + E).

Durations are seconds. Handlers stand aside of the critical path: they start when everything else has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median

from provisioning.core.frozen import dataclass
from provisioning.core.model import Step, Workflow
from provisioning.core.suggest import nearest
from provisioning.errors import NotFoundError

DEFAULT_S = 60.0
"""What a step counts for of which nothing is known."""
TOLERANCE = 1e-9
"""Share of the total below which slack is a rounding error."""

Edges = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a step can start at the earliest, and at the latest without delaying the end. Counted from the start of the run."""

    step: str
    duration_s: float
    earliest_s: float
    latest_s: float
    slack_s: float
    critical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """What decides how long a workflow takes if everything that may run at once does."""

    total_s: float
    steps: tuple[Timing, ...]  # in declaration order
    chain: tuple[str, ...]  # one of the longest, from a step that waits for none to one that none waits for

    @property
    def critical(self) -> frozenset[str]:
        """The steps without slack: those of the chain, and of others that are as long."""
        return frozenset(step.step for step in self.steps if step.critical)


def durations(workflow: Workflow, history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return how long each step takes: its median in the history, else its SLA, else its timeout, else a minute."""
    return {step.id: median(known) if (known := history.get(step.id)) else _declared(step) for step in workflow.steps}


def critical_path(workflow: Workflow, duration_s: Mapping[str, float]) -> CriticalPath:
    """Return the critical path. `duration_s` has every step but handlers."""
    ids = [step.id for step in workflow.steps if step.handler is None]
    before, behind = _edges(workflow, set(ids))
    earliest, order = _earliest(ids, before, behind, duration_s)
    tail = _tails(order, behind, duration_s)
    total = max(tail.values(), default=0.0)
    return CriticalPath(
        total_s=total,
        steps=tuple(_timing(id, duration_s[id], earliest[id], tail[id], total) for id in ids),
        chain=tuple(_chain(ids, before, behind, tail)),
    )


def upstream(workflow: Workflow, id: str) -> tuple[str, ...]:
    """Return all steps that a step waits for, directly or not, in declaration order. Raises NotFoundError."""
    return _reached(workflow, id, _edges(workflow)[0])


def downstream(workflow: Workflow, id: str) -> tuple[str, ...]:
    """Return all steps that wait for a step, directly or not, in declaration order. Raises NotFoundError."""
    return _reached(workflow, id, _edges(workflow)[1])


# ---------------------------------------------------------------- parts


def _declared(step: Step) -> float:
    return next((value for value in (step.sla_s, step.timeout_s) if value), DEFAULT_S)


def _edges(workflow: Workflow, among: set[str] | None = None) -> tuple[Edges, Edges]:
    """Return what each step waits for, and what waits for it; each neighbour once, in declaration order of the edges."""
    steps = [step for step in workflow.steps if among is None or step.id in among]
    before: Edges = {step.id: [] for step in steps}
    behind: Edges = {step.id: [] for step in steps}
    for step in steps:
        for dep in dict.fromkeys(dep.step for dep in step.deps):
            if dep in before:
                before[step.id].append(dep)
                behind[dep].append(step.id)
    return before, behind


def _earliest(
    ids: Sequence[str], before: Edges, behind: Edges, duration_s: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Return earliest starts, and a topological order."""
    earliest = dict.fromkeys(ids, 0.0)
    waits = {id: len(before[id]) for id in ids}
    free = deque(id for id in ids if not waits[id])
    order: list[str] = []
    while free:
        id = free.popleft()
        order.append(id)
        for follower in behind[id]:
            earliest[follower] = max(earliest[follower], earliest[id] + duration_s[id])
            waits[follower] -= 1
            if not waits[follower]:
                free.append(follower)
    return earliest, order


def _tails(order: Sequence[str], behind: Edges, duration_s: Mapping[str, float]) -> dict[str, float]:
    """Return how long it takes from the start of each step to the end of the last one behind it."""
    tail: dict[str, float] = {}
    for id in reversed(order):
        tail[id] = duration_s[id] + max((tail[follower] for follower in behind[id]), default=0.0)
    return tail


def _timing(id: str, duration_s: float, earliest_s: float, tail_s: float, total_s: float) -> Timing:
    critical = total_s - tail_s - earliest_s <= TOLERANCE * max(total_s, 1.0)
    slack_s = 0.0 if critical else total_s - tail_s - earliest_s
    return Timing(
        step=id,
        duration_s=duration_s,
        earliest_s=earliest_s,
        latest_s=earliest_s + slack_s,
        slack_s=slack_s,
        critical=critical,
    )


def _chain(ids: Sequence[str], before: Edges, behind: Edges, tail: Mapping[str, float]) -> list[str]:
    """Return the longest chain: always on to the neighbour behind which the most lies, the first declared of equal ones."""
    heads: Sequence[str] = [id for id in ids if not before[id]]
    chain: list[str] = []
    while heads:
        chain.append(max(heads, key=tail.__getitem__))
        heads = behind[chain[-1]]
    return chain


def _reached(workflow: Workflow, id: str, edges: Edges) -> tuple[str, ...]:
    if id not in edges:
        near = nearest(id, tuple(edges))
        raise NotFoundError(f"workflow {workflow.name} has no step {id!r}", hint=f"did you mean {near}?" if near else "")
    found: set[str] = set()
    rest = [id]
    while rest:
        new = [each for each in edges[rest.pop()] if each not in found]
        found.update(new)
        rest.extend(new)
    return tuple(step.id for step in workflow.steps if step.id in found)
