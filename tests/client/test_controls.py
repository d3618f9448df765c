"""Cancel, pause, resume, signals, breakpoints. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.flows import client, flow, play, stage, states, until

from provisioning.builder import current, task
from provisioning.errors import StepCancelled, UsageError


async def test_b23_cancel_stops_what_runs_and_starts_nothing_more(folder: Path | None) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=a)

    async with client(folder) as it:
        run = await it.submit(wf)
        await on.reached("a")
        await it.cancel(run, "enough")
        info = await it.wait(run)
        with pytest.raises(StepCancelled):
            await it.result(run, "b")
        with pytest.raises(UsageError, match="has ended: cancelled"):
            await it.cancel(run)

    assert (info.status, info.reason) == ("cancelled", "enough")
    assert states(info) == {"a": "cancelled", "b": "cancelled"}
    assert on.called == ["a"]


async def test_b24_pause_lets_what_runs_finish_and_starts_nothing(folder: Path | None) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=a)

    async with client(folder) as it:
        run = await it.submit(wf)
        await on.reached("a")
        await it.pause(run)
        assert (await it.info(run)).status == "pausing"
        with pytest.raises(UsageError, match="not running"):
            await it.pause(run)
        on.open("a")
        await it.result(run, "a")
        assert (await it.info(run)).status == "paused"
        assert on.called == ["a"]
        await it.resume(run)
        assert (await it.wait(run)).status == "succeeded"

    assert on.called == ["a", "b"]


async def test_b25_a_run_with_nothing_in_flight_is_paused_at_once() -> None:
    stage()
    wf = flow()
    wf.step("a", play, "a", signals=["go"])

    async with client() as it:
        run = await it.submit(wf)
        await it.pause(run)
        assert (await it.info(run)).status == "paused"
        await it.resume(run)
        await it.signal(run, "go")
        assert (await it.wait(run)).status == "succeeded"


@pytest.mark.parametrize("outcome", ["skipped", "succeeded"])
async def test_b28_b29_what_ended_while_paused_takes_effect_after_the_resume(outcome: str) -> None:
    on = stage()
    on.close("a")
    on.failures["a"] = outcome == "skipped"
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=a) if outcome == "skipped" else None

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("a")
        await it.pause(run)
        on.open("a")
        await until(it, run, "paused")
        await it.resume(run)
        info = await it.wait(run)

    assert on.called == ["a"]
    assert states(info) == ({"a": "failed", "b": "skipped"} if outcome == "skipped" else {"a": "succeeded"})


async def test_b37_a_step_waits_for_all_its_signals_and_the_first_payload_counts() -> None:
    on = stage()
    wf = flow()
    wf.step("a", play, "a", wf.signal("left"), signals=["right"])

    async with client() as it:
        run = await it.submit(wf)
        await it.signal(run, "left", {"n": 1})
        await it.signal(run, "left", {"n": 2})
        assert on.called == []
        assert [one.name for one in (await it.debug(run)).blockers["a"]] == ["right"]
        await it.signal(run, "right")
        assert await it.result(run, "a") == {"n": 1}


@task
async def waits_for_more() -> None:
    current().step("late", play, "late", 5, signals=["early"])


async def test_b37_a_signal_may_come_before_the_step_that_waits_for_it() -> None:
    on = stage()
    wf = flow()
    first = wf.step("first", play, "first")
    wf.step("a", waits_for_more, after=first)
    on.close("first")

    async with client() as it:
        run = await it.submit(wf)
        await it.signal(run, "early")
        on.open("first")
        assert await it.result(run, "late") == 5


async def test_b38_a_breakpoint_stops_one_line_and_stays_armed() -> None:
    on = stage()
    wf = flow()
    a = wf.step("a", play, "a")
    b = wf.step("b", play, "b", after=a, break_before=True)
    wf.step("c", play, "c", after=b)
    wf.step("other", play, "other")
    on.failures["c"] = 1

    async with client() as it:
        run = await it.submit(wf)
        await it.result(run, "a")
        await it.result(run, "other")
        assert (await it.debug(run)).blockers["b"][0].kind == "breakpoint"
        await it.continue_(run)
        assert (await it.wait(run)).status == "failed"
        await it.retry(run, from_step="b")
        assert (await it.info(run)).step("b").state == "pending", "it stops there again"
        await it.continue_(run, "b")
        assert (await it.wait(run)).status == "succeeded"

    assert [name for name in on.called if name != "other"] == ["a", "b", "c", "b", "c"]


async def test_b38_a_breakpoint_behind_a_step_keeps_its_result_and_stops_its_dependents() -> None:
    on = stage()
    wf = flow()
    a = wf.step("a", play, "a", 7, break_after=True)
    wf.step("b", play, "b", a.ref())

    async with client() as it:
        run = await it.submit(wf)
        assert await it.result(run, "a") == 7
        assert on.called == ["a"]
        await it.continue_(run)
        assert await it.result(run, "b") == 7
