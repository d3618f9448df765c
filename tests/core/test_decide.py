"""Fold and decide, case by case; ids are those of the case lists."""

from __future__ import annotations

import pytest
from support.cost import counted
from support.simulate import failing, report, simulate, step, workflow

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
from provisioning.core.folding import fold
from provisioning.core.model import (
    STEP_ENDED,
    STEP_GOOD,
    Gate,
    GateKind,
    On,
    OnFailure,
    Policy,
    Retry,
    RunState,
    StepState,
    Workflow,
)
from provisioning.core.outcomes import CRASH_LIMIT
from provisioning.core.ports import RETURNED, Outcome, Report, Task
from provisioning.core.run import StepRun, satisfied
from provisioning.core.values import Marker, Ref, resolve

KEEP_GOING = Policy(on_failure=OnFailure.SKIP_DOWNSTREAM)


def test_b01_only_the_dependents_of_what_ended_become_ready() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a"), step("c")))

    assert simulation.dispatched == ["a", "c"]
    simulation.go()
    assert simulation.dispatched == ["a", "c", "b"]


def test_b02_failure_is_passed_on_to_everything_below_it() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a"), step("c", "b"), policy=KEEP_GOING), failing("a"))

    run = simulation.go()

    assert simulation.states() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert run.state is RunState.FAILED
    assert run.steps["c"].because == "a"
    assert run.steps["b"].reason == "blocked: needs a, which failed"
    assert run.steps["c"].reason == "blocked: needs b, which is blocked by a (failed)"


def test_a21_under_fail_nothing_new_starts_and_what_runs_may_finish() -> None:
    flow = workflow(step("a"), step("b"), step("after-a", "a"), step("after-b", "b"))
    simulation = simulate(flow, failing("a"), seed=1)

    run = simulation.go()

    assert run.state is RunState.FAILED
    assert simulation.states() == {"a": "failed", "b": "succeeded", "after-a": "skipped", "after-b": "cancelled"}
    assert run.steps["after-b"].reason == "not started: a failed"


def test_a22_under_skip_downstream_independent_branches_finish() -> None:
    flow = workflow(step("a"), step("b"), step("after-a", "a"), step("after-b", "b"), policy=KEEP_GOING)

    run = simulate(flow, failing("a")).go()

    assert run.state is RunState.FAILED
    assert run.steps["after-b"].state is StepState.SUCCEEDED


@pytest.mark.parametrize(("critical", "state"), [(False, RunState.PARTIAL), (True, RunState.FAILED)])
def test_a23_under_continue_only_critical_steps_fail_the_run(*, critical: bool, state: RunState) -> None:
    flow = workflow(step("a", critical=critical), step("b"), policy=Policy(on_failure=OnFailure.CONTINUE))

    assert simulate(flow, failing("a")).go().state is state


def test_an_optional_failure_leaves_the_run_partial() -> None:
    assert simulate(workflow(step("a", optional=True), step("b", "a:done")), failing("a")).go().state is RunState.PARTIAL


def test_a_step_for_failures_runs_while_the_run_halts() -> None:
    flow = workflow(step("a"), step("clean", "a:failed", after_failure=True), step("b", "a"))
    simulation = simulate(flow, failing("a"))

    assert simulation.go().state is RunState.FAILED
    assert simulation.states() == {"a": "failed", "clean": "succeeded", "b": "skipped"}


def test_a_step_for_failures_is_skipped_without_blocking_when_there_is_none() -> None:
    flow = workflow(step("a"), step("clean", "a:failed", after_failure=True), step("b", "clean:done"))
    simulation = simulate(flow)

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.states() == {"a": "succeeded", "clean": "skipped", "b": "succeeded"}


def test_b12_a_failing_step_is_tried_as_often_as_its_policy_says() -> None:
    tried: list[int] = []

    def fail(task: Task) -> Outcome:
        tried.append(task.attempt)
        return Outcome.FAILED

    simulation = simulate(workflow(step("a", retry=Retry(attempts=3, base_s=1, jitter=0))), fail)

    assert simulation.go().state is RunState.FAILED
    assert tried == [1, 2, 3]


def test_b08_a_report_of_an_older_epoch_changes_nothing() -> None:
    simulation = simulate(workflow(step("a")))
    old = simulation.tasks[0]
    decision = Decision(run=simulation.run, now=simulation.now)
    decide.recover(decision)
    simulation._finish(decision)

    assert simulation.tasks[-1].attempt == old.attempt
    assert simulation.tasks[-1].epoch == old.epoch + 1
    late = Decision(run=simulation.run, now=simulation.now)

    decide.on_report(late, report(old, Outcome.OK), 0.5)
    assert late.events == []


