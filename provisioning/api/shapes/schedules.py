"""Schedules, what is due next, and runs for past times."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from provisioning.api.shapes.base import Asked, Instant, Shape
from provisioning.api.shapes.dags import Schedule


class ScheduleItem(Shape):
    """One DAG that has a schedule."""

    name: str
    schedule: Schedule
    suspended: bool
    paused_by: str = Field(default="", description="who suspended it; empty where only a flag file says so")
    paused_at: Instant | None = None
    next_run: Instant | None = None
    overlap_policy: str = ""
    catchup_window_s: int = 0
    skip_if_successful: bool = False
    looked_at: Instant | None = Field(default=None, description="up to when a scheduler has looked at it")


class ScheduleList(Shape):
    """Every DAG that has a schedule. `running` says whether this server starts them."""

    running: bool
    schedules: list[ScheduleItem]


class Due(Shape):
    """One instant at which something is due."""

    name: str
    kind: str = Field(description="start, stop or restart")
    at: Instant


class DueList(Shape):
    """What is due next, the earliest first."""

    due: list[Due]


class Backfill(Asked):
    """Past times of a DAG's schedule to run: those at or after `start` and before `end`."""

    start: AwareDatetime
    end: AwareDatetime
    dry_run: bool = False
    reprocess_failed: bool = Field(default=False, description="run times again whose run failed")
    reprocess_successful: bool = Field(default=False, description="run times again whose run succeeded")
    parallel: int = Field(default=1, ge=1, le=100)
    limit: int = Field(default=1000, ge=1, le=10_000)
    newest_first: bool = False
    params: dict[str, str] = Field(default={}, description="parameters of each run")


class BackfillItem(Shape):
    """One past time and what becomes of it."""

    at: Instant
    run_id: str
    action: str = Field(description="run, again or skip")
    because: str = ""
    status: str = ""


class BackfillState(Shape):
    """How far a backfill is."""

    id: str
    name: str
    actor: str = ""
    asked_at: Instant
    dry_run: bool
    parallel: int = 1
    total: int
    started: int
    ended: int
    failed: int
    skipped: int
    stopped: bool = Field(default=False, description="somebody has stopped it: what has no run will have none")
    over: bool
    items: list[BackfillItem] = []


class BackfillList(Shape):
    """Backfills, the newest first."""

    backfills: list[BackfillState]
