"""Runs past instants of a schedule: several at once, one after another, until they have ended or somebody stops it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.core.backfill import SUCCEEDED, Action, Item
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.schedules import BACKFILL
from provisioning.errors import ExistsError, LockedError, NotFoundError, ProvisioningError
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler.ports import Runs

if TYPE_CHECKING:
    from provisioning.core.backfill import StateOf
    from provisioning.core.history import History

TRIES, AGAIN_S = 5, 0.2  # to start a run whose lock somebody has
ALREADY = "somebody else has just started it"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far it is. `over` is also said of one that was stopped before all was started."""

    total: int
    skipped: int
    started: int = 0
    ended: int = 0
    failed: int = 0  # of those that ended, and those that could not be started
    over: bool = False
    stopped: bool = False
    states: dict[str, RunState] = field(default_factory=dict)  # run id -> how it ended
    errors: dict[str, str] = field(default_factory=dict)  # run id -> why it could not be started


class Keeper:
    """Keeps what a backfill of one process has to tell others. Does nothing; override what you need.

    Of a `resumed` one some runs may have been started before.
    """

    resumed = False

    async def may_start(self) -> bool:
        """Whether another run may be started: nobody has stopped the backfill elsewhere."""
        return True

    async def failed(self, item: Item, message: str) -> None:
        """A run could not be started."""


class Backfill:
    """`run` it once. `progress` says how far it is; `stop` starts nothing more and stops what runs."""

    def __init__(
        self,
        dag: DagFile,
        items: Sequence[Item],
        runs: Runs,
        *,
        parallel: int = 1,
        given: Sequence[Given] = (),
        actor: str = "",
        tell: Callable[[Item, RunState | None], None] = lambda _item, _state: None,
        keeper: Keeper | None = None,
    ) -> None:
        """`tell` hears of each run that was started (None) and how it ended."""
        self.items = tuple(items)
        wanted = [item for item in items if item.action is not Action.SKIP]
        self.progress = Progress(total=len(items), skipped=len(items) - len(wanted))
        self._dag, self._runs, self._parallel = dag, runs, parallel
        self._start = Start(given=given, trigger=BACKFILL, actor=actor)
        self._tell, self._keeper = tell, keeper or Keeper()
        self._waiting = deque(wanted)
        self._going: set[str] = set()

    async def run(self) -> Progress:
        """Run what is wanted, at most `parallel` at once; the order is that of the items."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._parallel, len(self._waiting))):
                    group.create_task(self._work())
        finally:
            self.progress.over = True
        return self.progress

    async def stop(self) -> None:
        """Start nothing more, and stop what goes on; return when that has ended."""
        self.progress.stopped = True
        self._waiting.clear()
        await self._runs.stop(sorted(self._going), self._start.actor)

    # ------------------------------------------------------------ parts

    async def _work(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if not await self._keeper.may_start():
                self._waiting.clear()
                return
            self._going.add(item.run_id)
            try:
                await self._one(item)
            except (ExistsError, LockedError):
                self.progress.skipped += 1
                await self._failed(item, ALREADY)
            except ProvisioningError as error:
                self.progress.failed += 1
                await self._failed(item, error.message)
            finally:
                self._going.discard(item.run_id)

    async def _failed(self, item: Item, message: str) -> None:
        self.progress.errors[item.run_id] = message
        await self._keeper.failed(item, message)

    async def _one(self, item: Item) -> None:
        await self._begin(item)
        self.progress.started += 1
        self._tell(item, None)
        if self.progress.stopped:  # while it was being started
            await self._runs.stop([item.run_id], self._start.actor)
        state = await self._runs.ended(item.run_id)
        self.progress.ended += 1
        self.progress.failed += state not in SUCCEEDED
        self.progress.states[item.run_id] = state
        self._tell(item, state)

    async def _begin(self, item: Item) -> None:
        """Start a run, unless it was started before. Where somebody else has its lock, wait a moment for what comes of that."""
        asked = replace(self._start, run_id=item.run_id, scheduled_at=item.at)
        for left in reversed(range(TRIES)):
            try:
                return await self._runs.start(self._dag, asked)
            except ExistsError:
                if not self._keeper.resumed:
                    raise
                return None
            except LockedError:
                if not left:
                    raise
                await asyncio.sleep(AGAIN_S)
        return None


def states(history: History, data: Path) -> StateOf:
    """Return what tells how a run stands; one that has lost its process has failed."""

    def state_of(run_id: str) -> RunState | None:
        try:
            state = history.summary(run_id).state
        except NotFoundError:
            return None
        if state in RUN_ENDED or clusters.is_replica(data):  # somebody takes over what a process leaves
            return state
        return RunState.FAILED if wiring.run_lock(data, run_id).holder() is None else state

    return state_of
