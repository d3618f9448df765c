"""1,000 DAGs and 100,000 runs: a page costs the page, and a file is read once."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.cost import counted
from support.served import PASSWORD, Served, places_of, served

from benchmarks.pastruns import BEGAN, FAILED_OF, Past, fill
from benchmarks.server import COUNTING, LOOKING, pages
from provisioning import wiring
from provisioning.adapters.sqlite.pages import RunPages, question
from provisioning.core.access import Role
from provisioning.operations.hosting.library import Library
from provisioning.operations.hosting.reading import Wanted
from provisioning.settings import Settings

RUNS, DAGS = 100_000, 1_000
LONG, SHORT = Past(dags=DAGS, runs=RUNS, audit=RUNS), Past(dags=DAGS, runs=20_000, audit=20_000)
TIMES = RUNS / SHORT.runs
ROOT = Path(__file__).parents[2]
LETTERS = RUNS // FAILED_OF
STEPS = 100  # of SQLite's machine, between two looks


def past(folder: Path, wanted: Past) -> Iterator[Path]:
    fill(folder, wanted, checkout=ROOT)
    yield folder
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with many runs of many DAGs, one in ten of them failed."""
    yield from past(tmp_path_factory.mktemp("long"), LONG)


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same with a fifth of the runs."""
    yield from past(tmp_path_factory.mktemp("short"), SHORT)


class Machine:
    """Counts what all of SQLite's machines do, in hundreds of steps."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> int:
        self.ticks += 1
        return 0

    def connect(self, *words: Any, **more: Any) -> sqlite3.Connection:
        connection = sqlite3.Connection(*words, **more)
        connection.set_progress_handler(self.tick, STEPS)
        return connection


def steps_of(path: Path, wanted: Wanted, limit: int = 50) -> int:
    """Return how many steps SQLite's machine takes for a page."""
    found, machine = RunPages(path), Machine()
    found.has("")
    assert found._connection is not None
    found._connection.set_progress_handler(machine.tick, STEPS)
    found.page(wanted, limit)
    found.close()
    return machine.ticks * STEPS


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
        Wanted(labels=("team=a",)),
        Wanted(inside=True),
        Wanted(q="dag-0"),
        Wanted(q="dag-0999"),
        Wanted(q="run-050000"),
        Wanted(q="nothing"),
        Wanted(q="dag-0009", status="failed,running"),
        Wanted(status="rejected"),
        Wanted(status="rejected,running"),
        Wanted(status="waiting,rejected,failed"),
        Wanted(since=BEGAN + timedelta(seconds=10 * RUNS - 1000)),
        Wanted(until=BEGAN + timedelta(seconds=1000)),
        Wanted(since=BEGAN + timedelta(days=2), until=BEGAN + timedelta(days=2, minutes=20)),
    ],
    ids=str,
)
def test_a_page_of_runs_costs_the_page_and_not_the_history(history: Path, wanted: Wanted) -> None:
    assert steps_of(history / "data" / ".provisioning" / "history.db", wanted) < 60_000, "the table has 100,000 rows"


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
            assert len(page["dags"][0]["recent"]) == 14
            rest = await here.get("/dags?limit=10&cursor=dag-0099.yaml")
            assert [one["name"] for one in rest["dags"]] == [f"dag-{n:04d}" for n in range(100, 110)]
            assert (await here.get("/dags?q=dag-0100"))["total"] == 1
            runs = await here.get("/runs?limit=500")
            assert len(runs["runs"]) == 500
            assert (await here.get("/runs/run-050000"))["workflow"] == "dag-0000"

    asyncio.run(story())


def test_whatever_is_asked_for_the_history_may_be_as_long_as_it_likes(
    history: Path, shorter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    monkeypatch.setattr(sqlite3, "connect", machine.connect)

    async def ask(folder: Path, asked: Past) -> dict[str, int]:
        async with served(folder) as here:
            here.people.add_user("ann", PASSWORD, Role.ADMIN)
            here.tokens[Role.ADMIN] = here.people.add_token("ann", Role.ADMIN)[1]
            return {name: await _steps(here, machine, path) for name, path in pages(asked).items()}

    few, many = asyncio.run(ask(shorter, SHORT)), asyncio.run(ask(history, LONG))
    grown = {name: (few[name], many[name]) for name in many if many[name] > 1.5 * few[name] + 20}
    assert set(grown) <= {*LOOKING, *COUNTING}, grown
    assert all(many[name] < 1.5 * TIMES * few[name] for name in grown), "not more than there is to look at"
    assert all(many[name] < 10 * LETTERS / STEPS for name in COUNTING), "a letter is counted, and not read"


async def _steps(here: Served, machine: Machine, path: str) -> int:
    """Return what a page costs the second time, in hundreds of steps."""
    for _ in range(2):
        before = machine.ticks
        answer = await here.call("GET", path)
        assert answer.status_code == 200, (path, answer.text)
    return machine.ticks - before


def test_runs_are_found_by_the_beginning_of_their_id_or_name_and_by_nothing_else(history: Path) -> None:
    found = wiring.run_pages(history / "data")

    def names(**wanted: Any) -> list[str]:
        return [run.run_id for run in found.page(Wanted(inside=True, **wanted), 3)]

    assert names(q="run-050000") == ["run-050000"]
    assert names(q="run-05000") == ["run-050009", "run-050008", "run-050007"]
    assert names(q="dag-0007") == ["run-099007", "run-098007", "run-097007"]
    assert names(q="dag-0007", before="run-098007") == ["run-097007", "run-096007", "run-095007"]
    assert names(q="dag-") == ["run-099999", "run-099998", "run-099997"]
    assert names(q="un-05") == names(q="nothing") == names(q="dag-0007", status="failed") == []
    assert names(status="rejected") == ["run-099009", "run-098009", "run-097009"]
    assert names(status="rejected", q="dag-0009") == ["run-099009", "run-098009", "run-097009"]
    assert names(status="rejected,failed") == names(status="failed") == ["run-099999", "run-099989", "run-099979"]
    found.close()
