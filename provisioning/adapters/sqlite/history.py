"""Reads runs, steps and attempts, from any process and beside a running engine."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from provisioning.adapters.logs import IN_FOLDER
from provisioning.adapters.sqlite.database import ERRORS, connect, store_error
from provisioning.adapters.sqlite.stored import from_json, from_row, number, text
from provisioning.core.history import (
    LETTERS_HINT,
    AttemptRecord,
    DeadLetter,
    RunDetail,
    RunSummary,
    StepRecord,
    not_found_hint,
)
from provisioning.core.model import NO_LABELS
from provisioning.core.outputs import run_outputs
from provisioning.errors import NotFoundError

T = TypeVar("T")
Logged = TypeVar("Logged", StepRecord, AttemptRecord)
Row = Sequence[object]
CACHE_KIB = 256  # answers are read once, from beginning to end
SUGGESTED_FROM = 200  # newest runs among which the nearest id is looked for

_RUN_FIELDS = (
    *("run_id", "workflow", "digest", "state", "reason", "source", "created_at", "started_at", "ended_at"),
    *("trigger", "actor", "last_seq", "exit_code", "late_at", "labels"),
)
_STEP_FIELDS = (
    *("step", "kind", "formula", "server", "taskserv", "state", "reason", "because", "attempts", "exit_code"),
    *("error_kind", "error", "started_at", "ended_at", "log", "position", "late_at"),
    *("mark", "stdout", "stderr"),
)
_ATTEMPT_FIELDS = (
    *("step", "attempt", "epoch", "worker", "state", "exit_code", "error_kind", "error", "started_at", "ended_at", "log"),
)
_LETTER_FIELDS = (
    *("id", "run_id", "workflow", "step", "attempt", "error_kind", "error", "died_at"),
    *("replayed_at", "replayed_by", "replayed_attempt"),
)
RUN_COLUMNS = ", ".join({"run_id": "run", "workflow": "name"}.get(name, name) for name in _RUN_FIELDS)
_STEP = ", ".join(_STEP_FIELDS)
_ATTEMPT = ", ".join(f"attempts.{name}" for name in _ATTEMPT_FIELDS)
_LETTER = ", ".join({"run_id": "runs.run", "workflow": "name"}.get(name, f"dead_letters.{name}") for name in _LETTER_FIELDS)
_LETTERS = f"SELECT {_LETTER} FROM dead_letters JOIN runs ON runs.id = dead_letters.run"  # noqa: S608 - our own columns
_LABELLED = (
    "NOT EXISTS (SELECT 1 FROM json_each(?) AS wanted WHERE NOT EXISTS"
    " (SELECT 1 FROM json_each(labels) AS has WHERE has.key = wanted.key AND has.value = wanted.value))"
)
_ID = "(SELECT id FROM runs WHERE run = ?)"

_INSIDE = """
WITH RECURSIVE found (id, run) AS (
    SELECT id, run FROM runs WHERE run = ?
    UNION
    SELECT runs.id, runs.run FROM runs JOIN found ON runs.trigger = 'subdag:' || found.run AND runs.id > found.id
)
SELECT run FROM found ORDER BY id LIMIT -1 OFFSET 1
"""


class SqliteHistory:
    """Fulfils `core.history.History`. Opens the file at the first question; a file that is not there holds no runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logs = path.parent / "logs"
        self._connection: sqlite3.Connection | None = None
        self._busy = threading.Lock()

    def list_runs(
        self,
        limit: int = 50,
        *,
        state: str | None = None,
        workflow: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        before: str | None = None,
    ) -> list[RunSummary]:
        """Return the newest runs first; `before` is a run id and continues a list after it. Raises StoreError.

        They have all of `labels`.
        """
        filters = {
            "state = ?": state,
            "name = ?": workflow,
            "id < (SELECT id FROM runs WHERE run = ?)": before,
            _LABELLED: json.dumps(dict(labels)) if labels else None,
        }
        used = {text: value for text, value in filters.items() if value is not None}
        where = f"WHERE {' AND '.join(used)}" if used else ""
        return self._all(summary_of, f"SELECT {RUN_COLUMNS} FROM runs {where} ORDER BY id DESC LIMIT ?", *used.values(), limit)  # noqa: S608

    def run(self, ref: str) -> RunDetail:
        """Return the run with this id, unique prefix of an id, or `last`. Raises NotFoundError, StoreError."""
        run = self._resolve(ref)
        summary = self._all(summary_of, f"SELECT {RUN_COLUMNS} FROM runs WHERE run = ?", run)  # noqa: S608 - our own columns
        steps = self._all(self._step, f"SELECT {_STEP} FROM steps WHERE run = {_ID} ORDER BY position", run)  # noqa: S608
        outputs = self._all(
            _named_output,
            f"SELECT step, output_name, output FROM steps WHERE run = {_ID} AND output IS NOT NULL ORDER BY position",  # noqa: S608
            run,
        )
        params = self._all(_params, "SELECT params FROM runs WHERE run = ? AND params IS NOT NULL", run)
        return RunDetail(
            summary=summary[0],
            steps=tuple(steps),
            outputs=run_outputs(outputs),
            params=params[0] if params else {},
        )

    def summary(self, run: str) -> RunSummary:
        """Return the run with this exact id, without its steps. Raises NotFoundError, StoreError."""
        found = self._all(summary_of, f"SELECT {RUN_COLUMNS} FROM runs WHERE run = ?", run)  # noqa: S608 - our own columns
        if not found:
            raise NotFoundError(f"there is no run '{run}'", hint=not_found_hint(run, ()))
        return found[0]

    def inside(self, run: str) -> list[str]:
        """Return the ids of the runs that steps of a Dagu run (exact id) have started, near or far, oldest first.

        Raises StoreError.
        """
        return self._all(_id, _INSIDE, run)

    def step(self, run: str, step: str) -> StepRecord:
        """Return one step of a run (exact id). Raises NotFoundError, StoreError."""
        found = self._all(self._step, f"SELECT {_STEP} FROM steps WHERE run = {_ID} AND step = ?", run, step)  # noqa: S608
        if not found:
            raise NotFoundError(f"there is no step '{step}' in run '{run}'", hint=not_found_hint(run, ()))
        return found[0]

    def output(self, run: str, step: str) -> object:
        """Return the output of one step of a run (exact id); None when it has none. Raises StoreError."""
        query = f"SELECT step, output FROM steps WHERE run = {_ID} AND step = ? AND output IS NOT NULL"  # noqa: S608
        found = self._all(_output, query, run, step)
        return found[0][1] if found else None

    def attempts(self, run: str, step: str | None = None) -> list[AttemptRecord]:
        """Return the attempts of a run (exact id), or of one of its steps, oldest first. Raises StoreError."""
        return self._all(
            self._attempt,
            f"SELECT {_ATTEMPT} FROM attempts JOIN steps USING (run, step)"  # noqa: S608 - our own columns
            f" WHERE run = {_ID} AND (? IS NULL OR step = ?) ORDER BY position, attempt, epoch",
            run,
            step,
            step,
        )

    def outputs(self, run: str) -> Mapping[str, object]:
        """Return the outputs of a run's steps (exact id) by step id. Raises StoreError."""
        rows = self._all(_output, f"SELECT step, output FROM steps WHERE run = {_ID} AND output IS NOT NULL", run)  # noqa: S608
        return dict(rows)

    def dead_letters(
        self, limit: int = 50, *, replayed: bool | None = False, workflow: str | None = None, before: int | None = None
    ) -> list[DeadLetter]:
        """Return the newest dead letters first; `before` is an id and continues a list after it. Raises StoreError."""
        filters = {"name = ?": workflow, "dead_letters.id < ?": before}
        used = {text: value for text, value in filters.items() if value is not None}
        state = [] if replayed is None else [f"replayed_at IS {'NOT ' if replayed else ''}NULL"]
        where = f"WHERE {' AND '.join([*state, *used])}" if state or used else ""
        return self._all(_letter, f"{_LETTERS} {where} ORDER BY dead_letters.id DESC LIMIT ?", *used.values(), limit)

    def dead_letter(self, id: int) -> DeadLetter:
        """Return one dead letter. Raises NotFoundError, StoreError."""
        found = self._all(_letter, f"{_LETTERS} WHERE dead_letters.id = ?", id)
        if not found:
            raise NotFoundError(f"there is no dead letter {id}", hint=LETTERS_HINT)
        return found[0]

    def count_dead_letters(self) -> int:
        """Return how many have not been replayed. Raises StoreError."""
        counted = self._all(_count, "SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL")
        return counted[0] if counted else 0

    def durations(self, workflow: str, runs: int = 20) -> Mapping[str, Sequence[float]]:
        """Return by step how many seconds its attempts that succeeded took, in the newest runs of a workflow.

        Raises StoreError.
        """
        newest = "(SELECT id FROM runs WHERE name = ? ORDER BY id DESC LIMIT ?)"
        query = (
            f"SELECT {_ATTEMPT} FROM attempts WHERE run IN {newest} AND state = 'succeeded'"  # noqa: S608 - our own columns
            " AND started_at IS NOT NULL AND ended_at IS NOT NULL ORDER BY run DESC, step, attempt"
        )
        found: dict[str, list[float]] = {}
        for attempt in self._all(self._attempt, query, workflow, runs):
            if attempt.started_at and attempt.ended_at:
                took = (attempt.ended_at - attempt.started_at).total_seconds()
                found.setdefault(attempt.step, []).append(max(0.0, took))
        return found

    def close(self) -> None:
        """Close the file. The next question opens it again."""
        with self._busy:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # ------------------------------------------------------------ parts

    def _step(self, row: Row) -> StepRecord:
        return self._located(from_row(StepRecord, _STEP_FIELDS, row))

    def _attempt(self, row: Row) -> AttemptRecord:
        return self._located(from_row(AttemptRecord, _ATTEMPT_FIELDS, row))

    def _located(self, record: Logged) -> Logged:
        """Have the log where it is on this machine: workers of a cluster know only its place in the folder of logs."""
        _, ours, place = record.log.partition(IN_FOLDER)
        return replace(record, log=str(self._logs / place)) if ours else record

    def _resolve(self, ref: str) -> str:
        if ref == "last":
            ids = self._all(_id, "SELECT run FROM runs ORDER BY id DESC LIMIT 1")
        else:
            ids = self._all(_id, "SELECT run FROM runs WHERE run = ?", ref)
        if not ids and ref:
            pattern = (ref, ref + "\U0010ffff")
            ids = self._all(_id, "SELECT run FROM runs WHERE run >= ? AND run < ? ORDER BY id DESC LIMIT 4", *pattern)
        if len(ids) == 1:
            return ids[0]
        if ids:
            raise NotFoundError(f"'{ref}' could be several runs", hint=f"for example {', '.join(ids[:3])}")
        known = self._all(_id, "SELECT run FROM runs ORDER BY id DESC LIMIT ?", SUGGESTED_FROM)
        raise NotFoundError(f"there is no run '{ref}'", hint=not_found_hint(ref, known))

    def _all(self, read: Callable[[Row], T], sql: str, *values: object) -> list[T]:
        """Return what `read` makes of each row."""
        with self._busy:
            if self._connection is None and not self._path.exists():
                return []
            try:
                if self._connection is None:
                    self._connection = connect(self._path, any_thread=True)
                    self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                return [read(row) for row in self._connection.execute(sql, values)]
            except ERRORS as error:
                raise store_error(self._path, error) from error


def _id(row: Row) -> str:
    return text(row[0])


def _output(row: Row) -> tuple[str, object]:
    return text(row[0]), from_json(row[1], object)


def _named_output(row: Row) -> tuple[str, str, object]:
    return text(row[0]), text(row[1]), from_json(row[2], object)


def _params(row: Row) -> dict[str, object]:
    return from_json(row[0], dict[str, object])


def _count(row: Row) -> int:
    return number(row[0])


_letter = partial(from_row, DeadLetter, _LETTER_FIELDS)


def summary_of(row: Row) -> RunSummary:
    """Return the run of a row of RUN_COLUMNS."""
    labels = from_json(row[-1], dict[str, str]) if row[-1] is not None else {}
    return from_row(RunSummary, _RUN_FIELDS, (*row[:-1], labels))
