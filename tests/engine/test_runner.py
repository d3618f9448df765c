"""The real runner and worker over the memory store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.cost import counted
from support.engine import Doer, Engine, engine, nothing
from support.simulate import step, workflow

from provisioning.adapters.memory.store import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.model import OnFailure, Policy, Repeat, Retry, RunState, StepState, While, Workflow
from provisioning.core.ports import Commit, Outcome, Request, Task
from provisioning.core.run import Run
from provisioning.engine.actions import Context, Result
from provisioning.engine.runner import Store, load
from provisioning.errors import StaleRevision, StoreError

FAILED = Result(outcome=Outcome.FAILED, exit_code=3, error_kind="exit", error="it ended with exit code 3")


async def test_a_diamond_runs_in_order_and_its_branches_together() -> None:
    both = asyncio.Barrier(2)

    async def do(task: Task, _context: Context) -> None:
        if task.step in {"left", "right"}:
            await both.wait()

    doer = Doer(do)
    flow = workflow(step("top"), step("left", "top"), step("right", "top"), step("bottom", "left", "right"))

    run = await engine({"noop": doer}).run(flow)

    assert run.state is RunState.SUCCEEDED
    assert doer.started[0] == "top"
    assert doer.started[-1] == "bottom"


async def test_what_the_journal_has_folds_to_the_state_the_runner_ended_with() -> None:
    store = MemoryStore()
    it = engine({"noop": Doer(nothing)}, store=store)
    run = await it.run(workflow(step("a"), step("b", "a")))

    again = await load(store, "r1")

    assert {id: s.state for id, s in again.steps.items()} == {id: s.state for id, s in run.steps.items()}
    assert [event.seq for event in it.seen.events] == list(range(1, len(it.seen.events) + 1))


async def test_a_failed_step_is_tried_again_after_its_wait() -> None:
    attempts: list[int] = []

    async def do(task: Task, _context: Context) -> Result | None:
        attempts.append(task.attempt)
        return FAILED if task.attempt < 3 else None

    run = await engine({"noop": Doer(do)}).run(workflow(step("a", retry=Retry(attempts=3, base_s=0.01))))

    assert run.state is RunState.SUCCEEDED
    assert attempts == [1, 2, 3]


async def test_a_step_that_waits_for_its_next_round_holds_no_slot() -> None:
    again = Repeat(again=While.ALWAYS, limit=3, interval_s=0.01)
    doer = Doer(nothing)
    flow = workflow(step("a", repeat=again, keys=("k",)), step("b"), policy=Policy(max_parallel=1))

    run = await engine({"noop": doer}).run(flow)

    assert run.state is RunState.SUCCEEDED
    assert sorted(doer.started) == ["a", "a", "a", "b"]


async def test_failure_halts_and_keeps_exit_code_and_message() -> None:
    async def do(task: Task, _context: Context) -> Result | None:
        return FAILED if task.step == "a" else None

    doer = Doer(do)
    run = await engine({"noop": doer}).run(workflow(step("a"), step("b", "a")))

    assert run.state is RunState.FAILED
    assert (run.steps["a"].exit_code, run.steps["a"].error) == (3, "it ended with exit code 3")
    assert doer.started == ["a"]


async def test_a43_a_bug_in_an_action_fails_the_step_and_leaves_the_worker_alive() -> None:
    async def do(task: Task, _context: Context) -> None:
        if task.step == "a":
            raise ZeroDivisionError("division by zero")

    flow = workflow(step("a"), step("b"), policy=Policy(on_failure=OnFailure.SKIP_DOWNSTREAM))
    run = await engine({"noop": Doer(do)}).run(flow)

    assert run.steps["a"].error == "ZeroDivisionError: division by zero"
    assert run.steps["b"].state is StepState.SUCCEEDED


async def test_an_unknown_action_fails_its_step_with_the_ones_there_are() -> None:
    run = await engine({"other": Doer(nothing)}).run(workflow(step("a")))

    assert "other" in run.steps["a"].error


async def test_cancel_stops_what_runs_and_waits_until_it_has_stopped() -> None:
    cleaned: list[str] = []
    begun = asyncio.Event()

    async def do(task: Task, _context: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(task.step)

    it = engine({"noop": Doer(do)})

    async def stop() -> None:
        await begun.wait()
        await it.store.request(Request(run="r1", kind="cancel", data={"reason": "interrupted"}))

    run = await it.run(workflow(step("a"), step("b", "a")), meanwhile=stop)

    assert run.state is RunState.CANCELLED
    assert run.steps["a"].state is StepState.INTERRUPTED
    assert cleaned == ["a"]


async def test_the_limit_of_the_run_and_keys_hold_under_load() -> None:
    doer = Doer(nothing)
    steps = [step(f"s{i}", keys=(f"server:{i % 3}",)) for i in range(60)]

    await engine({"noop": doer}).run(workflow(*steps, policy=Policy(max_parallel=2)))

    assert doer.peak == 2


async def test_a_projection_that_cannot_write_stops_the_run_before_the_next_step() -> None:
    class Full:
        def binds(self, _run: Run) -> bool:
            return True

        async def committed(self, run: Run, events: Sequence[Event]) -> None:
            if any(event.kind is Kind.STEP_SUCCEEDED for event in events):
                raise StoreError("disk full")

    doer = Doer(nothing)

    with pytest.raises(ExceptionGroup) as caught:
        await engine({"noop": doer}, projections=[Full()]).run(workflow(step("a"), step("b", "a")))

    assert caught.group_contains(StoreError)
    assert doer.started == ["a"]


async def test_an_abandoned_run_can_be_retried_and_goes_on() -> None:
    store = MemoryStore()
    it = engine({"noop": Doer(nothing)}, store=store)
    await it.runner.submit("r1", workflow(step("a"), step("b", "a")))
    second = engine({"noop": Doer(nothing)}, store=store)
    run = await second.runner.abandon("r1", "its runner died")

    assert run.state is RunState.CANCELLED
    run = await retried(engine({"noop": Doer(nothing)}, store=store))

    assert run.state is RunState.SUCCEEDED
    assert run.steps["a"].attempt == 2


async def test_what_no_worker_has_begun_does_not_begin_after_a_cancellation() -> None:
    begun = asyncio.Event()

    async def do(_task: Task, _context: Context) -> None:
        begun.set()
        await asyncio.sleep(60)

    doer = Doer(do)
    it = engine({"noop": doer}, slots=1)

    async def stop() -> None:
        await begun.wait()
        await it.runner.cancel("r1", "interrupted")

    run = await it.run(workflow(step("a"), step("b"), step("c")), meanwhile=stop)

    assert doer.started == ["a"]
    assert {id: (one.state, one.reason) for id, one in run.steps.items()} == {
        "a": (StepState.INTERRUPTED, "interrupted"),
        "b": (StepState.CANCELLED, "not started: interrupted"),
        "c": (StepState.CANCELLED, "not started: interrupted"),
    }
    assert not any(event.kind is Kind.STEP_STARTED and event.step != "a" for event in it.seen.events)


@pytest.mark.parametrize("make", [lambda _path: MemoryStore(), SqliteStore], ids=["memory", "sqlite"])
@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        pytest.param(
            Policy(retry=Retry(attempts=2, base_s=0.05)), Kind.STEP_RETRY_WAIT, id="a step waits for its next attempt"
        ),
        pytest.param(Policy(rerun=Retry(attempts=2, base_s=0.05)), Kind.RUN_RETRY_WAIT, id="a run waits to be run again"),
    ],
)
async def test_a_wait_whose_timer_fired_while_nobody_drove_the_run_ends_when_it_is_taken_over(
    policy: Policy, kind: Kind, make: Callable[[Path], Store], tmp_path: Path
) -> None:
    async def do(task: Task, _context: Context) -> Result | None:
        return FAILED if task.attempt == 1 else None

    store = make(tmp_path / "history.db")
    first = engine({"noop": Doer(do)}, store=store)
    await started(first, workflow(step("a"), policy=policy), kind)
    assert [timer.run for timer in await store.due()] == ["r1"]

    run = await resumed(engine({"noop": Doer(do)}, store=store))

    assert run.state is RunState.SUCCEEDED
    assert run.steps["a"].attempt == 2


async def started(it: Engine, flow: Workflow, until: Kind) -> None:
    """Submit a run, and stop driving it as soon as this has happened."""
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(it.runner.serve()), group.create_task(it.worker.serve())]
        await it.runner.submit("r1", flow)
        while until not in {event.kind for event in it.seen.events}:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
        for task in serving:
            task.cancel()


async def resumed(it: Engine) -> Run:
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(it.runner.serve()), group.create_task(it.worker.serve())]
        await it.runner.resume()
        run = await it.runner.ended("r1")
        for task in serving:
            task.cancel()
    return run


class SlowToCommit(MemoryStore):
    """A commit with an event of this kind waits until it may."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind, self.reached, self.go = kind, asyncio.Event(), asyncio.Event()

    async def commit(self, commit: Commit) -> int:
        if any(event.kind is self.kind for event in commit.events):
            self.reached.set()
            await self.go.wait()
        return await super().commit(commit)


