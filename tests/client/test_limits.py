"""Pools, keys, priorities, queued runs, circuit breakers. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.flows import client, flow, play, stage, states, until

from provisioning.builder import Breaker, Retry
from provisioning.errors import WaitTimeout


async def test_a33_priorities_go_first_and_the_older_of_two_before_the_newer() -> None:
    on = stage()
    on.close("first")
    wf = flow(max_parallel=1)
    wf.step("first", play, "first", priority=9)
    for name, priority in (("low", 0), ("high", 2), ("medium", 1), ("high-too", 2)):
        wf.step(name, play, name, priority=priority)

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("first")
        on.open("first")
        await it.wait(run)

    assert on.called == ["first", "high", "high-too", "medium", "low"]


async def test_a35_a_third_waits_for_a_slot_of_a_pool_of_two_and_holds_nobody_else_up() -> None:
    on = stage()
    on.close("a", "b", "c")
    wf = flow(pools={"small": 2})
    for name in "abc":
        wf.step(name, play, name, pool="small")
    wf.step("free", play, "free")

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("a")
        await on.reached("b")
        assert await it.result(run, "free") is None
        assert "c" not in on.called
        reason = (await it.debug(run)).blockers["c"][0]
        assert (reason.kind, reason.name) == ("pool", "small")
        assert reason.reason == f"pool small is taken (2 of 2): {run}/a, {run}/b"
        on.open("b")
        await on.reached("c")
        on.open("a", "c")
        await it.wait(run)

    assert on.peak <= 3


async def test_a35_a_slot_comes_back_when_the_process_dies(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a", pool="shared")
    wf.step("b", play, "b", pool="shared")

    async with client(tmp_path, pools={"shared": 1}) as it:
        run = await it.submit(wf)
        await on.reached("a")
    on.open("a")
    async with client(tmp_path, pools={"shared": 1}) as again:
        info = await again.wait(run)

    assert states(info) == {"a": "succeeded", "b": "succeeded"}
    assert info.step("a").attempts == 1, "what its worker lost is the same attempt"


async def test_n14_steps_of_two_runs_with_one_key_never_overlap() -> None:
    on = stage()
    flows = [flow("one"), flow("two")]
    for wf in flows:
        for number in range(5):
            wf.step(f"s{number}", play, f"{wf.name}-{number}", key="server:cp-0")

    async with client() as it:
        runs = [await it.submit(wf) for wf in flows]
        for run in runs:
            assert (await it.wait(run)).status == "succeeded"

    assert (on.peak, len(on.called)) == (1, 10)


async def test_runs_of_a_workflow_queue_behind_its_limit_and_not_behind_others(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    limited, other = flow("limited", max_runs=1), flow("other")
    limited.step("a", play, "a")
    other.step("b", play, "b")

    async with client(tmp_path) as it:
        first, second = await it.submit(limited), await it.submit(limited)
        assert (await it.wait(await it.submit(other))).status == "succeeded"
        assert (await it.info(second)).status == "queued"
        assert (await it.debug(second)).blockers["a"][0].kind == "queued"
        on.open("a")
        assert (await it.wait(first)).status == "succeeded"
        assert (await it.wait(second)).status == "succeeded"


async def test_queued_runs_start_by_priority_and_one_that_is_cancelled_never_starts() -> None:
    on = stage()
    on.close("first")
    names = {"first": 0, "low": 0, "high": 2, "gone": 5}
    flows = {name: flow(name, priority=priority) for name, priority in names.items()}
    for name, wf in flows.items():
        wf.step("s", play, name)

    async with client(max_runs=1) as it:
        runs = {name: await it.submit(wf) for name, wf in flows.items()}
        await it.cancel(runs["gone"])
        assert (await it.wait(runs["gone"])).status == "cancelled"
        on.open("first")
        for name in ("low", "high"):
            await it.wait(runs[name])

    assert on.called == ["first", "high", "low"]


async def test_a25_a27_a_breaker_opens_after_failures_in_a_row_and_closes_after_a_success() -> None:
    on = stage()
    on.failures["shaky"] = 4
    breaker = Breaker(name="upstream", failures=3, cooldown_s=1.0)

    async def attempt() -> str:
        wf = flow()
        wf.step("s", play, "shaky", breaker=breaker)
        info = await it.wait(await it.submit(wf))
        error = info.step("s").error
        return error.kind if error else info.status

    async with client() as it:
        assert [await attempt() for _ in range(4)] == ["scripted"] * 3 + ["circuit_open"]
        assert len(on.called) == 3, "the fourth was not called"
        await asyncio.sleep(1.01)
        assert await attempt() == "scripted", "a probe passes, and opens it again"
        assert await attempt() == "circuit_open"
        await asyncio.sleep(1.01)
        assert [await attempt() for _ in range(2)] == ["succeeded", "succeeded"]
        on.failures["shaky"] = 2
        assert [await attempt() for _ in range(3)] == ["scripted", "scripted", "succeeded"], "it counts from the start again"


async def test_a25_a_refused_attempt_may_be_tried_again_when_the_breaker_lets_it() -> None:
    on = stage()
    on.failures["shaky"] = 1
    wf = flow()
    retries = Retry(attempts=99, base_s=0.05, strategy="fixed", jitter=0)  # type: ignore[arg-type]
    breaker = Breaker(name="retried", failures=1, cooldown_s=0.5)
    wf.step("s", play, "shaky", breaker=breaker, retry=retries)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert info.status == "succeeded"
    assert on.called == ["shaky", "shaky"]
    assert info.step("s").attempts > 2


async def test_a44_a_run_that_has_ended_cannot_be_steered() -> None:
    stage()
    wf = flow()
    wf.step("a", play, "a")

    async with client() as it:
        run = await it.submit(wf)
        await until(it, run, "succeeded")
        for call in (it.cancel(run), it.pause(run), it.resume(run), it.signal(run, "x"), it.continue_(run), it.retry(run)):
            with pytest.raises(Exception, match=r"has ended|not running|nothing to retry"):
                await call


async def test_waiting_has_a_limit() -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a")

    async with client() as it:
        run = await it.submit(wf)
        for waiting in (it.wait(run, timeout_s=0.05), it.result(run, "a", timeout_s=0.05)):
            with pytest.raises(WaitTimeout, match="has not ended within"):
                await waiting
        on.open("a")
        assert (await it.wait(run)).status == "succeeded"
