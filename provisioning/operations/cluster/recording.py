"""Keeps the resource states of a cluster's workspaces up with its runs: what a recorder is for one workspace, for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provisioning.core.events import Event
from provisioning.core.model import RUN_ENDED, Workflow
from provisioning.core.ports import Clock, Journal, Resources
from provisioning.core.resources import Actor
from provisioning.core.run import Run
from provisioning.engine.recorder import Recorder
from provisioning.errors import StaleRevision


class Recording:
    """A `Projection` onto the states of whatever workspace a run is of."""

    def __init__(self, journal: Journal, clock: Clock, resources: Callable[[str], Resources]) -> None:
        """`resources` returns the states of a workspace."""
        self._journal, self._clock, self._resources = journal, clock, resources
        self._recorders: dict[str, tuple[str, Recorder]] = {}  # by workspace: of which run

    def binds(self, run: Run) -> bool:
        """See `Projection`."""
        return bool(workspace_of(run.workflow))

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        """Record the events of a run of formulas. Raises StoreError."""
        workspace = workspace_of(run.workflow)
        if not workspace:
            return
        try:
            await self._record(workspace, run, events)
        except StaleRevision:  # somebody else wrote: what he wrote is read, and all of the run recorded upon that
            del self._recorders[workspace]
            await self._record(workspace, run, events)
        if run.state in RUN_ENDED:
            self._recorders.pop(workspace, None)

    async def _record(self, workspace: str, run: Run, events: Sequence[Event]) -> None:
        known = self._recorders.get(workspace)
        if known is not None and known[0] == run.id:
            await known[1].committed(run, events)
            return
        everything = await self._journal.events(run.id)  # also what another leader committed and did not come to record
        recorder = Recorder(self._resources(workspace), self._clock, _actor(everything))
        await recorder.load()
        self._recorders[workspace] = run.id, recorder
        await recorder.committed(run, everything)


def workspace_of(flow: Workflow) -> str:
    """Return the workspace whose formulas a workflow is; "" for another workflow."""
    return flow.labels.get("workspace", "") if flow.source is not None and flow.source.kind == "formula" else ""


def _actor(events: Sequence[Event]) -> Actor:
    first = events[0] if events else None
    return Actor(identity=first.actor, source=str(first.data.get("trigger", ""))) if first is not None else Actor()
