"""Which queued run starts next: by priority, then by age; at most so many at once, in all, of each workflow, in each queue.

A run that has to wait does not stand in the way of others that need not. Where runs disagree on how many slots there are, the
newest counts. Starting a run and the end of one are O(log n), amortized, however many wait.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioning.core.run import Run

Item = tuple[int, int, str]  # -priority, sequence, run


@dataclass(slots=True)
class Admission:
    """Runs that wait and runs that go on. `limit` is for all of them; 0 is no limit.

    What limits some of them is a place: their workflow, or a queue. A run has a slot of each of its places until it has ended.
    """

    limit: int = 0
    sequence: int = 0
    waiting: dict[str, Run] = field(default_factory=dict)
    admitted: dict[str, tuple[str, ...]] = field(default_factory=dict)  # run -> its places
    slots: dict[str, int] = field(default_factory=dict)  # place -> how many there are; 0 is no limit
    known: Counter[str] = field(default_factory=Counter)  # place -> runs that wait or go on
    taken: Counter[str] = field(default_factory=Counter)  # place -> runs that go on
    heap: list[Item] = field(default_factory=list)
    parked: dict[str, list[Item]] = field(default_factory=dict)  # place -> heap of those that wait for a slot of it
    woken: dict[str, str] = field(default_factory=dict)  # run in `heap` -> where it was parked

    def offer(self, run: Run) -> None:
        """Queue a run."""
        self.sequence += 1
        self.waiting[run.id] = run
        self._learn(run)
        heapq.heappush(self.heap, (-run.workflow.policy.priority, self.sequence, run.id))

    def enter(self, run: Run) -> None:
        """Count a run that goes on already, whatever the limits."""
        if run.id not in self.admitted:
            self._learn(run)
            self._count(run)

    def leave(self, run_id: str) -> None:
        """Forget a run that has ended, or that will not start."""
        waited, places = self.waiting.pop(run_id, None), self.admitted.pop(run_id, ())
        for place in places:
            self.taken[place] -= 1
            self._wake(place)
        for place in places_of(waited) if waited is not None else places:
            self._forget(place)

    def admit(self) -> list[Run]:
        """Return the runs that start now, and count them."""
        started: list[Run] = []
        while self.heap and not (self.limit and len(self.admitted) >= self.limit):
            item = heapq.heappop(self.heap)
            run, before = self.waiting.get(item[2]), self.woken.pop(item[2], None)
            full = self._full(run) if run is not None else None
            if full is not None:
                heapq.heappush(self.parked.setdefault(full, []), item)
            elif run is not None:
                del self.waiting[run.id]
                self._count(run)
                started.append(run)
            if before is not None and before != full:  # the next one there may find room, too
                self._wake(before)
        return started

    # ------------------------------------------------------------ parts

    def _learn(self, run: Run) -> None:
        for place, slots in places_of(run).items():
            self.known[place] += 1
            if self.slots.get(place) != slots:
                self.slots[place] = slots
                self._wake(place)

    def _forget(self, place: str) -> None:
        self.known[place] -= 1
        if not self.known[place]:
            for kept in (self.known, self.slots, self.taken, self.parked):
                kept.pop(place, None)

    def _count(self, run: Run) -> None:
        self.admitted[run.id] = tuple(places_of(run))
        self.taken.update(self.admitted[run.id])

    def _full(self, run: Run) -> str | None:
        """Return a place of which a run can have no slot."""
        return next((place for place in places_of(run) if 0 < self.slots[place] <= self.taken[place]), None)

    def _wake(self, place: str) -> None:
        """Have the first that waits for a slot of a place looked at again; if it starts or waits elsewhere, so is the next."""
        items = self.parked.get(place)
        if not items:
            return
        item = heapq.heappop(items)
        if not items:
            del self.parked[place]
        self.woken[item[2]] = place
        heapq.heappush(self.heap, item)


def places_of(run: Run) -> Mapping[str, int]:
    """Return the slots of all that limits a run, by place."""
    workflow = run.workflow
    return {f"workflow {workflow.name}": workflow.policy.max_runs, **workflow.policy.queues}
