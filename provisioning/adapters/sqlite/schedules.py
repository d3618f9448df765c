"""Marks and pauses of schedules, in the same file as the runs that they start. Stored times are UTC: they sort as text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from provisioning.adapters.sqlite.stored import Damaged, text
from provisioning.adapters.sqlite.writer import Writer
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.schedules import SCHEDULED_AT, Going, Kept, Mark

_OPEN = ", ".join(f"'{state.value}'" for state in RunState if state not in RUN_ENDED)  # as a list: an index answers that
_KEPT = """
SELECT name, cursor, behind, paused_by, paused_at, restarting FROM schedules
WHERE ? IS NULL OR name IN (SELECT value FROM json_each(?))
"""
_PUT = """
INSERT INTO schedules (name, cursor, behind) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor, behind = excluded.behind
WHERE schedules.cursor IS NULL OR schedules.cursor <= excluded.cursor
"""
_ADVANCE = """
INSERT INTO schedules (name, cursor) SELECT value, ? FROM json_each(?) WHERE true
ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor
WHERE schedules.cursor IS NULL OR (schedules.cursor < excluded.cursor AND schedules.behind IS NULL)
"""
_RESTARTING = """
INSERT INTO schedules (name, restarting) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET restarting = excluded.restarting
"""
_PAUSE = """
INSERT INTO schedules (name, paused_by, paused_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET paused_by = excluded.paused_by, paused_at = excluded.paused_at
"""
_RESUME = """
INSERT INTO schedules (name, cursor) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET
    cursor = max(coalesce(cursor, ''), excluded.cursor), behind = NULL, paused_by = '', paused_at = NULL
"""
_GOING = f"""
SELECT run, name, coalesce(started_at, created_at), "trigger" FROM runs
WHERE state IN ({_OPEN}) AND source = 'dagu' AND "trigger" NOT LIKE 'subdag:%'
    AND name IN (SELECT value FROM json_each(?))
ORDER BY id
"""  # noqa: S608 - our own words
_SUCCEEDED = f"""
SELECT coalesce(json_extract(params, '$.{SCHEDULED_AT}'), started_at, created_at) FROM runs
WHERE name = ? AND state = 'succeeded' AND source = 'dagu' AND "trigger" NOT LIKE 'subdag:%'
ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - our own words


class SqliteSchedules:
    """Fulfils `core.schedules.Schedules` on the connection of a store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def kept(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        """See `Schedules`."""
        wanted = json.dumps(list(names)) if names is not None else None
        rows = await self._writer.read(lambda connection: [_kept(row) for row in connection.execute(_KEPT, (wanted, wanted))])
        return {row.name: row for row in rows}

    async def put(self, marks: Mapping[str, Mark]) -> None:
        """See `Schedules`."""
        rows = [(name, _time(mark.cursor), _time(mark.behind)) for name, mark in marks.items()]
        await self._writer.write(lambda connection: connection.executemany(_PUT, rows))

    async def advance(self, names: Sequence[str], cursor: datetime) -> None:
        """See `Schedules`."""
        values = (_time(cursor), json.dumps(list(names)))
        await self._writer.write(lambda connection: connection.execute(_ADVANCE, values))

    async def restarting(self, name: str, at: datetime | None) -> None:
        """See `Schedules`."""
        await self._writer.write(lambda connection: connection.execute(_RESTARTING, (name, _time(at))))

    async def pause(self, name: str, by: str, at: datetime) -> None:
        """See `Schedules`."""
        await self._writer.write(lambda connection: connection.execute(_PAUSE, (name, by, _time(at))))

    async def resume(self, name: str, at: datetime) -> None:
        """See `Schedules`."""
        await self._writer.write(lambda connection: connection.execute(_RESUME, (name, _time(at))))

    async def going(self, names: Sequence[str]) -> list[Going]:
        """See `Schedules`."""
        wanted = json.dumps(list(names))
        return await self._writer.read(lambda connection: [_going(row) for row in connection.execute(_GOING, (wanted,))])

    async def succeeded_at(self, name: str) -> datetime | None:
        """See `Schedules`."""

        def work(connection: sqlite3.Connection) -> datetime | None:
            row = connection.execute(_SUCCEEDED, (name,)).fetchone()
            return _read_time(row[0]) if row else None

        return await self._writer.read(work)


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None


def _read_time(value: object) -> datetime | None:
    """Return a time in UTC. Raises Damaged."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(text(value))
    except ValueError as error:
        raise Damaged(f"expected a time, got {value!r}") from error
    if at.utcoffset() is None:
        raise Damaged(f"a time without an offset: {value!r}")
    return at.astimezone(UTC)


def _moment(value: object) -> datetime:
    at = _read_time(value)
    if at is None:
        raise Damaged("expected a time, got nothing")
    return at


def _kept(row: Sequence[object]) -> Kept:
    name, cursor, behind, paused_by, paused_at, restarting = row
    seen = _read_time(cursor)
    return Kept(
        name=text(name),
        mark=Mark(cursor=seen, behind=_read_time(behind)) if seen is not None else None,
        paused_by=text(paused_by),
        paused_at=_read_time(paused_at),
        restarting=_read_time(restarting),
    )


def _going(row: Sequence[object]) -> Going:
    run, name, began_at, trigger = row
    return Going(run_id=text(run), name=text(name), began_at=_moment(began_at), trigger=text(trigger))
