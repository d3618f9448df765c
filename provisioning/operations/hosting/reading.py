"""What a server knows of runs: those of DAG files, and those of the workspaces of this user. One id is looked for in all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.dagu.report import RunReport, report
from provisioning.core.events import Event
from provisioning.core.folding import fold
from provisioning.core.history import AttemptRecord, DeadLetter, RunDetail, RunSummary
from provisioning.core.model import RUN_ENDED, RunState, Workflow
from provisioning.core.run import Run
from provisioning.core.upstream import awaiting
from provisioning.errors import NotFoundError
from provisioning.operations.dagu.listing import SOURCE, status_of
from provisioning.operations.dagu.records import SUBDAG
from provisioning.operations.hosting.asking import Question, questions
from provisioning.operations.hosting.places import Workspaces
from provisioning.operations.steering import HERE, Reach

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.pages import RunPages
    from provisioning.adapters.sqlite.store import SqliteStore

LOOKED_AT_MOST = 5_000  # runs, for one page
REJECTED, WAITING = "rejected", "waiting"
FORMULA = "formula"
"""The source of runs of workspaces. All that are neither this nor of DAG files are of programs, which drive them."""
_STATES: Mapping[str, tuple[RunState, ...]] = {
    "not_started": (RunState.CREATED,),
    "queued": (RunState.CREATED, RunState.QUEUED),
    "running": (RunState.RUNNING, RunState.PAUSING, RunState.PAUSED, RunState.FINISHING),
    WAITING: (RunState.RUNNING,),
    "aborted": (RunState.CANCELLED,),
    "partially_succeeded": (RunState.PARTIAL,),
    REJECTED: (RunState.FAILED, RunState.CANCELLED),
    "failed": (RunState.FAILED, RunState.TIMED_OUT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which runs a list holds. `status` may be several words with commas between, Dagu's or ours."""

    name: str | None = None
    workspace: str | None = None
    status: str = ""
    labels: tuple[str, ...] = ()  # KEY or KEY=VALUE
    q: str = ""
    since: datetime | None = None
    until: datetime | None = None
    inside: bool = False
    before: str | None = None

    @property
    def words(self) -> frozenset[str]:
        """The words of `status`."""
        return frozenset(word.strip().lower() for word in self.status.split(",") if word.strip())

    @property
    def states(self) -> frozenset[RunState]:
        """Which states these words may mean; none (empty) is no filter."""
        return frozenset(state for word in self.words for state in _states(word))

    @property
    def rejected(self) -> frozenset[RunState]:
        """Which of these states are wanted of runs that somebody rejected, and of no others."""
        return self.states - {state for word in self.words - {REJECTED} for state in _states(word)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One run as it stands."""

    folder: Path  # whose history has it
    workspace: str
    detail: RunDetail
    report: RunReport | None = None  # of runs of DAG files
    waiting: tuple[Question, ...] = ()
    lost: bool = False

    @property
    def status(self) -> str:
        """Its status in the words of its kind."""
        return self.report.status.value if self.report is not None else self.detail.summary.state.value


class Reading:
    """Over the history of the DAG files and those of the workspaces. Safe from any thread."""

    def __init__(self, data: Path, store: SqliteStore, workspaces: Workspaces, reach: Reach = HERE) -> None:
        """`reach` leads to whoever drives the runs of `data`; those of workspaces are of this machine."""
        self._data, self._store, self._workspaces, self._reach = data, store, workspaces, reach
        self._pages: dict[Path, RunPages] = {}

    def close(self) -> None:
        """Close what was opened."""
        for pages in self._pages.values():
            pages.close()

    def reach_of(self, folder: Path) -> Reach:
        """Return how whoever drives the runs of a folder is reached."""
        return self._reach if folder == self._data else HERE

    # ------------------------------------------------------------ lists

    def page(self, wanted: Wanted, limit: int) -> tuple[list[tuple[RunSummary, str]], str]:
        """Return the newest runs first, each with its status in words, and the id after which the list goes on.

        The page is shorter where few of many runs are wanted: the rest is for the next one. Raises NotFoundError for an unknown
        workspace.
        """
        folder, wanted = self.folder(wanted.workspace), self.wanted_of(wanted)
        found: list[tuple[RunSummary, str]] = []
        before, looked = wanted.before, 0
        while len(found) < limit and looked < LOOKED_AT_MOST:
            page = self.pages(folder).page(replace(wanted, before=before), limit)
            words = self._words(folder, page)
            found += [(run, words[run.run_id]) for run in page if _wanted(words[run.run_id], wanted.words)]
            if len(page) < limit:
                return found[:limit], found[limit - 1][0].run_id if len(found) > limit else ""
            before, looked = page[-1].run_id, looked + len(page)
        return found[:limit], found[limit - 1][0].run_id if len(found) > limit else before or ""

    def pulse(self) -> object:
        """Return something that is different when any run has changed, also of a workspace."""
        folders = [folder for folder, _name in ((self._data, ""), *self._workspaces.folders()) if wiring.has_history(folder)]
        return {folder: self.pages(folder).pulse() for folder in folders}

    def recent(self, names: Sequence[str], count: int) -> dict[str, list[RunSummary]]:
        """Return the newest runs of DAGs by name, the newest first; not those that other runs have started."""
        return self.pages(self._data).recent(names, count)

    def letters(
        self, workspace: str | None, limit: int, *, replayed: bool | None, workflow: str | None, before: int | None
    ) -> tuple[list[DeadLetter], int]:
        """Return the newest dead letters first, and how many wait."""
        from provisioning.operations.records import list_dead_letters

        folder = self.folder(workspace)
        return list_dead_letters(folder, limit, replayed=replayed, workflow=workflow, before=before)

    # ------------------------------------------------------------ one run

    def place(self, run_id: str) -> tuple[Path, str]:
        """Return whose history has a run (exact id): its folder, and the workspace's name. Raises NotFoundError."""
        for folder, name in ((self._data, ""), *self._workspaces.folders()):
            if wiring.has_history(folder) and self.pages(folder).has(run_id):
                return folder, name
        raise NotFoundError(f"there is no run {run_id}")

    def summary(self, run_id: str) -> RunSummary:
        """Return one run (exact id) without its steps. Raises NotFoundError."""
        folder, _name = self.place(run_id)
        return self.pages(folder).history.summary(run_id)

    def run(self, run_id: str) -> Found:
        """Return one run (exact id) as it stands. Raises NotFoundError."""
        folder, name = self.place(run_id)
        detail = self.pages(folder).history.run(run_id)
        lost = self.is_lost(folder, detail.summary)
        ids, asked = ((), ()) if detail.summary.state in RUN_ENDED or lost else self._waiting(folder, detail.summary)
        told = report(detail, waiting=ids, lost=lost) if detail.summary.source == SOURCE else None
        return Found(folder=folder, workspace=name, detail=detail, report=told, waiting=asked, lost=lost)

    def attempts(self, run_id: str, step: str | None = None) -> list[AttemptRecord]:
        """Return the attempts of a run (exact id), with where their logs are. Raises NotFoundError."""
        folder, _name = self.place(run_id)
        found = self.pages(folder).history.attempts(run_id, step)
        return [one if one.log else replace(one, log=wiring.find_log(folder, run_id, one.step, one.attempt)) for one in found]

    async def events(self, run_id: str, after: int = 0) -> list[Event]:
        """Return the events of a run (exact id) after a number. Raises NotFoundError."""
        folder, _name = await asyncio.to_thread(self.place, run_id)
        return await asyncio.to_thread(self.pages(folder).events, run_id, after)

    def flow(self, run_id: str) -> tuple[Workflow, Found]:
        """Return what a run runs, steps that were added to it included. Raises NotFoundError."""
        found = self.run(run_id)
        summary = found.detail.summary
        flow = self.pages(found.folder).workflow(summary.digest)
        run = self._folded(found.folder, summary, flow) if flow is not None else None
        if run is None:  # it is just being removed
            raise NotFoundError(f"there is no run {run_id}")
        return replace(run.workflow, steps=tuple(step.spec for step in run.steps.values())), found

    def is_lost(self, folder: Path, summary: RunSummary) -> bool:
        """Whether a run is open although no process drives it; one inside another is driven by that one's process.

        A run of a DAG file has a lock of its own; all others of a folder are driven by whoever has the folder's.
        """
        if summary.state in RUN_ENDED or self.reach_of(folder).lasting:
            return False
        if summary.source != SOURCE:
            return wiring.workspace_lock(folder).holder() is None
        root = summary
        while root.trigger.startswith(SUBDAG):
            root = self.pages(folder).history.summary(root.trigger.removeprefix(SUBDAG))
        return wiring.run_lock(folder, root.run_id).holder() is None

    def pages(self, folder: Path) -> RunPages:
        """Return the reader of a folder's history."""
        if folder not in self._pages:
            self._pages[folder] = wiring.run_pages(folder)
        return self._pages[folder]

    def workspace_of(self, summary: RunSummary) -> str:
        """Return the workspace of a run as the run says it; nothing for one of a DAG file, or of a program."""
        return summary.labels.get("workspace", "") if summary.source == FORMULA else ""

    # ------------------------------------------------------------ parts

    def wanted_of(self, wanted: Wanted) -> Wanted:
        """Return what is wanted of the runs in `folder`."""
        return wanted

    def folder(self, workspace: str | None) -> Path:
        """Return the folder of a workspace, or that of the DAG files. Raises NotFoundError."""
        return self._workspaces.folder(workspace) if workspace else self._data

    def _waiting(self, folder: Path, summary: RunSummary) -> tuple[tuple[str, ...], tuple[Question, ...]]:
        """Return the ids of the steps that wait for a person, and what they ask.

        Only of a run that has such steps the whole journal is read.
        """
        flow = self.pages(folder).workflow(summary.digest)
        if flow is None or not any(step.gates for step in flow.steps):
            return (), ()
        run = self._folded(folder, summary, flow)
        waiting = awaiting(run) if run is not None else []
        return tuple(step.spec.id for step in waiting), questions(run, waiting) if run is not None else ()

    def _folded(self, folder: Path, summary: RunSummary, flow: Workflow) -> Run | None:
        events = self.pages(folder).events(summary.run_id)
        return fold(summary.run_id, flow, events) if events else None

    def _words(self, folder: Path, page: Sequence[RunSummary]) -> dict[str, str]:
        """Return the status of each run. Those that go on are looked at closely: there are few of them."""
        rejected = self.pages(folder).rejected([run.run_id for run in page if run.state in RUN_ENDED])
        return {run.run_id: self._word(folder, run, rejected) for run in page}

    def _word(self, folder: Path, run: RunSummary, rejected: frozenset[str]) -> str:
        if run.source != SOURCE:
            return run.state.value
        if run.state in RUN_ENDED:
            return REJECTED if run.run_id in rejected else word_for(run)
        lost = self.is_lost(folder, run)
        detail = self.pages(folder).history.run(run.run_id)
        waiting = () if lost else self._waiting(folder, run)[0]
        return report(detail, waiting=waiting, lost=lost).status.value


def word_for(run: RunSummary) -> str:
    """Return the status of a run in the words of its kind, as far as its state tells."""
    return status_of(run.state).value if run.source == SOURCE else run.state.value


def _states(word: str) -> tuple[RunState, ...]:
    if word in _STATES:
        return _STATES[word]
    try:
        return (RunState(word),)
    except ValueError:
        return ()


def _wanted(status: str, words: frozenset[str]) -> bool:
    return not words or status in words
