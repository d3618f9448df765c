"""Removes runs of Dagu files that somebody names, with their logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.core.model import RUN_ENDED
from provisioning.errors import UsageError
from provisioning.operations.dagu.records import SUBDAG, is_lost, opened
from provisioning.operations.dagu.retention import remove
from provisioning.operations.steering import HERE, Reach
from provisioning.settings import load

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore

SECONDS_PER_DAY = 86_400.0


def remove_run(data: Path, ref: str, reach: Reach = HERE) -> list[str]:
    """Remove one ended run and those inside it; return the ids. Raises NotFoundError, UsageError for one that goes on."""
    with opened(data) as store:
        summary = store.history.run(ref).summary
        if summary.trigger.startswith(SUBDAG):
            raise UsageError(f"run {summary.run_id} is a part of another: {summary.trigger.removeprefix(SUBDAG)}")
        if summary.state not in RUN_ENDED and not is_lost(data, summary):
            raise UsageError(f"run {summary.run_id} goes on", hint=f"dag-engine stop {summary.run_id}")
        return _remove(store, data, [summary.run_id], reach)


def remove_runs(data: Path, name: str, older_than: timedelta | None, reach: Reach = HERE) -> list[str]:
    """Remove the ended runs of a DAG, or those that ended so long ago; return the ids."""
    days = None if older_than is None else older_than.total_seconds() / SECONDS_PER_DAY
    with opened(data) as store:
        return _remove(store, data, asyncio.run(store.expired(name, days=days, keep=0 if days is None else None)), reach)


def _remove(store: SqliteStore, data: Path, runs: Sequence[str], reach: Reach) -> list[str]:
    """Remove runs with those inside them. Those of a cluster are removed from there: its copy here follows."""
    if not reach.lasting:
        return asyncio.run(remove(store, data, runs, load()))
    everything = [each for run_id in runs for each in (*store.history.inside(run_id), run_id)]
    for run_id in everything:
        reach.within(data, lambda there, run_id=run_id: there.delete(run_id))  # type: ignore[misc]
        reach.delete_logs(data, run_id)
    return everything
