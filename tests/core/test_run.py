"""Fold and decide, driven by random DAGs, outcomes and interleavings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.simulate import Simulation, simulate, step, workflow

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
from provisioning.core.folding import apply, fold
from provisioning.core.model import (
    STEP_ENDED,
    STEP_GOOD,
    OnFailure,
    Policy,
    Retry,
    StepState,
    Workflow,
)
from provisioning.core.ports import Outcome
from provisioning.core.ready import needs
from provisioning.core.run import Run, satisfied

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
            assert all(satisfied(dep.on, run.steps[dep.step]) for dep in deps)
            assert all(run.steps[dep.step].state in STEP_ENDED for dep in deps)
        apply(run, event)


@given(flows(), outcomes, st.integers())
def test_limits_and_keys_are_never_exceeded(flow: Workflow, script: list[Outcome], seed: int) -> None:
    simulation = played(flow, script, seed)
    run = fold("r1", flow, [])
    for event in simulation.events:
        apply(run, event)
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
