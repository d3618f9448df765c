"""Removes runs of Dagu files that somebody names, with their logs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from provisioning.core.model import RUN_ENDED
from provisioning.errors import UsageError
from provisioning.operations.dagu.records import SUBDAG, is_lost, opened
from provisioning.operations.dagu.retention import remove
from provisioning.settings import load

SECONDS_PER_DAY = 86_400.0


def remove_run(data: Path, ref: str) -> list[str]:
    """Remove one ended run and those inside it; return the ids. Raises NotFoundError, UsageError for one that goes on."""
    with opened(data) as store:
        summary = store.history.run(ref).summary
        if summary.trigger.startswith(SUBDAG):
            raise UsageError(f"run {summary.run_id} is a part of another: {summary.trigger.removeprefix(SUBDAG)}")
        if summary.state not in RUN_ENDED and not is_lost(data, summary):
            raise UsageError(f"run {summary.run_id} goes on", hint=f"dag-engine stop {summary.run_id}")
        return asyncio.run(remove(store, data, [summary.run_id], load()))


def remove_runs(data: Path, name: str, older_than: timedelta | None) -> list[str]:
    """Remove the ended runs of a DAG, or those that ended so long ago; return the ids."""
    with opened(data) as store:

        async def expired() -> list[str]:
            if older_than is None:
                return await remove(store, data, await store.expired(name, days=None, keep=0), load())
            days = older_than.total_seconds() / SECONDS_PER_DAY
            return await remove(store, data, await store.expired(name, days=days, keep=None), load())

        return asyncio.run(expired())
