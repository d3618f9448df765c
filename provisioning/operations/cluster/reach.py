"""How commands reach the runs of a cluster: they read this machine's copy of its history, and ask whoever decides for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from provisioning import clusters
from provisioning.clusters import Joined
from provisioning.core.presence import Presence
from provisioning.operations.session import run_blocking
from provisioning.operations.steering import Store

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access

T = TypeVar("T")


def caught_up(access: Access, run_id: str = "") -> Path:
    """Return the folder with this machine's copy of the history as it is now, with the logs of a run if one is named.

    Raises ClusterUnreachable, ConfigError, StoreError.
    """

    async def look(joined: Joined) -> Path:
        if run_id:
            await clusters.run_logs(joined, run_id).fetch()
        return joined.folder

    return run_blocking(_joined(access, look))


class OnCluster:
    """Fulfils `steering.Reach`."""

    lasting = True

    def __init__(self, access: Access) -> None:
        self._access = access

    def driven(self, _folder: Path) -> bool:
        """Whether a process decides for the cluster now."""

        async def look(joined: Joined) -> bool:
            return await clusters.lease(joined).holder() is not None

        return run_blocking(_joined(self._access, look))

    def there(self, _folder: Path) -> Sequence[Presence] | None:
        """See `Reach`."""
        return run_blocking(_joined(self._access, clusters.present))

    def within(self, _folder: Path, work: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """See `Reach`."""
        return run_blocking(_joined(self._access, lambda joined: work(joined.store)))

    def delete_logs(self, _folder: Path, run_id: str) -> None:
        """Remove the logs of a run, those that were brought here too."""
        run_blocking(_joined(self._access, lambda joined: clusters.delete_logs(joined, run_id)))


async def _joined(access: Access, work: Callable[[Joined], Coroutine[None, None, T]]) -> T:
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        return await work(joined)
    finally:
        await joined.aclose()
