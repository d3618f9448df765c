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
"""How long what a worker has is left to it after it was there last: two beats, so that all are heard of again where servers that
were away are back. With `FRESH_S` before it, that is longer than the lease of a task."""


@dataclass(slots=True)
class Attendance:
    """Remembers who was there."""

    last_s: dict[str, float] | None = None  # name -> when it was there last; None: nobody has looked yet
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
        if self.last_s is None:
            self.last_s = dict.fromkeys(having, now_s)
        self.last_s |= dict.fromkeys(present | leaving, now_s)
        left = self.draining - {one.name for one in seen}
        self.draining = leaving
        for name in [name for name, at_s in self.last_s.items() if name in left or now_s - at_s > PATIENCE_S]:
            del self.last_s[name]
        return there, frozenset(self.last_s.keys() - present)
