"""Which queued run starts next: by priority, then by age; at most so many at once, in all and of each workflow.

A run whose workflow is at its limit does not stand in the way of others. Every operation is O(log n), amortized.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from provisioning.core.run import Run

Item = tuple[int, int, str]  # -priority, sequence, run


@dataclass(slots=True)
class Admission:
    """Runs that wait and runs that go on. `limit` is for all of them; 0 is no limit."""

    limit: int = 0
    sequence: int = 0
    waiting: dict[str, Run] = field(default_factory=dict)
    admitted: dict[str, str] = field(default_factory=dict)  # run -> workflow
    of_workflow: Counter[str] = field(default_factory=Counter)
    heap: list[Item] = field(default_factory=list)
    parked: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))

    def offer(self, run: Run) -> None:
        """Queue a run."""
        self.sequence += 1
        self.waiting[run.id] = run
        heapq.heappush(self.heap, (-run.workflow.policy.priority, self.sequence, run.id))

    def enter(self, run: Run) -> None:
        """Count a run that goes on already, whatever the limits."""
        if run.id not in self.admitted:
            self.admitted[run.id] = run.workflow.name
            self.of_workflow[run.workflow.name] += 1

    def leave(self, run_id: str) -> None:
        """Forget a run that has ended, or that will not start."""
        self.waiting.pop(run_id, None)
        name = self.admitted.pop(run_id, None)
        if name is not None:
            self.of_workflow[name] -= 1
            for item in self.parked.pop(name, []):
                heapq.heappush(self.heap, item)

    def admit(self) -> list[Run]:
        """Return the runs that start now, and count them."""
        started: list[Run] = []
        while self.heap and not (self.limit and len(self.admitted) >= self.limit):
            item = heapq.heappop(self.heap)
            run = self.waiting.get(item[2])
            if run is None:
                continue
            most = run.workflow.policy.max_runs
            if most and self.of_workflow[run.workflow.name] >= most:
                self.parked[run.workflow.name].append(item)
                continue
            del self.waiting[run.id]
            self.enter(run)
            started.append(run)
        return started
