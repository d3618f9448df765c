from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.disks import nobody_may_write

from provisioning.adapters.lock import WorkspaceLock
from provisioning.errors import LockedError, StoreError

HOLD = """
import sys, time
from pathlib import Path
from provisioning.adapters.lock import WorkspaceLock
print(WorkspaceLock(Path(sys.argv[1])).acquire_sync(), flush=True)
time.sleep(60)
"""
TRY = """
import sys
from pathlib import Path
from provisioning.adapters.lock import WorkspaceLock
from provisioning.errors import LockedError
lock = WorkspaceLock(Path(sys.argv[1]))
sys.stdin.readline()
try:
    print(lock.acquire_sync(), flush=True)
except LockedError:
    print("refused", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in a process of its own."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_the_refusal_names_user_host_pid_and_since(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        with pytest.raises(LockedError) as refused:
            WorkspaceLock(tmp_path).acquire_sync()
        message = refused.value.message
        assert message.startswith("workspace is locked by ")
        assert f"@{socket.gethostname()}, pid {holder.pid}, since 20" in message
        assert "--wait" in refused.value.hint
        assert "state unlock" in refused.value.hint


def test_the_holder_can_be_looked_up_without_touching_the_lock(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    assert lock.holder() is None
    assert not (tmp_path / ".provisioning").exists()
    with another_process(tmp_path) as holder:
        found = lock.holder()
        assert found is not None
        assert found.keys() == {"user", "host", "pid", "since", "token", "command"}
        assert (found["pid"], found["token"]) == (holder.pid, 1)
        holder.kill()
        holder.wait()
        assert lock.holder() is None


def test_looking_who_has_it_never_makes_somebody_else_fail(tmp_path: Path) -> None:
    lock, looker = WorkspaceLock(tmp_path), WorkspaceLock(tmp_path)
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl,sys,time; f=open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); time.sleep(0.01)",
            str(_made(lock)),
        ],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        lock.acquire_sync()
    assert looker.holder() is not None
    lock.release_sync()


def _made(lock: WorkspaceLock) -> Path:
    lock.acquire_sync()
    lock.release_sync()
    return lock.path


def test_the_lock_of_a_killed_holder_is_free_at_once_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    lock = WorkspaceLock(tmp_path)
    assert lock.acquire_sync() == 2
    lock.release_sync()


def test_a_program_started_by_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    lock.acquire_sync()
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        lock.release_sync()
        other = WorkspaceLock(tmp_path)
        other.acquire_sync()
        other.release_sync()
        child.kill()


def test_of_processes_that_start_together_exactly_one_proceeds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRY, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for _, process in enumerate(processes):
        _write(process)
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(process.stdout.readline().strip())
    for process in processes:
        process.communicate("\n")
    assert sorted(answers) == ["1", "refused", "refused", "refused"]


def _write(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_refusal_takes_less_than_a_second(tmp_path: Path) -> None:
    with another_process(tmp_path):
        began = time.perf_counter()
        with pytest.raises(LockedError):
            WorkspaceLock(tmp_path).acquire_sync()
        assert time.perf_counter() - began < 1.0


def test_one_object_cannot_take_it_twice(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    lock.acquire_sync()
    with pytest.raises(LockedError, match="already"):
        lock.acquire_sync()
    lock.release_sync()


def test_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        lock = WorkspaceLock(tmp_path)
        lock.acquire_sync()
        lock.release_sync()
    finally:
        os.umask(before)
    folder = tmp_path / ".provisioning"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {"lock": 0o600, "fence": 0o600}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with nobody_may_write(tmp_path), pytest.raises(StoreError, match="permission denied") as failed:
        WorkspaceLock(tmp_path).acquire_sync()
    assert str(tmp_path) in failed.value.message


def test_a_damaged_fencing_number_is_refused_because_servers_remember(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    lock.acquire_sync()
    lock.release_sync()
    (tmp_path / ".provisioning" / "fence").write_text("")
    with pytest.raises(StoreError, match="does not hold a number"):
        lock.acquire_sync()
    assert lock.holder() is None


def test_a_damaged_signature_is_no_obstacle(tmp_path: Path) -> None:
    lock = WorkspaceLock(tmp_path)
    lock.acquire_sync()
    for damaged in (b"{half", b"[" * 65_536, b"[]", b"\xff"):
        lock.path.write_bytes(damaged)
        assert lock.holder() == {}
    with pytest.raises(LockedError, match="another runner"):
        WorkspaceLock(tmp_path).acquire_sync()
    lock.release_sync()
    assert lock.acquire_sync() == 2
    assert json.loads(lock.path.read_text())["token"] == 2
    lock.release_sync()
