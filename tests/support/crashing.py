"""Kill a writer in the middle of its work, many times, and say what it broke. Run as a program: it forks, so it has no threads.

python crashing.py statefile|sqlite FOLDER KILLS SEED
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.adapters.statefile import StateFile
from provisioning.core.events import Event, Kind
from provisioning.core.ports import Commit
from provisioning.core.resources import Resource, ResourceState

Acknowledge = Callable[[int], None]
_AT = datetime(2026, 1, 1, tzinfo=UTC)


def crash_report(what: str, folder: Path, *, kills: int, seed: int = 1) -> dict[str, object]:
    """Run this file as a program; return how many kills, how many acknowledged writes and which problems there were."""
    command = [sys.executable, __file__, what, str(folder), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    report: dict[str, object] = json.loads(done.stdout)
    return report


def killed_after(seconds: float, work: Callable[[Acknowledge], None]) -> int:
    """Run `work` in a child, kill it `seconds` after its first acknowledgement, return the highest number acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        work(lambda number: _tell(writing, number))
        os._exit(0)
    os.close(writing)
    select.select([reading], [], [], 10)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as acknowledged:
        numbers = [int(line) for line in acknowledged.read().splitlines()]
    return max(numbers, default=0)


def _tell(fd: int, number: int) -> None:
    os.write(fd, f"{number}\n".encode())


# ---------------------------------------------------------------- what is killed


def save_forever(path: Path) -> Callable[[Acknowledge], None]:
    """Save a book whose one resource says which serial it was written for."""

    def work(acknowledge: Acknowledge) -> None:
        file = StateFile(path)
        book = file.load_sync()
        while True:
            done = Resource(state=ResourceState.COMPLETED, digest=str(book.serial + 1), profile="x" * 5_000)
            book = file.save_sync(book.put({("cp-0", "etcd"): done}))
            acknowledge(book.serial)

    return work


def check_saved(path: Path, acknowledged: int) -> str:
    """Return what is wrong with the state file, or nothing."""
    book = StateFile(path).load_sync()
    if book.serial < acknowledged:
        return f"serial {acknowledged} was acknowledged, {book.serial} is there"
    resource = book.get("cp-0", "etcd")
    if resource is None or resource.digest != str(book.serial):
        return f"serial {book.serial} holds {resource}"
    return ""


def commit_forever(path: Path) -> Callable[[Acknowledge], None]:
    """Commit from four writers at once, each to a run of its own, and acknowledge the number of commits."""

    async def writer(store: SqliteStore, run: str, acknowledge: Acknowledge, count: list[int]) -> None:
        seq = len(await store.events(run))
        while True:
            events = [Event(run=run, kind=Kind.STEP_SUCCEEDED, at=_AT, step=f"s{seq}", attempt=1, epoch=1)] * 3
            seq = await store.commit(Commit(run=run, expected_seq=seq, events=events))
            count[0] += 1
            acknowledge(count[0])

    async def writers(acknowledge: Acknowledge) -> None:
        store, count = SqliteStore(path), [_commits(path)]
        await asyncio.gather(*(writer(store, f"run-{number}", acknowledge, count) for number in range(4)))

    return lambda acknowledge: asyncio.run(writers(acknowledge))


def check_commits(path: Path, acknowledged: int) -> str:
    """Return what is wrong with the database, or nothing."""
    connection = sqlite3.connect(path)
    try:
        verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        torn = connection.execute(
            "SELECT run, last_seq FROM runs WHERE last_seq % 3 OR last_seq != (SELECT count(*) FROM events WHERE run = id)"
        ).fetchall()
    finally:
        connection.close()
    if verdict != "ok" or torn:
        return f"integrity {verdict}, torn commits {torn}"
    found = _commits(path)
    return f"{acknowledged} commits were acknowledged, {found} are there" if found < acknowledged else ""


def _commits(path: Path) -> int:
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0]) // 3
    except sqlite3.OperationalError:  # killed before the tables were made
        return 0
    finally:
        connection.close()


def main(what: str, folder: str, kills: str, seed: str) -> None:
    """Kill, check, count."""
    if what == "statefile":
        path = Path(folder) / "state.json"
        work, check = save_forever(path), check_saved
    else:
        path = Path(folder) / "history.db"
        work, check = commit_forever(path), check_commits
    dice = random.Random(int(seed))
    acknowledged, problems = 0, []
    for _ in range(int(kills)):
        acknowledged = max(acknowledged, killed_after(dice.uniform(0, 0.03), work))
        problems.append(check(path, acknowledged))
    report = {"kills": int(kills), "acknowledged": acknowledged, "problems": [each for each in problems if each]}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
