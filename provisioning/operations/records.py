"""What ran in a workspace: its history and logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioning import wiring
from provisioning.core.history import DeadLetter, History, RunDetail, RunSummary
from provisioning.errors import NotFoundError

NOTHING_RAN = "`provisioning taskserv create` starts a run, or a program that submits a workflow"


@contextmanager
def open_history(folder: Path) -> Iterator[History]:
    """Open the history for reading. Raises NotFoundError when nothing ever ran here, StoreError."""
    if not wiring.has_history(folder):
        raise NotFoundError(f"nothing has run yet in {folder}", hint=NOTHING_RAN)
    store = wiring.open_store(folder)
    try:
        yield store.history
    finally:
        store.close()


def list_runs(folder: Path, limit: int, *, state: str | None = None) -> list[RunSummary]:
    """Return the newest runs first; none when nothing ever ran here."""
    try:
        with open_history(folder) as history:
            return history.list_runs(limit, state=state)
    except NotFoundError:
        return []


def find_run(folder: Path, ref: str) -> RunDetail:
    """Return the run with this id, unique prefix of one, or `last`. Raises NotFoundError."""
    with open_history(folder) as history:
        return history.run(ref)


def list_dead_letters(
    folder: Path, limit: int, *, replayed: bool | None, workflow: str | None, before: int | None
) -> tuple[list[DeadLetter], int]:
    """Return the newest dead letters first, and how many wait in all; none when nothing ever ran here."""
    if not wiring.has_history(folder):
        return [], 0
    with open_history(folder) as history:
        found = history.dead_letters(limit, replayed=replayed, workflow=workflow, before=before)
        return found, history.count_dead_letters()


def read_log(log: str, tail: int | None = None) -> str:
    """Return an attempt's log as safe text, or its last `tail` lines; a note when it is not there any more."""
    from provisioning.adapters.logs import read_log as read

    try:
        return read(Path(log), lines=tail)
    except NotFoundError as error:
        return f"{error.message}\n"
