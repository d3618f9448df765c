"""`schedule`: cron texts, single starts, durations. What a cron text means is decided elsewhere; here is its grammar."""

from __future__ import annotations

import re
from datetime import datetime

from provisioning.core.dagu.declared import Cron, Schedule
from provisioning.core.shown import quote
from provisioning.formats.dagu.reading import Spot
from provisioning.formats.dagu.spelling import MOMENT, SCHEDULE

_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, start=1)}
_DAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
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
    elif not _AT.fullmatch(text) or not _is_time(text):
        spot.fault("bad_time", f"found {quote(text)}, expected a time such as 2026-01-31T08:00:00+01:00, its offset included")
    else:
        return [text]
    return []


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.upper()).second == 0
    except ValueError:
        return False


def _cron(spot: Spot) -> list[Cron]:
    if spot.scalar is None or not isinstance(spot.scalar.value, str):
        if not spot.is_null:
            spot.expected("a cron text")
        return []
    text = spot.scalar.value
    if not text.strip():
        return []
    zone, fields = "", text
    if (match := _ZONE.match(text)) is not None:
        zone, fields = match[1], match[2]
    problem = _problem(zone, fields)
    if problem:
        spot.fault("bad_cron", f"found {quote(text)}: {problem}")
        return []
    _notes(spot, zone, fields.split())
    return [Cron(expression=text, line=spot.line, column=spot.column)]


def _problem(zone: str, text: str) -> str:
    fields = text.split()
    if zone and not _ZONE_NAME.fullmatch(zone):
        return f"{quote(zone)} is no name of a time zone"
    if text.startswith("@"):
        return "names such as @daily are not known; write five fields"
    if len(fields) != 5:
        return f"{len(fields)} fields, expected five: minute, hour, day of the month, month, day of the week"
    for field, (what, least, most, names) in zip(fields, _FIELDS, strict=True):
        if not all(_part_fits(part, least, most, names) for part in field.split(",")):
            return f"{quote(field)} is no {what}, which is {least} to {most}"
    return ""


def _part_fits(part: str, least: int, most: int, names: dict[str, int]) -> bool:
    span, slash, every = part.partition("/")
    if slash and not (every.isascii() and every.isdigit() and 0 < int(every[:9]) <= 999):
        return False
    if span in {"*", "?"}:
        return True
    low, dash, high = span.partition("-")
    first, last = _value(low, names), _value(high, names) if dash else None
    if first is None or not least <= first <= most:
        return False
    return not dash or (last is not None and first <= last <= most)


def _value(text: str, names: dict[str, int]) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 4:
        return int(text)
    return names.get(text.lower())


def _notes(spot: Spot, zone: str, fields: list[str]) -> None:
    minute, hour = fields[:2]
    for field, whole in ((minute, 60), (hour, 24)):
        every = field.rpartition("/")[2]
        if "/" in field and whole % int(every):
            spot.note("uneven_step", f"{field} does not divide {whole}: the last wait before it begins again is shorter")
    if not hour.startswith(("*", "?")) and zone not in {"UTC", "Etc/UTC", "GMT"}:
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
