"""Removes runs of Dagu files with their logs: those that are older than a DAG keeps them, and those that somebody names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.errors import LockedError
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore


async def remove_expired(
    store: SqliteStore, data: Path, dag: DagFile, settings: Settings, *, but: str, most: int | None = None
) -> list[str]:
    """Remove what is beyond the DAG's retention, `but` one run, of the oldest so many at `most`; return the ids.

    A limit below 0 keeps all. A number of runs counts before days. Raises StoreError.
    """
    keep, days = dag.retention.runs, dag.retention.days
    limits = (keep, None) if keep is not None else (None, days)
    if any(limit is not None and limit < 0 for limit in limits):
        return []
    expired = await store.expired(dag.name, days=limits[1], keep=limits[0])
    return await remove(store, data, [run for run in expired if run != but][:most], settings)


async def remove(store: SqliteStore, data: Path, runs: Iterable[str], settings: Settings) -> list[str]:
    """Remove ended runs with their logs and all runs inside them; return the ids of all. Raises StoreError.

    One that somebody is just running again is left out.
    """
    logs, removed = wiring.log_store(data, settings), []
    for root in runs:
        lock = wiring.run_lock(data, root)
        try:
            lock.acquire_sync()
        except LockedError:
            continue
        try:
            for run in (*store.history.inside(root), root):  # the root last: after a crash it is still found
                logs.delete(run)
                await store.delete(run)
                removed.append(run)
        finally:
            lock.release_sync()
    return removed
