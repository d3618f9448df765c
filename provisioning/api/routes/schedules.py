"""Schedules: what is due when, and runs for past times."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from provisioning.api import shown
from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.routes.dags import DagName
from provisioning.api.shapes.schedules import Backfill, BackfillList, BackfillState, Due, DueList, ScheduleItem, ScheduleList
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.operations.hosting.backfills import Range
from provisioning.operations.hosting.library import Shelved


def list_schedules(host: TheHost) -> ScheduleList:
    """List the DAGs that have a schedule."""
    found = [_item(one) for one in host.library.shelf() if one.scheduled]
    return ScheduleList(running=host.scheduling is not None, schedules=found)


def list_due(host: TheHost, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> DueList:
    """List what is due next, the earliest first; nothing of DAGs that are suspended."""
    return DueList(due=[Due(name=name, kind=kind, at=at) for at, name, kind in host.library.due(limit)])


async def backfill_dag(host: TheHost, caller: TheCaller, name: DagName, body: Backfill) -> BackfillState:
    """Run past times of a schedule, each exactly once. With `dry_run` only say which."""
    return BackfillState.model_validate(await host.backfills.begin(name, caller.actor, Range(**body.model_dump())))


def list_backfills(host: TheHost) -> BackfillList:
    """List the backfills of this server and how far they are."""
    return BackfillList(backfills=[BackfillState.model_validate(one) for one in host.backfills.all()])


def _item(one: Shelved) -> ScheduleItem:
    dag = one.entry.reading.dag
    return ScheduleItem(
        name=one.entry.name,
        schedule=shown.schedule_of(dag),
        suspended=one.entry.suspended,
        next_run=one.next_start,
        overlap_policy=dag.overlap_policy.value if dag is not None else "",
        catchup_window_s=dag.catchup_window_s if dag is not None else 0,
        skip_if_successful=dag.skip_if_successful if dag is not None else False,
    )


_S = f"{API}/schedules"
ENDPOINTS = (
    Endpoint(method="GET", path=_S, handler=list_schedules, role=Role.VIEWER, tag="schedules"),
    Endpoint(method="GET", path=f"{_S}/next", handler=list_due, role=Role.VIEWER, tag="schedules"),
    Endpoint(method="GET", path=f"{_S}/backfills", handler=list_backfills, role=Role.VIEWER, tag="schedules"),
    Endpoint(
        method="POST", path=f"{_S}/{{name}}/backfill", handler=backfill_dag, role=Role.OPERATOR, tag="schedules", status=202
    ),
)
