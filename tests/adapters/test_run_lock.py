"""One engine per run: the lock of a run, whose file goes with its holder."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.contending import contend, most_at_once

from provisioning import wiring
from provisioning.adapters.lock import RunLock
from provisioning.errors import LockedError, UsageError

HOLD = """
import sys, time
from pathlib import Path
from provisioning.adapters.lock import RunLock
RunLock(Path(sys.argv[1])).acquire_sync()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "runs" / "r1.lock"


def test_it_is_refused_with_who_has_it_and_free_when_that_process_is_dead(path: Path) -> None:
    lock = RunLock(path)
    assert lock.holder() is None
    with another_process(path) as holder:
        with pytest.raises(LockedError, match="run r1 is locked by") as refused:
            lock.acquire_sync()
        assert f"@{socket.gethostname()}, pid {holder.pid}, since 20" in refused.value.message
        found = lock.holder()
        assert found is not None
        assert found.keys() == {"user", "host", "pid", "since", "command"}
        assert found["pid"] == holder.pid
        holder.kill()
        holder.wait()
        assert lock.holder() is None
    lock.acquire_sync()
    lock.release_sync()


def test_the_file_is_private_and_goes_with_its_holder(path: Path) -> None:
    before = os.umask(0)
    try:
        lock = RunLock(path)
        lock.acquire_sync()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    lock.release_sync()
    lock.release_sync()
    assert list(path.parent.iterdir()) == []


def test_who_never_had_it_removes_nothing(path: Path) -> None:
    holder, other = RunLock(path), RunLock(path)
    holder.acquire_sync()
    with pytest.raises(LockedError):
        other.acquire_sync()
    other.release_sync()
    assert holder.holder() is not None
    holder.release_sync()


def test_a_file_that_another_has_put_in_its_place_is_left_alone(path: Path) -> None:
    lost, other = RunLock(path), RunLock(path)
    lost.acquire_sync()
    path.unlink()
    other.acquire_sync()
    lost.release_sync()
    assert other.holder() is not None
    with pytest.raises(LockedError):
        lost.acquire_sync()
    other.release_sync()


RACE = """
from provisioning.adapters.lock import RunLock
begin()
for _ in range(rounds):
    lock = RunLock(folder / "runs" / "r1.lock", poll_s=0.0005)
    lock.acquire_sync(wait=True)
    assert lock.holder()["pid"] == os.getpid()
    note("took")
    os.sched_yield()
    note("gave up")
    lock.release_sync()
"""


def test_of_four_processes_that_take_and_remove_it_again_and_again_never_two_have_it(tmp_path: Path) -> None:
    lines = contend(RACE, tmp_path, processes=4, rounds=250)
    assert len(lines) == 2_000
    assert most_at_once(lines) == 1
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("run", ["", "..", "../r1", "a/b", "a\0", "-x", "x" * 200])
def test_what_is_no_run_id_never_becomes_a_path(tmp_path: Path, run: str) -> None:
    with pytest.raises(UsageError, match="no run id"):
        wiring.run_lock(tmp_path, run)


def test_it_is_in_a_folder_of_ours_under_the_runs_id(tmp_path: Path) -> None:
    assert wiring.run_lock(tmp_path, "r1").path == tmp_path / ".provisioning" / "runs" / "r1.lock"
