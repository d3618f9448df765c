"""The schedules of a folder: what is read again, what counts, and what is due next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from support.scheduled import BERLIN, Town

from provisioning.core.schedules import Kept
from provisioning.errors import StoreError
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.scheduler import Watched, pausing
from provisioning.operations.scheduler.listing import list_schedules, upcoming

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, NOON)
    yield made
    made.close()


def touch(path: Path, seconds: int) -> None:
    """Give a file a time of its own: two writes in a row may have the same."""
    os.utime(path, (seconds, seconds))


def test_what_has_not_changed_is_not_read_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        town.dag(name, 'schedule: "0 * * * *"')
    watched = Watched(town.places, UTC)
    assert set(watched.look()) == {"a", "b"}
    read: list[str] = []
    monkeypatch.setattr(Catalogue, "read", spied(Catalogue.read, read))
    assert watched.look() == {}
    touch(town.dag("b", 'schedule: "5 * * * *"'), 1)
    assert set(watched.look()) == {"b"}
    assert read == ["b.yaml"]


def spied(read: object, names: list[str]) -> object:
    def spy(self: Catalogue, path: Path, shown: str) -> object:
        names.append(shown)
        return read(self, path, shown)  # type: ignore[operator]

    return spy


def test_a_file_that_was_touched_and_says_the_same_is_no_change(town: Town) -> None:
    path = town.dag("a", 'schedule: "0 * * * *"')
    watched = Watched(town.places, UTC)
    watched.look()
    touch(path, 1)
    assert watched.look() == {}


def test_another_base_file_is_a_change_of_all(town: Town) -> None:
    town.dag("a", 'schedule: "0 * * * *"')
    base = town.places.dags / "base.yaml"
    base.write_text("overlap_policy: all\n", "utf-8")
    watched = Watched(replace(town.places, base=base), UTC)
    watched.look()
    base.write_text("overlap_policy: latest\n", "utf-8")
    touch(base, 1)
    (watch,) = watched.look().values()
    assert watch is not None
    assert watch.timing.overlap.value == "latest"


def test_of_two_files_with_one_name_the_first_counts_and_then_the_other(town: Town) -> None:
    first = town.dag("a", 'name: same\nschedule: "1 * * * *"')
    town.dag("b", 'name: same\nschedule: "2 * * * *"')
    watched = Watched(town.places, UTC)
    assert [watch.path.stem for watch in watched.look().values() if watch is not None] == ["a"]
    first.unlink()
    assert [watch.path.stem for watch in watched.look().values() if watch is not None] == ["b"]


def test_a_file_that_is_broken_or_gone_or_has_no_schedule_any_more_is_not_watched(town: Town) -> None:
    paths = [town.dag(name, 'schedule: "0 * * * *"') for name in ("a", "b", "c")]
    watched = Watched(town.places, UTC)
    watched.look()
    touch(town.dag("a", "schedule: nonsense"), 1)
    touch(town.dag("b", "description: none"), 1)
    paths[2].unlink()
    assert watched.look() == {"a": None, "b": None, "c": None}
    assert list(watched.faults) == ["a"]
    watched.look()
    assert watched.faults == {}


def test_a_file_with_more_schedules_than_can_be_looked_at_is_said_and_not_watched(town: Town) -> None:
    lines = "\n".join(f'  - "{number % 60} {number // 60} * * *"' for number in range(1_001))
    town.dag("many", f"schedule:\n{lines}")
    watched = Watched(town.places, UTC)
    assert watched.look() == {}
    assert watched.faults == {"many": "many has 1,001 schedules, expected at most 1,000"}


def test_what_is_due_next_is_merged_and_leaves_out_what_is_suspended(town: Town) -> None:
    town.dag("a", 'schedule:\n  start: "0 * * * *"\n  stop: "30 * * * *"')
    town.dag("b", "schedule:\n  start:\n    - at: 2026-06-01T13:15:00Z")
    town.dag("c", 'schedule: "* * * * *"')
    town.places.suspended.mkdir()
    (town.places.suspended / "c.suspend").touch()
    schedules = list_schedules(Catalogue(town.places).entries(), {}, UTC)
    due = [(one.name, one.what.value, f"{one.at:%H:%M}") for one in islice(upcoming(schedules, NOON), 4)]
    assert due == [("a", "stop", "12:30"), ("a", "start", "13:00"), ("b", "start", "13:15"), ("a", "stop", "13:30")]


async def test_a_pause_is_a_flag_and_a_row_and_resuming_removes_both_whatever_the_file_is_called(town: Town) -> None:
    town.dag("file", 'name: etl\nschedule: "0 * * * *"')
    entry = Catalogue(town.places).find("etl")
    schedules = town.store.schedules
    await pausing.pause(town.places, schedules, entry, by="ana@work", at=NOON)
    (town.places.suspended / "file.suspend").touch()
    assert (await schedules.kept())["etl"] == Kept(name="etl", paused_by="ana@work", paused_at=NOON)
    assert Catalogue(town.places).find("etl").suspended

    await pausing.resume(town.places, schedules, entry, at=NOON + timedelta(hours=1))
    assert (await schedules.kept())["etl"].paused_at is None
    assert not Catalogue(town.places).find("etl").suspended


async def test_a_flag_that_cannot_be_written_is_an_error_that_names_the_folder(town: Town) -> None:
    town.dag("etl", 'schedule: "0 * * * *"')
    town.places.suspended.write_text("a file in its place", "utf-8")
    with pytest.raises(StoreError, match="suspend"):
        await pausing.pause(town.places, town.store.schedules, Catalogue(town.places).find("etl"), by="ana", at=NOON)


# ---------------------------------------------------------------- the loop


async def test_the_loop_looks_when_something_is_due_and_at_files_every_few_seconds(town: Town) -> None:
    town.dag("etl", 'schedule: "1 * * * *"')
    one = town.scheduler()
    running = asyncio.create_task(one.scheduler.run())
    for _ in range(14):
        await asleep(town)
        town.clock.advance(5)
    await asleep(town)
    await one.scheduler.settled()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [at.astimezone(BERLIN).minute for at in town.instants("etl")] == [1]


async def test_a_folder_that_is_gone_for_a_while_ends_nothing_and_is_told_once(town: Town) -> None:
    town.dag("etl", 'schedule: "1 * * * *"')
    one = town.scheduler()
    running = asyncio.create_task(one.scheduler.run())
    await asleep(town)
    away = town.places.dags.rename(town.places.dags.with_name("away"))
    for _ in range(3):
        town.clock.advance(5)
        await asleep(town)
    away.rename(town.places.dags)
    for _ in range(11):
        town.clock.advance(5)
        await asleep(town)
    await one.scheduler.settled()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [(name, "there is no folder" in message) for name, message in one.told.failures] == [("", True)]
    assert len(town.instants("etl")) == 1


async def asleep(town: Town) -> None:
    """Return when the loop of the one scheduler waits for time to pass."""
    async with asyncio.timeout(30):
        while not town.clock.sleepers:  # noqa: ASYNC110 -- a fake clock has nothing to wait for
            await asyncio.sleep(0.002)