def test_n02_a_lost_worker_is_not_charged_to_the_retry_budget_but_has_a_limit_of_its_own() -> None:
    simulation = simulate(workflow(step("a")))
    for _ in range(CRASH_LIMIT + 1):
        decision = Decision(run=simulation.run, now=simulation.now)
        decide.recover(decision)
        simulation._finish(decision)

    assert simulation.run.steps["a"].attempt == 1
    assert simulation.run.steps["a"].error_kind == "worker_lost"
    assert simulation.run.state is RunState.FAILED


def test_a_worker_that_is_lost_is_told_in_the_history_and_its_step_begins_again_as_the_same_attempt() -> None:
    simulation = simulate(workflow(step("a", retry=Retry(attempts=2, base_s=1, jitter=0))), failing("a"))
    lost = simulation.tasks.pop()
    simulation.hear(report(lost, Outcome.LOST))

    [told] = [event for event in simulation.events if event.kind is Kind.STEP_LEASE_LOST]
    assert (told.step, told.epoch, told.data["reason"]) == ("a", 1, "worker_lost")
    assert [(task.attempt, task.epoch) for task in simulation.tasks] == [(1, 2)]
    simulation.go()
    assert simulation.dispatched == ["a"] * 3  # once more than lost: two tries are still two tries


def test_what_a_worker_gives_back_unbegun_is_begun_by_another_one_and_counts_for_no_loss() -> None:
    simulation = simulate(workflow(step("a")))
    for number in range(2 * CRASH_LIMIT):
        task = simulation.tasks.pop()
        assert (task.attempt, task.epoch) == (1, number + 1)
        simulation.hear(Report(task=task, worker="", outcome=Outcome.LOST, error_kind=RETURNED))
    simulation.go()

    assert simulation.run.state is RunState.SUCCEEDED
    told = [event.data["reason"] for event in simulation.events if event.kind is Kind.STEP_LEASE_LOST]
    assert told == [RETURNED] * 2 * CRASH_LIMIT


def test_a_new_attempt_may_lose_as_many_workers_as_the_first() -> None:
    simulation = simulate(workflow(step("a", retry=Retry(attempts=2, base_s=1, jitter=0))))
    for outcome in (*[Outcome.LOST] * CRASH_LIMIT, Outcome.FAILED, *[Outcome.LOST] * CRASH_LIMIT, Outcome.OK):
        while not simulation.tasks:
            simulation.turn()
        simulation.hear(report(simulation.tasks.pop(), outcome))

    assert simulation.run.state is RunState.SUCCEEDED


def test_what_workers_have_that_live_on_stays_with_them_and_the_timers_are_set_again() -> None:
    flow = workflow(step("a", sla_s=9.0), step("b", sla_s=8.0, retry=Retry(attempts=2, base_s=5)), policy=Policy(timeout_s=60))
    simulation = simulate(flow, failing("b"))
    simulation.hear(report(simulation.tasks.pop(), Outcome.FAILED))
    decision = Decision(run=simulation.run, now=simulation.now)
    decide.recover(decision, workers_live=True)

    assert (decision.events, decision.tasks) == ([], simulation.tasks)
    assert {(timer.kind, timer.step) for timer in decision.timers} == {
        ("retry", "b"),
        ("timeout", ""),
        ("late a", ""),
        ("late b", ""),
    }
    assert {timer.due for timer in decision.timers} <= {timer.due for timer in simulation.timers}


def test_a33_priority_goes_before_the_longest_path_and_that_before_declaration() -> None:
    steps = (step("late"), step("long"), step("after", "long"), step("first", priority=9))
    simulation = simulate(workflow(*steps, policy=Policy(max_parallel=1)))

    simulation.go()

    assert simulation.dispatched == ["first", "long", "late", "after"]


def test_a35_a_full_pool_holds_back_only_those_who_need_it() -> None:
    steps = (step("a", pools=("p",)), step("b", pools=("p",)), step("c"))
    simulation = simulate(workflow(*steps, pools={"p": 1}))

    assert simulation.dispatched == ["a", "c"]
    simulation.go()
    assert simulation.dispatched == ["a", "c", "b"]


