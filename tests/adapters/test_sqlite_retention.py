"""What is deleted leaves nothing behind, and which runs are old enough for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.records import a_commit, a_task, a_workflow, created, event

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.memory.clock import START
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.model import Source, Workflow
from provisioning.errors import NotFoundError

DAG = replace(a_workflow(name="etl"), source=Source(kind="dagu"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "history.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(path: Path, clock: FakeClock) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, clock)
    yield opened
    opened.close()


async def test_deleting_a_run_removes_its_rows_and_its_workflow_unless_another_run_has_it(
    store: SqliteStore, path: Path
) -> None:
    workflow = a_workflow(name="shared")
    for run in ("r1", "r2"):
        seq = await created(store, workflow, run=run)
        tasks = [a_task(run=run)]
        await store.commit(a_commit(seq, event(Kind.STEP_DISPATCHED, "a", run=run, attempt=1), run=run, tasks=tasks))
    address = await store.put_workflow(workflow)
    await store.delete("r1")
    assert await store.workflow(address) == workflow
    await store.delete("r2")
    store.close()
    connection = sqlite3.connect(path)
    tables = ("runs", "events", "steps", "attempts", "timers", "requests", "workflows")
    assert {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables} == dict.fromkeys(
        tables, 0
    )
    connection.close()
    with pytest.raises(NotFoundError):
        await store.workflow(address)


async def ran(store: SqliteStore, run: str, days: float, workflow: Workflow = DAG) -> None:
    """Create a run, and end it so many days after the clock's start."""
    seq = await created(store, workflow, run=run)
    end = event(Kind.RUN_FINISHED, run=run, state="succeeded", reason="")
    await store.commit(a_commit(seq, replace(end, at=START + timedelta(days=days)), run=run))


@pytest.mark.parametrize(
    ("days", "keep", "expected"),
    [
        (None, None, []),
        (30, None, ["r0", "r1"]),
        (29, None, ["r0", "r1", "r2"]),
        (0, None, ["r0", "r1", "r2", "r3"]),
        (1_000, None, []),
        (None, 2, ["r0", "r1", "r2"]),
        (None, 0, ["r0", "r1", "r2", "r3", "r4"]),
        (None, 9, []),
        (30, 2, ["r0", "r1", "r2"]),
        (30, 4, ["r0", "r1"]),
    ],
)
async def test_runs_expire_by_age_and_by_number(
    store: SqliteStore, clock: FakeClock, days: int | None, keep: int | None, expected: list[str]
) -> None:
    for number, day in enumerate((0, 9.999, 10, 20, 40)):
        await ran(store, f"r{number}", day)
    await ran(store, "other", 0, replace(DAG, name="other"))
    await ran(store, "formula", 0, replace(DAG, source=Source(kind="formula")))
    await created(store, DAG, run="open")
    clock.advance(40 * 86_400)
    assert await store.expired("etl", days=days, keep=keep) == expected
