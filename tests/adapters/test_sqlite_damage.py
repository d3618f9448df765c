"""Rows and schemas that hold what was never written there are told as damage, with what to do; never as a bug of ours."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.records import a_commit, a_task, a_workflow, created, event

from provisioning.adapters.sqlite.database import connect
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.ports import Request, Timer
from provisioning.errors import StoreError

AT = datetime(2026, 1, 1, tzinfo=UTC)
Question = Callable[[SqliteStore], Awaitable[object]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store in which something of every kind is, closed: nothing of it is in memory."""
    asyncio.run(fill(path))
    opened = SqliteStore(path)
    yield opened
    opened.close()


async def fill(path: Path) -> None:
    store = SqliteStore(path)
    seq = await created(store)
    dispatched = [event(Kind.STEP_DISPATCHED, step, attempt=1) for step in "ab"]
    timers = [Timer(run="r1", step="b", attempt=1, kind="retry", due=AT)]
    seq = await store.commit(a_commit(seq, *dispatched, tasks=[a_task("a"), a_task("b")], fence=1))
    await store.commit(a_commit(seq, event(Kind.STEP_FAILED, "a", attempt=1, error="x"), fence=1))
    succeeded = event(Kind.STEP_SUCCEEDED, "b", attempt=1, output=[1])
    await store.commit(a_commit(seq + 1, succeeded, tasks=[a_task("b")], timers=timers, fence=1))
    await store.request(Request(run="r1", kind="cancel"))
    store.close()


async def listed(store: SqliteStore) -> object:
    return store.history.list_runs()


async def shown(store: SqliteStore) -> object:
    return store.history.run("last")


async def tried(store: SqliteStore) -> object:
    return store.history.attempts("r1")


async def put_out(store: SqliteStore) -> object:
    return store.history.outputs("r1")


async def retried(store: SqliteStore) -> object:
    return await store.events("r1")


async def planned(store: SqliteStore) -> object:
    return await store.workflow(str((await store.events("r1"))[0].data["workflow"]))


async def resumed(store: SqliteStore) -> object:
    return await store.open_runs()


async def rung(store: SqliteStore) -> object:
    return await store.due()


async def asked(store: SqliteStore) -> object:
    return await store.take_requests(["r1"])


async def committed(store: SqliteStore) -> object:
    return await store.commit(a_commit(6, event(Kind.RUN_RESUMED), fence=1))


async def ended(store: SqliteStore) -> object:
    return await store.commit(a_commit(6, event(Kind.RUN_FINISHED, state="failed", reason="a failed"), fence=1))


QUESTIONS = (listed, shown, tried, put_out, retried, planned, resumed, rung, asked, committed)

ROWS: tuple[tuple[str, Question], ...] = (
    ("runs SET state = ''", listed),
    ("runs SET state = ''", shown),
    ("runs SET created_at = 'x'", listed),
    ("runs SET created_at = x'ff'", listed),
    ("runs SET created_at = -1", listed),
    ("runs SET created_at = CAST(x'ff' AS TEXT)", listed),
    ("runs SET ended_at = '2026-01-01T00:00:00'", listed),
    ("runs SET exit_code = 'x'", listed),
    ("runs SET last_seq = 1.5", listed),
    ("runs SET last_seq = 'x'", committed),
    ("runs SET run = x'ff'", shown),
    ("runs SET run = x'ff'", resumed),
    ("runs SET params = '{'", shown),
    ("runs SET params = '[]'", shown),
    ("runs SET params = 1", shown),
    ("runs SET source = x'ff'", ended),
    ("steps SET started_at = -1", shown),
    ("steps SET state = x'ff'", shown),
    ("steps SET attempts = 'x'", shown),
    ("steps SET output = '{' WHERE output IS NOT NULL", shown),
    ("steps SET output = x'ff' WHERE output IS NOT NULL", put_out),
    ("steps SET ended_at = 'x'", ended),
    ("attempts SET state = 'no-state'", tried),
    ("attempts SET started_at = 'x'", tried),
    ("attempts SET attempt = 'x'", tried),
    ("events SET body = ''", retried),
    ("events SET body = '{\"kind\":1}'", retried),
    ("events SET body = 1", retried),
    ("events SET body = (SELECT body FROM events WHERE seq = 2)", retried),
    ("events SET body = replace(body, '\"r1\"', '\"r2\"')", retried),
    ("events SET seq = 7 WHERE seq = 3", retried),
    ("events SET seq = 'x' WHERE seq = 3", retried),
    ("workflows SET body = 'null'", planned),
    ("steps SET output_name = x'ff' WHERE output IS NOT NULL", shown),
    ("steps SET mark = x'ff'", shown),
    ("steps SET stdout = x'ff'", shown),
    ("timers SET body = x'ff'", rung),
    ("requests SET body = 1.5", asked),
    ("meta SET value = ''", committed),
    ("meta SET value = x'ff'", committed),
)


