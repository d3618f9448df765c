"""Where steps run. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from support.engine import Doer, Engine, engine
from support.flows import flow, play
from support.simulate import step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.core.model import Fallback, Placement, Workflow
from provisioning.core.ports import Task
from provisioning.core.run import Run
from provisioning.engine.actions import Context, Result
from provisioning.engine.worker import Place, Worker
from provisioning.errors import UsageError


@dataclass
class Workers:
    """Workers of one engine; `ran` says who ran which step."""

    engine: Engine
    ran: dict[str, str] = field(default_factory=dict)
    serving: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def join(self, name: str, *targets: str) -> None:
        async def do(task: Task, _context: Context) -> Result | None:
            self.ran[task.step] = name
            return None

        place = Place(slots=4, targets=targets)
        worker = Worker(name, self.engine.store, {"noop": Doer(do)}, MemoryLogs(), SystemClock(), place=place)
        self.serving[name] = asyncio.create_task(worker.serve())

    async def leave(self, name: str) -> None:
        self.serving[name].cancel()
        await asyncio.gather(self.serving.pop(name), return_exceptions=True)

    async def run(self, flow: Workflow) -> Run:
        await self.engine.runner.submit("r1", flow)
        return await self.engine.runner.ended("r1")


@asynccontextmanager
async def workers(*names: Sequence[str]) -> AsyncIterator[Workers]:
    """An engine without a worker of its own, and these: name, then targets."""
    it = Workers(engine({}))
    serving = asyncio.create_task(it.engine.runner.serve())
    for name, *targets in names:
        it.join(name, *targets)
    try:
        async with asyncio.timeout(20):
            yield it
    finally:
        for name in list(it.serving):
            await it.leave(name)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_b19_a_step_runs_at_its_target_however_many_others_are_there() -> None:
    steps = [step(f"s{number}", placement=Placement(target="gpu")) for number in range(25)]
    async with workers(*((f"w{number}",) for number in range(6)), ("owner", "gpu")) as it:
        run = await it.run(workflow(*steps))

        assert set(it.ran.values()) == {"owner"}
        assert {one.attempt for one in run.steps.values()} == {1}


async def test_b20_colocation_is_with_the_worker_and_following_is_with_the_target() -> None:
    flow = workflow(
        step("a", placement=Placement(target="site")),
        step("move", "a", placement=Placement(target="mover")),
        step("beside", "a", "move", placement=Placement(colocate_with="a")),
        step("follow", "a", "move", placement=Placement(follow_target_of="a")),
    )
    async with workers(("one", "site")) as it:
        await it.engine.runner.submit("r1", flow)
        while "a" not in it.ran:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
        await it.leave("one")
        it.join("one")  # the same worker, which no longer has the target
        it.join("two", "site", "mover")
        await it.engine.runner.ended("r1")

        assert it.ran == {"a": "one", "move": "two", "beside": "one", "follow": "two"}


async def test_a_step_beside_one_that_no_worker_has_run_fails_with_the_reason() -> None:
    flow = workflow(step("a", unchanged=True), step("b", "a", placement=Placement(colocate_with="a")))
    async with workers(("one",)) as it:
        run = await it.run(flow)

        assert (run.steps["b"].error_kind, run.steps["b"].attempt) == ("placement", 1)
        assert "no worker has run" in run.steps["b"].error


def test_labels_a_target_and_what_to_do_without_a_worker_are_the_builders_words() -> None:
    wf = flow()
    a = wf.step("a", play, "a", on_target="x", selector={"gpu": "yes"}, if_gone="fail")
    wf.step("b", play, "b", colocate_with=a, if_gone="retarget")

    assert [one.placement for one in wf.build().steps] == [
        Placement(target="x", selector={"gpu": "yes"}, fallback=Fallback.FAIL),
        Placement(colocate_with="a", fallback=Fallback.RETARGET),
    ]


async def test_one_process_has_every_label_and_every_target() -> None:
    """What the runs of one machine did before there were workers, they do still."""
    flow = workflow(step("a", placement=Placement(selector={"gpu": "yes"}, fallback=Fallback.FAIL)), step("b", "a"))
    async with workers(("one",)) as it:
        await it.run(flow)

        assert it.ran == {"a": "one", "b": "one"}


def test_places_that_cannot_be_are_refused() -> None:
    wf = flow()
    a = wf.step("a", play, "a")
    with pytest.raises(UsageError, match="placed twice"):
        wf.step("b", play, "b", on_target="x", colocate_with=a)
    with pytest.raises(UsageError, match="placed twice: colocate_with and selector"):
        wf.step("b", play, "b", selector={"gpu": "yes"}, colocate_with=a)
    with pytest.raises(UsageError, match="'gpu' is no text"):
        wf.step("b", play, "b", selector={"gpu": True})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="if_gone is 'give up', expected one of wait, fail, retarget"):
        wf.step("b", play, "b", on_target="x", if_gone="give up")
    wf.step("c", play, "c", follow_target_of=a)
    with pytest.raises(UsageError, match="not placed anywhere"):
        wf.build()
    circle = flow()
    circle.step("x", play, "x", follow_target_of="y")
    circle.step("y", play, "y", follow_target_of="x")
    with pytest.raises(UsageError, match="circle"):
        circle.build()
