"""What is known of every DAG of a folder: when it starts next, and how its last run ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path

from provisioning import wiring
from provisioning.core.dagu.statuses import RunStatus
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunSummary
from provisioning.core.model import RunState
from provisioning.operations.dagu.catalogue import Catalogue, Entry
from provisioning.operations.dagu.records import find
from provisioning.operations.dagu.times import next_start

SOURCE = "dagu"
_RUNS_ASKED = 20  # of one name: those of other sources are passed over

LastRun = Callable[[str], RunSummary | None]
"""DAG's name -> its newest run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One DAG file. `next_start` is in UTC; None for a DAG that has no schedule, is suspended or broken."""

    entry: Entry
    next_start: datetime | None = None
    last: RunSummary | None = None
    status: RunStatus | None = None  # of the last run, in Dagu's words; None if it never ran


def list_dags(catalogue: Catalogue, now: datetime, local: tzinfo) -> list[Listed]:
    """Return every DAG file of the folder, in the order of file names. Raises NotFoundError, ConfigError, StoreError."""
    with last_runs(catalogue.places.data) as last_run:
        return [_listed(catalogue, entry, now, local, last_run(entry.name)) for entry in catalogue.entries()]


@contextmanager
def last_runs(data: Path) -> Iterator[LastRun]:
    """Open the history for questions; where nothing ever ran, nothing is made. Raises StoreError."""
    if not wiring.has_history(data):
        yield lambda _name: None
        return
    store = wiring.open_store(data)
    try:
        history = store.history
        yield lambda name: next((run for run in history.list_runs(_RUNS_ASKED, workflow=name) if run.source == SOURCE), None)
    finally:
        store.close()


def status_of(state: RunState) -> RunStatus:
    """Return Dagu's word for the state of a run, as far as the state alone tells."""
    return _STATUSES[state]


_STATUSES = {
    RunState.CREATED: RunStatus.QUEUED,
    RunState.QUEUED: RunStatus.QUEUED,
    RunState.RUNNING: RunStatus.RUNNING,
    RunState.PAUSING: RunStatus.RUNNING,
    RunState.PAUSED: RunStatus.RUNNING,
    RunState.FINISHING: RunStatus.RUNNING,
    RunState.SUCCEEDED: RunStatus.SUCCEEDED,
    RunState.PARTIAL: RunStatus.PARTIALLY_SUCCEEDED,
    RunState.FAILED: RunStatus.FAILED,
    RunState.CANCELLED: RunStatus.ABORTED,
    RunState.TIMED_OUT: RunStatus.FAILED,
}


def _status(data: Path, last: RunSummary | None) -> RunStatus | None:
    """Return the status of a run. Only of one that did not simply succeed the steps have to be read."""
    if last is None or last.state in _GOOD:
        return status_of(last.state) if last is not None else None
    return find(data, run_id=last.run_id).status


_GOOD = frozenset({RunState.SUCCEEDED, RunState.PARTIAL})


def _listed(catalogue: Catalogue, entry: Entry, now: datetime, local: tzinfo, last: RunSummary | None) -> Listed:
    dag = entry.reading.dag
    next_at = next_start(dag, now, local) if dag is not None and not entry.suspended else None
    return Listed(entry=entry, next_start=next_at, last=last, status=_status(catalogue.places.data, last))
