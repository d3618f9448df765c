"""`kill -9` at a chosen system call of a run on a real server: nothing is lost, nothing is made up, the next run ends well."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula, wait_until
from support.tracing import Point, hit, need_strace, points_of

from provisioning.adapters.statefile import StateFile

pytestmark = pytest.mark.sshd
SEED = 20260103
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "openat")
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


def forget(workspace: RealWorkspace) -> None:
    """Bring the workspace back to where nothing ever ran."""
    shutil.rmtree(workspace.folder / ".provisioning")
    workspace.trust()


def killed_at(workspace: RealWorkspace, point: Point, words: tuple[str, ...]) -> bool:
    """Kill a run there, judge what it left, run again, judge that; return whether the run came so far."""
    if words == FIRST:
        forget(workspace)
    known = {key: entry["run_id"] for key, entry in workspace.state().items()}
    begun, ended = workspace.counts("begin"), workspace.counts("end")

    killed, reached = hit(workspace, point, "signal=SIGKILL", *words)

    assert killed.code in {-9, 0}, (point, killed)
    book = StateFile(workspace.folder / ".provisioning" / "state.json").load_sync()
    assert known.keys() <= {(host, name) for host, of in book.servers.items() for name in of}, f"{point}: an entry is gone"
    wait_until(lambda: workspace.counts("end") - ended == workspace.counts("begin") - begun)
    finished = workspace.counts("end") - ended
    for key, entry in workspace.state().items():
        if entry["state"] == "completed" and entry["run_id"] != known.get(key):
            assert finished[entry["step"]] == 1, f"{point}: {key} is said to be completed, but its script did not end"

    again = workspace.run("taskserv", "create", "--all")

    assert again.code == 0, (point, again.err)
    assert set(workspace.states().values()) == {"completed"}
    assert len(workspace.states()) == 3
    assert all(count == 1 for count in (workspace.counts("begin") - begun).values()), f"{point}: a script ran twice"
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


@pytest.mark.timeout(180)
def test_a_run_killed_at_a_few_of_its_system_calls_loses_nothing(workspace: RealWorkspace, say: Callable[[str], None]) -> None:
    rounds(workspace, say, each_call=1)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_run_killed_at_every_system_call_on_its_files_loses_nothing(
    workspace: RealWorkspace, say: Callable[[str], None]
) -> None:
    rounds(workspace, say, each_call=None)
