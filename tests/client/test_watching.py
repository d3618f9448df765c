"""Events as they come, runs and steps that are late."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.flows import LONG_S, client, flow, play, stage, states

from provisioning.core.events import Event, Kind


async def watched(folder: Path | None, kinds: list[Kind], *, after: int = 0) -> None:
    """Run one step and take its events while they come."""
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a")
    async with client(folder) as it:
        run = await it.submit(wf)
        found: list[Event] = []
        async for event in it.watch(run, after):
            found.append(event)
            if event.kind is Kind.STEP_STARTED:
                on.open("a")
        assert [event.kind for event in found] == kinds
        assert [event.seq for event in found] == list(range(after + 1, after + len(found) + 1))


ALL = [
    *(Kind.RUN_CREATED, Kind.RUN_STARTED, Kind.STEP_DISPATCHED),
    *(Kind.STEP_STARTED, Kind.STEP_SUCCEEDED, Kind.RUN_FINISHED),
]


async def test_a_watch_yields_every_event_once_and_ends_with_the_run(folder: Path | None) -> None:
    await watched(folder, ALL)


async def test_a_watch_goes_on_after_the_event_that_was_seen_last(folder: Path | None) -> None:
    await watched(folder, ALL[2:], after=2)


async def test_a_late_step_and_a_late_run_are_recorded_and_the_run_goes_on(folder: Path | None) -> None:
    on = stage()
    on.close("slow")
    wf = flow(sla_s=0.02)
    slow = wf.step("slow", play, "slow", sla_s=0.01)
    wf.step("then", play, "then", after=slow, sla_s=3600)

    async with client(folder) as it:
        run = await it.submit(wf)
        late: list[tuple[Kind, str]] = []
        async with asyncio.timeout(LONG_S):
            async for event in it.watch(run):
                if event.kind in {Kind.STEP_LATE, Kind.RUN_LATE}:
                    late.append((event.kind, event.step))
                if len(late) == 2:
                    on.open("slow")
        info = await it.info(run)

    assert sorted(late) == [(Kind.RUN_LATE, ""), (Kind.STEP_LATE, "slow")]
    assert info.status == "succeeded"
    assert states(info) == {"slow": "succeeded", "then": "succeeded"}
    assert (info.late_at is None, info.step("slow").late_at is None) == (False, False)
    assert info.step("then").late_at is None


async def test_what_ends_in_time_is_not_late() -> None:
    stage()
    wf = flow(sla_s=3600)
    wf.step("a", play, "a", sla_s=3600)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert (info.late_at, info.step("a").late_at) == (None, None)
