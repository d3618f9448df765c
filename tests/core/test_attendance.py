"""Who is there, who may still have what it was handed, and who is given up: by what workers say, and by their silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from provisioning.core.attendance import PATIENCE_S, Attendance
from provisioning.core.presence import FRESH_S, Presence

START = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Roll:
    """What workers say, and the clock."""

    now_s: float = 0.0
    said: dict[str, Presence] = field(default_factory=dict)
    attendance: Attendance = field(default_factory=Attendance)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.now_s)

    def say(self, *names: str, draining: bool = False) -> None:
        self.said |= {name: Presence(name=name, draining=draining, at=self.now) for name in names}

    def forget(self, *names: str) -> None:
        """Whoever keeps presence drops it: it has expired, or the worker has left."""
        for name in names:
            self.said.pop(name, None)

    def look(self, after_s: float = 0.0, having: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
        self.now_s += after_s
        there, lingering = self.attendance.look(list(self.said.values()), self.now, self.now_s, having)
        return [one.name for one in there], sorted(lingering)


def test_a_silent_worker_gets_nothing_new_and_is_given_up_later() -> None:
    roll = Roll()
    roll.say("a", "b")
    assert roll.look() == (["a", "b"], [])
    roll.now_s += FRESH_S
    roll.say("b")
    assert roll.look(1) == (["b"], ["a"])
    roll.forget("a")
    assert roll.look(1) == (["b"], ["a"])
    roll.now_s += PATIENCE_S
    roll.say("b")
    assert roll.look() == (["b"], [])


def test_while_the_servers_between_were_away_nobody_was_given_up() -> None:
    """What they knew of the workers is gone with them; the workers are not."""
    roll = Roll()
    roll.say("a", "b")
    roll.look()
    roll.forget("a", "b")
    assert roll.look(FRESH_S + 5) == ([], ["a", "b"])
    roll.say("a")
    assert roll.look(1) == (["a"], ["b"])
    roll.say("b")
    assert roll.look(1) == (["a", "b"], [])


def test_who_takes_over_gives_workers_time_that_have_something_and_no_others() -> None:
    roll = Roll()
    roll.say("a")
    assert roll.look(having=("a", "b")) == (["a"], ["b"])
    roll.now_s += PATIENCE_S
    roll.say("a")
    assert roll.look() == (["a"], ["b"])
    assert roll.look(1, having=("c",)) == (["a"], [])


def test_one_that_drains_gets_nothing_new_and_once_it_is_gone_has_nothing() -> None:
    roll = Roll()
    roll.say("a")
    roll.look()
    roll.say("a", draining=True)
    assert roll.look(1) == ([], ["a"])
    assert roll.look(10 * PATIENCE_S) == ([], ["a"])  # it says so again and again
    roll.forget("a")
    assert roll.look(1) == ([], [])


def test_one_that_comes_back_is_there_again() -> None:
    roll = Roll()
    roll.say("a")
    roll.look()
    assert roll.look(FRESH_S + 1) == ([], ["a"])
    assert roll.look(PATIENCE_S + 1) == ([], [])
    roll.say("a")
    assert roll.look() == (["a"], [])


def test_a_clock_that_is_set_back_gives_nobody_up() -> None:
    roll = Roll()
    roll.say("a")
    roll.look()
    there, lingering = roll.attendance.look(list(roll.said.values()), START - timedelta(hours=5), 1.0)

    assert ([one.name for one in there], lingering) == (["a"], frozenset())
