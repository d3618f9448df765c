"""Which ready step goes next: one heap over all runs, with pools and concurrency keys.

A step that lacks a slot is parked under the name it lacks and does not stand in the way of the others. A returned slot
brings back only the best step parked there; one that cannot use it passes it on. Every operation is O(log n), amortized:
a step that is parked again waits for another name, and comes back when that one is returned.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioning.core.events import Kind
from provisioning.core.model import StepState
from provisioning.core.run import ACTIVE, Run, order

GIVES_BACK = frozenset(
    {
        Kind.STEP_SUCCEEDED,
        Kind.STEP_FAILED,
        Kind.STEP_TIMED_OUT,
        Kind.STEP_CANCELLED,
        Kind.STEP_INTERRUPTED,
        Kind.STEP_SKIPPED,
        Kind.STEP_RETRY_WAIT,
        Kind.STEP_REPEAT_WAIT,
        Kind.STEP_LEASE_LOST,
    }
)
"""Events after which a step has no slots."""
Item = tuple[int, int, int, str, str]  # the three parts of the order, run, step


@dataclass(slots=True)
class ReadyQueue:
    """Ready steps and the slots they need. `capacity` has the global pools; a name that is not in it has one slot."""

    capacity: dict[str, int] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    holders: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    queued: dict[str, set[str]] = field(default_factory=dict)  # run -> steps
    heap: list[Item] = field(default_factory=list)
    parked: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))

    def open_run(self, run: Run) -> None:
        """Learn the run's own pools, and take the slots of what its workers already have."""
        self.capacity.update(run_pools(run))
        for step in run.steps.values():
            if step.state in ACTIVE:
                self._take(run, step.spec.id)

    def close_run(self, run: Run) -> None:
        """Forget a run that has ended: its slots, its pools, and what of it still waits for a slot."""
        for step in run.steps:
            self.give_back(run.id, step)
        left = self.queued.pop(run.id, None)
        if left:
            self._drop(run, left)
        for name in run_pools(run):
            self.capacity.pop(name, None)

    def add(self, run: Run, step: str) -> None:
        """Queue a ready step. Queueing it twice is no error."""
        steps = self.queued.setdefault(run.id, set())
        if step not in steps:
            steps.add(step)
            heapq.heappush(self.heap, (*order(run, run.steps[step]), run.id, step))

    def take(self, runs: Mapping[str, Run], room: int | None = None) -> list[tuple[str, str]]:
        """Take the steps that may start now, with their slots, at most `room` of them; return (run, step) in order.

        Steps that are no longer ready, and those of runs that are gone or paused, are dropped; a resumed run queues its
        own again.
        """
        chosen: list[tuple[str, str]] = []
        while self.heap and (room is None or len(chosen) < room):
            item = heapq.heappop(self.heap)
            run_id, step = item[3:]
            run = runs.get(run_id)
            if run is None or not run.accepting or run.steps[step].state is not StepState.READY:
                self._unqueue(run_id, step)
                self._pass_on(needs(run, step) if run else list(self.parked))
                continue
            wanted = needs(run, step)
            lacking = next((name for name in wanted if not self._free(name)), None)
            if lacking is not None:
                heapq.heappush(self.parked[lacking], item)
                self._pass_on(wanted)
                continue
            self._take(run, step)
            self._unqueue(run_id, step)
            chosen.append((run_id, step))
        return chosen

    def give_back(self, run: str, step: str) -> None:
        """Return the slots of a step that ended or lost its worker. Returning them twice is no error."""
        for name in self.holders.pop((run, step), ()):
            self.taken[name] -= 1
            if not self.taken[name]:
                del self.taken[name]
            self._unpark(name)

    def _unqueue(self, run: str, step: str) -> None:
        steps = self.queued.get(run)
        if steps is not None:
            steps.discard(step)
            if not steps:
                del self.queued[run]

    def _drop(self, run: Run, steps: Iterable[str]) -> None:
        """Take steps out. One that a returned slot had brought back passes that slot on."""
        called = [item[4] for item in self.heap if item[3] == run.id]
        self.heap = _without(self.heap, run.id)
        for name in {name for step in steps for name in needs(run, step)} & self.parked.keys():
            self._park(name, _without(self.parked[name], run.id))
        for step in called:
            self._pass_on(needs(run, step))

    def _pass_on(self, names: Sequence[str]) -> None:
        """Bring back the next step for slots that are still free: the last one they brought back could not start."""
        for name in names:
            if self._free(name):
                self._unpark(name)

    def _free(self, name: str) -> bool:
        return self.taken[name] < self.capacity.get(name, 1)

    def _take(self, run: Run, step: str) -> None:
        names = needs(run, step)
        self.taken.update(names)
        self.holders[(run.id, step)] = tuple(names)

    def _unpark(self, name: str) -> None:
        if items := self.parked.get(name):
            heapq.heappush(self.heap, heapq.heappop(items))
            self._park(name, items)

    def _park(self, name: str, items: list[Item]) -> None:
        """Put `items` in the place of those that wait for a name."""
        if items:
            self.parked[name] = items
        else:
            del self.parked[name]


def _without(items: Sequence[Item], run_id: str) -> list[Item]:
    kept = [item for item in items if item[3] != run_id]
    heapq.heapify(kept)
    return kept


def run_pools(run: Run) -> dict[str, int]:
    """Return the pools that only this run has: its declared ones and its `max_parallel`."""
    pools = {f"run:{run.id}/{name}": slots for name, slots in run.workflow.pools.items()}
    if run.workflow.policy.max_parallel:
        pools[f"run:{run.id}"] = run.workflow.policy.max_parallel
    return pools


def needs(run: Run, step: str) -> Sequence[str]:
    """Return the names of the slots a step needs: its keys, its pools, the run's own limit."""
    spec = run.steps[step].spec
    pools = run.workflow.pools
    names = [f"key:{key}" for key in spec.keys]
    names += [f"run:{run.id}/{pool}" if pool in pools else f"pool:{pool}" for pool in spec.pools]
    if run.workflow.policy.max_parallel:
        names.append(f"run:{run.id}")
    return list(dict.fromkeys(names))
