"""`kill -9` at a chosen system call of a run on a real server: nothing is lost, nothing is made up, the next run ends well."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.cutoff import Round, forget, told
from support.real import RealWorkspace, formula
from support.tracing import Point, hit, need_strace, points_of

pytestmark = pytest.mark.sshd
SEED = 20260103
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "openat")
STEPS = ("a/os", "a/store", "a/web")
AGAIN, FIRST = ("taskserv", "create", "--all", "--reset"), ("taskserv", "create", "--all")


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    """Three steps in a row on one server."""
    need_strace()
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    for name in ("os", "store", "web"):
        made.taskserv(name, toml="idempotent = true\n")
    made.dag(formula("a", "one", "os", "store", "web"))
    return made


def killed_at(workspace: RealWorkspace, point: Point, words: tuple[str, ...]) -> bool:
    """Kill a run there, judge what it left, run again, judge that; return whether the run came so far."""
    if words == FIRST:
        forget(workspace)
    this = Round.begin(workspace)

    killed, reached = hit(workspace, point, "signal=SIGKILL", *words)

    assert killed.code in {-9, 0}, (point, killed)
    this.judge_left(told(killed.err), point)
    this.judge_resumed(STEPS, point)
    return reached


def rounds(workspace: RealWorkspace, say: Callable[[str], None], *, each_call: int | None) -> None:
    """Kill at every call of a first run and of a repeated one, or at so many of each kind."""
    dice, killed, tried = random.Random(SEED), Counter[str](), 0
    for words in (FIRST, AGAIN):
        points = points_of(workspace, CALLS, *words)
        chosen = points
        if each_call is not None:
            kinds = [[point for point in points if point.call == call] for call in CALLS]
            chosen = [point for kind in kinds for point in dice.sample(kind, min(each_call, len(kind)))]
            chosen = chosen[::2] if words == FIRST else chosen[1::2]
        for point in chosen:
            tried += 1
            killed[point.call] += killed_at(workspace, point, words)
    assert killed.total() > 0
    say(f"killed at {killed.total()} of {tried} chosen system calls, seed {SEED}: {dict(sorted(killed.items()))}")


@pytest.mark.timeout(600)
def test_a_run_killed_at_a_few_of_its_system_calls_loses_nothing(workspace: RealWorkspace, say: Callable[[str], None]) -> None:
    rounds(workspace, say, each_call=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_run_killed_at_every_system_call_on_its_files_loses_nothing(
    workspace: RealWorkspace, say: Callable[[str], None]
) -> None:
    rounds(workspace, say, each_call=None)
