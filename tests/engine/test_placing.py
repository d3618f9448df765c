"""Several workers and one runner that is told who is there: where steps run, wait, fail, and go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from support.engine import Doer
from support.gathering import Gathering
from support.simulate import step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.core.events import Kind
from provisioning.core.model import Fallback, Placement, StepState, Workflow
from provisioning.core.placement import TIMES
from provisioning.core.ports import Task
from provisioning.core.presence import Presence
from provisioning.core.run import Run
from provisioning.engine.actions import Context, Result
from provisioning.engine.worker import Place, Worker

GPU = {"gpu": "yes"}


@dataclass
class Site(Gathering):
    """Steps wait until it is `open`, and write down who `ran` them."""

    ran: dict[str, str] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.open.set()

    async def join(self, name: str, *targets: str, slots: int = 4, working: bool = True, **labels: str) -> None:
        """Let a worker come. One that is not `working` is only heard of."""

        async def do(task: Task, _context: Context) -> Result | None:
            await self.open.wait()
            self.ran[task.step] = name
            return None

        place = Place(slots=slots, targets=targets)
        worker = Worker(name, self.store, {"noop": Doer(do)}, MemoryLogs(), SystemClock(), place=place) if working else None
        await self.welcome(Presence(name=name, targets=targets, labels=labels, capacity=slots), worker)

    async def submit(self, flow: Workflow) -> Run:
        return await self.runner.submit("r1", flow)

    async def ended(self) -> Run:
        return await self.runner.ended("r1")

    def kinds(self, id: str) -> list[Kind]:
        return [event.kind for event in self.seen.events if event.step == id]


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    it = Site()
    async with it.serving(), asyncio.timeout(30):
        yield it


def placed(placement: Placement, count: int = 1) -> Workflow:
    return workflow(*(step(f"s{number}", placement=placement) for number in range(count)))


async def test_steps_run_where_the_labels_are() -> None:
    async with site() as it:
        await it.join("plain")
        await it.join("one", gpu="yes")
        await it.join("two", gpu="yes")
        await it.submit(placed(Placement(selector=GPU), 40))
        await it.ended()

    assert set(it.ran.values()) == {"one", "two"}


async def test_what_nobody_can_take_waits_for_somebody_who_can() -> None:
    async with site() as it:
        await it.join("plain")
        run = await it.submit(placed(Placement(selector=GPU)))
        assert run.steps["s0"].state is StepState.READY
        await it.join("other", gpu="no")
        assert run.steps["s0"].state is StepState.READY
        await it.join("late", gpu="yes")
        await it.ended()

    assert it.ran == {"s0": "late"}


async def test_nothing_goes_out_before_a_worker_is_there() -> None:
    async with site() as it:
        run = await it.submit(placed(Placement(), 3))
        assert run.active == 0
        await it.join("first")
        await it.ended()

    assert set(it.ran.values()) == {"first"}


async def test_a_step_that_must_not_wait_fails_and_says_who_is_there() -> None:
    async with site() as it:
        await it.join("plain", "x", gpu="no")
        await it.submit(placed(Placement(selector=GPU, fallback=Fallback.FAIL)))
        run = await it.ended()

    assert run.steps["s0"].error_kind == "placement"
    assert run.steps["s0"].error == "no worker with gpu=yes is there; there are plain (gpu=no)"


async def test_no_more_than_twice_the_slots_are_out_and_all_are_done() -> None:
    async with site() as it:
        it.open.clear()
        run = await it.submit(placed(Placement(target="x"), 50))
        await it.join("one", "x", slots=2)
        await it.join("two", "x", slots=1)
        assert run.active == TIMES * 3
        it.open.set()
        await it.ended()

    assert len(it.ran) == 50


async def test_what_went_to_a_worker_by_name_that_is_gone_runs_elsewhere_and_costs_no_retry() -> None:
    async with site() as it:
        await it.join("silent", working=False, gpu="yes")
        run = await it.submit(placed(Placement(selector=GPU)))
        assert run.steps["s0"].target == "w.silent"
        await it.join("other", gpu="yes")
        await it.gone("silent", lingering=True)
        assert run.steps["s0"].target == "w.silent"  # it may still be at it
        await it.runner.see(list(it.there.values()))
        run = await it.ended()

    assert it.ran == {"s0": "other"}
    assert run.steps["s0"].attempt == 1
    assert it.kinds("s0").count(Kind.STEP_LEASE_LOST) == 1


@pytest.mark.parametrize(
    ("fallback", "end"),
    [
        (Fallback.RETARGET, ("succeeded", "other")),
        (Fallback.FAIL, ("failed", None)),
        (Fallback.WAIT, ("ready", None)),
    ],
)
async def test_beside_a_worker_that_is_gone(fallback: Fallback, end: tuple[str, str | None]) -> None:
    beside = Placement(colocate_with="a", fallback=fallback)
    gap = step("gap", "a", placement=Placement(target="gap"))
    flow = workflow(step("a", placement=Placement(target="x")), gap, step("b", "gap", placement=beside))
    async with site() as it:
        await it.join("first", "x")
        run = await it.submit(flow)
        while run.steps["a"].state is not StepState.SUCCEEDED:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.002)
        await it.gone("first")
        await it.join("other", "x", "gap")
        while run.steps["gap"].state is not StepState.SUCCEEDED:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.002)
        if fallback is not Fallback.WAIT:
            await it.ended()

    assert (run.steps["b"].state.value, it.ran.get("b")) == end
