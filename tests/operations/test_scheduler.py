"""Schedulers over one store: each instant exactly once, whoever dies; downtimes; files that change."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.cost import counted
from support.records import a_workflow
from support.scheduled import BERLIN, One, Town, both_look, later

from provisioning.core import cron
from provisioning.core.events import Kind
from provisioning.core.model import Source
from provisioning.core.scheduling import What
from provisioning.errors import ConfigError, LockedError, StoreError

BEGIN = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, BEGIN)
    yield made
    made.close()


@pytest.fixture
def noon(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, NOON - HOUR)
    yield made
    made.close()


PLANS = {"nightly": "30 2 * * *", "weekly": "0 */12 * * 6"}
NIGHTS = 225  # until 31 October: both clock changes are among them


@pytest.mark.parametrize("deadly", [False, True], ids=["both live", "one of them is killed now and then"])
async def test_two_schedulers_start_each_of_200_instants_once_across_both_clock_changes(town: Town, *, deadly: bool) -> None:
    for name, expression in PLANS.items():
        town.dag(name, f'schedule: "{expression}"\noverlap_policy: all')
    chance = random.Random(1)
    first, second = town.scheduler(), town.scheduler(dies=chance if deadly else None)
    await both_look(first, second)
    end = BEGIN + timedelta(days=NIGHTS)
    due = {name: list(cron.between(cron.parse(text), BEGIN, end, BERLIN)) for name, text in PLANS.items()}
    deaths = 0
    for at in sorted(set(itertools.chain(*due.values()))):
        town.set(later(at, chance.choice([0, 1, 30, 59])))
        ones = [first, second] if chance.random() < 0.7 else [second, first]
        died = await both_look(*ones)
        if any(died):
            deaths += 1
            second = town.scheduler(dies=chance)
        await town.finish_all()

    assert {name: town.instants(name) for name in due} == due
    local_days = [at.astimezone(BERLIN).date() for at in town.instants("nightly")]
    assert len(set(local_days)) == len(local_days) == NIGHTS >= 200
    assert (deaths > 50) is deadly


@pytest.mark.parametrize("seed", range(2))
async def test_a_scheduler_that_is_alone_and_killed_does_the_rest_when_it_is_started_again(town: Town, seed: int) -> None:
    town.dag("minutes", 'schedule: "*/5 * * * *"')
    chance = random.Random(seed)
    alone = town.scheduler()
    await alone.look()
    due = [BEGIN + timedelta(minutes=5 * number) for number in range(1, 41)]
    for at in due:
        town.set(later(at, 1))
        alone.runs.dies = chance
        while any(await both_look(alone)):
            town.set(later(town.clock.now(), 1))
            alone = town.scheduler(dies=chance)
        await town.finish_all()

    assert town.instants("minutes") == due
    assert set(town.triggers("minutes")) == {"schedule"}


SEVERAL = {"nightly": "30 2 * * *", "half": "*/30 2-3 * * 0", "odd": "15,45 1-3 25-31 * *"}
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_two_schedulers_miss_that_are_killed_and_away_is_made_up_for_once_and_in_order(
    town: Town, seed: int
) -> None:
    for name, expression in SEVERAL.items():
        town.dag(name, f'schedule: "{expression}"\noverlap_policy: all\ncatchup_window: 30d')
    chance = random.Random(seed)
    ones = [town.scheduler(), town.scheduler()]
    await both_look(*ones)
    for one in ones:
        one.runs.dies = chance
    end = BEGIN + timedelta(days=16)  # a clock change is among them
    due = {name: list(cron.between(cron.parse(text), BEGIN, end, BERLIN)) for name, text in SEVERAL.items()}
    for at in sorted(set(itertools.chain(*due.values()))):
        if chance.random() < 0.15:
            continue  # nobody is there
        town.set(max(at, town.clock.now()))
        for _ in range(chance.choice([1, 2, 4])):
            died = await both_look(*ones)
            ones = [town.scheduler(dies=chance) if dead else one for one, dead in zip(ones, died, strict=True)]
            if chance.random() < 0.8:
                await town.finish_all()
            town.set(later(town.clock.now(), 2))
    town.set(max(end, town.clock.now()))
    last = town.scheduler()
    while any(town.instants(name) != found for name, found in due.items()):
        await town.finish_all()
        assert last.scheduler.next_look is None or last.scheduler.next_look < later(town.clock.now(), 10)
        await last.look()
        town.set(later(town.clock.now(), 2))


# ---------------------------------------------------------------- a downtime


@pytest.mark.parametrize(
    ("head", "hours", "triggers"),
    [
        pytest.param("", [16], ["schedule"], id="none"),
        pytest.param("catchup_window: 6h\noverlap_policy: latest", [15, 16], ["catchup", "schedule"], id="latest"),
        pytest.param("catchup_window: 6h\noverlap_policy: all", [13, 14, 15, 16], ["catchup"] * 3 + ["schedule"], id="all"),
        pytest.param("catchup_window: 6h", [13, 14, 15, 16], ["catchup"] * 3 + ["schedule"], id="skip: one after another"),
        pytest.param("catchup_window: 2h\noverlap_policy: all", [14, 15, 16], ["catchup"] * 2 + ["schedule"], id="a window"),
    ],
)
async def test_after_a_downtime_what_was_missed_is_made_up_for_as_the_dag_says(
    noon: Town, head: str, hours: list[int], triggers: list[str]
) -> None:
    noon.dag("etl", f'schedule: "CRON_TZ=UTC 0 * * * *"\n{head}')
    await noon.scheduler().look()
    noon.set(later(NOON, -60))
    await noon.scheduler().look()
    noon.set(later(NOON, 3 * 3600 + 300))
    again = noon.scheduler()
    await noon.finish_all()
    for _ in range(20):
        await again.look()
        await noon.finish_all()
        noon.set(later(noon.clock.now(), 2))
    noon.set(later(NOON, 4 * 3600))
    await again.look()

    assert [at.hour for at in noon.instants("etl") if at > NOON] == hours
    assert [trigger for at, trigger in zip(noon.instants("etl"), noon.triggers("etl"), strict=True) if at > NOON] == triggers


async def test_two_schedulers_make_up_for_a_downtime_together_each_start_once(noon: Town) -> None:
    noon.dag("etl", 'schedule: "*/10 * * * *"\ncatchup_window: 12h\noverlap_policy: all')
    await noon.scheduler().look()
    noon.set(NOON + 5 * HOUR + timedelta(minutes=5))
    ones = [noon.scheduler(), noon.scheduler()]
    for _ in range(80):
        await both_look(*ones)
        await noon.finish_all()
        noon.set(later(noon.clock.now(), 2))

    assert noon.instants("etl") == [NOON - HOUR + timedelta(minutes=10 * number) for number in range(1, 37)]


async def test_a_dag_is_not_made_up_for_before_it_was_first_seen(noon: Town) -> None:
    noon.dag("etl", 'schedule: "* * * * *"\ncatchup_window: 12h\noverlap_policy: all')
    one = noon.scheduler()
    await one.look()
    assert noon.instants("etl") == []


# ---------------------------------------------------------------- overlap, success, suspension


async def test_a_start_is_dropped_while_a_run_goes_on_and_a_run_without_process_holds_nothing_up(noon: Town) -> None:
    noon.dag("etl", 'schedule: "0 * * * *"')
    one = noon.scheduler()
    await one.look()
    for hour in range(2):
        noon.set(NOON + hour * HOUR)
        await one.look()
    assert (len(noon.instants("etl")), len(one.told.reasons())) == (1, 1)

    lost = noon.scheduler()
    lost.scheduler._alive = lambda _run: False
    await lost.look()
    noon.set(NOON + 2 * HOUR)
    await lost.look()
    assert [at.hour for at in noon.instants("etl")] == [12, 14]


async def test_a_start_is_dropped_when_a_run_has_succeeded_since_the_one_before(noon: Town) -> None:
    noon.dag("etl", 'schedule: "0 * * * *"\nskip_if_successful: true')
    one = noon.scheduler()
    await one.look()
    for hour in range(2):
        noon.set(NOON + hour * HOUR)
        await one.look()
        await noon.finish_all()
    noon.set(NOON + HOUR + timedelta(minutes=30))
    dag = one.scheduler._watched.catalogue.load("etl")
    await one.runs.commit("by-hand", 0, *await created(one, dag.name))
    await one.runs.commit("by-hand", 1, Kind.RUN_STARTED, {})
    await noon.finish_all()
    noon.set(NOON + 2 * HOUR)
    await one.look()
    noon.set(NOON + 3 * HOUR)
    await one.look()

    assert [act.at.hour for _name, act, _run in one.told.acts if act.what is What.START] == [12, 13, 15]
    assert one.told.reasons() == ["a run has succeeded since the start before"]


async def created(one: One, name: str) -> tuple[Kind, dict[str, object]]:
    """Return the event that creates a run that somebody started by hand."""
    flow = replace(a_workflow(name=name), source=Source(kind="dagu"))
    return Kind.RUN_CREATED, {"workflow": await one.store.put_workflow(flow), "name": name, "trigger": "manual", "params": {}}


async def test_a_flag_file_suspends_a_dag_that_is_watched_and_its_end_makes_up_for_nothing(noon: Town) -> None:
    noon.dag("etl", 'schedule: "0 * * * *"\ncatchup_window: 12h\noverlap_policy: all')
    one = noon.scheduler()
    await one.look()
    flag = noon.places.suspended / "etl.suspend"
    flag.parent.mkdir()
    flag.touch()
    noon.set(NOON + HOUR)
    await one.look()
    flag.unlink()
    noon.set(NOON + HOUR + timedelta(minutes=30))
    await one.look()
    noon.set(NOON + 2 * HOUR)
    await one.look()
    assert [at.hour for at in noon.instants("etl")] == [14]


# ---------------------------------------------------------------- what goes wrong


async def test_a_start_that_cannot_be_made_is_told_and_the_next_one_is_made(noon: Town) -> None:
    noon.dag("etl", 'schedule: "0 * * * *"')
    one = noon.scheduler()
    await one.look()
    works = one.runs.start

    async def refuse(*_: object) -> None:
        raise ConfigError("the parameter DAY is missing")

    one.runs.start = refuse  # type: ignore[assignment]
    noon.set(NOON)
    await one.look()
    one.runs.start = works  # type: ignore[method-assign]
    noon.set(NOON + HOUR)
    await one.look()
    assert one.told.failures == [("etl", "the parameter DAY is missing")]
    assert [at.hour for at in noon.instants("etl")] == [13]


@pytest.mark.parametrize("error", [StoreError("the disk is full"), LockedError("somebody is just starting it")])
async def test_a_start_that_could_not_be_tried_is_tried_again_while_it_is_on_time(noon: Town, error: Exception) -> None:
    noon.dag("etl", 'schedule: "0 * * * *"')
    one = noon.scheduler()
    await one.look()
    works = one.runs.start

    async def refuse(*_: object) -> None:
        raise error

    one.runs.start = refuse  # type: ignore[assignment]
    noon.set(NOON)
    await one.look()
    one.runs.start = works  # type: ignore[method-assign]
    noon.set(later(NOON, 10))
    await one.look()
    assert [at.hour for at in noon.instants("etl")] == [12]


# ---------------------------------------------------------------- files


async def test_files_that_are_new_changed_broken_or_gone_are_seen_without_a_restart(noon: Town) -> None:
    noon.dag("old", 'schedule: "0 * * * *"')
    one = noon.scheduler()
    await one.look()
    noon.set(NOON - timedelta(minutes=30))
    await one.look()
    noon.dag("new", 'schedule: "15 * * * *"')
    noon.dag("old", 'schedule: "20 * * * *"\ncatchup_window: 12h\noverlap_policy: all')
    await one.look()
    for minute in (15, 20):
        noon.set(NOON + timedelta(minutes=minute))
        await one.look()
        await noon.finish_all()
    noon.set(later(NOON + timedelta(minutes=20), 5))
    await one.look()
    noon.dag("new", "schedule: nonsense")
    (noon.places.dags / "old.yaml").unlink()
    noon.set(NOON + HOUR + timedelta(minutes=20))
    await one.look()

    assert [f"{at:%H:%M}" for at in noon.instants("old")] == ["12:20"]
    assert [f"{at:%H:%M}" for at in noon.instants("new")] == ["12:15"]
    assert [name for name, _message in one.told.failures] == ["new"]
    assert one.scheduler.next_look is None


async def test_a_look_at_a_thousand_dags_costs_what_is_due(noon: Town) -> None:
    for number in range(1000):
        noon.dag(f"dag{number:04}", f'schedule: "{number % 60} {number % 24} * * *"')
    one = noon.scheduler()
    await one.look()
    noon.set(later(NOON, -3000))
    await one.look()
    noon.set(later(NOON, -2990))
    with counted() as idle:
        await one.look()
    noon.set(NOON - timedelta(minutes=10))
    with counted() as busy:
        await one.look()
    started = len(one.told.acts)

    assert idle.lines < 600
    assert 0 < started < 60
    assert busy.lines < 3000 * started
