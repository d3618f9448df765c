"""The one runner's right, among objects of one process."""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioning.adapters.memory.bell import Bell
from provisioning.errors import LockedError


@dataclass(slots=True)
class _Room:
    token: int = 0
    holder: MemoryLease | None = None
    left: Bell = field(default_factory=Bell)
    taken: Bell = field(default_factory=Bell)


class MemoryLease:
    """Fulfils `ports.Lease`. `rival` makes another contender for the same right."""

    def __init__(self, actor: str = "you@here") -> None:
        self.actor = actor
        self._room = _Room()

    def rival(self, actor: str = "somebody@elsewhere") -> MemoryLease:
        """Return another contender."""
        other = MemoryLease(actor)
        other._room = self._room
        return other

    async def acquire(self, *, wait: bool = False) -> int:
        """Return the fencing token. Raises LockedError naming the holder unless `wait`."""
        while self._room.holder is not None:
            if not wait or self._room.holder is self:
                raise LockedError(f"workspace is locked by {self._room.holder.actor}", hint="`--wait` waits for it")
            await self._room.left.heard()
        self._room.holder = self
        self._room.token += 1
        return self._room.token

    async def lost(self) -> None:
        """Wait until somebody has taken it away."""
        while self._room.holder is self:
            await self._room.taken.heard()

    async def release(self) -> None:
        """Give it up. Giving up what is not held is no error."""
        if self._room.holder is self:
            self._room.holder = None
            self._room.left.ring()
