"""Who works on a workspace of a cluster: one at a time, a run or an edit of its states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.frozen import dataclass
from provisioning.errors import LockedError, NotFoundError, ProvisioningError

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.adapters.nats.turns import Turn
    from provisioning.core.resources import ResourceBook

Note = Callable[[str], None]
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Turning:
    """Takes the turn of one workspace, for somebody."""

    joined: Joined
    workspace: str
    actor: str
    hint: str = "`--wait` waits for it"  # for whoever does not wait

    async def holder(self) -> str:
        """Return who has the workspace; nothing where nobody has. Raises StoreError."""
        return self._holder(await clusters.turns(self.joined).now(self.workspace))

    async def take(self, run_id: str, note: Note, *, wait: bool) -> Turn:
        """Have the workspace for ourselves until a run begins, or it is given back. Raises LockedError, StoreError."""
        turns, told = clusters.turns(self.joined), ""
        while True:
            now = await turns.now(self.workspace)
            holder = self._holder(now)
            if not holder:
                mine = await turns.take(self.workspace, now, run_id, self.actor, begun=False)
                if mine is not None:
                    return mine
            elif not wait:
                raise LockedError(f"workspace {self.workspace} is locked by {holder}", hint=self.hint)
            else:
                if told != holder:
                    note(f"waiting for {holder}")
                told = holder
                await wiring.clock().sleep(LOOK_S)

    def _holder(self, turn: Turn) -> str:
        """Return who has the workspace; nothing where its run has ended, or never was."""
        if not turn.run:
            return ""
        try:
            summary = self.joined.store.history.summary(turn.run)
        except NotFoundError:
            return "" if turn.begun else f"{turn.actor}, who plans"
        return "" if summary.ended_at is not None else f"run {turn.run} of {turn.actor}"


async def copy_states(joined: Joined, workspace: str, folder: Path, book: ResourceBook, note: Note) -> None:
    """Have the state file of this machine say what the cluster says. A file that is not an older one is left as it is."""
    lock = wiring.workspace_lock(folder)
    try:
        highest = await clusters.fences(joined.cluster).highest(workspace)
        await lock.acquire()
        lock.exceed_sync(highest)
        wiring.state_file(folder).adopt_sync(book)
    except ProvisioningError as error:
        note(f"the state file of this machine was left as it is: {error.message}")
    finally:
        await lock.release()
