"""Backfills that servers run, in the same file as the runs that they start. Their progress is that of the runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from provisioning.adapters.sqlite.stored import Damaged, text
from provisioning.adapters.sqlite.writer import Writer
from provisioning.core.backfill import Action, Item, Order, Phase
from provisioning.core.dagu.params import Given

KEPT_MOST = 200  # that are over
_COLUMNS = "id, name, actor, asked_at, parallel, params, items, errors, state"
_ADD = f"INSERT INTO backfills ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our columns
_TIDY = """
DELETE FROM backfills WHERE state <> 'going' AND id NOT IN (SELECT id FROM backfills ORDER BY asked_at DESC LIMIT ?)
"""
_ERROR = "UPDATE backfills SET errors = json_set(errors, ?, ?) WHERE id = ?"
_PHASE = "UPDATE backfills SET state = ? WHERE id = ? AND state = 'going'"


class SqliteBackfills:
    """On the connection of a store. Every method raises StoreError."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def add(self, order: Order) -> None:
        """Keep a new one, durably; forget the oldest of those that are over."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, _row(order))
            connection.execute(_TIDY, (KEPT_MOST,))

        await self._writer.write(work)

    async def newest(self, limit: int) -> list[Order]:
        """Return the newest first."""
        return await self._read(f"SELECT {_COLUMNS} FROM backfills ORDER BY asked_at DESC LIMIT ?", limit)  # noqa: S608

    async def going(self) -> list[Order]:
        """Return those that are not over, the oldest first."""
        return await self._read(f"SELECT {_COLUMNS} FROM backfills WHERE state = 'going' ORDER BY asked_at")  # noqa: S608

    async def find(self, id: str) -> Order | None:
        """Return one, or None."""
        found = await self._read(f"SELECT {_COLUMNS} FROM backfills WHERE id = ?", id)  # noqa: S608
        return found[0] if found else None

    async def failed(self, id: str, run: str, error: str) -> None:
        """Remember why a run of one could not be started."""
        values = (f"$.{json.dumps(run)}", error, id)
        await self._writer.write(lambda connection: connection.execute(_ERROR, values))

    async def end(self, id: str, phase: Phase) -> bool:
        """Say that one is over, or to be stopped; whether it was going on."""
        return await self._writer.write(lambda connection: connection.execute(_PHASE, (phase.value, id)).rowcount == 1)

    async def _read(self, sql: str, *values: object) -> list[Order]:
        return await self._writer.read(lambda connection: [_order(row) for row in connection.execute(sql, values)])


def _row(order: Order) -> tuple[object, ...]:
    params = [[one.name, one.value] for one in order.given]
    items = [[one.at.astimezone(UTC).isoformat(), one.run_id, one.action.value, one.because] for one in order.items]
    asked_at = order.asked_at.astimezone(UTC).isoformat()
    texts = (json.dumps(params), json.dumps(items), json.dumps(dict(order.errors)))
    return (order.id, order.name, order.actor, asked_at, order.parallel, *texts, order.phase.value)


def _order(row: Sequence[object]) -> Order:
    """Return a stored one. Raises Damaged."""
    id, name, actor, asked_at, parallel, params, items, errors, state = row
    try:
        return Order(
            id=text(id),
            name=text(name),
            actor=text(actor),
            asked_at=datetime.fromisoformat(text(asked_at)),
            parallel=int(str(parallel)),
            given=tuple(Given(name=key, value=value) for key, value in json.loads(text(params))),
            items=tuple(
                Item(at=datetime.fromisoformat(at), run_id=run, action=Action(action), because=because)
                for at, run, action, because in json.loads(text(items))
            ),
            errors=json.loads(text(errors)),
            phase=Phase(text(state)),
        )
    except (ValueError, TypeError) as error:
        raise Damaged(f"a backfill that cannot be read: {error}") from error
