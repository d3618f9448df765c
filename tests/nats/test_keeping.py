"""A process that decides for a cluster tells other programs what happens, and says what it has read."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provisioning.adapters.nats import readers as readers_module
from provisioning.adapters.nats import retention
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.logs import log_stream
from provisioning.adapters.nats.logs import stream_name as log_name
from provisioning.adapters.nats.publicevents import all_events, events_stream, stream_name
from provisioning.adapters.nats.readers import readers, subjects
from provisioning.adapters.nats.streams import ensure
from provisioning.builder import Workflow, task
from provisioning.client import connect
from provisioning.operations.cluster.keeping import reader_name


@task(name="nats.keeping.greet")
def greet() -> str:
    return "hello"


async def test_a_run_on_a_cluster_is_told_to_other_programs(nats_access: Access) -> None:
    flow, cluster = Workflow("greeting"), Cluster(nats_access)
    flow.step("one", greet)
    heard: list[str] = []
    ended = asyncio.Event()
    await ensure(cluster, events_stream(cluster))
    client = await cluster.client()

    async def hear(message: object) -> None:
        said = json.loads(message.data)  # type: ignore[attr-defined]
        heard.append(said["id"])
        if said["type"].endswith("run_finished"):
            ended.set()

    await client.subscribe(all_events(cluster), cb=hear)
    async with connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}, execute=True) as here:
        run = await here.submit(flow)
        async with asyncio.timeout(30):
            await ended.wait()
        told = await readers(cluster)
        prefix = f"{nats_access.namespace}.default.workflow.greeting"
        found = await subjects(cluster, stream_name(cluster), ">")
    await cluster.close()
    assert heard == [f"{run}:{seq}" for seq in range(1, len(heard) + 1)]
    assert {f"{prefix}.run_created", f"{prefix}.step_succeeded", f"{prefix}.run_finished"} <= set(found)
    assert [sorted(one.upto) for one in told] == [sorted([cluster.names.work, cluster.names.stream("LOG")])]


def test_processes_of_one_machine_that_begin_at_once_are_one_reader(tmp_path: Path) -> None:
    for number in range(20):
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(reader_name, [tmp_path / str(number)] * 8))) == 1


async def test_for_how_long_the_servers_keep_what_the_settings_of_whoever_decides_say(nats_access: Access) -> None:
    """Also of streams that somebody else has made."""
    cluster = Cluster(nats_access)
    for wanted in (log_stream(cluster), events_stream(cluster)):
        await ensure(cluster, wanted)
    given = {"namespace": nats_access.namespace, "keep_logs_s": 7200, "keep_events_s": 3600}

    async def ages() -> list[float]:
        infos = [await cluster.ask(f"STREAM.INFO.{name}") for name in (log_name(cluster), stream_name(cluster))]
        return [info["config"]["max_age"] / 1e9 for info in infos]

    async with connect(nats_access.urls[0], nats=given, execute=True), asyncio.timeout(30):
        while await ages() != [7200, 3600]:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
    await cluster.close()


async def test_an_ended_run_leaves_the_servers_as_soon_as_the_settings_say(
    nats_access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers_module.Readership.serve, "__defaults__", (0.2,))
    monkeypatch.setattr(retention.Retention.serve, "__defaults__", (0.2,))
    flow, cluster = Workflow("greeting"), Cluster(nats_access)
    flow.step("one", greet)
    given = {"namespace": nats_access.namespace, "keep_ended_s": 0}
    async with connect(nats_access.urls[0], nats=given, execute=True) as here:
        run = await here.submit(flow)
        assert await here.result(run, "one", timeout_s=30) == "hello"
        async with asyncio.timeout(30):
            while await cluster.last(cluster.names.work, cluster.names.decision(run)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await here.info(run)).step("one").attempts == 1
    await cluster.close()
