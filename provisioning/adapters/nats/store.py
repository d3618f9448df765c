"""Journal, inbox, tasks and timers on NATS, put together."""

from __future__ import annotations

from pathlib import Path

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.journal import NatsJournal
from provisioning.adapters.nats.replica import Replica
from provisioning.core.ports import Clock


class NatsStore:
    """Fulfils `ports.Journal`, `Inbox`, `Tasks` and `Timers`; `history` reads what happened. `aclose` it.

    `folder` is where the replica of the history is. With `patient`, every commit returns only when `history` has it; else
    those of a leader are there a moment later, and `settled` waits for them.
    """

    def __init__(self, cluster: Cluster, folder: Path, clock: Clock | None = None, *, patient: bool = False) -> None:
        self.cluster, self._clock, self._patient = cluster, clock or SystemClock(), patient
        self.blobs = Blobs(cluster)
        self.journal = NatsJournal(cluster, self.blobs)
        self.replica = Replica(cluster, self.blobs, folder / "history.db")
        self.history = self.replica.history