@pytest.mark.parametrize("kind", [Kind.RUN_CREATED, Kind.STEP_DISPATCHED])
async def test_a_cancellation_that_comes_while_a_run_is_being_started_is_heard(kind: Kind) -> None:
    store = SlowToCommit(kind)
    it = engine({"noop": Doer(_for_long)}, store=store)

    async def interrupt() -> None:
        await store.reached.wait()
        await it.runner.cancel("r1", "interrupted")
        await asyncio.sleep(0.01)
        store.go.set()

    interrupting = asyncio.create_task(interrupt())
    run = await it.run(workflow(step("a"), step("b")))
    await interrupting

    assert run.state is RunState.CANCELLED
    assert {step.state for step in run.steps.values()} == {StepState.INTERRUPTED}


async def test_what_was_asked_of_a_run_before_it_ended_does_not_reach_its_retry() -> None:
    store = MemoryStore()

    async def once(task: Task, _context: Context) -> Result | None:
        await asyncio.sleep(0.05)
        return FAILED if task.attempt == 1 else None

    await engine({"noop": Doer(once)}, store=store).run(workflow(step("a")))
    await store.request(Request(run="r1", kind="cancel"))
    run = await retried(engine({"noop": Doer(once)}, store=store))

    assert run.state is RunState.SUCCEEDED


async def test_a_run_id_that_is_taken_leaves_the_run_that_has_it_alone() -> None:
    it = engine({"noop": Doer(nothing)})

    async def submit_again() -> None:
        with pytest.raises(StaleRevision):
            await it.runner.submit("r1", workflow(step("other")))

    run = await it.run(workflow(step("a")), meanwhile=submit_again)

    assert (run.state, list(run.steps)) == (RunState.SUCCEEDED, ["a"])


async def retried(it: Engine, **how: object) -> Run:
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(it.runner.serve()), group.create_task(it.worker.serve())]
        await it.runner.retry("r1", **how)  # type: ignore[arg-type]
        run = await it.runner.ended("r1")
        for task in serving:
            task.cancel()
    return run


async def _for_long(_task: Task, _context: Context) -> None:
    await asyncio.sleep(60)


async def test_a_fan_out_costs_the_same_per_step_at_any_size() -> None:
    async def lines(count: int) -> int:
        flow = workflow(step("root"), *(step(f"s{i}", "root") for i in range(count)))
        with counted() as cost:
            run = await engine({"noop": Doer(nothing)}).run(flow)
        assert run.state is RunState.SUCCEEDED
        return cost.lines

    assert await lines(1600) / await lines(400) < 4.2
