"""`schedule`: cron texts, single starts, durations. What a cron text may be is decided in `core.cron`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from provisioning.core.dagu.declared import Cron, Schedule
from provisioning.core.shown import quote
from provisioning.errors import ConfigError
from provisioning.formats.dagu.reading import Spot
from provisioning.formats.dagu.spelling import MOMENT, SCHEDULE

if TYPE_CHECKING:
    from provisioning.core.cron import Schedule as Parsed

_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def read_schedule(spot: Spot | None) -> Schedule:
    """Return when a DAG starts, stops and restarts. An empty text is nothing."""
    if spot is None:
        return Schedule()
    if not spot.is_map or {"at", "expression", "profile"} & {key for key, _ in spot.entries()}:
        start, at = _moments(spot, single=True)
        return Schedule(start=start, at=at)
    record = spot.record(SCHEDULE)
    start, at = _moments(record.at("start"), single=True)
    stop, restart = (_moments(record.at(name), single=False)[0] for name in ("stop", "restart"))
    return Schedule(start=start, stop=stop, restart=restart, at=at)


def _moments(spot: Spot | None, *, single: bool) -> tuple[tuple[Cron, ...], tuple[str, ...]]:
    crons: list[Cron] = []
    at: list[str] = []
    for item in spot.items() if spot is not None else ():
        if not item.is_map:
            crons.extend(_cron(item))
            continue
        record = item.record(MOMENT)
        expression, once = record.at("expression"), record.at("at")
        if (expression is None) == (once is None):
            item.fault("missing_key", "expected either expression or at")
        elif expression is not None:
            crons.extend(_cron(expression))
        elif once is not None:
            at.extend(_once(once, allowed=single))
    return tuple(crons), tuple(at)


def _once(spot: Spot, *, allowed: bool) -> list[str]:
    text = spot.word()
    if not allowed:
        spot.fault("bad_schedule", "a single time can only start a DAG")
    elif (at := _time(text)) is not None and (at.second or at.microsecond):
        spot.fault("bad_time", f"found {quote(text)}, expected seconds of 00: schedules are looked at by the minute")
    elif at is None:
        spot.fault("bad_time", f"found {quote(text)}, expected a time such as 2026-01-31T08:00:00+01:00, its offset included")
    else:
        return [text]
    return []


def _time(text: str) -> datetime | None:
    """Return the point in time of a text with an offset; None for anything else."""
    try:
        return datetime.fromisoformat(text.upper()) if _AT.fullmatch(text) else None
    except ValueError:
        return None


def _cron(spot: Spot) -> list[Cron]:
    if spot.scalar is None or not isinstance(spot.scalar.value, str):
        if not spot.is_null:
            spot.expected("a cron text")
        return []
    text = spot.scalar.value
    if not text.strip():
        return []
    from provisioning.core.cron import parse

    try:
        schedule = parse(text)
    except ConfigError as error:
        spot.fault("bad_cron", f"found {quote(text)}: {error.faults[0].message}")
        return []
    _notes(spot, schedule)
    return [Cron(expression=text, line=spot.line, column=spot.column)]


def _notes(spot: Spot, schedule: Parsed) -> None:
    for warning in schedule.warnings:
        spot.note(warning.code, warning.message)
    if schedule.fixed and schedule.zone not in {"UTC", "Etc/UTC", "GMT"}:
        message = (
            "where clocks change, this runs once each day: right after a time that is left out, and at the first of two;"
            " Dagu leaves it out, and runs it twice"
        )
        spot.note("clock_change", message)


def read_duration(spot: Spot | None) -> int:
    """Return the seconds of `2d12h`; 0 where nothing is said."""
    if spot is None:
        return 0
    text = spot.word()
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        spot.fault("bad_duration", f"found {quote(text)}, expected a duration such as 6h or 2d12h")
        return 0
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
