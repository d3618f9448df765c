"""A process that dies before or after any commit: the next one on the same file ends the run as if nothing had happened."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from support.engine import Engine, engine
from support.generated import APPROVALS, Script, flows, scripts
from support.scripted import calm, doing, ends
from support.simulate import step

from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.model import RunState, Workflow
from provisioning.core.ports import Commit, Request
from provisioning.core.run import Run
from provisioning.core.upstream import awaiting
from provisioning.engine.runner import load


class Died(Exception):
    """The process is gone."""


class Mortal(SqliteStore):
    """A store whose process dies at a commit: just before it is durable, or just after."""

    def __init__(self, path: Path, at: int, *, after: bool) -> None:
        super().__init__(path)
        self.commits, self._at, self._after = 0, at, after

    async def commit(self, commit: Commit) -> int:
        self.commits += 1
        if self.commits != self._at:
            return await super().commit(commit)
        if self._after:
            await super().commit(commit)
        raise Died


async def approving(it: Engine) -> None:
    """Approve what the run waits for, whenever nothing goes on but that, and one thing at a time."""
    while True:
        run = it.runner.open_runs().get("r1")
        if run is not None and run.waiting and not run.active:
            name = next(
                gate.name for step in awaiting(run) for gate in step.spec.gates if (gate.kind, gate.name) not in run.opened
            )
            await it.runner.ask(Request(run="r1", kind="open_gate", data={"kind": "approval", "name": name}))
        await asyncio.sleep(0.001)


async def go_on(it: Engine, flow: Workflow) -> Run:
    """Take over what is open; where the run was never recorded, submit it."""
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(each) for each in (it.runner.serve(), it.worker.serve(), approving(it))]
        await it.runner.resume()
        if not await it.store.events("r1"):
            await it.runner.submit("r1", flow)
        run = await it.runner.ended("r1")
        for task in serving:
            task.cancel()
    return run


async def undisturbed(path: Path, flow: Workflow, script: Script) -> tuple[object, int]:
    """Return how the run ends, and after how many commits."""
    store = Mortal(path, 0, after=False)
    try:
        run = await go_on(engine({"noop": doing(script)}, store=store), flow)
        assert ends(await load(store, "r1")) == ends(run)
    finally:
        store.close()
    return ends(run), store.commits


async def disturbed(path: Path, flow: Workflow, script: Script, at: int, *, after: bool) -> object:
    """Return how the run ends when the process dies at commit `at`."""
    store = Mortal(path, at, after=after)
    try:
        await go_on(engine({"noop": doing(script)}, store=store), flow)
    except (Died, BaseExceptionGroup):
        assert store.commits >= at
    finally:
        store.close()
    again = SqliteStore(path)
    try:
        await go_on(engine({"noop": doing(script)}, store=again), flow)
        return ends(await load(again, "r1"))
    finally:
        again.close()


async def compare(flow: Workflow, script: Script) -> int:
    """Let the process die at every commit of a run, before and after; return how often that was."""
    with TemporaryDirectory(prefix="crash-") as folder:
        expected, commits = await undisturbed(Path(folder, "calm.db"), flow, script)
        for at, after in itertools.product(range(1, commits + 1), (False, True)):
            assert await disturbed(Path(folder, f"{at}{after}.db"), flow, script, at, after=after) == expected, (at, after)
    return 2 * commits


@settings(max_examples=8)
@given(flows(gates=APPROVALS), scripts(stops=False))
def test_a_crash_at_any_commit_changes_nothing_in_the_end(flow: Workflow, script: Script) -> None:
    asyncio.run(compare(calm(flow), script))


@pytest.mark.soak
def test_a_crash_at_any_commit_of_many_workflows_changes_nothing_in_the_end() -> None:
    crashes = 0

    @settings(max_examples=400)
    @given(flows(gates=APPROVALS), scripts(stops=False))
    def many(flow: Workflow, script: Script) -> None:
        nonlocal crashes
        crashes += asyncio.run(compare(calm(flow), script))

    many()
    print(f"\n{crashes} crashes at commits of 400 generated workflows, 0 different ends")  # noqa: T201 - for docs/reference/faults.md
    assert crashes > 1000


ASKED = (
    Request(run="r1", kind="pause"),
    Request(run="r1", kind="resume"),
    Request(run="r1", kind="open_gate", data={"kind": "approval", "name": "one"}),
)
ANSWERS = {Kind.PAUSE_REQUESTED, Kind.RUN_RESUMED, Kind.GATE_OPENED}


async def asked_of(path: Path, flow: Workflow) -> None:
    """Submit a run that nobody drives yet, and ask things of it."""
    store = SqliteStore(path)
    await engine({}, store=store).runner.submit("r1", flow)
    for request in ASKED:
        await store.request(request)
    store.close()


async def taken_over(store: SqliteStore) -> None:
    """Drive the run to its end."""
    it = engine({"noop": doing({})}, store=store)
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(each) for each in (it.runner.serve(), it.worker.serve())]
        await it.runner.resume()
        await it.runner.ended("r1")
        for task in serving:
            task.cancel()


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_asked_of_a_run_is_done_once_whenever_its_runner_dies(tmp_path: Path, *, after: bool) -> None:
    flow = Workflow(name="asked", steps=(step("a"), step("b", "a", gates=APPROVALS[:1])))
    for at in itertools.count(1):
        path = tmp_path / f"{at}.db"
        await asked_of(path, flow)
        store = Mortal(path, at, after=after)
        with suppress(BaseExceptionGroup, Died):
            await taken_over(store)
        store.close()
        again = SqliteStore(path)
        if (await load(again, "r1")).state is RunState.RUNNING:
            await taken_over(again)
        kinds = [event.kind for event in await again.events("r1") if event.kind in ANSWERS]
        assert kinds == [Kind.PAUSE_REQUESTED, Kind.RUN_RESUMED, Kind.GATE_OPENED], at
        assert await SqliteStore(path).take_requests(["r1"]) == []
        again.close()
        if store.commits < at:
            break
    assert at > 3  # it died at several commits
