"""A backfill that goes on: how many at once, in which order, what is stopped, what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.backfill import Action, Item
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RunState
from provisioning.errors import ConfigError, ExistsError, ProvisioningError
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler.backfilling import ALREADY, Backfill

DAG = DagFile(name="etl")
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def items(count: int, *, skip: Sequence[int] = ()) -> list[Item]:
    actions = [Action.SKIP if number in skip else Action.RUN for number in range(count)]
    return [
        Item(at=NOON + timedelta(hours=number), run_id=f"r{number}", action=action) for number, action in enumerate(actions)
    ]


@dataclass
class Scripted:
    """Fulfils `Runs`: each run ends after a turn of the event loop, as is said for it, unless it is stopped."""

    ends: dict[str, RunState] = field(default_factory=dict)
    refuses: dict[str, ProvisioningError] = field(default_factory=dict)
    holds: bool = False
    started: list[Start] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    going: set[str] = field(default_factory=set)
    most: int = 0
    expected: int = 0
    all_go: asyncio.Event = field(default_factory=asyncio.Event)  # as many as are expected
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, dag: DagFile, asked: Start) -> None:
        if asked.run_id in self.refuses:
            raise self.refuses[asked.run_id]
        self.started.append(asked)
        self.going.add(asked.run_id)
        self.most = max(self.most, len(self.going))
        if len(self.started) == self.expected:
            self.all_go.set()

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        self.stopped += run_ids
        self.let_go.set()

    async def ended(self, run_id: str) -> RunState:
        if self.holds:
            await self.let_go.wait()
        await asyncio.sleep(0)
        self.going.discard(run_id)
        return RunState.CANCELLED if run_id in self.stopped else self.ends.get(run_id, RunState.SUCCEEDED)

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        return ()


async def test_each_run_has_its_instant_the_trigger_and_the_parameters() -> None:
    runs = Scripted()
    await Backfill(DAG, items(2), runs, given=(Given(name="DAY", value="1"),), actor="ana@work").run()
    first = runs.started[0]
    assert (first.run_id, first.scheduled_at, first.trigger, first.actor) == ("r0", NOON, "backfill", "ana@work")
    assert first.given == (Given(name="DAY", value="1"),)


@given(st.integers(0, 20), st.integers(1, 8), st.sets(st.integers(0, 19)))
def test_all_that_is_wanted_is_run_once_in_order_and_no_more_at_once_than_asked_for(
    count: int, parallel: int, skip: set[int]
) -> None:
    runs = Scripted()
    progress = asyncio.run(Backfill(DAG, items(count, skip=sorted(skip)), runs, parallel=parallel).run())
    wanted = [f"r{number}" for number in range(count) if number not in skip]

    assert [one.run_id for one in runs.started] == wanted
    assert runs.most == min(parallel, len(wanted))
    assert (progress.total, progress.skipped, progress.ended, progress.over) == (count, count - len(wanted), len(wanted), True)


async def test_what_fails_or_cannot_be_started_does_not_keep_the_others_from_running() -> None:
    runs = Scripted(
        ends={"r0": RunState.FAILED},
        refuses={"r1": ConfigError("no such parameter"), "r2": ExistsError("run r2 exists already")},
    )
    heard: list[tuple[str, RunState | None]] = []
    progress = await Backfill(DAG, items(4), runs, tell=lambda item, state: heard.append((item.run_id, state))).run()

    assert (progress.started, progress.ended, progress.failed, progress.skipped) == (2, 2, 2, 1)
    assert progress.errors == {"r1": "no such parameter", "r2": ALREADY}
    assert progress.states == {"r0": RunState.FAILED, "r3": RunState.SUCCEEDED}
    assert heard == [("r0", None), ("r0", RunState.FAILED), ("r3", None), ("r3", RunState.SUCCEEDED)]


@pytest.mark.parametrize("parallel", [1, 3])
async def test_a_stop_starts_nothing_more_and_stops_what_goes_on(parallel: int) -> None:
    runs = Scripted(holds=True, expected=parallel)
    work = Backfill(DAG, items(10), runs, parallel=parallel)
    task = asyncio.create_task(work.run())
    await runs.all_go.wait()
    await work.stop()
    progress = await task

    assert sorted(runs.stopped) == [one.run_id for one in runs.started] == [f"r{number}" for number in range(parallel)]
    assert (progress.stopped, progress.ended, progress.failed) == (True, parallel, parallel)
