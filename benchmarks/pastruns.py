"""A server's folder with a long past: many DAG files, and a history of runs as the engine writes them.

Two runs are run for real, one that succeeds and one that fails; the others are copies of their rows with ids and times of
their own. 100,000 runs take a few seconds.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provisioning import wiring
from provisioning.adapters.sqlite.database import connect

BEGAN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=14)
"""When the first run began: none is so old that it is removed, none is in the future."""
EVERY_S = 10  # between two runs
FAILED_OF = 10  # one of so many runs has failed
INSIDE_OF = 4  # one of so many runs was started by another
JOURNAL_OF = 20  # one of so many runs has its journal
REJECTED_OF = 1_000  # one of so many runs was rejected
COPIES = "made INTEGER PRIMARY KEY, source INTEGER, run TEXT, name TEXT, at TEXT, trigger TEXT, journal INTEGER"
GOOD, BAD = "good", "bad"  # the two real runs
DAG = """\
description: Loads part {number}
labels: team={team}
schedule: '{minute} * * * *'
hist_retention_days: 36500
params:
  - name: OUTCOME
    default: good
steps:
  - {{name: extract, command: 'echo rows; echo mind >&2'}}
  - {{name: check, command: 'test $OUTCOME = good'}}
  - {{name: load, command: 'echo loaded'}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How much there is of everything."""

    dags: int
    runs: int
    audit: int = 0


def dag_name(number: int) -> str:
    """Return the name of a DAG."""
    return f"dag-{number:04d}"


def run_name(number: int) -> str:
    """Return the id of a run."""
    return f"run-{number:06d}"


def fill(folder: Path, past: Past, *, checkout: Path) -> None:
    """Fill `dags` and `data` of a folder. Raises CalledProcessError when the program of `checkout` does not run."""
    write_dags(folder / "dags", past.dags)
    for run in (GOOD, BAD):
        _run(folder, run, checkout)
    _multiply(folder / "data" / ".provisioning" / "history.db", past)
    _write_audit(folder / "data", past.audit)


def environment(folder: Path, checkout: Path) -> dict[str, str]:
    """Return what the program of a checkout needs to work in a folder."""
    places = {"PROVISIONING_DAGU_DAGS": f"{folder}/dags", "PROVISIONING_DAGU_DATA": f"{folder}/data", "HOME": str(folder)}
    return {**os.environ, **places, "PYTHONPATH": f"{checkout}:{checkout / 'cli'}"}


def write_dags(folder: Path, count: int) -> None:
    """Write the DAG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        text = DAG.format(number=number, team="ab"[number % 2], minute=number % 60)
        (folder / f"{dag_name(number)}.yaml").write_text(text, "utf-8")


def _run(folder: Path, run: str, checkout: Path) -> None:
    words = ["run", dag_name(0), "--run-id", run, "-q", "--", f"OUTCOME={run}"]
    done = subprocess.run(
        [sys.executable, "-m", "provisioning_cli.engine_main", *words],
        env=environment(folder, checkout),
        capture_output=True,
        check=False,
    )
    if done.returncode != (run == BAD):
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)


def _multiply(history: Path, past: Past) -> None:
    """Copy the two runs until there are as many as wanted, and remove them. Their logs stay, and are those of all."""
    connection = connect(history)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    connection.execute(f"CREATE TEMP TABLE copies ({COPIES})")
    sources: dict[str, int] = dict(connection.execute("SELECT run, id FROM runs").fetchall())
    connection.executemany("INSERT INTO copies VALUES (?, ?, ?, ?, ?, ?, ?)", _copies(past, sources[GOOD], sources[BAD]))
    times = {"created_at": "at", "started_at": "at", "ended_at": "at"}
    _copy(connection, "runs", {"id": "made", "run": "copies.run", "name": "copies.name", "trigger": "copies.trigger", **times})
    for table in ("steps", "attempts", "dead_letters"):
        _copy(connection, table, {"run": "made"}, leave={"id"})
    named = "replace(replace(CAST(body AS TEXT), '\"good\"', quoted), '\"bad\"', quoted)"
    body = named.replace("quoted", "'\"' || copies.run || '\"'")
    _copy(connection, "events", {"run": "made", "body": f"CAST({body} AS BLOB)"}, only="journal")
    rejected = f"SELECT made FROM copies WHERE made % {REJECTED_OF} = {FAILED_OF - 1 + max(sources.values()) + 1}"
    connection.execute(f"UPDATE steps SET mark = 'rejected' WHERE step = 'check' AND run IN ({rejected})")
    connection.execute("DELETE FROM runs WHERE run IN (?, ?)", (GOOD, BAD))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _copies(past: Past, good: int, bad: int) -> Iterator[tuple[object, ...]]:
    for n in range(past.runs):
        at = (BEGAN + timedelta(seconds=n * EVERY_S)).isoformat()
        trigger = f"subdag:{run_name(n - 1)}" if n % INSIDE_OF == INSIDE_OF - 1 else "schedule"
        source = bad if n % FAILED_OF == FAILED_OF - 1 else good
        yield max(good, bad) + 1 + n, source, run_name(n), dag_name(n % past.dags), at, trigger, n % JOURNAL_OF == 0


def _copy(
    connection: sqlite3.Connection, table: str, instead: dict[str, str], *, leave: Collection[str] = (), only: str = "1"
) -> None:
    """Copy the rows of the sources for each copy, with some columns made `instead`."""
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in leave]
    values = [instead.get(name, f"{table}.{name}") for name in columns]
    key = "id" if table == "runs" else "run"
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)}"
        f" FROM copies CROSS JOIN {table} ON {table}.{key} = copies.source WHERE {only} ORDER BY made"
    )


def _write_audit(data: Path, count: int) -> None:
    """Fill the audit log."""
    store = wiring.people_store(data)
    store.users()
    store.close()
    began = datetime.now(UTC) - timedelta(days=30)
    rows = (
        ((began + timedelta(seconds=n)).isoformat(), f"user-{n % 50}", "operator", "127.0.0.1", "run.start", f"/dags/{n}", 202)
        for n in range(count)
    )
    connection = sqlite3.connect(store.path)
    columns = "at, actor, role, address, action, target, status"
    connection.executemany(f"INSERT INTO audit ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
