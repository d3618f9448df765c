"""Plans and pictures of a workspace say what the cluster knows of it, where one is meant."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.calls import Caller

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.resources import NatsResources
from provisioning.core.resources import Resource, ResourceBook, ResourceState

DAG = {"formulas": [{"id": "base", "server": "s-0", "nodes": [{"taskserv": {"name": "redis"}}]}]}
DONE = Resource(state=ResourceState.COMPLETED, operation="install")


@pytest.fixture
def workspace(tmp_workspace: Path, nats_access: Access) -> Path:
    """A workspace of which only the cluster knows that all is done."""
    (tmp_workspace / "dag.json").write_text(json.dumps(DAG), "utf-8")
    (tmp_workspace / "servers.json").write_text(json.dumps({"servers": [{"hostname": "s-0", "address": "10.0.0.1"}]}), "utf-8")
    profile = tmp_workspace / "taskservs" / "redis" / "default"
    profile.mkdir(parents=True)
    (profile / "install-redis.sh").write_text("#!/bin/bash\n", "utf-8")

    async def record() -> None:
        cluster = Cluster(nats_access)
        await NatsResources(cluster, "test").put(ResourceBook(lineage="ours", serial=1, servers={"s-0": {"redis": DONE}}))
        await cluster.close()

    asyncio.run(record())
    return tmp_workspace


def test_a_plan_and_a_picture_are_of_the_cluster_or_of_this_machine(
    capsys: pytest.CaptureFixture[str], workspace: Path, nats_access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, there = Caller(capsys), ("--nats", nats_access.urls[0], "--namespace", nats_access.namespace)

    def said(*words: str) -> tuple[str, str]:
        plan = cli("-w", str(workspace), "dag", "plan", "-o", "json", *words).json["steps"]
        shown = cli("-w", str(workspace), "dag", "show", "-o", "json", *words).json["formulas"]
        return plan[0]["action"], shown[0]["state"]

    assert said(*there) == ("unchanged", "completed")
    assert said() == ("create", "pending")
    monkeypatch.setenv("PROVISIONING_NATS", nats_access.urls[0])
    monkeypatch.setenv("PROVISIONING_NATS_NAMESPACE", nats_access.namespace)
    assert said() == ("unchanged", "completed")
    assert said("--nats", "off") == ("create", "pending")
