"""The demo workspace on a cluster: planned here, installed by workers; states, logs and failures as on one machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import set_up
from support.clusterprocs import reach, worker

from provisioning.adapters.nats.connect import Access

pytestmark = [pytest.mark.sshd, pytest.mark.slow]


def test_the_demo_is_installed_by_a_worker_and_the_next_call_finds_nothing_to_do(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    with worker(tmp_path / "worker", *options, "--name", "one"):
        done = shop.call("taskserv", "create", "--all", *options, "-o", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["status"] == "succeeded"
        assert len(shop.completed()) == 11
        assert len(shop.services()) > 0
        again = shop.call("taskserv", "create", "--all", *options, "--check", "-o", "json")
        assert {step["action"] for step in json.loads(again.stdout)["steps"] if step["kind"] == "node"} == {"unchanged"}
