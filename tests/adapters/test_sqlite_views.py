"""The history of Dagu runs as anybody's SQL sees it: `dag_runs` and `dag_step_results`, in Dagu's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from support.records import AT, a_commit, a_step, a_workflow, created, event

from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.dagu.statuses import RunNow, RunStatus, StepNow, run_status, step_status
from provisioning.core.events import Event, Kind
from provisioning.core.model import RUN_ENDED, RunState, Source, StepState

WORKFLOW = replace(
    a_workflow(
        a_step("(setup)", kind="setup"),
        a_step("extract", "(setup)"),
        a_step("load", "extract"),
        a_step("(ok)", "load", kind="approval"),
        a_step("on failure", kind="handler"),
        name="etl",
    ),
    source=Source(kind="dagu"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def rows(path: Path, sql: str, *values: object) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, values)]


async def after(store: SqliteStore, *events: Event) -> None:
    await store.commit(a_commit(await created(store, WORKFLOW), *events))


async def test_a_run_and_its_results_have_the_columns_that_were_promised(store: SqliteStore, path: Path) -> None:
    ended = replace(
        event(Kind.STEP_FAILED, "extract", attempt=1, exit_code=3, stdout="rows: 0\n", stderr="no table\n"),
        at=AT + timedelta(seconds=1, milliseconds=234),
    )
    await after(
        store,
        event(Kind.STEP_DISPATCHED, "extract", attempt=1),
        event(Kind.STEP_STARTED, "extract", attempt=1),
        ended,
        event(Kind.STEP_SKIPPED, "load", reason="blocked: needs extract, which failed", because="extract"),
        event(Kind.RUN_FINISHED, state="failed", reason="extract failed"),
    )

    at = AT.isoformat()
    assert rows(path, "SELECT * FROM dag_runs") == [
        {
            "id": "r1",
            "dag_name": "etl",
            "status": "failed",
            "trigger": "cli",
            "started_at": at,
            "finished_at": at,
            "error": "extract failed",
        }
    ]
    results = rows(path, "SELECT * FROM dag_step_results WHERE run_id = ? ORDER BY step_name", "r1")
    assert results[0] == {
        "id": "r1/extract",
        "run_id": "r1",
        "step_name": "extract",
        "status": "failed",
        "exit_code": 3,
        "stdout": "rows: 0\n",
        "stderr": "no table\n",
        "duration_ms": 1234,
    }
    assert [(row["step_name"], row["status"], row["duration_ms"]) for row in results[1:]] == [
        ("load", "aborted", None),
        ("on failure", "not_started", None),
    ]


async def test_runs_that_are_not_dagus_are_not_in_them(store: SqliteStore, path: Path) -> None:
    await created(store, replace(WORKFLOW, source=Source(kind="formula")))
    assert rows(path, "SELECT * FROM dag_runs") == []
    assert rows(path, "SELECT * FROM dag_step_results") == []


async def test_a_failure_that_was_forgiven_or_a_person_said_no_to_is_called_so(store: SqliteStore, path: Path) -> None:
    no = {"kind": "rejected", "message": "not today"}
    await after(
        store,
        event(Kind.STEP_SUCCEEDED, "extract", attempt=1, partial=True),
        event(Kind.STEP_FAILED, "load", attempt=1, error=no),
        event(Kind.RUN_FINISHED, state="failed", reason="load failed"),
    )
    assert rows(path, "SELECT status FROM dag_runs") == [{"status": "rejected"}]
    found = rows(path, "SELECT step_name, status FROM dag_step_results")
    assert {row["step_name"]: row["status"] for row in found} == {
        "extract": "partially_succeeded",
        "load": "rejected",
        "on failure": "not_started",
    }


MARKS = ("", "allowed", "partial", "rejected", "forgiven")
REASONS = ("", "blocked: needs a, which failed", "tried again at noon", "repeated at noon")


async def test_steps_have_the_words_that_the_core_has_for_them_in_every_state(store: SqliteStore, path: Path) -> None:
    await created(store, WORKFLOW)
    cases = list(product(StepState, MARKS, REASONS, (0, 1), (RunState.RUNNING, *sorted(RUN_ENDED))))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for state, mark, reason, attempts, run in cases:
            connection.execute("UPDATE runs SET state = ?", (run.value,))
            columns = (state.value, mark, reason, attempts)
            connection.execute("UPDATE steps SET state = ?, mark = ?, reason = ?, attempts = ? WHERE step = 'load'", columns)
            (found,) = connection.execute("SELECT status FROM dag_step_results WHERE step_name = 'load'").fetchone()
            now = StepNow(
                state=state,
                begun=attempts > 0,
                blocked=reason.startswith("blocked:"),
                repeating=reason.startswith("repeated"),
                partial=mark == "partial",
                rejected=mark == "rejected",
                forgiven=mark == "forgiven",
                run_ended=run in {RunState.FAILED, RunState.TIMED_OUT},
            )
            assert found == step_status(now).value, now


ENDS = {
    RunState.SUCCEEDED: RunStatus.SUCCEEDED,
    RunState.PARTIAL: RunStatus.PARTIALLY_SUCCEEDED,
    RunState.FAILED: RunStatus.FAILED,
    RunState.TIMED_OUT: RunStatus.FAILED,
    RunState.CANCELLED: RunStatus.ABORTED,
}


@pytest.mark.parametrize("state", RunState)
async def test_runs_have_the_words_that_the_core_has_for_them(store: SqliteStore, path: Path, state: RunState) -> None:
    await created(store, WORKFLOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        ended = AT.isoformat() if state in RUN_ENDED else None
        connection.execute("UPDATE runs SET state = ?, ended_at = ?", (state.value, ended))
    expected = ENDS[state] if state in RUN_ENDED else run_status(state, RunNow(steps=()))
    assert rows(path, "SELECT status FROM dag_runs") == [{"status": expected.value}]


async def test_a_run_that_goes_on_has_no_end_and_no_error(store: SqliteStore, path: Path) -> None:
    await after(store, event(Kind.STEP_DISPATCHED, "extract", attempt=1), event(Kind.STEP_STARTED, "extract", attempt=1))
    assert rows(path, "SELECT status, finished_at, error FROM dag_runs") == [
        {"status": "running", "finished_at": None, "error": None}
    ]
    found = rows(path, "SELECT status, exit_code, duration_ms FROM dag_step_results WHERE step_name = 'extract'")
    assert found == [{"status": "running", "exit_code": None, "duration_ms": None}]


async def test_a_clock_that_was_set_back_makes_no_negative_duration(store: SqliteStore, path: Path) -> None:
    await after(
        store,
        event(Kind.STEP_STARTED, "extract", attempt=1),
        replace(event(Kind.STEP_SUCCEEDED, "extract", attempt=1), at=AT - timedelta(hours=1)),
    )
    found = rows(path, "SELECT duration_ms FROM dag_step_results WHERE step_name = 'extract'")
    assert found == [{"duration_ms": 0}]
