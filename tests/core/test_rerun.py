"""Runs that are run again: by their policy, as a whole, and by somebody, in part."""

from __future__ import annotations

from datetime import datetime

import pytest
from support.simulate import End, Script, Simulation, ending, failing, simulate, step, workflow

from provisioning.core import decide
from provisioning.core.decide import Extent
from provisioning.core.events import Kind
from provisioning.core.folding import fold
from provisioning.core.model import HandlerOn, OnFailure, Policy, Retry, RunState, Strategy, Workflow
from provisioning.core.ports import Outcome, Task

THRICE = Retry(attempts=3, base_s=10, factor=2, max_s=1000, jitter=0.5)
AGAIN = (Kind.RUN_RETRY_WAIT, Kind.RUN_REOPENED, Kind.RUN_FINISHING, Kind.RUN_FINISHED)


def again(*ids: str, rerun: Retry = THRICE, on_failure: OnFailure = OnFailure.SKIP_DOWNSTREAM) -> Workflow:
    """`a`, then `b`, then `c`, beside `other`; handlers for failure and exit."""
    steps = (step("a"), step("b", "a"), step("c", "b"), step("other"))
    handlers = (step("on-failure", handler=HandlerOn.FAILURE), step("on-exit", handler=HandlerOn.EXIT))
    return workflow(*steps, *(handlers if "handlers" in ids else ()), policy=Policy(on_failure=on_failure, rerun=rerun))


def until_wait(simulation: Simulation) -> None:
    while not simulation.run.rerun_due:
        simulation.turn()


def times(script: dict[str, int]) -> Script:
    """Outcomes: these steps fail so often."""
    left = dict(script)

    def end(task: Task) -> Outcome:
        left[task.step] = left.get(task.step, 0) - 1
        return Outcome.FAILED if left[task.step] >= 0 else Outcome.OK

    return end


def shown(simulation: Simulation) -> object:
    run = simulation.run
    return run.state, run.reason, run.reruns, run.rerun_due, {id: (one.state, one.attempt) for id, one in run.steps.items()}


# ---------------------------------------------------------------- by its policy


@pytest.mark.parametrize("on_failure", [OnFailure.FAIL, OnFailure.SKIP_DOWNSTREAM])
def test_a_failed_run_is_run_again_from_what_failed_and_all_below_it(on_failure: OnFailure) -> None:
    simulation = simulate(again(on_failure=on_failure), times({"b": 2}))

    assert simulation.go().state is RunState.SUCCEEDED
    assert [id for id in simulation.dispatched if id != "other"] == ["a", "b", "b", "b", "c"]
    assert simulation.run.reruns == 2


def test_what_succeeded_below_what_failed_runs_again() -> None:
    flow = workflow(step("a"), step("b", "a:done"), policy=Policy(on_failure=OnFailure.SKIP_DOWNSTREAM, rerun=THRICE))
    simulation = simulate(flow, times({"a": 1}))

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched == ["a", "b", "a", "b"]


def test_it_is_run_as_often_as_the_policy_says_and_the_waits_grow() -> None:
    simulation = simulate(again(), failing("b"))
    run = simulation.go()
    waits_s = [
        (datetime.fromisoformat(str(event.data["due"])) - event.at).total_seconds()
        for event in simulation.events
        if event.kind is Kind.RUN_RETRY_WAIT
    ]

    assert (run.state, run.reason) == (RunState.FAILED, "b failed")
    assert simulation.dispatched.count("b") == 3
    assert waits_s == [10, 20]


@pytest.mark.parametrize(
    ("retry", "waits_s"),
    [
        pytest.param(Retry(attempts=4, base_s=5, strategy=Strategy.FIXED), [5, 5, 5], id="fixed"),
        pytest.param(Retry(attempts=4, base_s=5, max_s=12), [5, 10, 12], id="capped"),
        pytest.param(Retry(attempts=1), [], id="one is no retry"),
    ],
)
def test_the_waits_are_those_of_the_policy_without_jitter(retry: Retry, waits_s: list[float]) -> None:
    simulation = simulate(again(rerun=retry), failing("a"))
    seen: list[float] = []
    while not simulation.run.ended:
        simulation.turn()
        new = [timer for timer in simulation.timers if timer.kind == "rerun"]
        seen += [(timer.due - simulation.now).total_seconds() for timer in new]

    assert seen == waits_s


