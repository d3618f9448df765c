"""`kill -9` of the runner at random moments of a diamond on real servers: nothing is lost, and the next run ends well."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.cutoff import Round, Told, forget, told
from support.real import RealWorkspace, formula

pytestmark = pytest.mark.sshd
SEED = 20260101
QUICK, SOAK = 6, 500
STEPS = ("data/os", "data/store", "left/web", "left/cache", "right/web", "right/cache", "front/check")
LINES = 20  # that a run prints
NEW_EACH = 8  # rounds: every so often nothing has ever run


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    """A diamond over three servers, with a gate that needs a few probes."""
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("data", "app-1", "app-2"))
    for name in ("os", "store", "web", "cache", "check"):
        made.taskserv(name, "sleep 0.05", toml="idempotent = true\n")
    rested = f"test $(($(date +%s%N) / 1000000 - $(stat -c %Y {made.calls}) * 1000)) -ge 100"
    gate = {"check_cmd": rested, "interval_ms": 100, "retries": 50, "timeout_ms": 20_000}
    made.dag(
        formula("data", "data", "os", "store", health_gate=gate),
        formula("left", "app-1", "web", "cache", after=["data"], health_gate={"check_cmd": "true"}),
        formula("right", "app-2", "web", "cache", after=["data"]),
        formula("front", "data", "check", after=["left", "right"]),
    )
    return made


def killed(workspace: RealWorkspace, dice: random.Random, *words: str) -> Told:
    """Start a run and kill it: after a random one of its lines, and a little later still."""
    child = workspace.start("taskserv", "create", "--all", *words)
    assert child.stderr is not None
    line = dice.randrange(LINES)
    printed = [child.stderr.readline() for _ in range(line)]
    time.sleep(dice.uniform(0, 0.15 if line else 0.6))
    os.kill(child.pid, signal.SIGKILL)
    _out, rest = child.communicate()
    return told("".join(printed) + rest)


def rounds(workspace: RealWorkspace, say: Callable[[str], None], count: int) -> None:
    dice, seen = random.Random(SEED), Counter[str]()
    for number in range(count):
        new = number % NEW_EACH == 0
        if new:
            forget(workspace)
        this = Round.begin(workspace)
        said = killed(workspace, dice, *(() if new else ("--reset",)))
        begun = this.judge_left(said, f"kill {number}")
        this.judge_resumed(STEPS, f"kill {number}")
        seen.update(begun=begun, done=len(said.done), early=not said.run, **{"first runs": new})
    facts = f"{seen['first runs']} of first runs, {seen['early']} before the run began"
    say(f"killed {count} times, seed {SEED}: {facts}; {seen['begun']} scripts had begun, {seen['done']} steps were called done")
    assert seen["done"] > 0


@pytest.mark.timeout(600)
def test_a_few_kills(workspace: RealWorkspace, say: Callable[[str], None]) -> None:
    rounds(workspace, say, QUICK)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_five_hundred_kills(workspace: RealWorkspace, say: Callable[[str], None]) -> None:
    rounds(workspace, say, SOAK)
