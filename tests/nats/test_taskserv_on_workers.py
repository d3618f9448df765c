"""The demo workspace on a cluster: planned here, installed by workers; states, logs and failures as on one machine."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import set_up
from support.clusterprocs import reach, worker

from provisioning.adapters.nats.connect import Access

PATIENCE_S = 60


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


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


@pytest.mark.soak
def test_a_second_call_is_refused_with_who_has_the_workspace_and_a_cut_one_frees_it(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    with shop.start("taskserv", "create", "--all", *options) as waiting:  # nobody is there to do it
        until(lambda: json.loads(shop.call("run", "list", *options, "-o", "json").stdout)["runs"] != [])
        second = shop.call("taskserv", "create", "--all", *options)
        assert second.returncode == 6
        assert "is locked by run" in second.stderr
        waiting.send_signal(signal.SIGKILL)
    with worker(tmp_path / "worker", *options):
        watched = shop.call("run", "watch", *options, "last")
        assert watched.returncode == 0, watched.stderr
        again = shop.call("taskserv", "create", "--all", *options, "-o", "json")
        assert (again.returncode, json.loads(again.stdout)["status"]) == (0, "succeeded")
        assert len(shop.completed()) == 11


@pytest.mark.soak
def test_a_secret_that_the_worker_has_not_is_named_and_its_value_travels_nowhere(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    (shop.workspace / "workspace.toml").write_text('name = "shop"\n[secrets]\npass = "env:SHOP_PASS"\n', "utf-8")
    script = shop.workspace / "taskservs" / "base" / "default"
    (script / "token.j2").write_text("{{ secret('pass') }}\n", "utf-8")
    with worker(tmp_path / "bare", *options):
        failed = shop.call("taskserv", "create", "--all", *options)
        assert failed.returncode == 1
        assert "env:SHOP_PASS" in failed.stderr
        assert "where the worker runs" in failed.stderr
    with worker(tmp_path / "knowing", *options, SHOP_PASS="hunter-two-2"):
        done = shop.call("taskserv", "create", "--all", *options)
        assert done.returncode == 0, done.stderr
        logs = shop.call("run", "logs", *options)
        assert "hunter-two-2" not in done.stdout + done.stderr + logs.stdout


def test_states_that_only_this_machine_has_are_not_planned_away(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    assert shop.call("taskserv", "create", "--all").returncode == 0
    refused = shop.call("taskserv", "create", "--all", "--check", *options)
    assert refused.returncode == 3
    assert "state push" in refused.stderr
    pushed = shop.call("state", "push", *options)
    assert pushed.returncode == 0, pushed.stderr
    planned = json.loads(shop.call("taskserv", "create", "--all", "--check", *options, "-o", "json").stdout)
    assert {step["action"] for step in planned["steps"] if step["kind"] == "node"} == {"unchanged"}


@pytest.mark.soak
def test_what_a_killed_worker_had_begun_on_a_server_is_found_there_and_not_done_twice(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    notes = tmp_path / "notes"
    for script in (shop.workspace / "taskservs").glob("*/default/install-*.sh"):
        first = f'set -euo pipefail\necho "$PROVISIONING_SERVER {script.parent.parent.name}" >>"{notes}"\nsleep 0.5\n'
        script.write_text(script.read_text("utf-8").replace("set -euo pipefail\n", first), "utf-8")
    with worker(tmp_path / "two", *options, "--name", "two"):
        with worker(tmp_path / "one", *options, "--name", "one") as one:
            running = shop.start("taskserv", "create", "--all", *options)
            until(lambda: notes.exists() and len(notes.read_text("utf-8").splitlines()) >= 4)
            one.end(signal.SIGKILL)
        assert running.wait(PATIENCE_S) == 0
    done = notes.read_text("utf-8").splitlines()
    assert len(done) == len(set(done)) == 11
    assert len(shop.completed()) == 11