def test_b37_a_step_behind_two_signals_needs_both_and_ignores_repeats() -> None:
    gates = (Gate(kind=GateKind.SIGNAL, name="x"), Gate(kind=GateKind.SIGNAL, name="y"))
    simulation = simulate(workflow(step("a", gates=gates)))
    for name in ("x", "x"):
        simulation.ask("open_gate", kind="signal", name=name)

    assert simulation.dispatched == []
    simulation.ask("open_gate", kind="signal", name="y")
    assert simulation.dispatched == ["a"]


def test_b24_a_paused_run_finishes_what_runs_and_starts_nothing_until_resumed() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a")))
    simulation.ask("pause")
    assert simulation.run.state.value == "pausing"
    simulation.go()
    assert simulation.run.state.value == "paused"
    assert simulation.dispatched == ["a"]

    simulation.ask("resume")
    assert simulation.go().state is RunState.SUCCEEDED


def test_b23_cancel_ends_what_waits_at_once_and_the_run_when_the_workers_have_stopped() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a")), lambda _task: Outcome.CANCELLED)
    simulation.ask("cancel", reason="interrupted")
    assert simulation.states() == {"a": "dispatched", "b": "cancelled"}

    assert simulation.go().state is RunState.CANCELLED
    assert simulation.states() == {"a": "interrupted", "b": "cancelled"}


def test_an_unknown_outcome_is_neither_failed_nor_done() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a")), lambda _task: Outcome.UNKNOWN)

    assert simulation.go().state is RunState.FAILED
    assert simulation.states() == {"a": "interrupted", "b": "skipped"}


def test_abandoning_a_run_marks_what_ran_as_interrupted() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a")))
    decision = Decision(run=simulation.run, now=simulation.now)

    decide.abandon(decision, "its runner died")

    assert simulation.states() == {"a": "interrupted", "b": "cancelled"}
    assert simulation.run.state is RunState.CANCELLED


def test_references_are_resolved_from_the_outputs_at_any_depth() -> None:
    args = {"x": [Ref(step="a"), {"y": Ref(step="b", has_default=True, default=7)}]}

    def value_of(ref: Marker) -> object:
        assert isinstance(ref, Ref)
        return 1 if ref.step == "a" else ref.default

    assert resolve(args, value_of) == {"x": [1, {"y": 7}]}


def test_cost_is_linear_in_the_size_of_the_chain() -> None:
    def lines(count: int) -> int:
        flow = chain(count)
        with counted() as cost:
            run = simulate(flow, failing("s0")).go()
        assert run.counts[StepState.SKIPPED] == count - 1
        return cost.lines

    assert lines(4000) / lines(1000) < 4.2


def test_a_chain_of_a_hundred_thousand_does_not_recurse() -> None:
    assert simulate(chain(100_000), failing("s0")).go().counts[StepState.SKIPPED] == 99_999


def chain(count: int) -> Workflow:
    return workflow(*(step(f"s{i}", *([f"s{i - 1}"] if i else [])) for i in range(count)), policy=KEEP_GOING)


def test_a_retried_failure_takes_what_it_had_blocked_along() -> None:
    flow = workflow(step("a"), step("gate", "a"), step("b", "gate"))
    simulation = simulate(flow, failing("a"))
    simulation.go()
    simulation.run = fold("r1", flow, simulation.events)
    simulation.outcome = lambda _task: Outcome.OK
    decision = Decision(run=simulation.run, now=simulation.now)
    decide.reopen(decision)
    simulation._finish(decision)

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.states() == {"a": "succeeded", "gate": "succeeded", "b": "succeeded"}


def ended(state: StepState, *, passes: bool = False) -> StepRun:
    return StepRun(spec=step("a"), index=0, remaining=0, state=state, passes=passes)


def test_a_failure_or_a_skip_that_passes_lets_dependents_go_on() -> None:
    for state in (StepState.FAILED, StepState.TIMED_OUT, StepState.SKIPPED):
        assert satisfied(On.SUCCESS, ended(state, passes=True))
        assert not satisfied(On.SUCCESS, ended(state))


def test_every_edge_kind_is_satisfied_by_the_states_it_names() -> None:
    table = {(on, state): satisfied(on, ended(state)) for on in On for state in STEP_ENDED}

    assert {state for (on, state), ok in table.items() if on is On.SUCCESS and ok} == set(STEP_GOOD)
    assert all(ok for (on, _state), ok in table.items() if on is On.DONE)
    failed = {StepState.FAILED, StepState.TIMED_OUT, StepState.INTERRUPTED}
    assert {state for (on, state), ok in table.items() if on is On.FAILED and ok} == failed