def test_handlers_run_at_the_last_end_only() -> None:
    simulation = simulate(again("handlers"), failing("b"))

    assert simulation.go().state is RunState.FAILED
    assert simulation.kinds(*AGAIN) == [*AGAIN[:2], *AGAIN[:2], *AGAIN[2:]]
    assert [id for id in simulation.dispatched if id.startswith("on-")] == ["on-failure", "on-exit"]


def test_a_run_whose_handler_fails_is_not_run_again() -> None:
    simulation = simulate(again("handlers"), failing("on-exit"))

    assert simulation.go().state is RunState.FAILED
    assert simulation.kinds(Kind.RUN_RETRY_WAIT) == []


@pytest.mark.parametrize("outcome", [End(partial=True), End(outcome=Outcome.SKIPPED), End(outcome=Outcome.FAILED, passes=True)])
def test_what_has_not_failed_is_not_run_again(outcome: End) -> None:
    simulation = simulate(again(), ending(b=outcome))
    simulation.go()

    assert simulation.kinds(Kind.RUN_RETRY_WAIT) == []


def test_a_run_with_a_step_of_which_nobody_knows_how_it_ended_is_not_run_again() -> None:
    simulation = simulate(again(), ending(b=Outcome.UNKNOWN, other=Outcome.FAILED))

    assert simulation.go().state is RunState.FAILED
    assert simulation.dispatched.count("b") == 1


def test_the_retries_of_a_step_come_first_and_anew_each_time() -> None:
    tried: list[int] = []
    flow = workflow(step("a", retry=Retry(attempts=2)), policy=Policy(rerun=Retry(attempts=2)))

    def fail(task: Task) -> Outcome:
        tried.append(task.tries)
        return Outcome.FAILED

    simulate(flow, fail).go()
    assert tried == [1, 2, 1, 2]


def test_a_run_that_is_cancelled_while_it_waits_ends_with_its_handlers() -> None:
    simulation = simulate(again("handlers"), failing("b"))
    until_wait(simulation)
    simulation.ask("cancel", reason="enough")

    assert simulation.go().state is RunState.CANCELLED
    assert simulation.run.reason == "enough"
    assert simulation.dispatched[-1] == "on-exit"
    assert simulation.dispatched.count("b") == 1


def test_a_run_whose_time_is_over_while_it_waits_has_timed_out() -> None:
    flow = workflow(step("a"), policy=Policy(timeout_s=5, rerun=THRICE))
    simulation = simulate(flow, failing("a"))
    simulation.go()

    assert simulation.run.state is RunState.TIMED_OUT
    assert simulation.dispatched == ["a"]


def test_a_paused_run_is_run_again_when_it_goes_on() -> None:
    simulation = simulate(again(), times({"b": 1}))
    until_wait(simulation)
    simulation.ask("pause")
    simulation.go()
    assert simulation.run.state is RunState.PAUSED
    simulation.ask("resume")

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched.count("b") == 2


def test_timers_that_fire_twice_or_late_do_no_harm() -> None:
    simulation = simulate(again(), failing("b"))
    until_wait(simulation)
    first = simulation.timers[-1]
    simulation.timers.append(first)
    until_second = len(simulation.events)
    while len(simulation.kinds(Kind.RUN_RETRY_WAIT)) < 2:
        simulation.turn()
    waiting = shown(simulation)
    simulation.timers.insert(0, first)  # in the next wait, long before that is over
    simulation.turn()
    assert shown(simulation) == waiting

    assert simulation.go().state is RunState.FAILED
    assert len(simulation.events) > until_second
    assert simulation.dispatched.count("b") == 3
    simulation.timers.append(first)
    before = len(simulation.events)
    simulation.turn()
    assert len(simulation.events) == before


