"""Timeouts, retries, repeats, handlers, sub-workflows. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from support.flows import client, flow, play, stage, states

from provisioning.builder import Repeat, Retry, acts, current, task
from provisioning.errors import UsageError


@task
async def sleeps() -> None:
    await asyncio.sleep(60)


@task
def sleeps_in_a_thread(stop_after_s: float) -> str:
    until = time.monotonic() + stop_after_s
    while time.monotonic() < until and not current().stopped:
        time.sleep(0.01)
    return "stopped" if current().stopped else "out of patience"


@pytest.mark.parametrize("fn", [sleeps, sleeps_in_a_thread])
async def test_a_step_that_takes_too_long_is_stopped(fn: object) -> None:
    wf = flow()
    args = (30.0,) if fn is sleeps_in_a_thread else ()
    wf.step("a", fn, *args, timeout_s=0.1)  # type: ignore[arg-type]

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert states(info) == {"a": "timed_out"}
    assert info.step("a").error.kind == "timeout"  # type: ignore[union-attr]
    assert info.step("a").error.message == "not ended within 0.1 s; it was stopped"  # type: ignore[union-attr]


async def test_a_run_that_takes_too_long_is_stopped_and_its_handlers_run(tmp_path: Path) -> None:
    on = stage()
    wf = flow(timeout_s=0.2)
    a = wf.step("a", sleeps)
    wf.step("b", play, "b", after=a)
    wf.handler("failure", "tell", play, "tell")
    wf.handler("success", "celebrate", play, "celebrate")
    wf.handler("exit", "tidy", play, "tidy")

    async with client(tmp_path) as it:
        info = await it.wait(await it.submit(wf))

    assert (info.status, info.reason) == ("timed_out", "not ended within 0.2 s")
    assert states(info) == {
        "a": "cancelled",
        "b": "cancelled",
        "tell": "succeeded",
        "celebrate": "skipped",
        "tidy": "succeeded",
    }
    assert on.called == ["tell", "tidy"]


@pytest.mark.parametrize("end", ["success", "failure", "cancel"])
async def test_handlers_run_by_how_the_steps_ended_and_exit_comes_last(end: str) -> None:
    on = stage()
    on.failures["a"] = end == "failure"
    if end == "cancel":
        on.close("a")
    wf = flow()
    wf.step("a", play, "a")
    wf.handler("exit", "exit", play, "exit")
    for each in ("success", "failure", "cancel"):
        wf.handler(each, each, play, each)

    async with client() as it:
        run = await it.submit(wf)
        if end == "cancel":
            await on.reached("a")
            await it.cancel(run)
        info = await it.wait(run)

    assert on.called == ["a", end, "exit"]
    assert info.status == {"success": "succeeded", "failure": "failed", "cancel": "cancelled"}[end]


async def test_a_handler_that_fails_makes_a_success_a_failure_and_a_step_cannot_wait_for_one() -> None:
    stage().failures["h"] = 1
    wf = flow()
    wf.step("a", play, "a")
    handler = wf.handler("success", "h", play, "h")

    async with client() as it:
        info = await it.wait(await it.submit(wf))
        assert (info.status, info.reason) == ("failed", "h failed")
        wf.step("b", play, "b", after=handler)
        with pytest.raises(UsageError, match="handler"):
            await it.submit(wf)


async def test_a20_a_cancel_ends_the_wait_for_another_attempt_and_the_step_is_cancelled() -> None:
    on = stage()
    on.failures["a"] = 9
    wf = flow()
    wf.step("a", play, "a", retry=Retry(attempts=9, base_s=600, max_s=600))

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("a")
        while (await it.info(run)).step("a").state != "retry_wait":  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        assert (await it.debug(run)).blockers["a"][0].kind == "retry"
        await it.cancel(run)
        info = await it.wait(run, timeout_s=5)

    assert states(info) == {"a": "cancelled"}
    assert info.step("a").reason == "not tried again: cancelled"


async def test_a18_attempts_include_the_first(tmp_path: Path) -> None:
    on = stage()
    on.failures["a"] = 9
    wf = flow()
    wf.step("a", play, "a", retry=Retry(attempts=3, base_s=0.01, strategy="fixed"))  # type: ignore[arg-type]

    async with client(tmp_path) as it:
        info = await it.wait(await it.submit(wf))

    assert on.called == ["a"] * 3
    assert info.step("a").attempts == 3


@pytest.mark.parametrize(
    ("again", "failures", "limit", "times", "end"),
    [
        ("success", 0, 3, 3, "succeeded"),
        ("failure", 2, 0, 3, "succeeded"),
        ("failure", 9, 4, 4, "failed"),
        ("always", 1, 3, 3, "succeeded"),
    ],
)
async def test_a_step_is_repeated_as_its_policy_says(again: str, failures: int, limit: int, times: int, end: str) -> None:
    on = stage()
    on.failures["a"] = failures
    wf = flow()
    wf.step("a", play, "a", repeat=Repeat(again=again, limit=limit, interval_s=0.01))  # type: ignore[arg-type]

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert on.called == ["a"] * times
    assert states(info) == {"a": end}


async def test_a_workflow_in_a_workflow_is_a_run_of_its_own_with_its_results(tmp_path: Path) -> None:
    stage()
    inner = flow("inner")
    inner.step("x", play, "x", 20)
    outer = flow("outer")
    sub = outer.step("sub", acts.workflow(inner))
    outer.step("after", play, "after", sub.ref())

    async with client(tmp_path, slots=1) as it:
        run = await it.submit(outer)
        assert await it.result(run, "after") == {"x": 20}
        runs = await it.list()

    assert {one.workflow: one.status for one in runs} == {"outer": "succeeded", "inner": "succeeded"}


async def test_a_cancelled_run_cancels_the_runs_in_it() -> None:
    on = stage()
    on.close("x")
    inner, outer = flow("inner"), flow("outer")
    inner.step("x", play, "x")
    outer.step("sub", acts.workflow(inner))

    async with client() as it:
        run = await it.submit(outer)
        await on.reached("x")
        await it.cancel(run)
        assert (await it.wait(run)).status == "cancelled"
        assert {one.workflow: one.status for one in await it.list()} == {"outer": "cancelled", "inner": "cancelled"}


async def test_deep_nesting_needs_no_slots_of_its_own() -> None:
    stage()
    wf = flow("level-0")
    wf.step("x", play, "x", 7)
    for level in range(1, 6):
        outer = flow(f"level-{level}")
        outer.step("sub", acts.workflow(wf))
        wf = outer

    async with client(slots=1) as it:
        run = await it.submit(wf)
        assert await it.result(run, "sub") == {"sub": {"sub": {"sub": {"sub": {"x": 7}}}}}
