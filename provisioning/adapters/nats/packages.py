"""Packages of runs on NATS: blobs of the run that all began with, removed with what else it has."""

from __future__ import annotations

from collections import OrderedDict

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.core.dagu.package import address
from provisioning.errors import NotFoundError

REMEMBERED = 10_000


class NatsPackages:
    """Fulfils `core.dagu.definitions.Packages`."""

    def __init__(self, cluster: Cluster) -> None:
        self._blobs = Blobs(cluster)
        self._stored: OrderedDict[tuple[str, str], None] = OrderedDict()  # by us: not sent again

    async def put(self, run: str, data: bytes) -> str:
        """Store a package. Raises StoreError."""
        digest = address(data)
        if (run, digest) not in self._stored:
            await self._blobs.put(run, data, digest)
            self._stored[run, digest] = None
            if len(self._stored) > REMEMBERED:
                self._stored.popitem(last=False)
        return digest

    async def get(self, run: str, digest: str) -> bytes:
        """Return it. Raises NotFoundError, StoreError."""
        try:
            return await self._blobs.get(run, digest)
        except NotFoundError as error:
            raise NotFoundError(f"run {run} has no package {digest}") from error
