"""Which workers are there, and which are gone but not given up yet. Pure: the time is passed in.

Silence has two ends. A worker that was not heard of for a while gets nothing new; what it has is left to it for longer, because
it may be at it still: the servers between us may have been away, and with them what they knew of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from provisioning.core.presence import Presence, fresh

PATIENCE_S = 10.0
"""How long what a worker has is left to it after it was missed first: two beats, so that all are heard of again where servers
were away and are back. With `FRESH_S` before it, that is longer than the lease of a task."""


@dataclass(slots=True)
class Attendance:
    """Remembers who was there."""

    missed_s: dict[str, float | None] | None = None  # name -> when it was missed first, None while it is there
    draining: set[str] = field(default_factory=set)

    def look(
        self, seen: Sequence[Presence], now: datetime, now_s: float, having: Collection[str] = ()
    ) -> tuple[tuple[Presence, ...], frozenset[str]]:
        """Return who is there, and the names of those that are not but are not given up.

        `now_s` is on a clock that only goes forward. `having` are the names of workers that something was handed to by name:
        at the first look they count as there a moment ago. One that drains keeps what it has, and has nothing once it is gone.
        """
        there = fresh(seen, now)
        present, leaving = {one.name for one in there}, {one.name for one in seen if one.draining}
        known = dict[str, float | None].fromkeys(having) if self.missed_s is None else self.missed_s
        known |= dict.fromkeys(present | leaving)
        left = self.draining - {one.name for one in seen}
        since = {name: now_s if missed is None else missed for name, missed in known.items() if name not in present | leaving}
        kept = {name: at_s for name, at_s in since.items() if name not in left and now_s - at_s <= PATIENCE_S}
        self.missed_s, self.draining = {**dict.fromkeys(present | leaving), **kept}, leaving
        return there, frozenset(self.missed_s.keys() - present)
