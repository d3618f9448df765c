"""Schedules: what is due when, and runs for past times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated

from fastapi import Path, Query

from provisioning.api import shown
from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.routes.dags import DagName
from provisioning.api.shapes.base import Name
from provisioning.api.shapes.schedules import Backfill, BackfillList, BackfillState, Due, DueList, ScheduleItem, ScheduleList
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.dagu.params import Given
from provisioning.operations.hosting.backfills import Range
from provisioning.operations.scheduler.listing import Scheduled, next_of_each, upcoming

ITEMS_SHOWN = 500
BackfillId = Annotated[Name, Path(description="the backfill's id")]


async def list_schedules(host: TheHost) -> ScheduleList:
    """List the DAGs that have a schedule: what it says, what is due next, who has paused it."""
    found = await host.schedules()
    return await asyncio.to_thread(_listed, found, host.now(), host.scheduling is not None)


async def list_due(
    host: TheHost,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    every: Annotated[bool, Query(description="also what comes after the next of each")] = False,
) -> DueList:
    """List what is due next of each DAG, the earliest first; nothing of those that are suspended."""
    return await asyncio.to_thread(_due, await host.schedules(), host.now(), limit, every)


async def backfill_dag(host: TheHost, caller: TheCaller, name: DagName, body: Backfill) -> BackfillState:
    """Run past times of a schedule, each exactly once. With `dry_run` only say which."""
    asked = body.model_dump(exclude={"params"})
    given = tuple(Given(name=key, value=value) for key, value in body.params.items())
    return BackfillState.model_validate(await host.backfills.begin(name, caller.actor, Range(**asked, given=given)))


async def list_backfills(host: TheHost, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> BackfillList:
    """List the newest backfills and how far they are, also those of servers that are gone; of each the first 500 times."""
    found = [{**one, "items": list(one["items"])[:ITEMS_SHOWN]} for one in await host.backfills.newest(limit)]  # type: ignore[call-overload]
    return BackfillList(backfills=[BackfillState.model_validate(one) for one in found])


async def get_backfill(host: TheHost, backfill: BackfillId) -> BackfillState:
    """Show how far a backfill is, with all its times."""
    return BackfillState.model_validate(await host.backfills.one(backfill))


async def stop_backfill(host: TheHost, backfill: BackfillId) -> BackfillState:
    """Start nothing more of a backfill, and stop what goes on."""
    return BackfillState.model_validate(await host.backfills.end(backfill))


def _listed(found: Sequence[Scheduled], now: datetime, running: bool) -> ScheduleList:
    return ScheduleList(running=running, schedules=[_item(one, now) for one in found])


def _due(schedules: Sequence[Scheduled], now: datetime, limit: int, every: bool) -> DueList:
    found = upcoming(schedules, now) if every else sorted(next_of_each(schedules, now))
    return DueList(due=[Due(name=one.name, kind=one.what.value, at=one.at) for one in islice(found, limit)])


def _item(one: Scheduled, now: datetime) -> ScheduleItem:
    timing, kept = one.timing, one.kept
    return ScheduleItem(
        name=one.entry.name,
        schedule=shown.schedule_of(one.dag),
        suspended=timing.suspended,
        paused_by=kept.paused_by if timing.suspended else "",
        paused_at=kept.paused_at if timing.suspended else None,
        next_run=None if timing.suspended else timing.starts.next(now),
        overlap_policy=timing.overlap.value,
        catchup_window_s=timing.catchup_window_s,
        skip_if_successful=timing.skip_if_successful,
        looked_at=kept.mark.cursor if kept.mark is not None else None,
    )


_S = f"{API}/schedules"
ENDPOINTS = (
    Endpoint(method="GET", path=_S, handler=list_schedules, action="schedule.read", role=Role.VIEWER, tag="schedules"),
    Endpoint(method="GET", path=f"{_S}/next", handler=list_due, action="schedule.read", role=Role.VIEWER, tag="schedules"),
    Endpoint(
        method="GET", path=f"{_S}/backfills", handler=list_backfills, action="backfill.read", role=Role.VIEWER, tag="schedules"
    ),
    Endpoint(
        method="GET",
        path=f"{_S}/backfills/{{backfill}}",
        handler=get_backfill,
        action="backfill.read",
        role=Role.VIEWER,
        tag="schedules",
    ),
    Endpoint(
        method="POST",
        path=f"{_S}/backfills/{{backfill}}/stop",
        handler=stop_backfill,
        action="backfill.stop",
        role=Role.OPERATOR,
        tag="schedules",
        status=202,
    ),
    Endpoint(
        method="POST",
        path=f"{_S}/{{name}}/backfill",
        handler=backfill_dag,
        action="backfill.start",
        role=Role.OPERATOR,
        tag="schedules",
        status=202,
    ),
)
