"""One history that several processes, or several stores of one, have open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.records import a_commit, created, event

from provisioning.adapters.sqlite.database import connect
from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.ports import Request

SIGNAL = event(Kind.GATE_OPENED, kind="signal", name="go")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments])


ASK = """
import asyncio, sys
from pathlib import Path
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.ports import Request
async def ask():
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(20):
        await store.request(Request(run="r1", kind="signal", actor=sys.argv[2], data={"number": number}))
    store.close()
asyncio.run(ask())
"""


async def test_requests_of_other_processes_arrive_once_and_in_order(store: SqliteStore, path: Path) -> None:
    await created(store)
    processes = [start(ASK, str(path), name) for name in ("one", "two")]
    taken: list[Request] = []
    seq = 2
    while len(taken) < 40:
        seq = await store.commit(a_commit(seq, SIGNAL))
        taken += await store.take_requests(["r1"])
        assert all(process.poll() in {None, 0} for process in processes)
    assert [process.wait() for process in processes] == [0, 0]
    for name in ("one", "two"):
        assert [request.data["number"] for request in taken if request.actor == name] == list(range(20))


async def test_requests_stay_until_what_follows_is_committed(store: SqliteStore, path: Path) -> None:
    seq = await created(store)
    for run, data in (("r1", {}), ("", {"run": "r1"}), ("r2", {}), ("r1", {})):
        await store.request(Request(run=run, kind="pause", data=data))
    first = await store.take_requests(["r1", ""])
    other = SqliteStore(path)
    assert await other.take_requests(["r1", ""]) == first
    await store.commit(a_commit(seq, event(Kind.PAUSE_REQUESTED), upto=first[1].id))
    again = SqliteStore(path)
    left = await again.take_requests(["r1", "r2", ""])
    assert [(request.run, request.id > first[1].id) for request in left] == [("r2", True), ("r1", True)]
    await again.handled(left)
    assert await SqliteStore(path).take_requests(["r1", "r2", ""]) == []
    for each in (other, again):
        each.close()


async def test_two_stores_of_one_file_see_each_other_and_only_one_wins(store: SqliteStore, path: Path) -> None:
    other = SqliteStore(path)
    await created(store)
    results = await asyncio.gather(*(each.commit(a_commit(2, SIGNAL)) for each in (store, other)), return_exceptions=True)
    assert sorted(str(type(result).__name__) for result in results) == ["StaleRevision", "int"]
    assert await store.events("r1") == await other.events("r1")
    other.close()


async def test_the_history_can_be_read_while_it_is_written(store: SqliteStore, path: Path) -> None:
    reader, seq = SqliteHistory(path), await created(store)
    for number in range(50):
        seq = await store.commit(a_commit(seq, SIGNAL))
        assert reader.run("last").summary.last_seq == seq, number
    reader.close()


def test_a_second_connection_does_not_take_the_log_away_from_under_the_first(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    first = connect(path)
    first.execute("INSERT INTO meta (key, value) VALUES ('a', '1')")
    connect(path).close()
    script = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('DELETE FROM meta'); c.commit(); c.close()"

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

    assert first.execute("SELECT count(*) FROM meta").fetchone() == (0,)
    first.close()
