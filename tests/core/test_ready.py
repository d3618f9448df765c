"""The ready queue forgets runs that have ended, and loses nobody who waits for their slots."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.simulate import step, workflow

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.model import Policy, Step
from provisioning.core.ready import ReadyQueue
from provisioning.core.run import Run, new_run

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def started(queue: ReadyQueue, run_id: str, *steps: Step, **fields: object) -> Run:
    """Return a run that has started, all its ready steps in the queue."""
    run = new_run(run_id, workflow(*steps, **fields))
    queue.open_run(run)
    decision = Decision(run=run, now=NOW)
    decide.create(decision, "sha256:0", name="test", trigger="test", params={})
    decide.start(decision)
    while run.became_ready:
        queue.add(run, run.became_ready.popleft())
    return run


def cancelled(run: Run) -> None:
    decision = Decision(run=run, now=NOW)
    decide.abandon(decision, "stopped")
    assert run.ended


def is_empty(queue: ReadyQueue) -> bool:
    return not (queue.capacity or queue.taken or queue.holders or queue.queued or queue.heap or queue.parked)


@pytest.mark.parametrize("taken", [False, True])
def test_nothing_is_left_of_a_run_that_was_closed(*, taken: bool) -> None:
    queue = ReadyQueue()
    steps = [step(f"s{number}", keys=("server:a",), pools=("small",)) for number in range(20)]
    run = started(queue, "r1", *steps, pools={"small": 2}, policy=Policy(max_parallel=3))
    if taken:
        assert queue.take({"r1": run}) == [("r1", "s0")]
    cancelled(run)
    queue.close_run(run)
    assert is_empty(queue)


def test_a_slot_that_a_closed_run_was_called_for_goes_to_the_next_who_waits() -> None:
    queue = ReadyQueue()
    one, two, three = (started(queue, name, step("s", keys=("server:a",))) for name in ("r1", "r2", "r3"))
    runs = {"r1": one, "r2": two, "r3": three}
    assert queue.take(runs) == [("r1", "s")]
    queue.give_back("r1", "s")  # r2 is called for it
    cancelled(two)
    queue.close_run(two)
    del runs["r2"]
    assert queue.take(runs) == [("r3", "s")]


def test_slots_that_a_closed_run_held_are_free() -> None:
    queue = ReadyQueue()
    one, two = (started(queue, name, step("s", keys=("server:a",))) for name in ("r1", "r2"))
    assert queue.take({"r1": one, "r2": two}) == [("r1", "s")]
    cancelled(one)
    queue.close_run(one)
    assert queue.take({"r2": two}) == [("r2", "s")]


def test_the_pools_of_the_store_outlive_the_runs_that_use_them() -> None:
    queue = ReadyQueue(capacity={"pool:shared": 2})
    for number in range(5):
        run = started(queue, f"r{number}", *(step(f"s{each}", pools=("shared",)) for each in range(3)))
        assert len(queue.take({run.id: run})) == 2
        cancelled(run)
        queue.close_run(run)
    assert queue.capacity == {"pool:shared": 2}
    assert not queue.parked
