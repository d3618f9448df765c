"""What the end of an attempt is worth: skipped, allowed to fail, partial, another attempt asked for, the whole run stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.simulate import End, Script, Simulation, ending, simulate, step, workflow

from provisioning.core.events import Kind
from provisioning.core.folding import fold
from provisioning.core.model import HandlerOn, OnFailure, Policy, Repeat, Retry, RunState, StepState, While, Workflow
from provisioning.core.outcomes import LONGEST_WAIT_S
from provisioning.core.ports import Outcome, Task

KEEP_GOING = Policy(on_failure=OnFailure.SKIP_DOWNSTREAM)
SKIPPED = End(outcome=Outcome.SKIPPED)
SKIPPED_PASSES = End(outcome=Outcome.SKIPPED, passes=True)
ALLOWED = End(outcome=Outcome.FAILED, passes=True)


def chain(**fields: object) -> Workflow:
    return workflow(step("a"), step("b", "a"), step("c", "b:done"), policy=KEEP_GOING, **fields)


def attempts(*ends: Outcome | End) -> Script:
    """Outcomes: the attempts of `a` end one after the other like this, all else succeeds."""
    said = iter(ends)
    return lambda task: next(said) if task.step == "a" else Outcome.OK


def ends_like_its_events(simulation: Simulation) -> bool:
    again = fold("r1", simulation.run.workflow, simulation.events)
    return {id: one.state for id, one in again.steps.items()} == {id: one.state for id, one in simulation.run.steps.items()}


@contextmanager
def held(simulation: Simulation, *ids: str) -> Iterator[None]:
    """Let the workers of these steps do nothing for a while."""
    tasks = [task for task in simulation.tasks if task.step in ids]
    simulation.tasks = [task for task in simulation.tasks if task.step not in ids]
    yield
    simulation.tasks += tasks


# ---------------------------------------------------------------- skipped by its action


@pytest.mark.parametrize(
    ("end", "states", "state"),
    [
        pytest.param(SKIPPED, ("skipped", "skipped", "succeeded"), RunState.SUCCEEDED, id="a skip is passed on"),
        pytest.param(SKIPPED_PASSES, ("skipped", "succeeded", "succeeded"), RunState.SUCCEEDED, id="a skip that passes is not"),
        pytest.param(ALLOWED, ("failed", "succeeded", "succeeded"), RunState.PARTIAL, id="a failure that passes"),
        pytest.param(
            replace(ALLOWED, outcome=Outcome.TIMED_OUT), ("timed_out", "succeeded", "succeeded"), RunState.PARTIAL, id="too"
        ),
        pytest.param(Outcome.FAILED, ("failed", "skipped", "succeeded"), RunState.FAILED, id="one that does not"),
        pytest.param(
            End(outcome=Outcome.UNKNOWN, passes=True),
            ("interrupted", "skipped", "succeeded"),
            RunState.FAILED,
            id="unknown never passes",
        ),
        pytest.param(End(partial=True), ("succeeded",) * 3, RunState.PARTIAL, id="a success in part"),
        pytest.param(
            replace(SKIPPED, partial=True), ("skipped", "skipped", "succeeded"), RunState.SUCCEEDED, id="no success, no part"
        ),
    ],
)
def test_what_an_end_is_worth_to_those_below_and_to_the_run(end: End, states: tuple[str, ...], state: RunState) -> None:
    simulation = simulate(chain(), ending(a=end))

    assert simulation.go().state is state
    assert tuple(simulation.states().values()) == states
    assert ends_like_its_events(simulation)


def test_who_is_skipped_behind_a_skip_says_the_same_reason_and_is_not_blocked() -> None:
    run = simulate(workflow(step("a"), step("b", "a"), step("c", "b")), ending(a=SKIPPED)).go()

    assert [(one.reason, one.because, one.blocked) for one in run.steps.values()] == [
        ("a skipped", "", False),
        ("a skipped", "a", False),
        ("a skipped", "a", False),
    ]


def test_what_may_be_skipped_lets_its_dependents_go_on_also_where_it_is_skipped_behind_another() -> None:
    run = simulate(workflow(step("a"), step("b", "a", skippable=True), step("c", "b")), ending(a=SKIPPED)).go()

    assert [one.state for one in run.steps.values()] == [StepState.SKIPPED, StepState.SKIPPED, StepState.SUCCEEDED]


def test_a_skip_is_neither_retried_nor_repeated_and_gives_back_its_slots() -> None:
    slots = {"keys": ("k",), "retry": Retry(attempts=5), "repeat": Repeat(again=While.ALWAYS)}
    simulation = simulate(workflow(step("a", **slots), step("b", keys=("k",))), ending(a=SKIPPED))

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched == ["a", "b"]


def test_a_skip_is_no_failure_to_those_who_wait_for_one() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a:failed")), ending(a=SKIPPED_PASSES))

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.states() == {"a": "skipped", "b": "skipped"}


def test_a_failure_that_passes_is_one_to_those_who_wait_for_one() -> None:
    assert simulate(workflow(step("a"), step("b", "a:failed")), ending(a=ALLOWED)).go().state is RunState.PARTIAL


def test_a_failure_that_passes_does_not_halt_the_run() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a"), step("c", "b")), ending(a=ALLOWED))

    assert simulation.go().state is RunState.PARTIAL
    assert simulation.kinds(Kind.RUN_HALTING) == []


@pytest.mark.parametrize(
    ("flow", "ends", "state"),
    [
        pytest.param(workflow(step("a")), {"a": ALLOWED}, RunState.FAILED, id="nothing has succeeded"),
        pytest.param(
            workflow(step("a"), step("b", "a")), {"a": ALLOWED, "b": SKIPPED}, RunState.FAILED, id="a skip is no success"
        ),
        pytest.param(
            workflow(step("a"), step("b", kind="setup")), {"a": ALLOWED}, RunState.FAILED, id="nor is what comes with it"
        ),
        pytest.param(workflow(step("a"), step("b")), {"a": ALLOWED}, RunState.PARTIAL, id="something has"),
        pytest.param(
            workflow(step("a", optional=True)), {"a": Outcome.FAILED}, RunState.PARTIAL, id="optional is something else"
        ),
        pytest.param(
            workflow(step("a", optional=True, forgiven=True)), {"a": Outcome.FAILED}, RunState.SUCCEEDED, id="forgiven too"
        ),
        pytest.param(workflow(step("a")), {"a": SKIPPED_PASSES}, RunState.SUCCEEDED, id="all skipped is no failure"),
    ],
)
def test_failures_pass_only_where_something_has_succeeded(flow: Workflow, ends: dict[str, End], state: RunState) -> None:
    run = simulate(flow, ending(**ends)).go()

    assert run.state is state
    assert run.reason == ("a failed" if state is RunState.FAILED else "")


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.UNKNOWN])
def test_what_was_stopped_lets_nobody_pass(outcome: Outcome) -> None:
    simulation = simulate(workflow(step("a"), step("b", "a"), policy=KEEP_GOING), ending(a=End(outcome=outcome, passes=True)))
    simulation.go()

    assert simulation.states()["b"] in {"cancelled", "skipped"}


# ---------------------------------------------------------------- another attempt is asked for


def waiting(wait_s: float = 5.0, outcome: Outcome = Outcome.FAILED, *, again: bool | None = None) -> End:
    return End(outcome=outcome, wait_s=wait_s, again=again)


@pytest.mark.parametrize(
    ("ends", "counted", "state"),
    [
        pytest.param([waiting(), waiting(), Outcome.OK], [(1, 1), (2, 1), (3, 1)], RunState.SUCCEEDED, id="tries"),
        pytest.param([waiting(again=False), Outcome.FAILED], [(1, 1), (2, 1)], RunState.FAILED, id="a try that fails"),
        pytest.param(
            [waiting(again=True), waiting(again=True), Outcome.OK], [(1, 1), (1, 2), (1, 3)], RunState.SUCCEEDED, id="rounds"
        ),
        pytest.param(
            [waiting(outcome=Outcome.OK, again=True), Outcome.OK], [(1, 1), (1, 2)], RunState.SUCCEEDED, id="after a success"
        ),
        pytest.param([waiting(outcome=Outcome.OK)], [(1, 1)], RunState.SUCCEEDED, id="a success is not tried again"),
        pytest.param([waiting(outcome=Outcome.SKIPPED)], [(1, 1)], RunState.SUCCEEDED, id="nor is a skip"),
        pytest.param([waiting(outcome=Outcome.UNKNOWN)], [(1, 1)], RunState.FAILED, id="nor what is unknown"),
        pytest.param(
            [waiting(), waiting(again=True), waiting(), Outcome.OK],
            [(1, 1), (2, 1), (1, 2), (2, 2)],
            RunState.SUCCEEDED,
            id="both",
        ),
        pytest.param(
            [replace(waiting(), retryable=False), Outcome.OK], [(1, 1), (2, 1)], RunState.SUCCEEDED, id="it has the last word"
        ),
    ],
)
def test_an_action_asks_for_another_attempt_without_any_policy(
    ends: list[Outcome | End], counted: list[tuple[int, int]], state: RunState
) -> None:
    seen: list[Task] = []
    script = attempts(*ends)

    def remember(task: Task) -> Outcome | End:
        seen.append(task)
        return script(task)

    assert simulate(workflow(step("a")), remember).go().state is state
    assert [(task.tries, task.rounds) for task in seen] == counted
    assert [task.attempt for task in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("wait_s", [0.0, 5.0, 1e300, float("inf"), float("nan"), -1.0])
def test_any_number_of_seconds_is_a_wait(wait_s: float) -> None:
    simulation = simulate(workflow(step("a")), attempts(waiting(wait_s), Outcome.OK))
    simulation.turn()
    waits_s = (simulation.timers[0].due - simulation.now).total_seconds()

    assert waits_s == pytest.approx({0.0: 0, 5.0: 5}.get(wait_s, LONGEST_WAIT_S if wait_s > 5 else 0))
    assert simulation.go().state is RunState.SUCCEEDED


def test_the_limit_of_a_repetition_holds_although_the_action_asks_for_more() -> None:
    seen: list[int] = []

    def fail(task: Task) -> End:
        seen.append(task.rounds)
        return waiting(again=True)

    assert simulate(workflow(step("a", repeat=Repeat(limit=3))), fail).go(turns=50).state is RunState.FAILED
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("end", "state", "reason"),
    [
        pytest.param(waiting(), "failed", "", id="a try"),
        pytest.param(waiting(again=True), "failed", "", id="a round that failed"),
        pytest.param(
            waiting(outcome=Outcome.OK, again=True), "cancelled", "not repeated: b failed", id="a round that succeeded"
        ),
    ],
)
def test_a_wait_ends_when_the_run_halts(end: End, state: str, reason: str) -> None:
    simulation = simulate(workflow(step("a"), step("b")), ending(a=end, b=Outcome.FAILED))
    with held(simulation, "b"):
        simulation.turn()
    assert simulation.states()["a"] == "retry_wait"

    assert simulation.go(turns=5).state is RunState.FAILED
    assert (simulation.states()["a"], simulation.run.steps["a"].reason) == (state, reason)


def test_a_round_that_succeeded_after_one_that_failed_is_no_failure_when_the_run_halts() -> None:
    said = iter([waiting(0.0), waiting(100.0, Outcome.OK, again=True)])
    simulation = simulate(workflow(step("a"), step("b")), lambda task: next(said) if task.step == "a" else Outcome.FAILED)
    with held(simulation, "b"):
        for _ in range(3):
            simulation.turn()
    assert simulation.states()["a"] == "retry_wait"

    assert simulation.go().state is RunState.FAILED
    assert simulation.states() == {"a": "cancelled", "b": "failed"}


def test_a_wait_ends_when_the_run_is_cancelled_and_no_wait_begins_afterwards() -> None:
    simulation = simulate(workflow(step("a"), step("b")), ending(a=waiting(), b=waiting()), seed=1)
    simulation.turn()
    simulation.ask("cancel", reason="enough")

    assert simulation.go(turns=5).state is RunState.CANCELLED
    assert sorted(simulation.states().values()) == ["cancelled", "failed"]
    assert len(simulation.dispatched) == 2


# ---------------------------------------------------------------- the whole run is stopped


def handled(rerun: Retry | None = None) -> Workflow:
    handlers = (step(f"on-{on}", handler=on) for on in HandlerOn)
    return workflow(step("a"), step("b", "a"), step("c"), *handlers, policy=replace(KEEP_GOING, rerun=rerun))


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED])
def test_a_step_that_stops_the_run_cancels_it_once_and_its_handlers_run(outcome: Outcome) -> None:
    stops = End(outcome=outcome, stops="not today", wait_s=1.0, again=True)
    simulation = simulate(handled(rerun=Retry(attempts=3)), ending(a=stops, c=End(outcome=outcome, stops="nor ever")))
    run = simulation.go(turns=20)

    assert (run.state, simulation.kinds(Kind.CANCEL_REQUESTED)) == (RunState.CANCELLED, [Kind.CANCEL_REQUESTED])
    assert run.reason in {"not today", "nor ever"}
    assert [id for id in simulation.dispatched if id.startswith("on-")] == ["on-cancel", "on-exit"]
    assert simulation.states()["b"] == "cancelled"
    assert ends_like_its_events(simulation)


def test_a_stop_leaves_the_end_of_the_step_as_it_was_and_does_not_halt() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a")), ending(a=End(outcome=Outcome.FAILED, stops="no")))

    assert simulation.go().state is RunState.CANCELLED
    assert simulation.states() == {"a": "failed", "b": "skipped"}
    assert simulation.kinds(Kind.RUN_HALTING) == []


def test_a_handler_has_nothing_left_to_stop() -> None:
    simulation = simulate(workflow(step("a"), step("x", handler=HandlerOn.SUCCESS)), ending(x=End(stops="too late")))

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.kinds(Kind.CANCEL_REQUESTED) == []
