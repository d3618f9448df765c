"""The SQL of the journal: what one commit writes, all of it in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from provisioning.adapters.sqlite.rows import write_changes
from provisioning.adapters.sqlite.stored import Damaged, from_json, number, text
from provisioning.codec import digest, encode
from provisioning.core.events import Event
from provisioning.core.model import RUN_ENDED, RunState, Workflow
from provisioning.core.ports import Commit, Request, Timer
from provisioning.core.projection import Changes, project
from provisioning.errors import Fenced, NotFoundError, StaleRevision

REMEMBERED = 4  # workflows kept decoded: a run of a large one needs it several times


class Workflows:
    """Workflows by digest, the last few kept in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Workflow] = {}

    def put(self, connection: sqlite3.Connection, workflow: Workflow) -> str:
        """Store a workflow."""
        address = digest(workflow)
        connection.execute("INSERT OR IGNORE INTO workflows (digest, body) VALUES (?, ?)", (address, encode(workflow)))
        self._keep(address, workflow)
        return address

    def get(self, connection: sqlite3.Connection, address: str) -> Workflow:
        """Return a workflow. Raises NotFoundError."""
        found = self.find(connection, address)
        if found is None:
            raise NotFoundError(f"there is no workflow {address}")
        return found

    def find(self, connection: sqlite3.Connection, address: str) -> Workflow | None:
        """Return a workflow, or None."""
        if address not in self._kept:
            row = connection.execute("SELECT body FROM workflows WHERE digest = ?", (address,)).fetchone()
            if row is None:
                return None
            self._keep(address, from_json(row[0], Workflow))
        return self._kept[address]

    def forget(self, address: str) -> None:
        """Drop a workflow from memory."""
        self._kept.pop(address, None)

    def _keep(self, address: str, workflow: Workflow) -> None:
        self._kept[address] = workflow
        while len(self._kept) > REMEMBERED:
            del self._kept[next(iter(self._kept))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a commit did."""

    last_seq: int
    changes: Changes
    answered: Sequence[int] = ()  # ids of the requests that it removed


def write_commit(connection: sqlite3.Connection, workflows: Workflows, commit: Commit) -> Written:
    """Append a commit; return what it did. Raises StaleRevision, Fenced, ValueError."""
    _check_fence(connection, commit.fence)
    run, last_seq = _find(connection, commit.run)
    if last_seq != commit.expected_seq:
        raise StaleRevision(f"run {commit.run} is at event {last_seq}, the commit is based on {commit.expected_seq}")
    if not commit.events and not run:
        return Written(last_seq=0, changes=Changes())
    numbered = enumerate(commit.events, start=last_seq + 1)
    events = [event if event.seq == seq else replace(event, seq=seq) for seq, event in numbered]
    run = run or _begin(connection, events[0])
    connection.executemany(
        "INSERT INTO events (run, seq, body) VALUES (?, ?, ?)", [(run, event.seq, encode(event)) for event in events]
    )
    changes = project(events)
    changes.run["last_seq"] = last_seq + len(events)
    workflow = workflows.find(connection, str(changes.run.get("digest"))) if changes.created else None
    write_changes(connection, run, changes, workflow)
    _settle(connection, run, changes)
    _add_timers(connection, run, commit.timers)
    return Written(last_seq=last_seq + len(events), changes=changes, answered=_answer(connection, commit))


def read_requests(connection: sqlite3.Connection, runs: Collection[str]) -> list[Request]:
    """Return the requests for these runs, oldest first."""
    rows = connection.execute("SELECT id, run, body FROM requests ORDER BY id")
    return [replace(from_json(body, Request), id=id) for id, run, body in rows if run in runs]


def read_events(connection: sqlite3.Connection, run: str, after: int, most: int = -1) -> list[Event]:
    """Return a run's events with seq > `after`, in order, none of them missing; of many the first `most`."""
    rows = connection.execute(
        "SELECT body FROM events WHERE run = (SELECT id FROM runs WHERE run = ?) AND seq > ? ORDER BY seq LIMIT ?",
        (run, after, most),
    )
    events = [from_json(body, Event) for (body,) in rows]
    for seq, event in enumerate(events, start=after + 1):
        if (event.run, event.seq) != (run, seq):
            raise Damaged(f"event {seq} of run {run} is missing or another")
    return events


def read_open_runs(connection: sqlite3.Connection) -> list[str]:
    """Return the ids of runs that have not ended, oldest first."""
    going = ", ".join(f"'{state.value}'" for state in sorted(set(RunState) - RUN_ENDED))  # NOT IN would read them all
    return [text(run) for (run,) in connection.execute(f"SELECT run FROM runs WHERE state IN ({going}) ORDER BY id")]  # noqa: S608


def read_expired(connection: sqlite3.Connection, name: str, before: datetime | None, keep: int | None) -> list[str]:
    """Return the ids of a Dagu workflow's runs that may be deleted; see the store.

    A run inside another goes with that one.
    """
    ended = ", ".join(f"'{state.value}'" for state in sorted(RUN_ENDED))
    found = connection.execute(
        f"SELECT run, ended_at FROM runs WHERE name = ? AND source = 'dagu' AND state IN ({ended})"  # noqa: S608
        " AND trigger NOT LIKE 'subdag:%' ORDER BY id DESC",
        (name,),
    )
    until = before.astimezone(UTC).isoformat() if before is not None else ""  # stored times are UTC: they sort as text
    runs = [
        text(run)
        for number, (run, at) in enumerate(found, start=1)
        if (keep is not None and number > keep) or (before is not None and text(at) < until)
    ]
    return runs[::-1]


def delete_run(connection: sqlite3.Connection, workflows: Workflows, run: str) -> None:
    """Remove a run, all that belongs to it, and its workflow when no other run has it."""
    digests = connection.execute("DELETE FROM runs WHERE run = ? RETURNING digest", (run,)).fetchall()
    connection.execute("DELETE FROM requests WHERE run = ?", (run,))
    for (address,) in digests:
        workflows.forget(address)
        connection.execute("DELETE FROM workflows WHERE digest = ? AND digest NOT IN (SELECT digest FROM runs)", (address,))


def delete_letters(connection: sqlite3.Connection, before: datetime | None, *, waiting: bool) -> int:
    """Remove dead letters; see the store. Stored times are UTC: they sort as text."""
    until = before.astimezone(UTC).isoformat() if before is not None else None
    where = "(? OR replayed_at IS NOT NULL) AND (? IS NULL OR died_at < ?)"
    return connection.execute(f"DELETE FROM dead_letters WHERE {where}", (waiting, until, until)).rowcount  # noqa: S608


def read_timers(connection: sqlite3.Connection) -> list[Timer]:
    """Return the timers that are not settled."""
    return [from_json(body, Timer) for (body,) in connection.execute("SELECT body FROM timers")]


# ---------------------------------------------------------------- parts


def _check_fence(connection: sqlite3.Connection, fence: int | None) -> None:
    if fence is None:
        return
    row = connection.execute("SELECT value FROM meta WHERE key = 'fence'").fetchone()
    highest = number(row[0]) if row else 0
    if fence < highest:
        raise Fenced(f"a runner with fencing number {highest} has taken over from {fence}")
    if fence > highest:
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('fence', ?)", (fence,))


def _find(connection: sqlite3.Connection, run: str) -> tuple[int, int]:
    """Return a run's row id and last seq, or zeros."""
    row = connection.execute("SELECT id, last_seq FROM runs WHERE run = ?", (run,)).fetchone()
    return (number(row[0]), number(row[1])) if row else (0, 0)


def _begin(connection: sqlite3.Connection, first: Event) -> int:
    found = connection.execute("INSERT INTO runs (run, created_at) VALUES (?, ?)", (first.run, first.at.isoformat()))
    return int(found.lastrowid or 0)


def _settle(connection: sqlite3.Connection, run: int, changes: Changes) -> None:
    """Forget timers whose attempt is over, before the commit's own are added."""
    if changes.finished:
        connection.execute("DELETE FROM timers WHERE run = ?", (run,))
    else:
        connection.executemany("DELETE FROM timers WHERE run = ? AND step = ?", [(run, step) for step in changes.settled])


def _answer(connection: sqlite3.Connection, commit: Commit) -> list[int]:
    """Remove the requests that a commit is the answer to; return their ids."""
    if not commit.upto:
        return []
    rows = connection.execute(
        "DELETE FROM requests WHERE id <= ? AND (run = ? OR json_extract(body, '$.data.run') = ?) RETURNING id",
        (commit.upto, commit.run, commit.run),
    )
    return [number(id) for (id,) in rows]


def _add_timers(connection: sqlite3.Connection, run: int, timers: Iterable[Timer]) -> None:
    rows = [(run, timer.step, timer.attempt, timer.kind, encode(timer)) for timer in timers]
    connection.executemany("INSERT OR REPLACE INTO timers (run, step, attempt, kind, body) VALUES (?, ?, ?, ?, ?)", rows)