@pytest.mark.parametrize("question", [*QUESTIONS, ended])
async def test_the_rows_are_good_before(store: SqliteStore, question: Question) -> None:
    assert await question(store)


@pytest.mark.parametrize(("change", "question"), [pytest.param(*row, id=f"{row[1].__name__}: {row[0]}") for row in ROWS])
async def test_a_damaged_row_is_told_with_what_to_do(store: SqliteStore, path: Path, change: str, question: Question) -> None:
    alter(path, f"UPDATE {change}")

    with pytest.raises(StoreError, match=f"^{re.escape(str(path))} is damaged: ") as failed:
        await question(store)

    assert "move history.db" in failed.value.hint


async def test_a_damaged_run_is_refused_alone_though_it_shares_a_transaction(store: SqliteStore, path: Path) -> None:
    alter(path, "UPDATE runs SET last_seq = 'x'")
    good = a_commit(0, event(Kind.RUN_STARTED, run="r2"), run="r2", fence=1)

    refused, seq = await asyncio.gather(committed(store), store.commit(good), return_exceptions=True)

    assert isinstance(refused, StoreError)
    assert seq == 1
    assert [each.kind for each in await store.events("r2")] == [Kind.RUN_STARTED]


async def test_what_cannot_be_written_is_the_callers_fault_and_no_damage(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        await store.put_workflow(a_workflow(name="w" * 3 + "\ud800"))


def test_any_damaged_byte_of_the_schema_ends_in_an_answer_or_in_our_words(path: Path) -> None:
    connection = connect(path)
    statements = [text for (text,) in connection.execute("SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL")]
    connection.close()
    good, told = path.read_bytes(), 0
    places = [good.index(text) + at for text in statements for at in range(0, len(text), 7)]
    for at in places:
        path.write_bytes(good[:at] + b"\x80" + good[at + 1 :])
        told += told_as_damage(path)
    assert told > len(places) // 2


def told_as_damage(path: Path) -> bool:
    store = SqliteStore(path)
    try:
        store.history.list_runs()
    except StoreError as error:
        return error.message.startswith(f"{path} is damaged: ") and "move history.db" in error.hint
    finally:
        store.close()
    return False


@pytest.mark.parametrize(
    ("word", "damaged"),
    [
        pytest.param(b"CREATE TABLE meta", b"\x80REATE TABLE meta", id="no statement"),
        pytest.param(b"tablemetameta", b"table\x80etameta", id="a name that cannot be told"),
        pytest.param(b"CREATE TABLE runs", b"CREATE TABLE ruxs", id="a table that is called otherwise"),
        pytest.param(b"reason TEXT", b"reaxon TEXT", id="a column that is called otherwise"),
    ],
)
def test_a_damaged_schema_is_told_by_whoever_uses_it(path: Path, word: bytes, damaged: bytes) -> None:
    asyncio.run(fill(path))
    path.write_bytes(path.read_bytes().replace(word, damaged))
    store = SqliteStore(path)
    for ask in (shown, ended):
        with pytest.raises(StoreError, match="is damaged: "):
            asyncio.run(ask(store))
    store.close()


def alter(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    changed = connection.execute(sql).rowcount
    connection.close()
    assert changed > 0
