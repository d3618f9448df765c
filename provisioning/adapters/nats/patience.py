"""Readings that outlast the choice of a leader. They change nothing, so they are made again.

A cluster of three that has lost its leader has another one after four to nine seconds, or more on a busy machine; until then
it does not answer, and an answer is waited for only five.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from provisioning.adapters.nats.wire import NoAnswer, Refused
from provisioning.errors import ProvisioningError, StoreError

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Cluster

T = TypeVar("T")
AGAIN_S = 0.1


async def patiently(cluster: Cluster, read: Callable[[], Awaitable[T]]) -> T:
    """Return what `read` returns. Raises what it raises, where that does not pass by itself within the cluster's patience."""
    until_s = time.monotonic() + cluster.access.patience_s
    while True:
        try:
            return await read()
        except StoreError as error:
            if not passes(error) or time.monotonic() >= until_s:
                raise
        await asyncio.sleep(AGAIN_S)


def passes(error: ProvisioningError) -> bool:
    """Whether it is a cluster that will have a leader again."""
    return isinstance(error, NoAnswer) or (isinstance(error, Refused) and error.passing)
