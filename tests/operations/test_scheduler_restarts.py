"""Stops and restarts by schedule: what goes on ends, and begins anew once, also where a scheduler dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.scheduled import One, Town, both_look


@pytest.fixture
def noon(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, datetime(2026, 6, 1, 11, 0, tzinfo=UTC))
    yield made
    made.close()


async def test_stop_ends_what_goes_on_and_restart_ends_it_waits_and_starts_with_the_same_parameters(noon: Town) -> None:
    noon.dag("etl", 'schedule:\n  start: "0 12 * * *"\n  stop: "0 14 * * *"\n  restart: "0 13 * * *"\nrestart_wait_sec: 30')
    one, other = noon.scheduler(), noon.scheduler()
    await both_look(one, other)
    noon.set(datetime(2026, 6, 2, 10, 0, tzinfo=UTC))
    await both_look(one, other)
    noon.set(datetime(2026, 6, 2, 11, 0, tzinfo=UTC))
    looks = asyncio.gather(one.look(), other.look())
    async with asyncio.timeout(30):
        while noon.clock.sleepers < 2:  # noqa: ASYNC110 -- until both wait; there is nothing to wait for
            await asyncio.sleep(0.005)
    noon.clock.advance(30)
    await looks
    noon.set(datetime(2026, 6, 2, 12, 0, 1, tzinfo=UTC))
    await both_look(one, other)

    assert [at.hour for at in noon.instants("etl")] == [10, 11]
    states = [run.state.value for run in noon.store.history.list_runs(10)]
    assert states == ["cancelled", "cancelled"]
    assert len(one.runs.stopped) + len(other.runs.stopped) == 2


RESTARTED = 'schedule:\n  start: "0 12 * * *"\n  restart: "0 13 * * *"\nrestart_wait_sec: 30'


async def half_restarted(town: Town) -> None:
    """Have a scheduler stop what it is to start anew, and die."""
    one = town.scheduler()
    await one.look()
    town.set(datetime(2026, 6, 2, 10, 0, tzinfo=UTC))
    await one.look()
    town.set(datetime(2026, 6, 2, 11, 0, tzinfo=UTC))
    looking = asyncio.create_task(one.look())
    async with asyncio.timeout(30):
        while not one.runs.stopped or not town.clock.sleepers:  # noqa: ASYNC110 -- there is nothing to wait for
            await asyncio.sleep(0.005)
    for task in (looking, *one.scheduler._tasks):
        task.cancel()
    await asyncio.gather(looking, *one.scheduler._tasks, return_exceptions=True)


async def finished_by(town: Town, *schedulers: One) -> None:
    looks = asyncio.gather(*(one.look() for one in schedulers))
    async with asyncio.timeout(30):
        while town.clock.sleepers < len(schedulers):  # noqa: ASYNC110 -- there is nothing to wait for
            await asyncio.sleep(0.005)
    town.clock.advance(30)
    await looks


async def test_a_restart_whose_scheduler_died_half_way_is_finished_once_by_the_next_ones(noon: Town) -> None:
    noon.dag("etl", RESTARTED)
    await half_restarted(noon)
    assert [at.hour for at in noon.instants("etl")] == [10]
    noon.set(datetime(2026, 6, 2, 15, 0, tzinfo=UTC))  # far too late for a restart that was not begun
    await finished_by(noon, noon.scheduler(), noon.scheduler())
    assert [at.hour for at in noon.instants("etl")] == [10, 11]
    states = [run.state.value for run in noon.store.history.list_runs(10)]
    assert states == ["running", "cancelled"]
    later = noon.scheduler()
    await later.look()
    assert len(noon.instants("etl")) == 2
    assert later.runs.stopped == []


async def test_a_restart_that_was_begun_is_not_finished_where_it_was_suspended_since(noon: Town) -> None:
    noon.dag("etl", RESTARTED)
    await half_restarted(noon)
    noon.places.suspended.mkdir(parents=True)
    (noon.places.suspended / "etl.suspend").touch()
    await noon.scheduler().look()
    (noon.places.suspended / "etl.suspend").unlink()
    await noon.scheduler().look()
    assert [at.hour for at in noon.instants("etl")] == [10]
