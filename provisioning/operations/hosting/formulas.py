"""Runs of workspaces in a server: each works in a thread of its own, under the workspace's lock."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from provisioning import wiring
from provisioning.core.events import Event
from provisioning.core.history import BY_SIGNAL, RunSummary
from provisioning.core.plan import Plan, Selection
from provisioning.errors import LockedError, ProvisioningError
from provisioning.operations import Listener, Project, RunOptions, RunResult
from provisioning.operations.hosting.places import Workspaces
from provisioning.operations.steering import cancel

_log = logging.getLogger("provisioning.server")
STOPS_WITHIN_S = 60.0
FREED_WITHIN_S = 5.0  # how long who has ended a run may take to let go of the workspace
LOOK_S = 0.1
ADOPT_S = 15.0  # between two looks for runs that have lost their server
SOURCE = "api"
Unended = Callable[[Path], Sequence[RunSummary]]
"""Returns the runs of a folder that have not ended."""
Heard = Callable[[str, Event], None]
"""Called in the server's event loop with a workspace's name and what has happened in a run of it."""


class Formulas:
    """All runs of workspaces that this server drives."""

    def __init__(self, workspaces: Workspaces, unended: Unended, heard: Heard) -> None:
        self._workspaces, self._unended, self._heard = workspaces, unended, heard
        self._running: dict[str, tuple[Path, threading.Thread]] = {}

    def running(self) -> frozenset[str]:
        """Return the ids of the runs."""
        return frozenset(self._running)

    async def provision(self, workspace: str, infra: str | None, selection: Selection, options: RunOptions) -> str:
        """Begin; return the run's id, nothing where there is nothing to do. Raises as `Project.provision`."""
        project = await asyncio.to_thread(self._workspaces.open, workspace, infra)
        return await self._begin(workspace, project, lambda told: project.provision(selection, options, told, _unseen))

    async def retry(self, workspace: str, run_id: str, options: RunOptions, *, infra: str) -> None:
        """Begin again. Raises as `Project.retry`."""
        project = await asyncio.to_thread(self._workspaces.open, workspace, infra)
        await self._begin(workspace, project, lambda told: project.retry(run_id, options, told))

    async def adopt(self) -> None:
        """Go on with runs that a server has begun and lost: at once, and again and again, until cancelled.

        What ran then goes on on its server and is found there. A run that cannot be taken up is tried once.
        """
        tried: set[str] = set()
        while True:
            for name, run in await asyncio.to_thread(self._lost):
                if run.run_id not in tried and run.run_id not in self._running:
                    tried.add(run.run_id)
                    await self._take_up(name, run)
            await asyncio.sleep(ADOPT_S)

    async def _take_up(self, workspace: str, run: RunSummary) -> None:
        try:
            await self.retry(workspace, run.run_id, RunOptions(actor=run.actor, source=SOURCE), infra=run.workflow)
        except ProvisioningError as error:
            _log.warning("run %s of workspace %s is not taken up: %s", run.run_id, workspace, error.message)

    def _lost(self) -> list[tuple[str, RunSummary]]:
        """Return the runs of servers that are open in workspaces on which nobody works. Blocks."""
        found = []
        for folder, name in self._workspaces.folders():
            runs = [run for run in self._unended(folder) if run.trigger == SOURCE]
            if runs and wiring.workspace_lock(folder).holder() is None:
                found += [(name, run) for run in runs]
        return found

    async def stop(self) -> None:
        """Stop what runs on the servers, as Ctrl-C does, and wait until that is recorded."""
        running = dict(self._running)
        for run_id, (folder, _thread) in running.items():
            await asyncio.to_thread(_ask_to_stop, folder, run_id)
        for _folder, thread in running.values():
            await asyncio.to_thread(thread.join, STOPS_WITHIN_S)

    async def _begin(self, workspace: str, project: Project, work: Callable[[Listener], RunResult]) -> str:
        """Begin, also where whoever has just ended a run has the workspace for a moment more."""
        until_s = time.monotonic() + FREED_WITHIN_S
        while True:
            try:
                return await self._try_to_begin(workspace, project, work)
            except LockedError:
                if time.monotonic() > until_s or await asyncio.to_thread(lambda: bool(self._unended(project.folder))):
                    raise
            await asyncio.sleep(LOOK_S)

    async def _try_to_begin(self, workspace: str, project: Project, work: Callable[[Listener], RunResult]) -> str:
        """Return the run's id as soon as there is one. What is wrong before is raised; later it is in the history."""
        begun: Future[str] = Future()
        over: Future[None] = Future()
        told = _Told(begun, asyncio.get_running_loop(), lambda event: self._heard(workspace, event))

        def run() -> None:
            try:
                result = work(told)
            except BaseException as error:
                told.raised(error)
            else:
                told.finished(result)
            finally:
                over.set_result(None)

        thread = threading.Thread(target=run, name=f"workspace {project.folder.name}", daemon=True)
        thread.start()
        run_id = await asyncio.wrap_future(begun)
        if run_id:
            self._running[run_id] = (project.folder, thread)
            asyncio.wrap_future(over).add_done_callback(lambda _over: self._running.pop(run_id, None))
        return run_id


class _Told(Listener):
    """Hears of the run's beginning, and passes on what happens. Called in the run's thread."""

    def __init__(self, begun: Future[str], loop: asyncio.AbstractEventLoop, heard: Callable[[Event], None]) -> None:
        self._begun, self._loop, self._heard = begun, loop, heard
        self.run_id = ""

    def on_run(self, run_id: str) -> None:
        """The run has been created."""
        self.run_id = run_id
        if not self._begun.done():
            self._begun.set_result(run_id)

    def on_event(self, event: Event) -> None:
        """An event was committed."""
        self._loop.call_soon_threadsafe(self._heard, event)

    def finished(self, result: RunResult) -> None:
        """It is over; where nothing was to be done there never was a run."""
        del result
        if not self._begun.done():
            self._begun.set_result(self.run_id)

    def raised(self, error: BaseException) -> None:
        """It could not begin, or broke."""
        if not self._begun.done():
            self._begun.set_exception(error)
        else:
            _log.error("run %s: %s", self.run_id, error.message if isinstance(error, ProvisioningError) else repr(error))


def _unseen(_plan: Plan) -> None:
    """Plans are looked at before: `plan` has them."""


def _ask_to_stop(folder: Path, run_id: str) -> None:
    try:
        cancel(folder, run_id, BY_SIGNAL)
    except ProvisioningError:  # it has ended meanwhile
        return
