"""Which ready steps go out now, and where: no more than the workers can take. Pure.

One process has a window. With several machines there is a roster, and a step that nobody can take now is held under the name of
what it waits for. A task that comes back lets those go on that wait for its target, or for labels, one after the other and the
best first, until one of them has to be held again; other workers, or others of them, let all go on. So an end costs O(log n)
however many steps wait.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from provisioning.core.model import Step
from provisioning.core.placement import LABELS, Place, Roster, place
from provisioning.core.presence import Presence, is_own
from provisioning.core.ready import Item
from provisioning.core.run import Run, StepRun, order
from provisioning.core.window import Window


@dataclass(slots=True)
class Posting:
    """What went out, and what waits for room. Without a roster the window counts."""

    window: Window
    roster: Roster | None = None
    held: dict[str, list[Item]] = field(default_factory=dict)  # what is waited for -> heap
    freed: set[str] = field(default_factory=set)  # of these names some may go on
    released: list[Item] = field(default_factory=list)

    def room(self) -> int | None:
        """Return how many steps may go out now; None is any number: then each is asked for its place."""
        return self.window.room() if self.roster is None else None

    def place(self, run: Run, step: StepRun) -> Place:
        """Return where a step goes. One that has to wait is held until `ready` has it again."""
        where = place(run, step, self.roster)
        if where.waits:
            heapq.heappush(self.held.setdefault(where.key, []), (*order(run, step), run.id, step.spec.id))
            self.freed.discard(where.key)
        return where

    def began(self, run: str, step: Step, target: str) -> None:
        """Count a task that goes out."""
        if self.roster is None:
            self.window.began(run, step)
        else:
            self.roster.began(run, step, target)

    def ended(self, run: str, step: str) -> None:
        """Count one that is back."""
        self.window.ended(run, step)
        target = self.roster.ended(run, step) if self.roster is not None else None
        if target is not None:
            self.freed |= {target, *(key for key in self.held if LABELS in key and is_own(target))}

    def forget(self, run: str) -> None:
        """Drop all of a run that has ended."""
        self.window.forget(run)
        if self.roster is not None:
            for step in [step for of, step in self.roster.having if of == run]:
                self.ended(run, step)

    def see(self, there: Sequence[Presence], lingering: Collection[str] = ()) -> bool:
        """Take who is there now; say whether that makes a difference."""
        changed = self.roster is not None and self.roster.update(there, lingering)
        if changed:
            held, self.held = self.held, {}
            self.released += [item for items in held.values() for item in items]
        return changed

    def strays(self) -> list[tuple[str, str]]:
        """Return (run, step) of what was sent to workers that are given up."""
        return self.roster.strays() if self.roster is not None else []

    @property
    def has_ready(self) -> bool:
        """Whether `ready` has something."""
        return bool(self.released) or not self.freed.isdisjoint(self.held)

    def ready(self) -> list[tuple[str, str]]:
        """Return (run, step) of those that may go on: of each name that room was made for, the best one."""
        released, self.released = self.released, []
        self.freed &= self.held.keys()
        return [item[3:] for item in (*released, *map(self._best, list(self.freed)))]

    def _best(self, key: str) -> Item:
        items = self.held[key]
        best = heapq.heappop(items)
        if not items:
            del self.held[key]
        return best
