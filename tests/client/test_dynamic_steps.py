"""Steps that add steps. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.flows import client, flow, play, stage, states

from provisioning.builder import Retry, TaskError, current, task
from provisioning.errors import UsageError


@task
async def adds(count: int, then: str = "") -> int:
    for number in range(count):
        current().step(f"page-{number}", play, f"page-{number}", number)
    if then == "fail":
        raise TaskError("after adding")
    if then == "wait":
        await play("adds")
    return count


async def test_b15_a_step_adds_others_and_the_run_does_not_end_before_them(folder: Path | None) -> None:
    on = stage()
    wf = flow()
    wf.step("a", adds, 3)

    async with client(folder) as it:
        run = await it.submit(wf)
        info = await it.wait(run)
        assert await it.result(run, "page-2") == 2

    assert info.status == "succeeded"
    assert states(info) == {"a": "succeeded", "page-0": "succeeded", "page-1": "succeeded", "page-2": "succeeded"}
    assert sorted(on.called) == ["page-0", "page-1", "page-2"]


async def test_b15_what_a_failed_attempt_added_is_not_there() -> None:
    stage()
    wf = flow()
    wf.step("a", adds, 2, "fail")

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert states(info) == {"a": "failed"}


@task
async def adds_twice() -> None:
    current().step("x", play, "x", 1)
    if current().attempt == 1:
        raise TaskError("once more")


async def test_b18_an_attempt_that_adds_the_same_again_changes_nothing() -> None:
    on = stage()
    wf = flow()
    wf.step("a", adds_twice, retry=Retry(attempts=2, base_s=0))

    async with client() as it:
        assert (await it.wait(await it.submit(wf))).status == "succeeded"

    assert on.called == ["x"]


async def test_b27_a_step_added_while_pausing_stays_pending() -> None:
    on = stage()
    on.close("adds")
    wf = flow()
    wf.step("a", adds, 1, "wait")

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("adds")
        await it.pause(run)
        on.open("adds")
        await it.result(run, "a")
        assert (await it.info(run)).step("page-0").state in {"pending", "ready"}
        await it.resume(run)
        assert states(await it.wait(run)) == {"a": "succeeded", "page-0": "succeeded"}


async def test_b17_a_cancelled_run_takes_no_new_steps() -> None:
    on = stage()
    on.close("adds")
    wf = flow()
    wf.step("a", adds, 1, "wait")

    async with client() as it:
        run = await it.submit(wf)
        await on.reached("adds")
        await it.cancel(run)
        info = await it.wait(run)

    assert states(info) == {"a": "cancelled"}


@task
async def replaces(id: str) -> None:
    current().step(id, play, id)


async def test_b_a_new_step_with_the_id_of_another_fails_the_one_that_adds_it() -> None:
    stage()
    wf = flow()
    b = wf.step("b", play, "b", 1)
    wf.step("a", replaces, "b", after=b)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert info.step("a").error is not None
    assert "another step b" in info.step("a").error.message  # type: ignore[union-attr]


async def test_b22_colocate_here_outside_a_running_step_is_refused() -> None:
    with pytest.raises(UsageError, match="colocate_here"):
        flow().step("a", play, "a", colocate_here=True)
    with pytest.raises(UsageError, match="no step is running"):
        current()
