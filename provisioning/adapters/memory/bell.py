"""Wake whoever waits. Unlike `asyncio.Event` it belongs to no event loop, so a store outlives the loop it was used in."""

from __future__ import annotations

import asyncio


class Bell:
    """Everyone who waits when it rings goes on; who comes later waits for the next ring."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake everyone. Only from the thread of the loop that waits."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done() and not future.get_loop().is_closed():
                future.set_result(None)

    async def heard(self) -> None:
        """Wait for the next ring."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)
