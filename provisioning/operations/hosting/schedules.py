"""The scheduler of a server: what it starts, the server's engine runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.scheduling import Act
from provisioning.errors import NotFoundError, UsageError, WaitTimeout
from provisioning.operations.dagu.records import STOPS_WITHIN_S
from provisioning.operations.dagu.restarting import last_given
from provisioning.operations.dagu.running import Start
from provisioning.operations.hosting.driving import is_servers
from provisioning.operations.scheduler import Observer

if TYPE_CHECKING:
    from provisioning.operations.hosting.host import Host

LOOK_S = 0.25
_log = logging.getLogger("provisioning.scheduler")


class HostRuns:
    """Fulfils `scheduler.ports.Runs` with a server's engine."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def start(self, dag: DagFile, asked: Start) -> None:
        """See `Runs`."""
        await self._host.start_dag(dag, asked)

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        """See `Runs`. Raises WaitTimeout for a run that does not end."""
        asked = []
        for run in run_ids:
            try:
                await self._host.cancel(run, actor)
            except (NotFoundError, UsageError):  # it has ended, or is lost
                continue
            asked.append(run)
        for run in asked:
            try:
                await asyncio.wait_for(self.ended(run), STOPS_WITHIN_S)
            except TimeoutError:
                raise WaitTimeout(f"run {run} has not stopped within {STOPS_WITHIN_S:g} s", hint="try again later") from None

    async def ended(self, run_id: str) -> RunState:
        """See `Runs`. A run of servers whose process is gone goes on soon: one of them takes it up."""
        while True:
            try:
                state, lost = await asyncio.to_thread(self._look, run_id)
            except NotFoundError:
                return RunState.FAILED
            if state in RUN_ENDED:
                return state
            if lost:
                return RunState.FAILED
            await self._host.sleep(LOOK_S)

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        """See `Runs`."""
        return await asyncio.to_thread(last_given, self._host.places.data, dag)

    def _look(self, run_id: str) -> tuple[RunState, bool]:
        summary = self._host.reading.summary(run_id)
        return summary.state, not is_servers(summary.trigger) and self._host.reading.is_lost(self._host.places.data, summary)


class Logged(Observer):
    """Writes what the scheduler does into the server's log."""

    def on_act(self, name: str, act: Act, run_id: str) -> None:
        """Something was done for a DAG."""
        _log.info("%s: %s for %s %s %s", name, act.what, act.at.isoformat(), run_id, act.reason)

    def on_failure(self, name: str, message: str) -> None:
        """Something could not be done."""
        _log.warning("%s%s", f"{name}: " if name else "", message)
