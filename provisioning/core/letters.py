"""Dead letters: which may be replayed, and when somebody has to look at them."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.core.history import DeadLetter
from provisioning.errors import UsageError


def refuse_replayed(letter: DeadLetter) -> None:
    """Raise UsageError for a dead letter that was replayed: its step has been run again since."""
    if letter.replayed_at is not None:
        again = f" as attempt {letter.replayed_attempt}" if letter.replayed_attempt else ""
        raise UsageError(f"dead letter {letter.id} was replayed{again}", hint="a later failure has a letter of its own")


@dataclass(slots=True, kw_only=True)
class Alarm:
    """Goes off when the number of dead letters reaches `threshold`, and again only after it was below. 0: never."""

    threshold: int
    ringing: bool = False

    def hear(self, count: int) -> bool:
        """Take the number after a change; return whether to raise the alarm now."""
        before, self.ringing = self.ringing, 0 < self.threshold <= count
        return self.ringing and not before
