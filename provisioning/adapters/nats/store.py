"""Journal, inbox, tasks and timers on NATS, put together."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.blobs import WORKFLOWS, Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.holding import LEASE_S
from provisioning.adapters.nats.journal import NatsJournal
from provisioning.adapters.nats.messages import Head
from provisioning.adapters.nats.peers import fill, others_workflow
from provisioning.adapters.nats.replica import Replica
from provisioning.adapters.nats.retention import erase_logs
from provisioning.adapters.nats.schedules import NatsSchedules
from provisioning.adapters.nats.streams import blob_stream, ensure, work_stream
from provisioning.adapters.nats.wire import Message
from provisioning.adapters.nats.work import NatsWork
from provisioning.codec import digest, encode
from provisioning.core.events import Event
from provisioning.core.model import RUN_ENDED, Workflow
from provisioning.core.ports import Clock, Commit
from provisioning.core.retention import GRACE_S
from provisioning.errors import NotFoundError, StoreError

REMEMBERED = 10_000  # workflows


class NatsStore(NatsWork):
    """Fulfils `ports.Journal`, `Inbox`, `Tasks` and `Timers`; `history` reads what happened. `aclose` it.

    `folder` is where the replica of the history is. With `patient`, every commit returns only when `history` has it; else
    those of a leader are there a moment later, and `settled` waits for them.
    """

    def __init__(
        self, cluster: Cluster, folder: Path, clock: Clock | None = None, *, patient: bool = False, lease_s: float = LEASE_S
    ) -> None:
        """`lease_s` is how long a worker may give no sign of life."""
        self.cluster, self._clock, self._patient = cluster, clock or SystemClock(), patient
        self.blobs = Blobs(cluster)
        super().__init__(cluster, self.blobs, self._clock, lease_s)
        self.journal = NatsJournal(cluster, self.blobs, self.timers.schedules, self._ended_at)
        self.replica = Replica(cluster, self.blobs, folder / "history.db")
        self.replica.fill, self.replica.others = partial(fill, cluster, self.replica), partial(others_workflow, cluster)
        self.history = self.replica.history
        self.schedules = NatsSchedules(cluster, self.blobs, self.replica)
        self._stored: dict[str, datetime] = {}  # workflows, and when we stored them
        self._newest = 0
        cluster.prepare = self._prepare

    async def aclose(self) -> None:
        """Stop everything and close the connection."""
        await self._end_work()
        await self.journal.sender.close()
        await self.replica.close()
        await self.cluster.close()

    def close(self) -> None:
        """Close the local file. The connection closes with its event loop."""
        self.replica.close_file()

    async def _prepare(self) -> None:
        for stream in (work_stream(self.cluster), blob_stream(self.cluster)):
            await ensure(self.cluster, stream)

    # ------------------------------------------------------------ Journal

    async def put_workflow(self, workflow: Workflow) -> str:
        """Store a workflow under its digest and return that. It stays for long enough to begin a run with it."""
        address, now = digest(workflow), self._clock.now()
        if self._age_s(address) > GRACE_S / 4:
            await self.blobs.put(WORKFLOWS, encode(workflow), address, anew=True)
            self._stored.pop(address, None)
            self._stored[address] = now
            if len(self._stored) > REMEMBERED:
                del self._stored[next(iter(self._stored))]
        return address

    async def workflow(self, digest: str) -> Workflow:
        """Return a stored workflow. Raises NotFoundError."""
        return await self.replica.workflow(digest)

    async def commit(self, commit: Commit) -> int:
        """Append all of it or nothing, durably; return the new last seq. Raises StaleRevision, Fenced, ValueError.

        What creates a run, or comes from somebody who does not lead, is in `history` when this returns.
        """
        self._refuse_late(commit)
        await self._before(commit)
        last, seq = await self.journal.commit(commit)
        await self._after(commit)
        self._newest = max(self._newest, seq)
        if self._patient or commit.fence is None or commit.expected_seq == 0:
            await self.replica.reached(seq)
        return last

    async def settled(self) -> None:
        """Wait until `history` has everything that was committed here, and the server what followed from it."""
        await self.journal.sender.settled()
        await self.replica.reached(self._newest)

    async def take_over(self, token: int) -> list[str]:
        """Begin to lead: nothing of an older leader is stored after this. Return the open runs. Raises Fenced."""
        await self.journal.raise_fence(token)
        runs = await self.open_runs()
        await self.journal.take_over(token, runs)
        await self.replica.caught_up()
        open_runs = await self.replica.open_runs()
        await self._lead({run: await self.journal.decided_upto(run) for run in open_runs})
        return open_runs

    async def events(self, run: str, after: int = 0) -> list[Event]:
        """Return the events of a run with seq > `after`, in order."""
        await self.replica.caught_up()
        return await self.replica.events(run, after)

    async def open_runs(self) -> list[str]:
        """Return the ids of runs that have not finished, oldest first."""
        await self.replica.caught_up()
        return await self.replica.open_runs()

    async def delete(self, run: str) -> None:
        """Remove every trace of a run, its logs on the servers too. Removing what is not there is no error."""
        names = self.cluster.names
        self._forget(run)
        seq = await self.journal.told_gone(run)
        for subject in names.of_run(run):
            await self.cluster.purge_before(names.work, subject, seq)
        await self.blobs.delete(run)
        await erase_logs(self.cluster, run)
        await self.replica.reached(seq)

    async def delete_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters that were replayed, `waiting` ones too; only those that died `before`. Return how many."""
        until = before.astimezone(UTC).isoformat() if before is not None else None
        asked = encode({"before": until, "waiting": waiting, "asked": uuid.uuid4().hex}).decode()
        message = Message(subject=self.cluster.names.decision(""), headers=Head(run="", last=0, letters=asked).headers())
        await self.replica.reached(await self.cluster.publish(message))
        return self.replica.letters_deleted(asked)

    # ------------------------------------------------------------ parts

    def _age_s(self, digest: str) -> float:
        """Return for how many seconds a workflow has been stored by us; for ever where it has not."""
        at = self._stored.get(digest)
        return (self._clock.now() - at).total_seconds() if at is not None else inf

    def _refuse_late(self, commit: Commit) -> None:
        """Refuse a run whose workflow we stored so long ago that it may be gone: we stood still. Raises StoreError."""
        first = commit.events[0] if commit.expected_seq == 0 and commit.events else None
        digest = str(first.data.get("workflow", "")) if first is not None else ""
        if digest in self._stored and self._age_s(digest) > GRACE_S / 2:
            raise StoreError(f"run {commit.run} comes too long after its workflow was stored", hint="submit it again")

    def _ended_at(self, run: str) -> int:
        try:
            summary = self.history.summary(run)
        except NotFoundError:
            return 0
        return summary.last_seq if summary.state in RUN_ENDED else 0

    async def _sent(self) -> None:
        await self.journal.sender.settled()
