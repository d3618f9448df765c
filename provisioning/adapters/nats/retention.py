"""Removes from the streams what everybody has: runs that ended long ago. Their history and logs are in the readers' files.

Only one process does it at a time, the one that leads; two at once do no harm.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from math import inf

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.logs import logs_of, stream_name
from provisioning.adapters.nats.messages import Unreadable, head
from provisioning.adapters.nats.names import text
from provisioning.adapters.nats.readers import BUCKET, PURGED, Told, of_stream, readers, subjects
from provisioning.adapters.nats.unused import Unused
from provisioning.adapters.nats.wire import NOT_FOUND_STREAM, Message, Refused, Stored
from provisioning.core.history import History
from provisioning.core.model import RUN_ENDED
from provisioning.core.ports import Clock
from provisioning.core.retention import Ended, Keep, read_by_all, removable
from provisioning.errors import NotFoundError, StoreError

LOG = logging.getLogger("provisioning")
DAY_S = 24 * 3600.0
EVERY_S, SWEEP_S = 300.0, 3600.0
DEFAULT = Keep(ended_s=DAY_S, forget_s=7 * DAY_S)


class Retention:
    """Looks now and then what may go. `history` is that of a replica which is registered as a reader itself."""

    def __init__(self, cluster: Cluster, history: History, clock: Clock, keep: Keep = DEFAULT) -> None:
        self._cluster, self._history, self._clock, self._keep = cluster, history, clock, keep
        self._blobs = Blobs(cluster)

    async def serve(self, every_s: float = EVERY_S) -> None:
        """Remove until cancelled. What fails is tried again the next time."""
        swept_s = -inf
        while True:
            try:
                await self.remove()
                if self._clock.monotonic_s() - swept_s >= SWEEP_S:
                    await Unused(self._cluster, self._history).remove()
                    swept_s = self._clock.monotonic_s()
            except StoreError as error:
                LOG.warning("runs that ended long ago stay in the streams for now: %s", error)
            await self._clock.sleep(every_s)

    async def remove(self) -> list[str]:
        """Remove what may go; return the ids of the runs. Raises StoreError."""
        work = self._cluster.names.work
        # Whatever of a run is older than this belongs to what has ended: a run that is opened again has newer decisions.
        last_seq = int((await self._cluster.ask(f"STREAM.INFO.{work}"))["state"]["last_seq"])
        told, now = await readers(self._cluster), self._clock.now()
        going = removable(await self._ended(now), of_stream(told, work), now, self._keep)
        gone = [run for run in going if await self._logs_are_read(run.run, told, now)]
        if gone:
            await self._note(max(run.seq for run in gone))
        for run in gone:
            await self._purge(run.run, last_seq)
        return [run.run for run in gone]

    # ------------------------------------------------------------ parts

    async def _ended(self, now: datetime) -> list[Ended]:
        """Return the runs in the stream that have ended, or were deleted."""
        found = []
        for subject in await subjects(self._cluster, self._cluster.names.work, self._cluster.names.decisions):
            if self._goes_on(text(subject.rpartition(".")[2]), now):
                continue
            stored = await self._cluster.last(self._cluster.names.work, subject)
            ended = self._as_ended(stored, now) if stored is not None else None
            found += [ended] if ended is not None else []
        return found

    def _goes_on(self, run: str | None, now: datetime) -> bool:
        """Whether it is known without asking the server that a run stays. A run whose name was hashed has to be asked for."""
        if not run:
            return run == ""  # messages about no run
        at = self._ended_at(run)
        return at is not None and (now - at).total_seconds() < self._keep.ended_s

    def _as_ended(self, stored: Stored, now: datetime) -> Ended | None:
        try:
            said = head(stored)
        except Unreadable:
            return None
        if said.gone:  # that it was deleted is kept until everybody knows
            return Ended(run=said.run, seq=stored.seq, at=now - timedelta(seconds=self._keep.ended_s))
        at = self._ended_at(said.run)
        return Ended(run=said.run, seq=stored.seq, at=at) if at is not None else None

    def _ended_at(self, run: str) -> datetime | None:
        try:
            summary = self._history.summary(run)
        except NotFoundError:
            return None
        return summary.ended_at if summary.state in RUN_ENDED else None

    async def _logs_are_read(self, run: str, told: list[Told], now: datetime) -> bool:
        newest = await self._cluster.last(stream_name(self._cluster), logs_of(self._cluster, run))
        return newest is None or read_by_all(of_stream(told, stream_name(self._cluster)), now, self._keep) >= newest.seq

    async def _purge(self, run: str, last_seq: int) -> None:
        """The decisions go last: as long as they are there, what a crash leaves is found again."""
        names = self._cluster.names
        await self._blobs.delete(run)
        await erase_logs(self._cluster, run)
        *others, decisions = sorted(names.of_run(run), key=lambda subject: subject == names.decision(run))
        for subject in (*others, decisions):
            await self._cluster.purge_before(names.work, subject, last_seq + 1)

    async def _note(self, seq: int) -> None:
        body = str(max(seq, await purged_upto(self._cluster))).encode()
        await self._cluster.publish(Message(subject=self._cluster.names.key(BUCKET, PURGED), body=body))


async def purged_upto(cluster: Cluster) -> int:
    """Return up to which sequence of the work stream runs may be missing in it. A replica that is not so far asks another."""
    found = await cluster.last(cluster.names.bucket(BUCKET), cluster.names.key(BUCKET, PURGED))
    return int(found.body) if found is not None and found.body else 0


async def erase_logs(cluster: Cluster, run: str) -> None:
    """Remove the chunks of a run; where there is no stream of logs, there are none. Raises StoreError."""
    try:
        await cluster.purge(stream_name(cluster), logs_of(cluster, run))
    except Refused as error:
        if error.number != NOT_FOUND_STREAM:
            raise
