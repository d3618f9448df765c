"""What the next runner makes of what an earlier one left: whatever is in the journal is in the states, once, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.faked import FakedWorkspace, steps
from support.real import wait_until
from support.simulate import step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.hosts import Answer, FakeHosts
from provisioning.adapters.memory.resources import MemoryResources
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.adapters.statefile import StateFile
from provisioning.core.events import Event, Kind
from provisioning.core.hosts import Exit
from provisioning.core.model import RunState
from provisioning.core.plan import Selection
from provisioning.core.ports import Outcome, Output, Report
from provisioning.core.resources import Actor, ResourceBook, ResourceState
from provisioning.core.run import Run
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Projection, Runner
from provisioning.operations import Listener, RunOptions
from provisioning.operations.catchup import catch_up
from provisioning.operations.records import find_run, list_runs

FAILS = Answer(code=1)
WORKS = Answer()


class Killed(BaseException):
    """Ends a runner on the spot: what it has not committed is lost."""


class Killer(Listener):
    """Kills its runner when an event comes."""

    def __init__(self, when: Callable[[Event], bool]) -> None:
        self._when = when

    def on_event(self, event: Event) -> None:
        if self._when(event):
            raise Killed


def _killed_after(step: str) -> Killer:
    return Killer(lambda event: (event.kind, event.step) == (Kind.STEP_SUCCEEDED, step))


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "workspace")
    made.dag(
        {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}]},
        {"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "b"}}]},
    )
    return made


def test_retrying_an_older_run_is_not_undone_by_a_newer_one(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("a", FAILS, FAILS, WORKS)
    assert (faked.create("a").code, faked.create("a").code) == (1, 1)
    older = list_runs(faked.folder, 2)[1].run_id

    assert faked.run("run", "retry", older).code == 0
    again = faked.create("a")

    assert steps(again) == {"one/a": "unchanged"}
    assert faked.states() == {"cp-0/a": "completed"}


@pytest.mark.parametrize("last", [Kind.STEP_DISPATCHED, Kind.STEP_SUCCEEDED, Kind.RUN_FINISHED])
def test_a_retry_of_an_older_run_that_was_killed_is_caught_up_with(faked: FakedWorkspace, last: Kind) -> None:
    faked.hosts.on_start("a", FAILS, WORKS)
    faked.create("a")
    older = list_runs(faked.folder, 1)[0].run_id
    faked.create("b")
    with pytest.raises(Killed):
        faked.project().retry(older, RunOptions(), Killer(lambda event: event.kind is last))

    again = faked.create("a")

    assert again.code == 0
    assert find_run(faked.folder, older).summary.state in {RunState.CANCELLED, RunState.SUCCEEDED}
    assert steps(again) == {"one/a": "succeeded" if last is Kind.STEP_DISPATCHED else "unchanged"}
    assert faked.states() == {"cp-0/a": "completed", "web-0/b": "completed"}


def test_a_state_file_that_a_crash_left_behind_the_journal_is_not_taken_for_an_old_one(
    faked: FakedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked.create("a")
    write = StateFile._write

    def killed(file: StateFile, data: bytes, book: ResourceBook, keep_old: Callable[[], None]) -> None:
        resource = book.get("web-0", "b")
        if resource is not None and resource.state is ResourceState.COMPLETED:
            raise Killed
        write(file, data, book, keep_old)

    project = faked.project()
    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "_write", killed)
        with pytest.raises(Killed):
            project.provision(Selection(name="b"), RunOptions(), Listener(), lambda _plan: None)
    assert faked.states()["web-0/b"] == "running", "the journal is ahead"

    assert steps(faked.create("b")) == {"two/b": "unchanged"}


class Asking(FakeHosts):
    """Looks which lineage the workspace has on its disk when a unit begins."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.state, self.found = state, list[str]()

    async def _play(self, answer: Answer, output: Output, limit_s: float) -> Exit:
        self.found.append(json.loads(self.state.read_text("utf-8"))["lineage"] if self.state.exists() else "none")
        return await super()._play(answer, output, limit_s)


