"""Which workers there are, as they said it themselves last. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime

from provisioning.core.frozen import dataclass
from provisioning.core.model import NO_LABELS

FRESH_S = 15.0
"""How long what a worker says of itself counts: three beats of 5 s, and longer than the lease of a task."""
OWN = "w."
"""How targets begin that are of one worker each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One worker. `targets` None means every target; a worker always serves the target that is its own."""

    name: str
    targets: tuple[str, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    capacity: int = 1  # slots
    in_use: int = 0  # of them, when it said so
    draining: bool = False  # it ends what it has and takes nothing new
    version: str = ""
    since: datetime | None = None
    at: datetime | None = None  # when it said so; None counts as now

    def serves(self, target: str) -> bool:
        """Whether it takes tasks for a target; "" is any worker. What is for one worker only that one takes."""
        if is_own(target):
            return target == worker_target(self.name)
        return not target or self.targets is None or target in self.targets

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels, each with this value."""
        return all(self.labels.get(name) == value for name, value in labels.items())


def worker_target(worker: str) -> str:
    """Return the target that only this worker serves."""
    return OWN + worker


def is_own(target: str) -> bool:
    """Whether a target is that of one worker."""
    return target.startswith(OWN)


def fresh(seen: Sequence[Presence], now: datetime, within_s: float = FRESH_S) -> tuple[Presence, ...]:
    """Return the workers that are there and take tasks, by name: said within `within_s` seconds, not draining.

    A worker whose clock is ahead of ours counts: presence that has expired is removed by whoever keeps it.
    """
    there = (one for one in seen if not one.draining and (one.at is None or (now - one.at).total_seconds() <= within_s))
    return tuple(sorted(there, key=lambda one: one.name))


def slots(there: Sequence[Presence], target: str = "") -> int:
    """Return how many tasks for a target can run at once, on all workers that serve it."""
    return sum(max(0, one.capacity) for one in there if one.serves(target))
