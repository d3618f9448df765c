"""Packages of runs on NATS: blobs under their own digest, shared by all runs that begin with the same files."""

from __future__ import annotations

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.core.dagu.package import address
from provisioning.errors import NotFoundError

OWNER = "packages"


class NatsPackages:
    """Fulfils `core.dagu.definitions.Packages`."""

    def __init__(self, cluster: Cluster) -> None:
        self._blobs = Blobs(cluster)
        self._stored: set[str] = set()  # by us: not sent again

    async def put(self, data: bytes) -> str:
        """Store a package. Raises StoreError."""
        digest = address(data)
        if digest not in self._stored:
            await self._blobs.put(OWNER, data, digest)
            self._stored.add(digest)
        return digest

    async def get(self, digest: str) -> bytes:
        """Return it. Raises NotFoundError, StoreError."""
        try:
            return await self._blobs.get(OWNER, digest)
        except NotFoundError as error:
            raise NotFoundError(f"there is no package {digest}") from error