def test_the_lineage_of_a_new_workspace_is_on_the_disk_before_a_server_hears_of_it(
    faked: FakedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = faked.hosts = Asking(faked.folder / ".provisioning" / "state.json")
    write = StateFile._write

    def slow(file: StateFile, data: bytes, book: ResourceBook, keep_old: Callable[[], None]) -> None:
        if book.servers:
            wait_until(lambda: hosts.found)
        write(file, data, book, keep_old)

    monkeypatch.setattr(StateFile, "_write", slow)
    assert faked.create("a").code == 0
    assert hosts.found == [faked.document()["lineage"]]


def test_a_state_file_that_was_moved_away_means_a_new_start(faked: FakedWorkspace) -> None:
    faked.create("a")
    (faked.folder / ".provisioning" / "state.json").unlink()

    assert steps(faked.create("--check", "a")) == {"one/a": "create"}
    for name in ("b", "b"):
        assert faked.create(name).code == 0
    assert faked.states() == {"web-0/b": "completed"}


def test_without_its_history_a_workspace_goes_on_from_its_state_file(faked: FakedWorkspace) -> None:
    faked.create("a")
    for file in (faked.folder / ".provisioning").glob("history.db*"):
        file.unlink()

    assert steps(faked.create("--all")) == {"one/a": "unchanged", "two/b": "succeeded"}


def test_several_killed_runs_in_a_row_lose_nothing(faked: FakedWorkspace) -> None:
    for last in ("one/a", "two/b"):
        with pytest.raises(Killed):
            faked.project().provision(Selection(name=last[-1]), RunOptions(), _killed_after(last), lambda _plan: None)

    assert steps(faked.create("--all")) == {"one/a": "unchanged", "two/b": "unchanged"}


def test_an_edit_of_the_states_after_a_kill_stands(faked: FakedWorkspace) -> None:
    with pytest.raises(Killed):
        faked.project().provision(Selection(name="a"), RunOptions(), _killed_after("one/a"), lambda _plan: None)

    assert faked.run("state", "reset", "cp-0", "a").code == 0

    assert steps(faked.create("--check", "a")) == {"one/a": "create"}
    assert steps(faked.create("a")) == {"one/a": "succeeded"}


@dataclass
class Deaf:
    """Passes on what is committed up to an event of this kind, and then nothing."""

    recorder: Recorder
    last: Kind | None = None
    over: bool = False

    def binds(self, _run: Run) -> bool:
        return True

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        if not self.over:
            await self.recorder.committed(run, events)
        self.over = self.over or any(event.kind is self.last for event in events)


@pytest.mark.parametrize(("heard", "outcome", "state"), [(False, None, "interrupted"), (True, Outcome.OK, "completed")])
async def test_what_an_older_run_committed_after_it_was_reopened_is_taken_in(
    tmp_path: Path, *, heard: bool, outcome: Outcome | None, state: str
) -> None:
    store, resources = SqliteStore(tmp_path / "history.db"), MemoryResources()
    before = await _recorder(resources)
    for run in ("r1", "r2"):
        await _drive(store, run, Outcome.FAILED, Deaf(before))

    await _drive(store, "r1", outcome, Deaf(before, Kind.RUN_REOPENED, over=not heard), again=True)
    after = await _recorder(resources)
    await catch_up(store, after, SystemClock(), 1, lambda _note: None)
    store.close()

    resource = after.book.get("cp-0", "a")
    assert resource is not None
    assert (resource.state, resource.run_id, resource.attempt) == (state, "r1", 2)
    assert after.book.newest == "r2"


async def _recorder(resources: MemoryResources) -> Recorder:
    recorder = Recorder(resources, SystemClock(), Actor())
    await recorder.load()
    return recorder


async def _drive(store: SqliteStore, run: str, outcome: Outcome | None, projection: Projection, *, again: bool = False) -> None:
    """Take a run of one node to its end, or leave it open where the node ran."""
    labels = {"server": "cp-0", "taskserv": "a", "operation": "install"}
    flow = workflow(step("one/a", kind="node", labels=labels))
    runner = Runner(store, SystemClock(), roll=lambda: 0.0, stop_work=_nothing, projections=[projection], fence=1)
    await (runner.retry(run) if again else runner.submit(run, flow))
    [task] = await store.claim("w", (), 1)
    if outcome is not None:
        serving = asyncio.create_task(runner.serve())
        await store.report(Report(task=task, worker="w", outcome=outcome))
        await runner.ended(run)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _nothing(_run: str) -> None:
    """No worker to stop."""
