"""Who is there, who may come back, and who is given up: by what workers say, and by their silence."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from provisioning.adapters.memory import FakeClock
from provisioning.core.presence import FRESH_S, GIVEN_UP_S, Presence
from provisioning.engine.attendance import LOOK_S, Attendance


@dataclass
class Roll:
    """What was told of whom."""

    clock: FakeClock = field(default_factory=FakeClock)
    said: dict[str, Presence] = field(default_factory=dict)
    told: list[tuple[list[str], list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.attendance = Attendance(self.clock, lambda: list(self.said.values()), self._see)

    async def _see(self, there: Sequence[Presence], lingering: Collection[str]) -> None:
        self.told.append(([one.name for one in there], sorted(lingering)))

    def say(self, *names: str, draining: bool = False) -> None:
        for name in names:
            self.said[name] = Presence(name=name, draining=draining, at=self.clock.now())

    async def look(self, after_s: float = 0.0) -> tuple[list[str], list[str]]:
        self.clock.advance(after_s)
        await self.attendance.look()
        return self.told[-1]


async def test_a_silent_worker_gets_nothing_new_and_is_given_up_later() -> None:
    roll = Roll()
    roll.say("a", "b")
    assert await roll.look() == (["a", "b"], [])
    roll.clock.advance(FRESH_S)
    roll.say("b")
    assert await roll.look(1) == (["b"], ["a"])
    del roll.said["a"]  # whoever keeps presence has dropped it
    assert await roll.look(1) == (["b"], ["a"])
    roll.clock.advance(GIVEN_UP_S)
    roll.say("b")
    assert await roll.look() == (["b"], [])


async def test_one_that_speaks_again_is_there_again() -> None:
    roll = Roll()
    roll.say("a")
    await roll.look()
    assert await roll.look(FRESH_S + 1) == ([], ["a"])
    roll.say("a")
    assert await roll.look() == (["a"], [])


async def test_one_that_ends_what_it_has_gets_nothing_new_and_once_it_is_gone_has_nothing() -> None:
    roll = Roll()
    roll.say("a")
    await roll.look()
    roll.say("a", draining=True)
    assert await roll.look(1) == ([], ["a"])
    del roll.said["a"]
    assert await roll.look(1) == ([], [])


async def test_a_worker_that_is_killed_while_it_drains_is_given_up_too() -> None:
    roll = Roll()
    roll.say("a", draining=True)
    assert await roll.look() == ([], ["a"])
    roll.said["a"] = replace(roll.said["a"], draining=False)
    assert await roll.look(GIVEN_UP_S) == ([], [])


async def test_a_change_is_told_at_once_and_silence_is_noticed_without_one() -> None:
    roll = Roll()
    serving = asyncio.create_task(roll.attendance.serve())
    for _ in range(5):
        await asyncio.sleep(0)
    assert roll.told == [([], [])]
    roll.say("a")
    roll.attendance.changed()
    for _ in range(10):
        await asyncio.sleep(0)
    assert roll.told[-1] == (["a"], [])
    roll.clock.advance(FRESH_S + LOOK_S)
    for _ in range(10):
        await asyncio.sleep(0)
    assert roll.told[-1] == ([], ["a"])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
