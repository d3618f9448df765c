"""Timers of a cluster. What is due soon is on the leader's own heap; the rest waits on the server, as a schedule in the stream.

A schedule fires on the second, whoever leads then, and goes onto the heap of that one. Whoever takes over sets all timers of
its runs again, so one that was only on a heap is not lost, and one that fires twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta

from provisioning.adapters.memory.timers import TimerHeap
from provisioning.adapters.nats.messages import timer_body
from provisioning.adapters.nats.names import Names
from provisioning.adapters.nats.wire import Message, expected
from provisioning.core.ports import Clock, Timer

SOON_S = 60.0
SCHEDULE, TARGET = "Nats-Schedule", "Nats-Schedule-Target"


class NatsTimers(TimerHeap):
    """Fulfils `ports.Timers` for the leader."""

    def __init__(self, clock: Clock, names: Names) -> None:
        super().__init__(clock)
        self._names = names

    def begin(self, timers: Iterable[Timer]) -> None:
        """Start committed timers that are due soon."""
        self.add(timer for timer in timers if self._is_soon(timer))

    def schedules(self, timers: Sequence[Timer]) -> Sequence[Message]:
        """Return what the server is sent for the others."""
        return [self._schedule(timer) for timer in timers if not self._is_soon(timer)]

    def _is_soon(self, timer: Timer) -> bool:
        return timer.due - self._clock.now() <= timedelta(seconds=SOON_S)

    def _schedule(self, timer: Timer) -> Message:
        at = timer.due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {SCHEDULE: f"@at {at}", TARGET: self._names.fire(timer.run), **expected(0)}
        subject = self._names.timer(timer.run, timer.step, timer.attempt, timer.kind)
        return Message(subject=subject, body=timer_body(timer), headers=headers)
