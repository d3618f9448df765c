"""The history of a `MemoryStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar, cast

from provisioning.core.events import Event
from provisioning.core.history import (
    LETTERS_HINT,
    AttemptRecord,
    DeadLetter,
    RunDetail,
    RunSummary,
    StepRecord,
    exit_code_of,
    not_found_hint,
)
from provisioning.core.model import NO_LABELS, RUN_ENDED, RunState, StepState, Workflow
from provisioning.core.outputs import run_outputs
from provisioning.core.projection import AttemptKey, Changes, Columns, step_rows
from provisioning.errors import NotFoundError

R = TypeVar("R", StepRecord, AttemptRecord)


@dataclass(slots=True)
class Rows:
    """What is known of one run."""

    run: Columns
    steps: dict[str, Columns] = field(default_factory=dict)
    attempts: dict[AttemptKey, Columns] = field(default_factory=dict)
    letters: dict[tuple[str, int], Columns] = field(default_factory=dict)


class MemoryHistory:
    """Fulfils `core.history.History`."""

    def __init__(self) -> None:
        self._rows: dict[str, Rows] = {}  # oldest first
        self._letter_count = 0

    def list_runs(
        self,
        limit: int = 50,
        *,
        state: str | None = None,
        workflow: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        before: str | None = None,
    ) -> list[RunSummary]:
        """Return the newest runs first; `before` is a run id and continues a list after it. They have all of `labels`."""
        ids = list(self._rows)
        if before is not None:
            ids = ids[: ids.index(before)] if before in ids else []
        found = (self._summary(run) for run in reversed(ids))
        kept = [
            run
            for run in found
            if state in {None, run.state.value} and workflow in {None, run.workflow} and labels.items() <= run.labels.items()
        ]
        return kept[:limit]

    def run(self, ref: str) -> RunDetail:
        """Return the run with this id, unique prefix of an id, or `last`. Raises NotFoundError."""
        run = self._resolve(ref)
        steps = sorted(self._rows[run].steps.values(), key=lambda row: int(str(row["position"])))
        params = self._rows[run].run.get("params")
        named = ((str(row["step"]), str(row.get("output_name", "")), row.get("output")) for row in steps)
        return RunDetail(
            summary=self._summary(run),
            steps=tuple(_record(StepRecord, row) for row in steps),
            outputs=run_outputs(output for output in named if output[2] is not None),
            params=params if isinstance(params, Mapping) else {},
        )

    def summary(self, run: str) -> RunSummary:
        """Return the run with this exact id, without its steps. Raises NotFoundError."""
        if run not in self._rows:
            raise NotFoundError(f"there is no run '{run}'", hint=not_found_hint(run, ()))
        return self._summary(run)

    def step(self, run: str, step: str) -> StepRecord:
        """Return one step of a run (exact id). Raises NotFoundError."""
        if run not in self._rows or step not in self._rows[run].steps:
            raise NotFoundError(f"there is no step '{step}' in run '{run}'", hint=not_found_hint(run, ()))
        return _record(StepRecord, self._rows[run].steps[step])

    def output(self, run: str, step: str) -> object:
        """Return the output of one step of a run (exact id); None when it has none."""
        return self._rows[run].steps.get(step, {}).get("output") if run in self._rows else None

    def attempts(self, run: str, step: str | None = None) -> list[AttemptRecord]:
        """Return the attempts of a run (exact id), or of one of its steps, oldest first."""
        rows = self._rows[run].attempts if run in self._rows else {}
        found = [
            _record(AttemptRecord, {"step": key[0], "attempt": key[1], "epoch": key[2], **row})
            for key, row in rows.items()
            if step in {None, key[0]}
        ]
        positions = {step: int(str(row["position"])) for step, row in self._rows[run].steps.items()} if found else {}
        return sorted(found, key=lambda record: (positions[record.step], record.attempt, record.epoch))

    def outputs(self, run: str) -> Mapping[str, object]:
        """Return the outputs of a run's steps (exact id) by step id."""
        rows = self._rows[run].steps if run in self._rows else {}
        return {id: row["output"] for id, row in rows.items() if row.get("output") is not None}

    def dead_letters(
        self, limit: int = 50, *, replayed: bool | None = False, workflow: str | None = None, before: int | None = None
    ) -> list[DeadLetter]:
        """Return the newest dead letters first; `before` is an id and continues a list after it. `replayed` None: all."""
        kept = [
            letter
            for letter in sorted(self._letters(), key=lambda letter: -letter.id)
            if replayed in {None, letter.replayed_at is not None}
            and workflow in {None, letter.workflow}
            and (before is None or letter.id < before)
        ]
        return kept[:limit]

    def dead_letter(self, id: int) -> DeadLetter:
        """Return one dead letter. Raises NotFoundError."""
        for letter in self._letters():
            if letter.id == id:
                return letter
        raise NotFoundError(f"there is no dead letter {id}", hint=LETTERS_HINT)

    def count_dead_letters(self) -> int:
        """Return how many have not been replayed."""
        return sum(letter.replayed_at is None for letter in self._letters())

    def durations(self, workflow: str, runs: int = 20) -> Mapping[str, Sequence[float]]:
        """Return by step how many seconds its attempts that succeeded took, in the newest runs of a workflow."""
        found: dict[str, list[float]] = {}
        for run in self.list_runs(runs, workflow=workflow):
            for attempt in self.attempts(run.run_id):
                if attempt.state is StepState.SUCCEEDED and attempt.started_at and attempt.ended_at:
                    took = (attempt.ended_at - attempt.started_at).total_seconds()
                    found.setdefault(attempt.step, []).append(max(0.0, took))
        return found

    # ------------------------------------------------------------ for the store

    def apply(self, last: Event, changes: Changes, workflow: Workflow | None) -> None:
        """Take over what a commit changed; `last` is its newest event."""
        blank: Columns = {"run_id": last.run, "digest": "", "state": RunState.CREATED, "created_at": last.at}
        rows = self._rows.setdefault(last.run, Rows(run=blank))
        rows.run.update(changes.run, last_seq=last.seq)
        if workflow is not None:
            rows.run["source"] = workflow.source.kind if workflow.source else ""
            rows.run["labels"] = dict(workflow.labels)
            rows.steps = {str(row["step"]): row for row in step_rows(workflow)}
        for row in changes.added:
            rows.steps[str(row["step"])] = {**row, "position": len(rows.steps)}
        for step, columns in changes.steps.items():
            rows.steps.setdefault(step, {"step": step, "position": len(rows.steps)}).update(columns)
        for key, columns in changes.attempts.items():
            row = rows.attempts.setdefault(key, {})
            if row.get("ended_at") is None:
                row.update(columns)

        self._apply_letters(rows, changes)

    def _apply_letters(self, rows: Rows, changes: Changes) -> None:
        if rows.run.get("source") != "formula":
            for row in changes.dead:
                self._letter_count += 1
                rows.letters[(str(row["step"]), int(str(row["attempt"])))] = {"id": self._letter_count, **row}
        for row in changes.replayed:
            for (step, _attempt), letter in rows.letters.items():
                first = "replayed_at" if "replayed_at" in row else "replayed_attempt"
                if step == row["step"] and letter.get(first) is None and (first == "replayed_at" or letter.get("replayed_at")):
                    letter.update({name: value for name, value in row.items() if name != "step"})

    def _letters(self) -> list[DeadLetter]:
        return [
            DeadLetter(run_id=run, workflow=str(rows.run.get("name", "")), **cast("dict[str, Any]", letter))
            for run, rows in self._rows.items()
            for letter in rows.letters.values()
        ]

    def delete_letters(self, before: datetime | None, *, waiting: bool) -> int:
        """Remove dead letters; see the store."""
        gone = {
            letter.id
            for letter in self._letters()
            if (waiting or letter.replayed_at is not None) and (before is None or letter.died_at < before)
        }
        for rows in self._rows.values():
            rows.letters = {key: row for key, row in rows.letters.items() if row["id"] not in gone}
        return len(gone)

    def forget(self, run: str) -> None:
        """Remove a run."""
        self._rows.pop(run, None)

    def state(self, run: str) -> object:
        """Return the state of a run."""
        return self._rows[run].run["state"]

    def _resolve(self, ref: str) -> str:
        ids = list(self._rows)
        if ref == "last" and ids:
            return ids[-1]
        found = [ref] if ref in self._rows else [id for id in ids if ref and id.startswith(ref)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(f"'{ref}' could be {len(found)} runs", hint=f"for example {', '.join(found[-3:])}")
        raise NotFoundError(f"there is no run '{ref}'", hint=not_found_hint(ref, ids))

    def _summary(self, run: str) -> RunSummary:
        row: dict[str, Any] = {key: value for key, value in self._rows[run].run.items() if key != "params"}
        ended = row["state"] in RUN_ENDED
        steps = [_record(StepRecord, each) for each in self._rows[run].steps.values()] if ended else []
        row["exit_code"] = exit_code_of(row["state"], steps, row.get("source", ""), row.get("reason", ""))
        return RunSummary(workflow=row.pop("name", ""), **row)


def _record(type_: type[R], row: Columns) -> R:
    known = {each.name for each in fields(type_)}
    values: dict[str, Any] = {key: value for key, value in row.items() if key in known}
    return type_(**values)
