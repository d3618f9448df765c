"""`kill -9` of the runner at random moments: nothing is lost or made up, and the next run ends well."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula

pytestmark = pytest.mark.sshd
SEED = 20260101
LONGEST_S = 4.0  # a little more than a whole run takes


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    """A diamond over three servers, with gates that need a few probes."""
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("data", "app-1", "app-2"))
    for name in ("os", "store", "web", "cache", "proxy", "check"):
        made.taskserv(name, "sleep 0.15", toml="idempotent = true\n")
    gate = {"check_cmd": f"test $(($(date +%s%N) / 1000000 - $(stat -c %Y {made.calls}) * 1000)) -ge 100", "interval_ms": 100}
    made.dag(
        formula("data", "data", "os", "store", health_gate={**gate, "retries": 20, "timeout_ms": 5000}),
        formula("left", "app-1", "web", "cache", after=["data"], health_gate={"check_cmd": "true"}),
        formula("right", "app-2", "web", "cache", after=["data"]),
        formula("front", "data", "proxy", "check", after=["left", "right"]),
    )
    return made


def once(workspace: RealWorkspace, dice: random.Random) -> None:
    """Kill a run after a random time, look at what it left, run again, look at what that did."""
    began_with = workspace.counts("begin")
    ended_with = workspace.counts("end")
    runs_before = {key: entry["run_id"] for key, entry in workspace.state().items()}
    child = workspace.start("taskserv", "create", "--all", "--reset")
    time.sleep(dice.uniform(0.2, LONGEST_S))
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()

    path = workspace.folder / ".provisioning" / "state.json"
    if path.exists():
        json.loads(path.read_text("utf-8"))
    time.sleep(0.4)  # let what runs on the servers end: an interrupted script is not started again, its result is taken
    finished = workspace.counts("end") - ended_with
    for key, entry in workspace.state().items():
        if entry["state"] == "completed" and entry["run_id"] != runs_before.get(key):
            assert finished[entry["step"]] == 1, f"{key} is said to be completed, but its script did not end"
    before = workspace.counts("begin")

    again = workspace.run("taskserv", "create", "--all")

    assert again.code == 0, again.err
    assert set(workspace.states().values()) == {"completed"}
    repeated = {step: count for step, count in (workspace.counts("begin") - before).items() if before[step] > began_with[step]}
    assert all(count == 1 for count in (workspace.counts("begin") - before).values())
    # What had begun in the killed run is adopted, not begun again, unless the kill fell before its claim.
    assert repeated == {}, repeated


def rounds(workspace: RealWorkspace, count: int) -> None:
    dice = random.Random(SEED)
    workspace.run("taskserv", "create", "--all")
    for _ in range(count):
        once(workspace, dice)
    sys.stdout.write(
        f"killed {count} times, seed {SEED}: {sum(workspace.counts('begin').values())} scripts begun, none twice in a round\n"
    )


@pytest.mark.timeout(180)
def test_a_few_kills(workspace: RealWorkspace) -> None:
    rounds(workspace, 6)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_kills(workspace: RealWorkspace) -> None:
    rounds(workspace, 50)
