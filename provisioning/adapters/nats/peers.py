"""What the stream has removed, those who keep the history still have: a replica that was away, or is new, asks one of them."""

from __future__ import annotations

import base64
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from provisioning.adapters.nats import replicarows as rows
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import Head
from provisioning.adapters.nats.replica import Replica
from provisioning.adapters.nats.retention import purged_upto
from provisioning.adapters.nats.saying import Saying
from provisioning.codec import CodecError, build, encode, plain
from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.core.model import Workflow
from provisioning.errors import NotFoundError, StoreError

LOG = logging.getLogger("provisioning")
SUBJECT = "history"
WITHIN_S = 3.0
RUNS_AT_ONCE, EVENTS_AT_ONCE = 500, 200
PART_BYTES = 256 * 1024
LONGEST_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A run that another replica has. `number` is that of its row, the same in all replicas."""

    run: str
    number: int
    last_seq: int


class Peer:
    """Answers for one replica, under its `name`."""

    def __init__(self, replica: Replica, name: str) -> None:
        self._replica, self._name = replica, name

    async def answer(self, asked: Any) -> object:  # noqa: ANN401 - what anybody may have said
        """Return a page of runs, of the events of one, or of a workflow; None where another is asked, or it makes no sense."""
        if not isinstance(asked, dict) or asked.get("to", self._name) != self._name:
            return None
        run, after, workflow = asked.get("run"), asked.get("after", 0), asked.get("workflow")
        if not isinstance(after, int):
            return None
        if workflow is not None:
            return await self._workflow(str(workflow), after)
        return await (self._events(str(run), after) if run is not None else self._runs(after))

    async def _runs(self, after: int) -> Mapping[str, object]:
        query = "SELECT id, run, last_seq FROM runs WHERE id > ? ORDER BY id LIMIT ?"
        found = await self._replica.writer.read(lambda connection: list(connection.execute(query, (after, RUNS_AT_ONCE))))
        return {"from": self._name, "upto": self._replica.position, "runs": [list(row) for row in found]}

    async def _events(self, run: str, after: int) -> Mapping[str, object]:
        events = (await self._replica.events(run, after))[:EVENTS_AT_ONCE]
        while len(events) > 1 and len(encode(events)) > LONGEST_BYTES:
            events = events[: len(events) // 2]
        return {"from": self._name, "events": plain(events)}

    async def _workflow(self, digest: str, after: int) -> Mapping[str, object] | None:
        """Return a part of an encoded workflow; None where we have none."""
        find = self._replica.workflows.find
        workflow = await self._replica.writer.read(lambda connection: find(connection, digest))
        if workflow is None:
            return None
        data = encode(workflow)
        part = base64.b64encode(data[after : after + PART_BYTES]).decode()
        return {"from": self._name, "workflow": digest, "size": len(data), "part": part}


async def answer(cluster: Cluster, replica: Replica, name: str, forever: Callable[[], Awaitable[None]]) -> None:
    """Answer for as long as `forever` takes."""
    saying = Saying(cluster)
    await saying.hear(SUBJECT, Peer(replica, name).answer)
    try:
        await forever()
    finally:
        await saying.close()


async def fill(cluster: Cluster, replica: Replica, position: int) -> None:
    """Ask for the runs that the stream may have removed since a replica was at `position`, and write those it lacks.

    Raises StoreError when nobody who has them answers: without them the history would be wrong for good.
    """
    purged = await purged_upto(cluster)
    if position >= purged:
        return
    saying = Saying(cluster)
    page = await _ask(saying, {"after": 0}, lambda said: int(said["upto"]) >= purged)
    peer = str(page["from"])
    while page["runs"]:
        for number, run, last_seq in page["runs"]:
            await _fill_run(saying, peer, replica, _Row(run=str(run), number=int(number), last_seq=int(last_seq)))
        page = await _ask(saying, {"to": peer, "after": page["runs"][-1][0]}, lambda _said: True)


async def others_workflow(cluster: Cluster, digest: str) -> bytes | None:
    """Return a workflow, encoded, from another replica that has it; None where none answers."""
    saying, data, asked = Saying(cluster), b"", {"workflow": digest}
    try:
        while True:
            page = await _ask(saying, {**asked, "after": len(data)}, lambda said: said["workflow"] == digest)
            data += base64.b64decode(str(page["part"]))
            if len(data) >= int(page["size"]) or not page["part"]:
                return data
            asked["to"] = str(page["from"])
    except StoreError:
        return None


async def _fill_run(saying: Saying, peer: str, replica: Replica, row: _Row) -> None:
    known = await replica.writer.read(lambda connection: _last_seq(connection, row.run))
    while known < row.last_seq:
        page = await _ask(saying, {"to": peer, "run": row.run, "after": known}, lambda said: "events" in said)
        events = build(page["events"], list[Event], strict=False)
        if not events:
            LOG.warning("the events of run %s after %d cannot be had from %s", row.run, known, peer)
            return
        await _write(replica, row, events)
        known = events[-1].seq


async def _write(replica: Replica, row: _Row, events: Sequence[Event]) -> None:
    workflow = await _workflow(replica, events)
    said = Head(run=row.run, last=events[-1].seq)
    found = rows.Found(seq=row.number - 1, head=said, events=events, workflow=workflow)  # so it gets the same number
    await replica.writer.write(lambda connection: rows.append(connection, replica.workflows, found))


async def _workflow(replica: Replica, events: Sequence[Event]) -> Workflow | None:
    digest = events[0].data.get("workflow") if events[0].seq == 1 else None
    try:
        return await replica.workflow(str(digest)) if digest else None
    except NotFoundError:
        return None


async def _ask(saying: Saying, asked: Mapping[str, object], good: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """Return the first good answer. Raises StoreError."""

    def is_good(said: object) -> bool:
        try:
            return isinstance(said, dict) and good(said)
        except (KeyError, TypeError, ValueError):
            return False

    try:
        answers = await saying.ask(SUBJECT, dict(asked), WITHIN_S, lambda all_said: any(map(is_good, all_said)))
    except CodecError as error:
        raise StoreError(f"nats: {error}") from error
    found = next((said for said in answers if is_good(said)), None)
    if found is None:
        raise StoreError(
            "runs that ended long ago are not on NATS any more, and nobody who has their history answers",
            hint="start a `provisioning worker start` on a machine that was there before",
        )
    return dict(found)


def _last_seq(connection: sqlite3.Connection, run: str) -> int:
    row = connection.execute("SELECT last_seq FROM runs WHERE run = ?", (run,)).fetchone()
    return int(row[0]) if row else 0
