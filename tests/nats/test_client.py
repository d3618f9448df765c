"""The client on a cluster: the same calls as on a folder, and what is said where there is no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.natsservers import NatsServer

from provisioning.adapters.nats.connect import Access
from provisioning.builder import Workflow, task
from provisioning.client import connect
from provisioning.errors import ClusterUnreachable, ConfigError, StepFailed, UsageError


@task(name="nats.add")
def add(a: int, b: int) -> int:
    return a + b


@task(name="nats.length")
def length(text: str) -> int:
    return len(text)


@task(name="nats.fail")
def fail() -> None:
    raise ValueError("no")


def options(access: Access) -> dict[str, object]:
    return {"namespace": access.namespace}


async def test_a_workflow_is_submitted_by_one_client_and_run_by_another(nats_access: Access) -> None:
    flow = Workflow("sum")
    one = flow.step("one", add, 1, 2)
    flow.step("two", add, one.ref(), 4)
    url, nats = nats_access.urls[0], options(nats_access)
    async with connect(url, nats=nats) as client, connect(url, nats=nats, execute=True, slots=4):
        run = await client.submit(flow)
        assert await client.result(run, "two", timeout_s=30) == 7
        info = await client.wait(run, timeout_s=30)
        assert (info.status, [step.state for step in info.steps]) == ("succeeded", ["succeeded", "succeeded"])


async def test_what_failed_is_told_and_can_be_retried_and_deleted(nats_access: Access) -> None:
    flow = Workflow("fails")
    flow.step("bad", fail)
    url, nats = nats_access.urls[0], options(nats_access)
    async with connect(url, nats=nats) as client, connect(url, nats=nats, execute=True, slots=4):
        run = await client.submit(flow)
        with pytest.raises(StepFailed, match="ValueError: no"):
            await client.result(run, "bad", timeout_s=30)
        await client.wait(run, timeout_s=30)
        await client.retry(run)
        info = await client.wait(run, timeout_s=30)
        assert (info.status, info.step("bad").attempts) == ("failed", 2)
        await client.delete(run)
        assert await client.list() == ()


async def test_where_no_server_answers_the_url_is_named_without_its_password() -> None:
    with pytest.raises(ClusterUnreachable) as caught:
        async with connect("nats://me:secret@127.0.0.1:9"):
            pass
    assert "127.0.0.1:9" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint
    assert "--nats" in caught.value.hint


async def test_a_login_that_is_refused_is_no_matter_of_trying_again(nats_server: NatsServer) -> None:
    with pytest.raises(ConfigError, match="refused the login"):
        async with connect(f"nats://app:wrong@127.0.0.1:{nats_server.port}"):
            pass


@pytest.mark.parametrize("url", ["http://one", "redis://me:secret@one"])
def test_other_urls_are_refused_with_what_there_is(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(url)
    assert "nats://" in caught.value.hint
    assert "secret" not in caught.value.message


def test_settings_that_there_are_not_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        connect("nats://one", nats={"namespaces": "x"})
    assert "namespace" in caught.value.faults[0].hint


@pytest.mark.parametrize(
    ("nats", "said"),
    [({"nope": 1}, "nats.nope"), ({"replicas": "x"}, "nats.replicas"), ({"namespace": "a b"}, "nats.namespace")],
)
async def test_a_wrong_setting_is_named_in_the_message(nats_server: NatsServer, nats: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        async with connect(nats_server.url, nats=nats):
            raise AssertionError("it has connected")


async def test_what_a_signal_brings_may_be_longer_than_a_message(nats_access: Access) -> None:
    flow, payload = Workflow("long"), "x" * 3_000_000
    flow.step("takes", length, flow.signal("go"))
    url, nats = nats_access.urls[0], options(nats_access)
    async with connect(url, nats=nats) as client, connect(url, nats=nats, execute=True, slots=4):
        run = await client.submit(flow)
        await client.signal(run, "go", payload)
        assert await client.result(run, "takes", timeout_s=30) == len(payload)
