"""1,000 DAGs and 100,000 runs: a page costs the page, and a file is read once."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.cost import counted
from support.served import places_of, served

from provisioning import wiring
from provisioning.adapters.sqlite.database import connect
from provisioning.adapters.sqlite.pages import RunPages, question
from provisioning.operations.hosting.library import Library
from provisioning.operations.hosting.reading import Wanted
from provisioning.settings import Settings

RUNS, DAGS = 100_000, 1_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history with many runs of many DAGs, one in a hundred of them failed, the newest three open."""
    folder = tmp_path_factory.mktemp("large")
    places = places_of(folder)
    path = places.data / ".provisioning" / "history.db"
    connection = connect(path)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO workflows VALUES ('d', '{}')")
    for n in range(RUNS):
        at = (BEGAN + timedelta(seconds=n * 10)).isoformat()
        state = "running" if n >= RUNS - 3 else "failed" if n % 100 == 0 else "succeeded"
        ended = None if state == "running" else at
        values = (f"run-{n:06d}", "d", f"dag-{n % DAGS:04d}", "dagu", state, at, at, ended, "subdag:x" if n % 2 else "api")
        connection.execute(
            "INSERT INTO runs (run, digest, name, source, state, created_at, started_at, ended_at, trigger, labels)"
            ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, \'{"team": "a"}\')',
            values,
        )
    connection.execute("COMMIT")
    connection.close()
    for n in range(DAGS):
        text = f"schedule: '{n % 60} * * * *'\nlabels: team=a\nsteps: [{{name: one, command: 'true'}}]\n"
        (places.dags / f"dag-{n:04d}.yaml").write_text(text)
    return folder


def steps_of(path: Path, wanted: Wanted, limit: int = 50) -> int:
    """Return how many thousand steps SQLite's machine takes for a page."""
    connection = connect(path)
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection.set_progress_handler(tick, 1000)
    sql, values = question(wanted, limit)
    connection.execute(sql, values).fetchall()
    connection.close()
    return ticks


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(before="run-050000"),
        Wanted(before="run-000100"),
        Wanted(name="dag-0500"),
        Wanted(name="dag-0500", before="run-050000"),
        Wanted(status="failed"),
        Wanted(status="failed", before="run-050000"),
        Wanted(status="running"),
        Wanted(status="running,queued,waiting"),
        Wanted(status="failed,succeeded"),
        Wanted(status="failed,succeeded", since=BEGAN + timedelta(days=2), until=BEGAN + timedelta(days=2, minutes=20)),
        Wanted(status="partially_succeeded"),
        Wanted(name="dag-0500", status="failed"),
        Wanted(label="team=a"),
        Wanted(inside=True),
        Wanted(q="dag-00"),
        Wanted(since=BEGAN + timedelta(seconds=10 * RUNS - 1000)),
        Wanted(until=BEGAN + timedelta(seconds=1000)),
        Wanted(since=BEGAN + timedelta(days=2), until=BEGAN + timedelta(days=2, minutes=20)),
    ],
    ids=str,
)
def test_a_page_of_runs_costs_the_page_and_not_the_history(history: Path, wanted: Wanted) -> None:
    assert steps_of(history / "data" / ".provisioning" / "history.db", wanted) < 100, (
        "thousand steps; the table has 100,000 rows"
    )


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(name="dag-0500"), Wanted(before="run-050000")], ids=str)
def test_no_page_is_sorted(history: Path, wanted: Wanted) -> None:
    with sqlite3.connect(history / "data" / ".provisioning" / "history.db") as connection:
        sql, values = question(wanted, 50)
        plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    assert "TEMP B-TREE" not in plan


def test_the_second_list_of_dags_reads_no_file(history: Path) -> None:
    library = Library(places_of(history), Settings())
    with counted() as first:
        library.page()
    with counted() as second:
        library.page()
    assert second.lines < first.lines / 10, "what has not changed is remembered"
    (history / "dags" / "dag-0007.yaml").write_text("steps: [{name: changed, command: 'true'}]\n")
    dag = next(one.entry.reading.dag for one in library.page().dags if one.entry.name == "dag-0007")
    assert dag is not None
    assert dag.steps[0].name == "changed"


def test_what_a_list_needs_of_runs_is_one_seek_for_each_dag(history: Path) -> None:
    pages: RunPages = wiring.run_pages(history / "data")
    names = [f"dag-{n:04d}" for n in range(0, DAGS, 2)]
    with sqlite3.connect(history / "data" / ".provisioning" / "history.db") as connection:
        statements: list[str] = []
        pages._connection = connection
        connection.set_trace_callback(statements.append)
        found = pages.recent(names, 14)
        plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}"))
    pages._connection = None
    assert len(statements) == len(found) == len(names)
    assert "USING INDEX runs_by_name" in plan
    assert "TEMP B-TREE" not in plan


def test_pages_and_details_are_answered(history: Path) -> None:
    async def story() -> None:
        async with served(history) as here:
            page = await here.get("/dags?limit=1000")
            assert (page["total"], len(page["dags"])) == (DAGS, DAGS)
            assert page["dags"][0]["last_run"]["run_id"] == "run-099000"
            rest = await here.get("/dags?limit=10&cursor=dag-0099.yaml")
            assert [one["name"] for one in rest["dags"]] == [f"dag-{n:04d}" for n in range(100, 110)]
            assert (await here.get("/dags?q=dag-0100"))["total"] == 1
            runs = await here.get("/runs?limit=500")
            assert len(runs["runs"]) == 500
            assert (await here.get("/runs/run-050000"))["workflow"] == "dag-0000"

    asyncio.run(story())
