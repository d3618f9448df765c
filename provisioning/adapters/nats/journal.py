"""The journal on NATS."""

from __future__ import annotations

from provisioning.adapters.nats.batch import Batches
from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.core.ports import Commit


class NatsJournal:
    """Fulfils the writing half of `ports.Journal`; see `replica` for the reading half."""

    def __init__(self, cluster: Cluster, blobs: Blobs) -> None:
        self._cluster, self._blobs, self._batches = cluster, blobs, Batches(cluster)

    async def commit(self, commit: Commit) -> tuple[int, int]:
        """Append all of it or nothing; return the new last seq of the run and the sequence in the stream."""
        raise NotImplementedError

    async def take_over(self, token: int, runs: list[str]) -> None:
        """Raise the fence, and mark these open runs as ours: after that, nothing of an older leader is stored any more."""
        raise NotImplementedError
