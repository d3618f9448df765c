"""Disks that fill up, turn read-only or report errors in the middle of a run: it stops, says where, and goes on afterwards."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.disks import small_disk
from support.real import Ended, RealWorkspace, formula
from support.tracing import Point, hit, need_strace, points_of

from provisioning.adapters.statefile import StateFile

pytestmark = pytest.mark.sshd
SEED = 20260104
CREATE = ("taskserv", "create", "--all", "--reset")
WRITING = ("write", "pwrite64", "fsync", "fdatasync", "rename", "link", "openat")
FULL, READ_ONLY = ("ENOSPC", "EIO"), ("ENOSPC", "EROFS")
ERRORS = {"write": FULL, "pwrite64": FULL, "link": READ_ONLY, "rename": READ_ONLY, "openat": READ_ONLY}
OURS = ("state.json", "history.db", "fence", "lock", ".provisioning")


def filled(folder: Path, servers: ThrowawayServers, body: str = "") -> RealWorkspace:
    """Three steps in a row on one server; the second one does `body`."""
    made = RealWorkspace(folder, servers)
    made.calls = servers.folder / "calls.log"  # not on the disk that refuses
    for name in ("os", "store", "web"):
        made.taskserv(name, body if name == "store" else "", toml="idempotent = true\n")
    made.dag(formula("a", "one", "os", "store", "web"))
    return made


def judged(workspace: RealWorkspace, ended: Ended, begun: Counter[str], *, where: str) -> None:
    """Judge a run whose disk refused something, and the next one on a disk that works again."""
    path = workspace.folder / ".provisioning" / "state.json"
    assert ended.code in {0, 1}, (where, ended)
    assert "Traceback" not in ended.err, ended.err
    assert "unexpected" not in ended.err, ended.err
    StateFile(path).load_sync()
    errored = path.with_name("state.json.errored")
    if ended.code == 1:
        assert any(str(workspace.folder / ".provisioning") in line for line in ended.err.splitlines() if "error:" in line), (
            ended.err
        )
        assert any(name in ended.err for name in OURS), ended.err
    if errored.exists():
        StateFile(errored).load_sync()
        errored.unlink()

    again = workspace.run("taskserv", "create", "--all")

    assert again.code == 0, (where, again.err)
    assert workspace.states() == dict.fromkeys(("os", "store", "web"), "completed"), where
    assert all(count <= 2 for count in (workspace.counts("begin") - begun).values()), where
    newest = workspace.run("run", "show", "last", "-o", "json").json
    assert newest["status"] == "succeeded", "journal and state agree"


def refused_at(workspace: RealWorkspace, point: Point, error: str) -> str:
    """Let one system call of a run fail; return how the run ended."""
    begun = workspace.counts("begin")
    ended, reached = hit(workspace, point, f"error={error}", *CREATE)
    if ended.code == 1 and point.name == "state.json.tmp":
        ran = (workspace.counts("begin") - begun).total()
        assert ran <= 3
        assert "state.json" in ended.err
    judged(workspace, ended, begun, where=f"{error} at {point}")
    return f"exit {ended.code}" if reached else "not reached"


def rounds(workspace: RealWorkspace, say: Callable[[str], None], *, most: int | None) -> None:
    """Let calls on our files fail, `most` of them or all."""
    dice = random.Random(SEED)
    assert workspace.run("taskserv", "create", "--all").code == 0
    found = points_of(workspace, WRITING, *CREATE, only_writing=True)
    points = [point for point in found if not point.name.endswith("-shm")]  # nothing of worth is kept in it
    work = [(point, error) for point in points for error in ERRORS.get(point.call, ("EIO",))]
    if most is not None:
        of_state = [one for one in work if one[0].name == "state.json.tmp"]
        work = dice.sample(of_state, most - most // 2) + dice.sample(work, most // 2)
    codes: Counter[tuple[str, str]] = Counter()
    for point, error in work:
        codes[f"{error} at {point.call} of {point.name or '.provisioning'}", refused_at(workspace, point, error)] += 1
    told = ", ".join(f"{what} -> {code}: {count}" for (what, code), count in sorted(codes.items()))
    say(f"{len(work)} system calls made to fail, seed {SEED}: {told}")


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    need_strace()
    return filled(tmp_path / "workspace", throwaway_servers("one"))


@pytest.mark.timeout(600)
def test_a_few_calls_that_fail_stop_the_run_and_are_made_good_by_the_next(
    workspace: RealWorkspace, say: Callable[[str], None]
) -> None:
    rounds(workspace, say, most=2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_call_that_fails_stops_the_run_and_is_made_good_by_the_next(
    workspace: RealWorkspace, say: Callable[[str], None]
) -> None:
    rounds(workspace, say, most=None)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("used", [False, True])
def test_after_a_failed_fsync_of_the_state_no_other_step_begins(workspace: RealWorkspace, *, used: bool) -> None:
    path = workspace.folder / ".provisioning" / "state.json"
    if used:
        assert workspace.run("taskserv", "create", "--all").code == 0
    before = path.read_bytes() if used else None
    begun = workspace.begun()
    first = Point(call="fsync", name="state.json.tmp", number=1)

    ended, _reached = hit(workspace, first, "error=EIO", *CREATE)

    assert ended.code == 1
    assert "state.json failed: input/output error" in ended.err
    allowed = ([], ["a/os"]) if used else ([],)  # what had begun ends, nothing else begins
    assert workspace.begun()[len(begun) :] in allowed
    assert (path.read_bytes() if path.exists() else None) == before
    kept = path.with_name("state.json.errored")
    assert str(kept) in ended.err
    assert StateFile(kept).load_sync().serial == (json.loads(before)["serial"] if before else 0) + 1
    judged(workspace, ended, workspace.counts("begin"), where=str(first))


def test_a_disk_that_is_full_in_the_middle_of_a_run(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> None:
    with small_disk(tmp_path / "disk", size_kb=2048) as disk:
        servers = throwaway_servers("one")
        workspace = filled(disk / "workspace", servers, f"dd if=/dev/zero of={disk}/filler bs=4096 2>/dev/null; true")
        ended = workspace.run("taskserv", "create", "--all")

        assert ended.code == 1
        assert "full" in ended.err
        assert "a/web" not in workspace.begun()
        (disk / "filler").unlink()
        for place in servers.folder, disk / "workspace":
            assert place.exists()
        workspace.taskserv("store", toml="idempotent = true\n")
        judged(workspace, ended, Counter(), where="full disk")
    for kept in Path(os.environ.get("TMPDIR", "/tmp")).glob("provisioning-*.errored"):
        if kept.stat().st_uid == os.geteuid():
            kept.unlink()


@contextmanager
def let_go(folder: Path) -> Iterator[None]:
    """Make a folder writable again at the end, so that it can be removed."""
    try:
        yield
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
        folder.chmod(0o700)


def test_a_folder_that_turns_read_only_in_the_middle_of_a_run(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]
) -> None:
    hidden = tmp_path / "workspace" / ".provisioning"
    as_root = f"mount --bind {hidden} {hidden} && mount -o remount,bind,ro {hidden} || exit 99"  # modes do not stop root
    body = as_root if os.geteuid() == 0 else f"chmod 555 {hidden}"
    workspace = filled(tmp_path / "workspace", throwaway_servers("one"), body)
    with let_go(hidden):
        ended = workspace.run("taskserv", "create", "--all")
        if "exit code 99" in ended.err:
            pytest.skip("nothing can be mounted here")
        assert ended.code == 1
        assert "a/web" not in workspace.begun()
        assert str(hidden / "state.json") in ended.err
    workspace.taskserv("store", toml="idempotent = true\n")
    judged(workspace, ended, Counter(), where="read-only folder")
