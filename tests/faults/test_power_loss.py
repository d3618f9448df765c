"""The power fails under a workspace at random moments of a run: what was called done is there, and the next run ends well."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.disk import Disk
from lab.shell import run
from servers import ThrowawayServers
from support.cutoff import Round, Told, forget, told
from support.disks import power_returns, powered_disk
from support.faked import FakedWorkspace
from support.real import RealWorkspace, formula

pytestmark = pytest.mark.sshd
SEED = 20260106
QUICK, SOAK = 3, 200
STEPS = ("a/os", "a/store", "a/web", "b/cache", "b/check")
LINES = 14  # that a run prints
NEW_EACH = 5  # rounds: every so often nothing has ever run


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with powered_disk(tmp_path / "power", size_mb=96) as made:
        yield made


@pytest.fixture
def workspace(disk: Disk, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    """Two formulas that run side by side on two servers. What they do is written down on another disk."""
    servers = throwaway_servers("one", "two")
    made = RealWorkspace(disk.mount / "workspace", servers)
    made.calls = servers.folder / "calls.log"
    for name in ("os", "store", "web", "cache", "check"):
        made.taskserv(name, "sleep 0.02", toml="idempotent = true\n")
    made.dag(
        formula("a", "one", "os", "store", "web", health_gate={"check_cmd": "true"}), formula("b", "two", "cache", "check")
    )
    return made


def power_lost(workspace: RealWorkspace, disk: Disk, dice: random.Random, *words: str) -> Told:
    """Start a run and cut the power: after a random one of its lines, and a little later still. Then turn it on again."""
    run("sync", "-f", disk.mount)  # what is there before the run is not what this is about
    child = workspace.start("taskserv", "create", "--all", *words)
    assert child.stderr is not None
    line = dice.randrange(LINES)
    printed = [child.stderr.readline() for _ in range(line)]
    time.sleep(dice.uniform(0, 0.08 if line else 0.6))
    os.kill(child.pid, signal.SIGSTOP)  # or it would see the disk fail, and stop what runs on the servers
    disk.cut_power()
    os.kill(child.pid, signal.SIGKILL)
    _out, rest = child.communicate()
    power_returns(disk)
    return told("".join(printed) + rest)


def rounds(workspace: RealWorkspace, disk: Disk, say: Callable[[str], None], count: int) -> None:
    dice, seen = random.Random(SEED), Counter[str]()
    for number in range(count):
        new = number % NEW_EACH == 0
        if new:
            forget(workspace)
        this = Round.begin(workspace)
        said = power_lost(workspace, disk, dice, *(() if new else ("--reset",)))
        begun = this.judge_left(said, f"power loss {number}")
        this.judge_resumed(STEPS, f"power loss {number}")
        seen.update(begun=begun, done=len(said.done), early=not said.run, **{"first runs": new})
    facts = f"{seen['first runs']} of first runs, {seen['early']} before the run began"
    told_done = f"{seen['begun']} scripts had begun, {seen['done']} steps were called done, 0 of them lost"
    say(f"{count} power losses, seed {SEED}: {facts}; {told_done}")
    assert seen["done"] > 0


@pytest.mark.timeout(600)
def test_a_few_power_losses(workspace: RealWorkspace, disk: Disk, say: Callable[[str], None]) -> None:
    rounds(workspace, disk, say, QUICK)


def test_edits_that_were_reported_done_are_there_when_the_power_comes_back(disk: Disk, tmp_path: Path) -> None:
    edited = FakedWorkspace(disk.mount / "workspace")
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps({"servers": {"cp-0": {"taskservs": {"etcd": {"state": "completed"}}}}}), "utf-8")
    run("sync", "-f", disk.mount)
    done: list[str] = []
    for words in (("import", str(foreign)), ("reset", "cp-0"), ("forget", "cp-0", "etcd"), ("import", str(foreign))):
        assert edited.run("state", *words).code == 0
        disk.cut_power()
        power_returns(disk)
        done.append(words[0])
        history = edited.run("state", "history", "-o", "json")
        assert history.code == 0, history.err
        assert [event["event"] for event in history.json["events"]] == done
        expected = {"import": {"cp-0/etcd": "completed"}, "reset": {"cp-0/etcd": "pending"}, "forget": {}}
        assert edited.states() == expected[words[0]]


@pytest.mark.soak
@pytest.mark.timeout(2 * 3600)
def test_two_hundred_power_losses(workspace: RealWorkspace, disk: Disk, say: Callable[[str], None]) -> None:
    rounds(workspace, disk, say, SOAK)
