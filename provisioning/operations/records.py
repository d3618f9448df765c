"""What ran in a workspace: its history and logs, and requests to a run that is still going on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioning import wiring
from provisioning.core.history import History, RunDetail, RunSummary
from provisioning.core.model import RUN_ENDED
from provisioning.core.ports import Request
from provisioning.errors import NotFoundError, UsageError
from provisioning.operations.session import run_blocking

NOTHING_RAN = "`provisioning taskserv create` starts one"


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


def read_log(log: str, tail: int | None = None) -> str:
    """Return an attempt's log as safe text, or its last `tail` lines; a note when it is not there any more."""
    from provisioning.adapters.logs import read_log as read

    try:
        return read(Path(log), lines=tail)
    except NotFoundError as error:
        return f"{error.message}\n"


def cancel_run(folder: Path, ref: str, actor: str) -> str:
    """Ask the runner of a run to stop it; return the run's id. Raises NotFoundError, UsageError for a run that has ended."""
    run = find_run(folder, ref).summary
    if run.state in RUN_ENDED:
        raise UsageError(
            f"run {run.run_id} has ended: {run.state.value}", hint=f"`provisioning run show {run.run_id}` tells more"
        )
    if wiring.workspace_lock(folder).holder() is None:
        message = f"run {run.run_id} has no runner any more: it was cut off"
        raise UsageError(message, hint="the next `provisioning taskserv create` records that and goes on from there")
    run_blocking(_request(folder, Request(run=run.run_id, kind="cancel", actor=actor)))
    return run.run_id


async def _request(folder: Path, request: Request) -> None:
    store = wiring.open_store(folder)
    try:
        await store.request(request)
    finally:
        store.close()
