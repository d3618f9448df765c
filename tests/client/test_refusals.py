"""Calls that are wrong are refused in the same words on every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioning.adapters.nats.connect import Access
from provisioning.builder import Workflow, task
from provisioning.client import connect
from provisioning.client.client import Client
from provisioning.errors import NotFoundError, UsageError

Make = Callable[[], Client]


@task
def same(value: object = None) -> object:
    return value


@pytest.fixture(params=["memory", "folder", "cluster"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what makes a client that drives."""
    if request.param == "cluster":
        access: Access = request.getfixturevalue("nats_access")
        return lambda: connect(access.urls[0], nats={"namespace": access.namespace}, execute=True)
    return lambda: connect(tmp_path if request.param == "folder" else None)


def one_step(value: object = 1) -> Workflow:
    flow = Workflow("one")
    flow.step("a", same, value, break_before=value == "stop")
    return flow


async def test_a_client_that_was_left_is_used_no_more(make: Make) -> None:
    client = make()
    async with client:
        run = await client.submit(one_step())
        await client.wait(run, timeout_s=30)
    for call in (client.info(run), client.submit(one_step()), client.cancel(run), client.debug(run), client.retry(run)):
        with pytest.raises(RuntimeError, match="async with"):
            await call


async def test_a_run_that_there_is_not_is_said_in_one_way(make: Make) -> None:
    async with make() as client:
        calls: list[Callable[[str], Any]] = [
            client.info,
            client.wait,
            client.cancel,
            client.pause,
            client.retry,
            client.debug,
            client.delete,
        ]
        for call in calls:
            with pytest.raises(NotFoundError, match="there is no run 'nope'") as refused:
                await call("nope")
            assert refused.value.hint


async def test_what_cannot_be_stored_is_named(make: Make) -> None:
    async with make() as client:
        with pytest.raises(UsageError, match="an argument of step a cannot be stored"):
            await client.submit(one_step(object()))
        wrong: list[Any] = [5, ["x"], "x=1", {1: 2}]
        for params in wrong:
            with pytest.raises(UsageError, match=r"params is .*, expected a mapping"):
                await client.submit(one_step(), params=params)
        with pytest.raises(UsageError, match="params cannot be stored"):
            await client.submit(one_step(), params={"x": object()})
        assert await client.list() == ()
        run = await client.submit(one_step("stop"))
        for deliver in (client.signal, client.approve):
            with pytest.raises(UsageError, match="payload cannot be stored"):
                await deliver(run, "go", object())


async def test_a_step_or_a_status_that_there_is_not_is_refused(make: Make) -> None:
    async with make() as client:
        run = await client.submit(one_step("stop"))
        with pytest.raises(NotFoundError, match="there is no step 'b' in run"):
            await client.continue_(run, "b")
        with pytest.raises(UsageError, match=r"no such status 'done'; there are: .*succeeded"):
            await client.list(status="done")
        await client.continue_(run, "a")
        assert await client.result(run, "a", timeout_s=30) == "stop"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priority": "high"}, r"\.priority: expected 'int', got 'str'"),
        ({"labels": {"a": 1}}, r"\.labels\.a: expected 'str', got 'int'"),
        ({"on_target": 5}, r"\.target: expected 'str \| null', got 'int'"),
    ],
)
async def test_what_whoever_drives_could_not_read_is_not_taken(make: Make, options: dict[str, Any], said: str) -> None:
    flow = Workflow("misfit")
    flow.step("a", same, 1, **options)
    async with make() as client:
        with pytest.raises(UsageError, match=said):
            await client.submit(flow)
        assert await client.list() == ()


@pytest.mark.parametrize("rules", [{"max_parallel": -1}, {"max_runs": -1}, {"pools": {"db": 0}}, {"max_parallel": "2"}])
def test_counts_with_which_nothing_would_ever_run_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected a whole number from"):
        Workflow("counts", **rules)
