"""The SQL of a replica: what one message of decisions changes, and how far the replica has come."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from provisioning.adapters.nats.messages import Head
from provisioning.adapters.sqlite import journal as sql
from provisioning.codec import decode
from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.core.model import Workflow
from provisioning.core.ports import Commit
from provisioning.errors import StoreError

LOG = logging.getLogger("provisioning")
REBUILT_FROM = "provisioning-rebuilt-from"
"""In the metadata of a stream: the mark of the one that it was made after."""
LETTERS_EACH = 1000
"""The numbers of a message's dead letters begin at its sequence times this: they are the same in every replica."""
_POSITION, _STREAM = "nats_seq", "nats_stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a message says."""

    seq: int  # of the stream
    head: Head
    events: Sequence[Event]
    workflow: Workflow | None = None  # that it needs


def mark_of(stream: Mapping[str, Any]) -> int:
    """Return a number that tells this stream (its info) from one that was made later under the same name."""
    digest = hashlib.sha256(str(stream.get("created")).encode()).digest()
    return int.from_bytes(digest[:6], "big")


def position_in(connection: sqlite3.Connection, stream: Mapping[str, Any], path: Path) -> int:
    """Return the sequence up to which a replica has this stream. Raises StoreError when it is of another one."""
    known, mark = _meta(connection, _STREAM), mark_of(stream)
    if known == mark:
        return _meta(connection, _POSITION)
    rebuilt = (stream.get("config", {}).get("metadata") or {}).get(REBUILT_FROM)
    if known and rebuilt != str(known):
        raise StoreError(
            f"{path} is the history of another stream than the one on the server, which was made at {stream.get('created')}",
            hint="if the server lost its data, rebuild the stream from this file; else use another folder",
        )
    set_position(connection, stream, 0)
    return 0


def set_position(connection: sqlite3.Connection, stream: Mapping[str, Any], seq: int) -> None:
    """Write down which stream it is, and up to where it is in."""
    _set_meta(connection, _STREAM, mark_of(stream))
    _set_meta(connection, _POSITION, seq)


def stream_mark(connection: sqlite3.Connection) -> int:
    """Return the mark of the stream that this is the history of; 0 when it is of none yet."""
    return _meta(connection, _STREAM)


def position(connection: sqlite3.Connection) -> int:
    """Return up to which sequence of its stream a replica has everything."""
    return _meta(connection, _POSITION)


def take(connection: sqlite3.Connection, workflows: sql.Workflows, found: Sequence[Found], until: int) -> dict[str, int]:
    """Write messages up to the sequence `until`, unless they are in; return how many dead letters each deletion removed."""
    if _meta(connection, _POSITION) >= until:  # another process writes into the same file
        return {}
    counts: dict[str, int] = {}
    for one in found:
        if one.head.letters:
            counts[one.head.letters] = _delete_letters(connection, one.head.letters)
        elif one.head.gone:
            sql.delete_run(connection, workflows, one.head.run)
        else:
            append(connection, workflows, one)
    _set_meta(connection, _POSITION, until)
    return counts


def append(connection: sqlite3.Connection, workflows: sql.Workflows, one: Found) -> None:
    """Write events that are not there yet. Those of a gap are never made up: the run stays as it is."""
    row = connection.execute("SELECT last_seq FROM runs WHERE run = ?", (one.head.run,)).fetchone()
    known = int(row[0]) if row else 0
    new = [event for event in one.events if event.seq > known]
    if not new:
        return
    if new[0].seq != known + 1:
        LOG.warning("the history has a gap: run %s is at event %d, then came %d", one.head.run, known, new[0].seq)
        return
    if one.workflow is not None:
        workflows.put(connection, one.workflow)
    _number_from(connection, "runs", one.seq)
    _number_from(connection, "dead_letters", one.seq * LETTERS_EACH)
    sql.write_commit(connection, workflows, Commit(run=one.head.run, expected_seq=known, events=new, fence=None))


def _number_from(connection: sqlite3.Connection, table: str, number: int) -> None:
    """Have rows numbered by where they are in the stream, whether or not older ones were removed before they were seen."""
    if not connection.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table)).rowcount:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def _delete_letters(connection: sqlite3.Connection, asked: str) -> int:
    said = decode(asked, dict[str, object], strict=False)
    before = said.get("before")
    until = datetime.fromisoformat(str(before)) if before else None
    return sql.delete_letters(connection, until, waiting=bool(said.get("waiting")))


def _meta(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return int(row[0]) if row else 0


def _set_meta(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
