from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.crashing import crash_report
from support.disks import fill, nobody_may_write, small_disk
from support.records import a_commit, a_step, a_task, a_workflow, created, event

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.memory.clock import START
from provisioning.adapters.sqlite.database import MIGRATIONS, connect
from provisioning.adapters.sqlite.history import SqliteHistory
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.ports import Timer
from provisioning.errors import Fenced, StaleRevision, StoreError

SIGNAL = event(Kind.GATE_OPENED, kind="signal", name="go")

NEWEST = max(int(path.name[:4]) for path in MIGRATIONS.glob("*.sql"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def damage(path: Path, where: int, size: int) -> None:
    data = bytearray(path.read_bytes())
    data[where : where + size] = b"\xa5" * size
    path.write_bytes(data)


# ---------------------------------------------------------------- opening


def test_nothing_is_opened_before_the_first_call(path: Path) -> None:
    store = SqliteStore(path)
    assert store.history.list_runs() == []
    store.close()
    assert not path.parent.exists()


async def test_opening_is_fast(store: SqliteStore, path: Path) -> None:
    await created(store)
    store.close()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        await store.open_runs()
        times.append(time.perf_counter() - began)
        store.close()
    assert min(times) < 0.010


async def test_files_are_private_whatever_the_umask(store: SqliteStore, path: Path) -> None:
    before = os.umask(0)
    try:
        await created(store)
    finally:
        os.umask(before)
    assert sorted(each.name for each in path.parent.iterdir()) == ["history.db", "history.db-shm", "history.db-wal"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_commit_survives_power_loss(path: Path) -> None:
    connection = connect(path)
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    connection.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(store: SqliteStore, path: Path) -> None:
    await created(store)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = content(path)
    with pytest.raises(StoreError, match=f"newer version of this program: schema 99, this one knows {NEWEST}"):
        await store.open_runs()
    with pytest.raises(StoreError, match="newer version"):
        store.history.list_runs()
    assert content(path) == before


async def test_an_upgrade_applies_what_is_missing_and_keeps_a_copy(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    await created(store)
    store.close()
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / f"{NEWEST + 1:04}_more.sql").write_text(
        "CREATE TABLE more (x TEXT DEFAULT ';');\n-- a comment; with a semicolon\nINSERT INTO more DEFAULT VALUES;\n"
    )
    for _ in range(2):
        connection = connect(path, migrations=newer)
        assert connection.execute("SELECT x FROM more").fetchall() == [(";",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
        connection.close()
    copy = path.with_name(f"history.db.schema{NEWEST}.backup")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [run.run_id for run in SqliteHistory(copy).list_runs()] == ["r1"]


async def test_a_database_of_the_first_version_is_read_and_written(path: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    shutil.copy(MIGRATIONS / "0001_start.sql", first)
    connect(path, migrations=first).close()
    store = SqliteStore(path)
    await created(store)
    store.close()
    assert [run.run_id for run in SqliteHistory(path).list_runs()] == ["r1"]
    assert path.with_name("history.db.schema1.backup").exists()


async def test_a_database_with_tasks_in_it_is_upgraded_and_shows_what_it_showed(path: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for old in ("0001_start.sql", "0002_dead_letters.sql"):
        shutil.copy(MIGRATIONS / old, before)
    connection = connect(path, migrations=before)
    connection.execute(
        "INSERT INTO runs (run, name, source, state, created_at) VALUES ('r1', 'etl', 'dagu', 'running', ?)",
        (START.isoformat(),),
    )
    connection.execute("INSERT INTO steps (run, step, state) VALUES (1, 'a', 'dispatched')")
    connection.execute("INSERT INTO tasks (run, step, body) VALUES (1, 'a', '{}')")
    connection.close()
    store = SqliteStore(path)
    assert [(step.step, step.state.value, step.mark, step.stdout) for step in store.history.run("r1").steps] == [
        ("a", "dispatched", "", "")
    ]
    assert await store.open_runs() == ["r1"]
    store.close()


async def test_an_upgrade_that_fails_leaves_the_old_schema(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    await created(store)
    store.close()
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / f"{NEWEST + 1:04}_more.sql").write_text("CREATE TABLE more (x TEXT);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StoreError, match="nowhere"):
        connect(path, migrations=newer)
    assert await store.open_runs() == ["r1"]


@pytest.mark.parametrize("where", [0, 100, 5_000])
async def test_a_damaged_file_is_named_with_what_to_do(store: SqliteStore, path: Path, where: int) -> None:
    await created(store, a_workflow(*(a_step(f"s{number}") for number in range(300))))
    store.close()
    damage(path, where, 30_000)

    async def use() -> None:
        await store.open_runs()
        await store.commit(a_commit(2, SIGNAL))
        store.history.run("last")

    with pytest.raises(StoreError, match="is damaged") as failed:
        await use()
    assert str(path) in failed.value.message
    assert "move history.db" in failed.value.hint


def test_a_text_file_is_no_database(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("hello, this is not a database " * 100)
    with pytest.raises(StoreError, match="is damaged: file is not a database"):
        asyncio.run(store.open_runs())


# ---------------------------------------------------------------- disks that refuse


async def test_a_full_disk_refuses_the_commit_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kb=512) as disk:
        store = SqliteStore(disk / "history.db")
        seq = await created(store)
        filler = fill(disk)
        acknowledged = [seq]

        async def commit_until_it_fails() -> None:
            for seq in range(2, 1_000):
                output = event(Kind.STEP_SUCCEEDED, "a", attempt=1, output="x" * 500)
                acknowledged.append(await store.commit(a_commit(seq, output)))

        with pytest.raises(StoreError) as failed:
            await commit_until_it_fails()
        assert str(disk) in failed.value.message
        assert failed.value.hint
        filler.unlink()
        store.close()
        again = SqliteStore(disk / "history.db")
        assert len(await again.events("r1")) == acknowledged[-1]
        assert await again.commit(a_commit(acknowledged[-1], SIGNAL)) == acknowledged[-1] + 1
        again.close()


async def test_a_read_only_folder_is_named(store: SqliteStore, path: Path) -> None:
    await created(store)
    store.close()
    with nobody_may_write(path.parent), pytest.raises(StoreError) as failed:
        await store.commit(a_commit(2, SIGNAL))
    assert str(path) in failed.value.message
    assert await store.commit(a_commit(2, SIGNAL)) == 3


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file exists"):
        await SqliteStore(tmp_path / "file" / "sub" / "history.db").open_runs()


def test_twenty_kills_lose_no_acknowledged_commit_and_tear_none(tmp_path: Path) -> None:
    report = crash_report("sqlite", tmp_path, kills=20)
    assert report["problems"] == []
    assert int(str(report["acknowledged"])) >= 20


# ---------------------------------------------------------------- group commit


async def test_commits_that_wait_share_a_transaction(store: SqliteStore, path: Path) -> None:
    await created(store)
    runs = [f"x{number}" for number in range(200)]
    commits = [a_commit(0, event(Kind.RUN_STARTED, run=run), run=run) for run in runs]
    before = _wal_size(path)
    await asyncio.gather(*map(store.commit, commits))
    together = _wal_size(path) - before
    for run in runs[:20]:
        await store.commit(a_commit(1, event(Kind.RUN_STARTED, run=run), run=run))
    assert together < _wal_size(path) - before - together


def _wal_size(path: Path) -> int:
    return path.with_name("history.db-wal").stat().st_size


async def test_two_commits_to_one_run_that_wait_together_are_checked_one_after_the_other(store: SqliteStore) -> None:
    first, second, stale = a_commit(0, SIGNAL), a_commit(1, SIGNAL), a_commit(1, SIGNAL, SIGNAL)
    results = await asyncio.gather(*map(store.commit, (first, second, stale)), return_exceptions=True)
    assert results[:2] == [1, 2]
    assert isinstance(results[2], StaleRevision)
    assert len(await store.events("r1")) == 2


async def test_a_commit_whose_caller_gave_up_still_hands_out_its_tasks(store: SqliteStore) -> None:
    seq = await created(store)
    commit = a_commit(seq, event(Kind.STEP_DISPATCHED, "a", attempt=1), tasks=[a_task("a")])
    impatient = asyncio.ensure_future(store.commit(commit))
    await asyncio.sleep(0)
    impatient.cancel()
    assert [task.step for task in await asyncio.wait_for(store.claim("w", [], 1), timeout=5)] == ["a"]


def test_a_store_outlives_the_event_loop_it_was_used_in(store: SqliteStore) -> None:
    assert asyncio.run(created(store)) == 2
    seq = asyncio.run(store.commit(a_commit(2, event(Kind.STEP_DISPATCHED, "a", attempt=1), tasks=[a_task("a")])))
    assert seq == 3
    assert [task.step for task in asyncio.run(store.claim("w", [], 1))] == ["a"]


# ---------------------------------------------------------------- restart


async def test_after_a_restart_timers_fire_and_those_due_meanwhile_at_once(path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore(path, clock)
    timers = [Timer(run="r1", step=step, attempt=1, kind="retry", due=START + timedelta(seconds=5)) for step in "ab"]
    seq = await store.commit(a_commit(await created(store), event(Kind.RUN_RESUMED), timers=timers))
    await store.commit(a_commit(seq, event(Kind.STEP_RETRY_DUE, "a", attempt=1)))
    store.close()
    clock.advance(60)
    again = SqliteStore(path, clock)
    assert await again.due() == timers[1:]
    again.close()


async def test_the_highest_fence_is_remembered_over_a_restart(store: SqliteStore, path: Path) -> None:
    await store.commit(a_commit(0, SIGNAL, fence=7))
    store.close()
    again = SqliteStore(path)
    with pytest.raises(Fenced, match="7 has taken over from 6"):
        await again.commit(a_commit(1, SIGNAL, fence=6))
    again.close()


# ---------------------------------------------------------------- size


async def test_the_cost_of_a_commit_does_not_grow_with_the_run(store: SqliteStore) -> None:
    async def spent(size: int, run: str) -> float:
        seq = await created(store, a_workflow(*(a_step(f"s{number}") for number in range(size))), run=run)
        began = time.perf_counter()
        for number in range(100):
            step = f"s{number}"
            seq = await store.commit(a_commit(seq, event(Kind.STEP_SUCCEEDED, step, run=run, attempt=1), run=run))
        return time.perf_counter() - began

    small = min([await spent(100, f"small-{n}") for n in range(3)])
    large = min([await spent(5_000, f"large-{n}") for n in range(2)])
    assert large < small * 4
