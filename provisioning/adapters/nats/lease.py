"""The right to lead a shard: one key with a TTL, written with compare-and-set. Its revision is the fencing token."""

from __future__ import annotations

from collections.abc import Callable

from provisioning.adapters.nats.connect import Cluster

TTL_S = 5.0
HINT = "`--wait` waits for it; `provisioning worker list` shows who it is. A dead holder's right frees itself"


class NatsLease:
    """Fulfils `ports.Lease`. `lost` is called once when it could not be renewed in time: whoever leads must stop deciding."""

    def __init__(self, cluster: Cluster, actor: str, *, ttl_s: float = TTL_S, lost: Callable[[], None] = lambda: None) -> None:
        self._cluster, self._actor, self._ttl_s, self._lost = cluster, actor, ttl_s, lost

    async def acquire(self, *, wait: bool = False) -> int:
        """Return the fencing token, higher than every one before. Raises LockedError naming the holder, unless `wait`."""
        raise NotImplementedError

    async def release(self) -> None:
        """Give it up. Giving up what is not held is no error."""
        raise NotImplementedError
