"""When somebody has to look at the dead letters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Alarm:
    """Goes off when the number of dead letters reaches `threshold`, and again only after it was below. 0: never."""

    threshold: int
    ringing: bool = False

    def hear(self, count: int) -> bool:
        """Take the number after a change; return whether to raise the alarm now."""
        before, self.ringing = self.ringing, 0 < self.threshold <= count
        return self.ringing and not before
