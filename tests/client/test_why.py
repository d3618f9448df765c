"""Why a step does not run, races between what is asked and what runs. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from support.engine import Doer, engine, nothing
from support.flows import client, flow, play, stage
from support.simulate import simulate, step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.memory.store import MemoryStore
from provisioning.core.model import Gate, GateKind, Placement, StepState
from provisioning.core.ports import Commit, Outcome, Report, Request, Task
from provisioning.engine.worker import Place, Worker


async def test_b45_all_that_keeps_a_step_is_told() -> None:
    on = stage()
    on.close("busy")
    wf = flow(pools={"small": 1})
    busy = wf.step("busy", play, "busy", pool="small", key="server:a")
    wf.step("joins", play, "joins", wf.signal("go"), after=busy, break_before=True)
    wf.step("small-too", play, "x", pool="small", key="server:a")
    wf.handler("exit", "tidy", play, "tidy")

    async with client(slots=1) as it:
        run = await it.submit(wf)
        await on.reached("busy")
        waiting = (await it.debug(run)).blockers
        told = {id: [(one.kind, one.name) for one in found] for id, found in waiting.items()}
        assert told == {
            "joins": [("step", "busy"), ("signal", "go"), ("breakpoint", "before:joins")],
            "small-too": [("key", "server:a"), ("pool", "small")],
            "tidy": [("handler", "exit")],
        }
        assert waiting["joins"][0].reason == "waits for step busy, which is running"
        await it.pause(run)
        assert [one.kind for one in (await it.debug(run)).blockers["joins"]] == ["paused", "step", "signal", "breakpoint"]
        await it.cancel(run)
        await it.wait(run)
        assert (await it.debug(run)).blockers == {}


async def test_b45_a_step_for_a_target_that_nobody_serves_says_so() -> None:
    wf = flow()
    wf.step("a", play, "a", on_target="mars")

    async with client(targets=["earth"]) as it:
        run = await it.submit(wf)
        (reason,) = (await it.debug(run)).blockers["a"]
        assert (reason.kind, reason.reason) == ("worker", "waits for a free worker of mars")
        await it.cancel(run)
        assert (await it.wait(run)).status == "cancelled"


def test_b39_hold_breakpoint_and_signal_are_opened_one_by_one() -> None:
    kinds = (GateKind.HOLD, GateKind.BREAKPOINT, GateKind.SIGNAL)
    for last in kinds:
        simulation = simulate(workflow(step("a", gates=tuple(Gate(kind=kind, name="g") for kind in kinds))))
        for kind in kinds:
            if kind is not last:
                simulation.ask("open_gate", kind=kind.value, name="g")
                assert simulation.dispatched == []
        simulation.ask("open_gate", kind=last.value, name="g")
        assert simulation.dispatched == ["a"]


class Slow(MemoryStore):
    """A store in which a commit takes until somebody lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def commit(self, commit: Commit) -> int:
        if any(event.step == "a" and event.kind.value == "step_succeeded" for event in commit.events):
            self.reached.set()
            await self.go.wait()
        return await super().commit(commit)


async def test_b26_a_pause_that_comes_while_the_end_of_a_step_is_written_is_not_lost() -> None:
    store, doer = Slow(), Doer(nothing)
    it = engine({"noop": doer}, store=store)

    async def pause() -> None:
        await store.reached.wait()
        pausing = asyncio.create_task(it.runner.ask(Request(run="r1", kind="pause")))
        await asyncio.sleep(0)
        store.go.set()
        await pausing
        run = it.runner.open_runs()["r1"]
        started = {id for id, one in run.steps.items() if one.state is not StepState.PENDING}
        assert "c" not in started, "b was handed out in the same commit; nothing follows it"
        await it.runner.ask(Request(run="r1", kind="resume"))

    run = await it.run(workflow(step("a"), step("b", "a"), step("c", "b")), meanwhile=pause)

    assert doer.started == ["a", "b", "c"]
    assert run.state.value == "succeeded"


async def test_b33_nothing_is_begun_after_the_deadline_of_its_run() -> None:
    doer, store = Doer(nothing), MemoryStore()
    worker = Worker("w", store, {"noop": doer}, MemoryLogs(), SystemClock(), place=Place(slots=1))
    serving = asyncio.create_task(worker.serve())
    simulation = simulate(workflow(step("a")))
    task = replace(simulation.tasks[0], deadline=datetime.now(UTC) - timedelta(seconds=1))
    store._tasks.offer([task])
    reports: list[Report] = []
    while not reports or reports[-1].outcome is None:
        reports += await store.reports()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert (reports[-1].outcome, reports[-1].error_kind, reports[-1].retryable) == (Outcome.FAILED, "deadline", False)
    assert doer.started == []


async def test_b43_after_the_worker_has_stopped_nothing_starts() -> None:
    running = asyncio.Event()

    async def do(_task: Task, _context: object) -> None:
        running.set()
        await asyncio.sleep(60)

    doer = Doer(do)
    store = MemoryStore()
    it = engine({"noop": doer}, store=store, slots=2)
    serving = [asyncio.create_task(it.runner.serve()), asyncio.create_task(it.worker.serve())]
    await it.runner.submit("r1", workflow(*(step(f"s{number}", placement=Placement()) for number in range(10))))
    await running.wait()
    serving[1].cancel()
    await asyncio.gather(serving[1], return_exceptions=True)
    started = list(doer.started)
    await asyncio.sleep(0.02)
    serving[0].cancel()
    await asyncio.gather(serving[0], return_exceptions=True)

    assert doer.started == started
    assert doer.ended == started
    assert len(started) <= 2


async def test_b35_with_minus_one_only_the_kind_is_kept() -> None:
    store, logs = MemoryStore(), MemoryLogs()

    async def do(_task: Task, _context: object) -> None:
        raise ValueError("secret circumstances")

    worker = Worker("w", store, {"noop": Doer(do)}, logs, SystemClock(), place=Place(slots=1), error_bytes=-1)
    serving = asyncio.create_task(worker.serve())
    store._tasks.offer([simulate(workflow(step("a"))).tasks[0]])
    reports: list[Report] = []
    while not reports or reports[-1].outcome is None:
        reports += await store.reports()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert (reports[-1].error_kind, reports[-1].error) == ("internal", "")
    assert "secret circumstances" in logs.text("r1", "a")
