"""A process that decides for a cluster tells other programs what happens, and says what it has read."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioning.adapters.nats.connect import Access, Cluster
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