@pytest.mark.parametrize("turns", range(14))
def test_after_a_crash_at_any_turn_it_goes_on_as_before(turns: int) -> None:
    undisturbed = simulate(again("handlers"), times({"b": 1, "other": 2}))
    undisturbed.go()
    simulation = simulate(again("handlers"), times({"b": 1, "other": 2}))
    simulation.go(turns=turns)
    before = shown(simulation)
    folded = fold("r1", simulation.run.workflow, simulation.events)
    assert (folded.state, folded.reruns, folded.rerun_due) == (before[0], before[2], before[3])  # type: ignore[index]
    simulation.crash()

    assert simulation.go().state is undisturbed.run.state is RunState.SUCCEEDED
    assert simulation.states() == undisturbed.states()
    assert (simulation.run.reruns, simulation.run.steps["b"].attempt) == (2, 2)


def test_somebody_s_retry_starts_counting_anew() -> None:
    simulation = simulate(again(), failing("b"))
    simulation.go()
    simulation.reopen()

    assert (simulation.run.reruns, simulation.run.rerun_due) == (0, "")
    assert simulation.go().state is RunState.FAILED
    assert simulation.dispatched.count("b") == 6


def test_a_replay_while_it_waits_takes_the_place_of_the_wait() -> None:
    simulation = simulate(again(), times({"b": 2}))
    until_wait(simulation)
    decision = simulation._decision()
    assert decide.replay(decision, ["b"]) == ["b", "c"]
    simulation._finish(decision)
    assert simulation.run.rerun_due == ""

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched.count("b") == 3


# ---------------------------------------------------------------- by somebody, in part

STEPS = ("a", "b", "c", "after", "other")


def wide() -> Workflow:
    """`b` fails; `c` is blocked by that, `after` runs all the same, `other` has nothing to do with it."""
    steps = (step("a"), step("b", "a"), step("c", "b"), step("after", "b:done"), step("other"))
    return workflow(*steps, step("exit", handler=HandlerOn.EXIT), policy=Policy(on_failure=OnFailure.SKIP_DOWNSTREAM))


@pytest.mark.parametrize(
    ("from_step", "extent", "expected"),
    [
        pytest.param(None, Extent.NEEDED, ["b", "c"], id="what failed and was kept from running"),
        pytest.param(None, Extent.BELOW, ["b", "c", "after"], id="and all below it"),
        pytest.param("b", Extent.NEEDED, ["b", "c", "after"], id="from a step"),
        pytest.param("b", Extent.BELOW, ["b", "c", "after"], id="from a step, all below it"),
        pytest.param("b", Extent.ALONE, ["b"], id="a step that failed alone"),
        pytest.param("a", Extent.NEEDED, ["a", "b", "c", "after"], id="from one that succeeded"),
        pytest.param("other", Extent.ALONE, ["other"], id="one that succeeded alone"),
    ],
)
def test_how_much_of_a_run_is_run_again(from_step: str | None, extent: Extent, expected: list[str]) -> None:
    simulation = simulate(wide(), failing("b"))
    simulation.go()
    simulation.dispatched.clear()
    simulation.outcome = lambda _task: Outcome.OK

    assert simulation.reopen(from_step, extent=extent) == expected
    simulation.go()
    assert sorted(simulation.dispatched) == sorted([*expected, "exit"])
    assert all(simulation.run.steps[id].attempt <= 1 for id in STEPS if id not in expected)
    again = fold("r1", simulation.run.workflow, simulation.events)
    assert (again.state, again.seq) == (simulation.run.state, simulation.run.seq)


def test_a_step_alone_leaves_what_it_had_blocked_and_so_the_run_as_they_were() -> None:
    simulation = simulate(wide(), failing("b"))
    simulation.go()
    simulation.outcome = lambda _task: Outcome.OK
    simulation.reopen("b", extent=Extent.ALONE)

    assert simulation.go().state is RunState.FAILED
    assert simulation.states() == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "skipped",
        "after": "succeeded",
        "other": "succeeded",
        "exit": "succeeded",
    }


def test_of_a_run_that_succeeded_nothing_is_left_to_run_again() -> None:
    for extent in (Extent.NEEDED, Extent.BELOW):
        simulation = simulate(wide())
        simulation.go()
        assert simulation.reopen(extent=extent) == []
        assert simulation.run.state is RunState.SUCCEEDED
