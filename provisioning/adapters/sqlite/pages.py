"""Pages of runs out of a large history: every question is answered by an index, or stops when the page is full."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from provisioning.adapters.sqlite import journal
from provisioning.adapters.sqlite.database import ERRORS, connect, store_error
from provisioning.adapters.sqlite.history import RUN_COLUMNS, SqliteHistory, summary_of
from provisioning.core.events import Event
from provisioning.core.history import RunSummary
from provisioning.core.model import RunState, Workflow

INSIDE = "substr(trigger, 1, 7) = 'subdag:'"
ID = "row_number"
RACES = timedelta(minutes=1)
_EDGE = "SELECT id FROM runs WHERE created_at"
MARKS = 500  # question marks of one statement
FEW = 2_000  # runs that are looked up one by one; of more the newest are soon found among all
_REJECTED = "id IN (SELECT run FROM steps WHERE mark = 'rejected')"
_OF_ID, _OF_NAME = "FROM runs WHERE run >= ? AND run < ?", "FROM runs WHERE name >= ? AND name < ?"  # what begins with a text


class Wanted(Protocol):
    """Which runs; see `operations.hosting.reading.Wanted`."""

    @property
    def name(self) -> str | None: ...  # noqa: D102
    @property
    def states(self) -> frozenset[RunState]: ...  # noqa: D102
    @property
    def rejected(self) -> frozenset[RunState]: ...  # noqa: D102
    @property
    def labels(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def q(self) -> str: ...  # noqa: D102
    @property
    def since(self) -> datetime | None: ...  # noqa: D102
    @property
    def until(self) -> datetime | None: ...  # noqa: D102
    @property
    def inside(self) -> bool: ...  # noqa: D102
    @property
    def before(self) -> str | None: ...  # noqa: D102


class RunPages:
    """Reads one history. A file that is not there holds no runs. Safe from any thread; raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.history = SqliteHistory(path)
        self._connection: sqlite3.Connection | None = None
        self._busy = threading.Lock()
        self._workflows = journal.Workflows()

    def close(self) -> None:
        """Close the file."""
        self.history.close()
        with self._busy:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def page(self, wanted: Wanted, limit: int) -> list[RunSummary]:
        """Return the newest runs first, of the states that are wanted."""
        sql, values = question(wanted, limit, few=bool(wanted.q) and self._are_few(wanted.q))
        return [summary_of(row[:-1]) for row in self.rows(sql, *values)]

    def has(self, run: str) -> bool:
        """Whether there is a run with this exact id."""
        return bool(self.rows("SELECT 1 FROM runs WHERE run = ?", run))

    def recent(self, names: Sequence[str], count: int) -> dict[str, list[RunSummary]]:
        """Return the newest runs of each name, the newest first, without those inside others. One seek for each name."""
        sql = (
            f"SELECT {RUN_COLUMNS} FROM runs WHERE name = ? AND source = 'dagu' AND NOT {INSIDE}"  # noqa: S608 - our columns
            " ORDER BY id DESC LIMIT ?"
        )
        found = {name: [summary_of(row) for row in self.rows(sql, name, count)] for name in names}
        return {name: runs for name, runs in found.items() if runs}

    def rejected(self, runs: Sequence[str]) -> frozenset[str]:
        """Return which of these runs have a step that somebody rejected."""
        some = " AND EXISTS (SELECT 1 FROM steps WHERE steps.run = runs.id AND mark = 'rejected')"
        return frozenset(run for run, _one in self._of(runs, "1", some))

    def positions(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the number of the newest event of each run that is there."""
        return {run: int(seq) for run, seq in self._of(runs, "last_seq")}

    def states(self, runs: Sequence[str]) -> dict[str, RunState]:
        """Return how each of these runs stands that is there."""
        return {run: RunState(state) for run, state in self._of(runs, "state")}

    def _of(self, runs: Sequence[str], column: str, more: str = "") -> Iterator[tuple[str, str]]:
        """Yield the run and one of its columns, for each of these runs that is there and for which `more` holds."""
        for at in range(0, len(runs), MARKS):
            part = runs[at : at + MARKS]
            marks = ", ".join("?" * len(part))
            rows = self.rows(f"SELECT run, {column} FROM runs WHERE run IN ({marks}){more}", *part)  # noqa: S608 - our text
            yield from ((str(run), str(value)) for run, value in rows)

    def pulse(self) -> tuple[object, ...]:
        """Return something that is different when any run has changed. Costs nothing when none has."""
        version = self.rows("PRAGMA data_version")
        return tuple(version[0]) if version else ()

    def unended(self) -> list[RunSummary]:
        """Return the runs that have not ended, the oldest first."""
        marks = ", ".join("?" * len(_OPEN))
        sql = f"SELECT {RUN_COLUMNS} FROM runs WHERE state IN ({marks}) ORDER BY id"  # noqa: S608 - our columns
        return [summary_of(row) for row in self.rows(sql, *_OPEN)]

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many runs have not ended, by name and state."""
        open_states = ", ".join(f"'{state.value}'" for state in _OPEN)
        rows = self.rows(f"SELECT name, state, count(*) FROM runs WHERE state IN ({open_states}) GROUP BY name, state")  # noqa: S608
        return {(str(name), str(state)): int(str(number)) for name, state, number in rows}

    def events(self, run: str, after: int = 0, most: int = -1) -> list[Event]:
        """Return the events of a run after a number, at most so many where a number is given."""
        with self._busy:
            connection = self._open()
            if connection is None:
                return []
            try:
                return journal.read_events(connection, run, after, most)
            except ERRORS as error:
                raise store_error(self._path, error) from error

    def workflow(self, digest: str) -> Workflow | None:
        """Return a stored workflow, or None where it is gone."""
        with self._busy:
            connection = self._open()
            if connection is None:
                return None
            try:
                return self._workflows.find(connection, digest)
            except ERRORS as error:
                raise store_error(self._path, error) from error

    def rows(self, sql: str, *values: object) -> list[Sequence[object]]:
        """Return the rows of a question."""
        with self._busy:
            connection = self._open()
            if connection is None:
                return []
            try:
                return list(connection.execute(sql, values))
            except ERRORS as error:
                raise store_error(self._path, error) from error

    def _are_few(self, q: str) -> bool:
        sql = f"SELECT count(*) FROM (SELECT 1 {_OF_ID} UNION ALL SELECT 1 {_OF_NAME} LIMIT {FEW})"  # noqa: S608 - our text
        return int(str(self.rows(sql, *_range(q), *_range(q))[0][0])) < FEW if self._path.exists() else False

    def _open(self) -> sqlite3.Connection | None:
        if self._connection is None and self._path.exists():
            self._connection = connect(self._path, any_thread=True)
        return self._connection


_OPEN = (RunState.CREATED, RunState.QUEUED, RunState.RUNNING, RunState.PAUSING, RunState.PAUSED, RunState.FINISHING)


def question(wanted: Wanted, limit: int, *, few: bool = False) -> tuple[str, list[object]]:
    """Return the SQL of a page and its values. Of several states each has its own seek: the rare ones are found, too.

    With `few` not many runs begin with `wanted.q`: those are looked up.
    """
    where, values = _terms(wanted, few=few)
    states = sorted(state.value for state in wanted.states)
    rejected = sorted(state.value for state in wanted.rejected)
    seeks = few or (bool(states) and rejected == states)  # by another index than those of states
    if len(states) < 2 or seeks:
        marks = ", ".join("?" * len(states))
        of_states = [f"{'+' if seeks else ''}state IN ({marks})"] if states else []
        of_rejected = [_REJECTED] if states and rejected == states else []
        return _page([*of_rejected, *of_states, *where], [*states, *values], limit)
    of_state = {state: [_REJECTED, "+state = ?"] if state in rejected else ["state = ?"] for state in states}
    parts = [_page([*of_state[state], *where], [state, *values], limit) for state in states]
    sql = " UNION ALL ".join(f"SELECT * FROM ({part})" for part, _values in parts)  # noqa: S608 - our own text
    return f"SELECT * FROM ({sql}) ORDER BY {ID} DESC LIMIT ?", [*(each for _sql, given in parts for each in given), limit]  # noqa: S608


def _page(where: Sequence[str], values: Sequence[object], limit: int) -> tuple[str, list[object]]:
    text = f" WHERE {' AND '.join(where)}" if where else ""
    return f"SELECT {RUN_COLUMNS}, id AS {ID} FROM runs{text} ORDER BY id DESC LIMIT ?", [*values, limit]  # noqa: S608


def _terms(wanted: Wanted, *, few: bool) -> tuple[list[str], list[object]]:
    """Return what every run of a page has to be but for its state, with values.

    Times are looked up in their index to find the ids between them, which are in the order of time but for a moment's races.
    """
    since, until = wanted.since, wanted.until
    terms: list[tuple[str, Sequence[object]]] = [
        ("name = ?", [wanted.name] if wanted.name is not None else []),
        (f"id >= ({_EDGE} >= ? ORDER BY created_at LIMIT 1)", [_text(since - RACES)] if since else []),
        ("+created_at >= ?", [_text(since)] if since else []),
        (f"id <= ({_EDGE} <= ? ORDER BY created_at DESC LIMIT 1)", [_text(until + RACES)] if until else []),
        ("+created_at <= ?", [_text(until)] if until else []),
        ("id < (SELECT id FROM runs WHERE run = ?)", [wanted.before] if wanted.before is not None else []),
        (f"id IN (SELECT id {_OF_ID} UNION SELECT id {_OF_NAME})", [*_range(wanted.q)] * 2 if few else []),
        ("(substr(run, 1, length(?)) = ? OR substr(name, 1, length(?)) = ?)", [wanted.q] * 4 if wanted.q and not few else []),
        *map(_label, wanted.labels),
    ]
    used = [(text, values) for text, values in terms if values]
    where = [text for text, _values in used] + ([] if wanted.inside else [f"NOT {INSIDE}"])
    return where, [each for _sql, values in used for each in values]


def _label(text: str) -> tuple[str, Sequence[object]]:
    key, sign, value = text.partition("=")
    path = f"$.{json.dumps(key)}"
    return ("json_extract(labels, ?) = ?", [path, value]) if sign else ("json_type(labels, ?) IS NOT NULL", [path])


def _range(q: str) -> tuple[str, str]:
    """Return what a text has to be from and below to begin with `q`."""
    return q, q + "\U0010ffff"


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
