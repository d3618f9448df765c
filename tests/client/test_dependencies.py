"""What steps wait for, and what becomes of them when it fails. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.flows import LONG_S, client, flow, play, stage, states

from provisioning.builder import Ref, Retry, TaskError, task
from provisioning.errors import ExistsError, StepFailed, StepSkipped, UsageError


async def test_b02_a_failure_is_passed_on_along_required_references(folder: Path | None) -> None:
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a")
    b = wf.step("b", play, "b", a.ref())
    wf.step("c", play, "c", {"deep": [b.ref()]})

    async with client(folder) as it:
        run = await it.submit(wf)
        info = await it.wait(run)
        with pytest.raises(StepSkipped, match="needs a, which failed"):
            await it.result(run, "b")
        with pytest.raises(StepFailed, match="scripted: a fails"):
            await it.result(run, "a")

    assert states(info) == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert info.status == "failed"
    assert on.called == ["a"]


async def test_b03_a_default_stands_in_for_a_failed_optional_step(folder: Path | None) -> None:
    stage().failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a", optional=True)
    wf.step("b", play, "b", a.ref_or_default(99))

    async with client(folder) as it:
        run = await it.submit(wf)

        assert await it.result(run, "b", timeout_s=LONG_S) == 99
        assert (await it.wait(run)).status == "succeeded"


async def test_b04_after_is_skipped_by_a_failure_and_after_any_is_not() -> None:
    stage().failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=[a])
    wf.step("c", play, "c", after_any=["a"])

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert states(info) == {"a": "failed", "b": "skipped", "c": "succeeded"}


async def test_b06_after_wins_over_after_any() -> None:
    stage().failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=a, after_any=a)

    async with client() as it:
        assert states(await it.wait(await it.submit(wf)))["b"] == "skipped"


async def test_b07_a_join_runs_once_when_all_it_waits_for_are_done() -> None:
    on = stage()
    on.close("b")
    wf = flow()
    a, b = wf.step("a", play, "a", 1), wf.step("b", play, "b", 2)
    wf.step("join", play, "join", [a.ref(), b.ref()])

    async with client() as it:
        run = await it.submit(wf)
        await it.result(run, "a")
        assert (await it.info(run)).step("join").state == "pending"
        on.open("b")
        assert await it.result(run, "join") == [1, 2]

    assert on.called.count("join") == 1


async def test_b09_a_circle_through_a_hand_written_reference_is_refused_and_nothing_stored(folder: Path | None) -> None:
    wf = flow()
    wf.step("a", play, "a", Ref(step="b"))
    wf.step("b", play, "b", Ref(step="a"))

    async with client(folder) as it:
        with pytest.raises(UsageError, match=r"goes in a circle: (a -> b -> a|b -> a -> b)"):
            await it.submit(wf)
        assert await it.list() == ()


async def test_b10_a_reference_to_no_step_is_refused() -> None:
    wf = flow()
    wf.step("first", play, "a")
    wf.step("b", play, "b", Ref(step="frist"))

    async with client() as it:
        with pytest.raises(UsageError, match="needs frist") as caught:
            await it.submit(wf)
        assert caught.value.hint == "did you mean first?"
        assert await it.list() == ()


async def test_b11_a_run_id_is_taken_once(folder: Path | None) -> None:
    stage()
    first, second = flow(), flow()
    first.step("a", play, "a", "first")
    second.step("a", play, "a", "second")

    async with client(folder) as it:
        await it.submit(first, run_id="mine")
        with pytest.raises(ExistsError, match="mine"):
            await it.submit(second, run_id="mine")
        assert await it.result("mine", "a") == "first"


async def test_the_same_idempotency_key_is_the_same_run(folder: Path | None) -> None:
    on = stage()
    wf = flow()
    wf.step("a", play, "a")

    async with client(folder) as it:
        one = await it.submit(wf, idempotency_key="order 7")
        await it.wait(one)
        two = await it.submit(wf, idempotency_key="order 7")
        other = await it.submit(wf, idempotency_key="order 8")
        await it.wait(other)

    assert one == two != other
    assert on.called == ["a", "a"]


@pytest.mark.parametrize(("step", "run", "times"), [(3, None, 3), (None, 2, 2), (3, 2, 3), (None, None, 1)])
async def test_b12_b14_a_step_s_policy_goes_before_the_run_s(step: int | None, run: int | None, times: int) -> None:
    on = stage()
    on.failures["a"] = 9
    wf = flow(retry=Retry(attempts=run, base_s=0) if run else None)
    wf.step("a", play, "a", retry=Retry(attempts=step, base_s=0) if step else None)

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert on.called == ["a"] * times
    assert (info.step("a").state, info.step("a").attempts) == ("failed", times)


@task
async def fails(kind: str, retryable: bool) -> None:  # noqa: FBT001 - steps take what they are given
    raise TaskError("no", kind=kind, retryable=retryable)


@pytest.mark.parametrize(("kind", "retryable", "times"), [("x", False, 1), ("known", True, 1), ("x", True, 3)])
async def test_b13_what_cannot_be_retried_runs_once(kind: str, times: int, *, retryable: bool) -> None:
    wf = flow()
    wf.step("a", fails, kind, retryable, retry=Retry(attempts=3, base_s=0, never=("known",)))

    async with client() as it:
        info = await it.wait(await it.submit(wf))

    assert info.step("a").attempts == times
    assert info.step("a").error is not None
    assert (info.step("a").error.kind, info.step("a").error.message) == (kind, "no")  # type: ignore[union-attr]


async def test_a19_an_allow_list_lets_nothing_else_be_retried() -> None:
    wf = flow()
    wf.step("a", fails, "validation", True, retry=Retry(attempts=3, base_s=0, only=("timeout",)))

    async with client() as it:
        assert (await it.wait(await it.submit(wf))).step("a").attempts == 1
