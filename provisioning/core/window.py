"""How many tasks to hand out: about as many as the workers can take, so that what becomes ready later may still go first.

The window follows the pace: twice what ended in the last turn, and never less than twice the slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioning.core.model import ANYWHERE, WAITING_ACTIONS, Step

LARGEST = 1024  # unless the slots alone need more: what is handed out is in memory as a task of its own


@dataclass(slots=True)
class Window:
    """Tasks that were handed out. Without `slots` there is no limit.

    Steps that need a certain worker, and those that only wait for other runs, are not counted: the rest would wait for them.
    """

    slots: int = 0
    size: int = 0
    ended_since: int = 0
    out: set[tuple[str, str]] = field(default_factory=set)

    def room(self) -> int | None:
        """Return how many more may go out now; None is any number."""
        if not self.slots:
            return None
        if self.ended_since or not self.size:
            self.size, self.ended_since = max(2 * self.slots, min(2 * self.ended_since, LARGEST)), 0
        return max(0, self.size - len(self.out))

    def began(self, run: str, step: Step) -> None:
        """Count a task that goes out."""
        if self.slots and step.placement == ANYWHERE and step.action.type not in WAITING_ACTIONS:
            self.out.add((run, step.id))

    def ended(self, run: str, step: str) -> None:
        """Count one that is back."""
        if (run, step) in self.out:
            self.out.discard((run, step))
            self.ended_since += 1

    def forget(self, run: str) -> None:
        """Drop all of a run that has ended."""
        if any(of == run for of, _step in self.out):
            self.out = {item for item in self.out if item[0] != run}
