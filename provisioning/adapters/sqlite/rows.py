"""Write what events change: the rows of runs, steps and attempts, in few statements however many events there are."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from provisioning.adapters.sqlite.stored import from_row, text
from provisioning.codec import encode
from provisioning.core.history import StepRecord, exit_code_of
from provisioning.core.model import STEP_FAILED, RunState, Workflow
from provisioning.core.projection import Changes, Columns, step_row, step_rows

JSON_COLUMNS = frozenset({"params", "output", "labels"})
STEP_KEYS = ("step",)
ATTEMPT_KEYS = ("step", "attempt", "epoch")
LETTER_KEYS = ("step", "attempt")


def write_changes(connection: sqlite3.Connection, run: int, changes: Changes, workflow: Workflow | None) -> None:
    """Write the changes of one commit to the run with this row id. `workflow` is given when the run was created."""
    if workflow is not None:
        changes.run["source"] = workflow.source.kind if workflow.source else ""
        changes.run["labels"] = dict(workflow.labels)
        _insert_steps(connection, run, workflow)
    for row in changes.added:
        _upsert(connection, "steps", STEP_KEYS, run, [{**row, "position": _next_position(connection, run)}])
    _upsert(connection, "steps", STEP_KEYS, run, [{"step": step, **row} for step, row in changes.steps.items()])
    attempts = [{**dict(zip(ATTEMPT_KEYS, key, strict=True)), **row} for key, row in changes.attempts.items()]
    _upsert(connection, "attempts", ATTEMPT_KEYS, run, attempts, only_while="ended_at IS NULL")
    _write_letters(connection, run, changes)
    if changes.finished:
        ended = RunState(str(changes.run["state"]))
        changes.run["exit_code"] = _exit_code(connection, run, ended, str(changes.run["reason"]))
    if changes.run:
        names = ", ".join(f"{name} = ?" for name in changes.run)
        connection.execute(f"UPDATE runs SET {names} WHERE id = ?", (*_cells(changes.run), run))  # noqa: S608 - our own names


def _insert_steps(connection: sqlite3.Connection, run: int, workflow: Workflow) -> None:
    """Write the first rows of all steps, one after the other: there may be a hundred thousand."""
    if not workflow.steps:
        return
    names = tuple(step_row(workflow.steps[0], 0))
    connection.executemany(
        f"INSERT OR IGNORE INTO steps (run, {', '.join(names)}) VALUES ({', '.join('?' * (len(names) + 1))})",  # noqa: S608
        ((run, *_cells(row)) for row in step_rows(workflow)),
    )


def _write_letters(connection: sqlite3.Connection, run: int, changes: Changes) -> None:
    """Keep dead letters. A formula's failures are none: its state file says what is to be done again."""
    if changes.dead and _source(connection, run) != "formula":
        _upsert(connection, "dead_letters", LETTER_KEYS, run, changes.dead)
    for row in changes.replayed:
        names = [name for name in row if name != "step"]
        connection.execute(
            f"UPDATE dead_letters SET {', '.join(f'{name} = ?' for name in names)} WHERE run = ? AND step = ?"  # noqa: S608
            f" AND {names[0]} IS NULL" + (" AND replayed_at IS NOT NULL" if names[0] == "replayed_attempt" else ""),
            (*(_cell(name, row[name]) for name in names), run, row["step"]),
        )


def _source(connection: sqlite3.Connection, run: int) -> str:
    return text(connection.execute("SELECT source FROM runs WHERE id = ?", (run,)).fetchone()[0])


def _upsert(
    connection: sqlite3.Connection,
    table: str,
    keys: Sequence[str],
    run: int,
    rows: Iterable[Columns],
    *,
    only_while: str = "",
) -> None:
    """Write rows, each with some of the table's columns: one statement per set of columns."""
    groups: dict[tuple[str, ...], list[tuple[object, ...]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row)].append((run, *_cells(row)))
    for names, values in groups.items():
        updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
        then = f"UPDATE SET {updates}" + (f" WHERE {table}.{only_while}" if only_while else "") if updates else "NOTHING"
        connection.executemany(
            f"INSERT INTO {table} (run, {', '.join(names)}) VALUES ({', '.join('?' * (len(names) + 1))})"  # noqa: S608
            f" ON CONFLICT (run, {', '.join(keys)}) DO {then}",
            values,
        )


def _cells(row: Mapping[str, object]) -> list[object]:
    return [
        value if type(value) in _AS_IT_IS and name not in JSON_COLUMNS else _cell(name, value) for name, value in row.items()
    ]


_AS_IT_IS = frozenset({str, int, type(None)})


def _cell(name: str, value: object) -> object:
    if value is None:
        return None
    if name in JSON_COLUMNS:
        return encode(value).decode()
    if isinstance(value, datetime):
        return _iso(value)
    return value.value if isinstance(value, StrEnum) else value


@lru_cache(maxsize=16)
def _iso(at: datetime) -> str:
    """Return the text of a time: the events of one decision have the same."""
    return at.isoformat()


def _next_position(connection: sqlite3.Connection, run: int) -> int:
    return int(connection.execute("SELECT count(*) FROM steps WHERE run = ?", (run,)).fetchone()[0])


def _exit_code(connection: sqlite3.Connection, run: int, state: RunState, reason: str) -> int | None:
    source = _source(connection, run)
    failed = connection.execute(
        f"SELECT {', '.join(_BLAMED)} FROM steps WHERE run = ? AND state IN ({_FAILED})",  # noqa: S608 - our own names
        (run,),
    )
    return exit_code_of(state, [from_row(StepRecord, _BLAMED, row) for row in failed], source, reason)


_BLAMED = ("step", "kind", "error_kind", "state", "ended_at", "position")
_FAILED = ", ".join(f"'{state.value}'" for state in sorted(STEP_FAILED))
