"""Fold and decide, driven by random DAGs, outcomes and interleavings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted
from support.simulate import Simulation, failing, report, simulate, step, workflow

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
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
from provisioning.core.ports import Outcome, Task
from provisioning.core.ready import needs
from provisioning.core.run import Run, fold, satisfied
from provisioning.core.values import Ref, resolve

KEEP_GOING = Policy(on_failure=OnFailure.SKIP_DOWNSTREAM)


@st.composite
def flows(draw: st.DrawFn) -> Workflow:
    count = draw(st.integers(1, 14))
    steps = []
    for index in range(count):
        before = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        kinds = draw(st.lists(st.sampled_from(["", ":done", ":failed"]), min_size=len(before), max_size=len(before)))
        deps = [f"s{dep}{kind}" for dep, kind in zip(before, kinds, strict=True)]
        steps.append(
            step(
                f"s{index}",
                *deps,
                after_failure=draw(st.booleans()) if deps else False,
                optional=draw(st.booleans()),
                unchanged=draw(st.sampled_from([False, False, False, True])),
                keys=draw(st.sampled_from([(), ("server:a",), ("server:b",)])),
                retry=Retry(attempts=draw(st.integers(1, 3))),
            )
        )
    policy = Policy(on_failure=draw(st.sampled_from(OnFailure)), max_parallel=draw(st.integers(0, 3)))
    return workflow(*steps, policy=policy)


outcomes = st.lists(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN]), min_size=1, max_size=40)


def played(flow: Workflow, script: list[Outcome], seed: int) -> Simulation:
    said = iter(script * 50)
    run = simulate(flow, lambda _task: next(said), seed)
    run.go()
    return run


@given(flows(), outcomes, st.integers())
def test_every_run_ends_with_every_step_in_a_terminal_state(flow: Workflow, script: list[Outcome], seed: int) -> None:
    run = played(flow, script, seed).run

    assert run.ended
    assert all(step.state in STEP_ENDED for step in run.steps.values())
    assert run.unended == 0
    assert run.active == 0


@st.composite
def crowds(draw: st.DrawFn) -> Workflow:
    """Many independent steps that want the same few slots."""
    keys = st.sampled_from([(), ("server:a",), ("server:b",), ("server:c",), ("server:a", "server:b")])
    steps = [
        step(f"s{index}", keys=draw(keys), pools=draw(st.sampled_from([(), ("p",)])), priority=draw(st.integers(0, 2)))
        for index in range(draw(st.integers(4, 16)))
    ]
    return workflow(*steps, pools={"p": draw(st.integers(1, 3))}, policy=Policy(max_parallel=draw(st.integers(0, 3))))


@given(crowds(), st.integers())
def test_no_step_waits_for_a_slot_that_is_free(flow: Workflow, seed: int) -> None:
    simulation = simulate(flow, seed=seed)
    run, queue = simulation.run, simulation.queue

    while not run.ended and simulation.tasks:
        simulation.turn()
        idle = [id for id, one in run.steps.items() if one.state is StepState.READY]
        assert all(any(queue.taken[name] >= queue.capacity.get(name, 1) for name in needs(run, id)) for id in idle)
    assert run.ended


@given(flows(), outcomes, st.integers())
def test_folding_the_recorded_events_gives_the_same_state(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)

    again = fold("r1", flow, simulation.events)

    assert [event.seq for event in simulation.events] == list(range(1, len(simulation.events) + 1))
    assert visible(again) == visible(simulation.run)


@given(flows(), outcomes, st.integers())
def test_events_seen_twice_change_nothing(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)
    repeated = [event for event in simulation.events if event.step for _ in range(2)]
    first = [event for event in simulation.events if not event.step]

    assert {e.kind for e in first} >= {Kind.RUN_CREATED, Kind.RUN_FINISHED}
    assert len(repeated) == 2 * len([event for event in simulation.events if event.step])
    doubled = fold("r1", flow, [event for event in simulation.events for _ in range(2 if event.step else 1)])
    assert visible(doubled)["states"] == visible(simulation.run)["states"]


@given(flows(), outcomes, st.integers())
def test_a_step_is_dispatched_only_when_all_its_edges_are_satisfied(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)
    run = fold("r1", flow, [])
    for event in simulation.events:
        if event.kind is Kind.STEP_DISPATCHED:
            deps = run.steps[event.step].spec.deps
            assert all(satisfied(dep.on, run.steps[dep.step].state) for dep in deps)
            assert all(run.steps[dep.step].state in STEP_ENDED for dep in deps)
        run.apply(event)


@given(flows(), outcomes, st.integers())
def test_limits_and_keys_are_never_exceeded(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)
    run = fold("r1", flow, [])
    for event in simulation.events:
        run.apply(event)
        holding = [step for step in run.steps.values() if step.state in {StepState.DISPATCHED, StepState.RUNNING}]
        assert sum("server:a" in step.spec.keys for step in holding) <= 1
        assert not flow.policy.max_parallel or len(holding) <= flow.policy.max_parallel


@given(flows(), outcomes, st.integers())
def test_after_a_halt_only_steps_made_for_it_start(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)

    assert all(simulation.run.steps[id].spec.after_failure for id in simulation.after_halt)


@given(flows(), outcomes, st.integers(), st.integers(1, 60))
def test_a_run_cut_off_anywhere_goes_on_from_its_events(flow: Workflow, script: list[Outcome], seed: int, cut: int) -> None:
    said = iter(script * 50)
    before = simulate(flow, lambda _task: next(said), seed)
    before.go(turns=cut % 7)

    run = fold("r1", flow, before.events)
    after = Simulation(run=run, outcome=lambda _task: Outcome.OK, dice=before.dice, now=before.now, events=list(before.events))
    after.timers = list(before.timers)
    after.queue.open_run(run)
    decision = Decision(run=run, now=after.now)
    decide.recover(decision)
    after._finish(decision)
    after.go()

    assert run.ended
    assert visible(fold("r1", flow, after.events)) == visible(run)


@given(flows(), outcomes, st.integers())
def test_a_retried_run_leaves_nothing_that_succeeded_to_run_again(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)
    good = {id for id, step in simulation.run.steps.items() if step.state in STEP_GOOD}
    simulation.dispatched.clear()
    simulation.outcome = lambda _task: Outcome.OK
    simulation.run = fold("r1", flow, simulation.events)
    decision = Decision(run=simulation.run, now=simulation.now)

    again = decide.reopen(decision)
    if again:
        simulation._finish(decision)
        simulation.go()

    assert not good & set(simulation.dispatched)
    assert simulation.run.ended
    assert visible(fold("r1", flow, simulation.events)) == visible(simulation.run)


def visible(run: Run) -> dict[str, object]:
    return {
        "state": run.state,
        "reason": run.reason,
        "seq": run.seq,
        "states": {id: (step.state, step.attempt, step.epoch, step.reason, step.because) for id, step in run.steps.items()},
    }


# ---------------------------------------------------------------- named cases


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
    for _ in range(decide.CRASH_LIMIT + 1):
        decision = Decision(run=simulation.run, now=simulation.now)
        decide.recover(decision)
        simulation._finish(decision)

    assert simulation.run.steps["a"].attempt == 1
    assert simulation.run.steps["a"].error_kind == "worker_lost"
    assert simulation.run.state is RunState.FAILED


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

    assert resolve(args, {"a": 1}) == {"x": [1, {"y": 7}]}
    with pytest.raises(KeyError):
        resolve(Ref(step="a"), {})


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


def test_every_edge_kind_is_satisfied_by_the_states_it_names() -> None:
    table = {(on, state): satisfied(on, state) for on in On for state in STEP_ENDED}

    assert {state for (on, state), ok in table.items() if on is On.SUCCESS and ok} == set(STEP_GOOD)
    assert all(ok for (on, _state), ok in table.items() if on is On.DONE)
    failed = {StepState.FAILED, StepState.TIMED_OUT, StepState.INTERRUPTED}
    assert {state for (on, state), ok in table.items() if on is On.FAILED and ok} == failed
