"""Make a lost stream anew from a replica of the history: every run, every event, every workflow.

What was asked for or reported and not yet decided is lost with the stream; the next leader hands out again what was going on.
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioning.adapters.nats import replicarows as rows
from provisioning.adapters.nats.blobs import WORKFLOWS, Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.fences import Fences
from provisioning.adapters.nats.messages import Head, events_body
from provisioning.adapters.nats.replica import Replica
from provisioning.adapters.nats.streams import blob_stream, ensure, work_stream
from provisioning.adapters.nats.wire import Message, expected
from provisioning.adapters.sqlite import journal as sql
from provisioning.codec import encode
from provisioning.core.events import Event
from provisioning.errors import StoreError

EVENTS_AT_ONCE = 500
UNSEEN = 1_000_000  # messages of the lost stream that came after the newest decision that anybody has


async def rebuild(cluster: Cluster, replica: Replica) -> int:
    """Write everything that a replica has into an empty stream; return how many runs. Raises StoreError.

    Replicas that followed the lost stream go on with this one. Nobody may lead meanwhile.
    """
    await ensure(cluster, blob_stream(cluster))
    stream = await ensure(cluster, work_stream(cluster))
    mark = await replica.writer.read(rows.stream_mark)
    if await cluster.last(cluster.names.work, cluster.names.decisions) is not None:
        raise StoreError(f"nats: stream {cluster.names.work} is not empty", hint="only a lost stream is rebuilt")
    runs = await replica.writer.read(lambda connection: list(connection.execute("SELECT run, digest FROM runs ORDER BY id")))
    for run, digest in runs:
        await _rebuild_run(cluster, replica, str(run), str(digest))
    await _overtake(cluster, await replica.writer.read(rows.position))
    config = {**stream["config"], "metadata": {**(stream["config"].get("metadata") or {}), rows.REBUILT_FROM: str(mark)}}
    await cluster.ask(f"STREAM.UPDATE.{cluster.names.work}", config)
    return len(runs)


async def _overtake(cluster: Cluster, position: int) -> None:
    """Places in the new stream begin anew: have fencing numbers go on above those of the lost one."""
    fences = Fences(cluster)
    async for workspace in fences.workspaces():
        await fences.exceed(workspace, await fences.offset(workspace) + position + UNSEEN)


async def _rebuild_run(cluster: Cluster, replica: Replica, run: str, digest: str) -> None:
    blobs = Blobs(cluster)
    workflow = await replica.writer.read(lambda connection: replica.workflows.find(connection, digest))
    if workflow is not None:
        await blobs.put(WORKFLOWS, encode(workflow), digest)
    events = await replica.writer.read(lambda connection: sql.read_events(connection, run, 0))
    seq = 0
    for start in range(0, len(events), EVENTS_AT_ONCE):
        seq = await _write(cluster, blobs, run, events[start : start + EVENTS_AT_ONCE], digest if start == 0 else "", seq)


async def _write(cluster: Cluster, blobs: Blobs, run: str, events: Sequence[Event], digest: str, after: int) -> int:
    body, more = await blobs.packed(run, events_body(events))
    said = Head(run=run, last=events[-1].seq, workflow=digest)
    headers = {**said.headers(), **more, **expected(after)}
    return await cluster.publish(Message(subject=cluster.names.decision(run), body=body, headers=headers))
