"""Runs that wait for people: who is told and when, what an approval and a rejection do."""

from __future__ import annotations

import pytest
from support.simulate import NOOP, Script, Simulation, ending, simulate, step, workflow

from provisioning.core.events import Kind
from provisioning.core.folding import fold
from provisioning.core.model import Gate, GateKind, HandlerOn, OnFailure, Policy, Retry, RunState, Step, Workflow
from provisioning.core.ports import Outcome, Task
from provisioning.core.upstream import REJECTED, awaiting
from provisioning.core.values import RunVerdict
from provisioning.core.why import blockers

KEEP_GOING = Policy(on_failure=OnFailure.SKIP_DOWNSTREAM)
FACTS = RunVerdict()


def behind(name: str) -> dict[str, tuple[Gate, ...]]:
    return {"gates": (Gate(kind=GateKind.APPROVAL, name=name),)}


def asking(*more: Step, handlers: tuple[HandlerOn, ...] = tuple(HandlerOn), policy: Policy = KEEP_GOING) -> Workflow:
    """`a`, then a person, then `b`; a handler for everything, each told where the run stands."""
    told = (step(f"on-{on}", handler=on, args={"run": FACTS}) for on in handlers)
    return workflow(step("a"), step("b", "a", **behind("ok")), *more, *told, policy=policy)


def approve(simulation: Simulation, name: str = "ok") -> None:
    simulation.ask("open_gate", kind="approval", name=name)


def reject(simulation: Simulation, name: str = "ok", reason: str = "") -> None:
    simulation.ask("reject", name=name, reason=reason)


def waits(simulation: Simulation) -> bool:
    return simulation.run.waiting


def told(tasks: list[Task], id: str) -> dict[str, object]:
    """Return what a step was told of the run."""
    args = next(task for task in tasks if task.step == id).args
    assert isinstance(args, dict)
    facts = args["run"]
    assert isinstance(facts, dict)
    return facts


def remembering(seen: list[Task]) -> Script:
    def end(task: Task) -> Outcome:
        seen.append(task)
        return Outcome.OK

    return end


# ---------------------------------------------------------------- waiting


def test_a_run_tells_once_that_only_people_keep_it() -> None:
    seen: list[Task] = []
    simulation = simulate(asking(step("c", "b", **behind("again"))), remembering(seen))
    simulation.go()
    assert waits(simulation)
    assert told(seen, "on-wait") == {"state": "waiting", "reason": "", "failed": [], "rejected": [], "waiting": ["b"]}

    approve(simulation)
    assert not waits(simulation)
    simulation.go()
    assert [step.spec.id for step in awaiting(simulation.run)] == ["c"]

    approve(simulation, "again")
    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.kinds(Kind.RUN_WAITING) == [Kind.RUN_WAITING] * 2
    assert simulation.dispatched.count("on-wait") == 1


def test_nobody_is_told_while_something_else_goes_on() -> None:
    simulation = simulate(asking(step("slow", retry=Retry(attempts=2))), ending(slow=Outcome.FAILED))
    assert simulation.kinds(Kind.RUN_WAITING) == []
    while simulation.states()["slow"] != "retry_wait" or simulation.states()["a"] != "succeeded":
        simulation.turn()
        assert simulation.kinds(Kind.RUN_WAITING) == []
    simulation.go()

    assert waits(simulation)


@pytest.mark.parametrize("state", ["pausing", "paused"])
def test_a_paused_run_tells_when_it_goes_on(state: str) -> None:
    simulation = simulate(asking())
    simulation.ask("pause")
    if state == "paused":
        simulation.turn()
        assert simulation.kinds(Kind.RUN_WAITING) == []
    simulation.ask("resume")
    simulation.go()

    assert simulation.kinds(Kind.RUN_WAITING) == [Kind.RUN_WAITING]


def test_who_waits_for_a_signal_too_waits_for_no_person_yet() -> None:
    gates = (Gate(kind=GateKind.APPROVAL, name="ok"), Gate(kind=GateKind.SIGNAL, name="go"))
    simulation = simulate(workflow(step("a", gates=gates)))
    assert not waits(simulation)

    simulation.ask("open_gate", kind="signal", name="go")
    assert waits(simulation)


def test_approved_before_it_is_asked_for_nobody_waits() -> None:
    simulation = simulate(asking())
    approve(simulation)

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.kinds(Kind.RUN_WAITING) == []
    assert (simulation.states()["on-wait"], simulation.run.steps["on-wait"].reason) == (
        "skipped",
        "the run did not wait for anybody",
    )


@pytest.mark.parametrize(
    ("optional", "verdict"), [(False, RunState.FAILED), (True, RunState.SUCCEEDED)], ids=["it counts", "optional"]
)
@pytest.mark.parametrize("others", [(), (HandlerOn.EXIT, HandlerOn.SUCCESS, HandlerOn.FAILURE)], ids=["alone", "beside others"])
def test_who_tells_and_fails_is_a_failed_handler(others: tuple[HandlerOn, ...], *, optional: bool, verdict: RunState) -> None:
    wait = Step(id="tell", action=NOOP, handler=HandlerOn.WAIT, optional=optional)
    flow = asking(wait, handlers=others, policy=Policy(on_failure=OnFailure.SKIP_DOWNSTREAM, rerun=Retry(attempts=3)))
    simulation = simulate(flow, ending(tell=Outcome.FAILED))
    simulation.go()
    approve(simulation)

    assert simulation.go().state is verdict
    assert simulation.kinds(Kind.RUN_REOPENED, Kind.RUN_RETRY_WAIT) == []
    assert [id for id in simulation.dispatched if id.startswith("on-")] == ["on-exit", "on-success"][: len(others)]


def test_a_handler_for_waiting_that_needs_more_starts_when_it_has_that() -> None:
    wait = step("tell", "b", handler=HandlerOn.WAIT)
    simulation = simulate(asking(step("c", "a", **behind("more")), wait, handlers=()))
    simulation.go()
    approve(simulation, "more")
    simulation.go()
    assert simulation.kinds(Kind.RUN_WAITING) == [Kind.RUN_WAITING] * 2
    assert "tell" not in simulation.dispatched

    approve(simulation)
    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched[-1] == "tell"


def test_a_run_that_is_cancelled_while_it_waits_is_over_and_says_so_to_its_handlers() -> None:
    seen: list[Task] = []
    simulation = simulate(asking(), remembering(seen))
    simulation.go()
    simulation.ask("cancel", reason="enough")

    assert simulation.go().state is RunState.CANCELLED
    assert told(seen, "on-cancel") == {"state": "cancelled", "reason": "enough", "failed": [], "rejected": [], "waiting": []}
    assert simulation.dispatched == ["a", "on-wait", "on-cancel", "on-exit"]


def test_a_crash_while_people_are_waited_for_changes_nothing() -> None:
    simulation = simulate(asking())
    simulation.turn()
    assert [task.step for task in simulation.tasks] == ["on-wait"]
    simulation.crash()
    simulation.crash()
    assert [task.step for task in simulation.tasks] == ["on-wait"]
    simulation.go()
    simulation.crash()
    assert waits(simulation)
    approve(simulation)

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.kinds(Kind.RUN_WAITING) == [Kind.RUN_WAITING]
    assert simulation.run.steps["on-wait"].attempt == 1


def test_a_run_that_is_opened_again_tells_again() -> None:
    simulation = simulate(workflow(step("a"), step("b", "a", **behind("b")), step("w", handler=HandlerOn.WAIT)))
    simulation.go()
    reject(simulation, "b")
    assert simulation.go().state is RunState.FAILED
    simulation.reopen()
    assert simulation.go().waiting
    approve(simulation, "b")

    assert simulation.go().state is RunState.SUCCEEDED
    assert simulation.dispatched == ["a", "w", "w", "b"]


def test_what_a_handler_for_waiting_waits_for_is_told() -> None:
    simulation = simulate(asking())
    [blocker] = blockers(simulation.run, "on-wait", {}, {})

    assert (blocker.kind, blocker.name) == ("handler", "wait")
    assert blocker.reason == "it is for a run that waits for approval"


@pytest.mark.parametrize("kind", list(GateKind))
@pytest.mark.parametrize("first", ["a", "b"])
def test_a_run_that_halts_waits_for_nobody(kind: GateKind, first: str) -> None:
    """`gated` could not start any more, whoever opens what; nor could `later`, which comes to its gate only then."""
    gates = (Gate(kind=kind, name="go"),)
    slow = step("b", keys=("k",), priority=int(first == "b"))
    flow = workflow(step("a", keys=("k",)), slow, step("gated", gates=gates), step("later", "b:done", gates=gates))
    simulation = simulate(flow, ending(a=Outcome.FAILED))

    assert simulation.go().state is RunState.FAILED
    assert simulation.states()["gated"] == simulation.states()["later"] == "cancelled"
    assert simulation.run.steps["later"].reason == "not started: a failed"


def test_what_is_made_for_failures_waits_for_its_gate_also_in_a_run_that_halts() -> None:
    flow = workflow(step("a"), step("clean", "a:failed", after_failure=True, **behind("ok")))
    simulation = simulate(flow, ending(a=Outcome.FAILED))
    simulation.go()
    assert not simulation.run.ended
    approve(simulation)

    assert simulation.go().state is RunState.FAILED
    assert simulation.states()["clean"] == "succeeded"


# ---------------------------------------------------------------- rejected


def test_a_rejection_fails_what_waits_and_tells_why() -> None:
    seen: list[Task] = []
    simulation = simulate(asking(step("c", "b:done"), step("d", "b")), remembering(seen))
    simulation.go()
    reject(simulation, reason="not on a Friday")
    run = simulation.go()

    assert run.state is RunState.FAILED
    assert (run.steps["b"].error_kind, run.steps["b"].error) == (REJECTED, "rejected: not on a Friday")
    assert simulation.states() | {"on-wait": ""} == {
        "a": "succeeded",
        "b": "failed",
        "c": "succeeded",
        "d": "skipped",
        "on-wait": "",
        "on-success": "skipped",
        "on-failure": "succeeded",
        "on-cancel": "skipped",
        "on-exit": "succeeded",
    }
    assert told(seen, "on-failure") == {
        "state": "failed",
        "reason": "b failed",
        "failed": ["b"],
        "rejected": ["b"],
        "waiting": [],
    }


def test_a_rejection_halts_a_run_as_any_failure_does() -> None:
    simulation = simulate(asking(step("c", "a"), handlers=(), policy=Policy()))
    reject(simulation)

    assert simulation.go().state is RunState.FAILED
    assert simulation.states() == {"a": "succeeded", "b": "failed", "c": "cancelled"}


def test_a_rejection_of_what_is_approved_changes_nothing() -> None:
    simulation = simulate(asking(handlers=()))
    approve(simulation)
    reject(simulation)

    assert simulation.go().state is RunState.SUCCEEDED


def test_an_approval_of_what_was_rejected_comes_too_late() -> None:
    simulation = simulate(asking(handlers=()))
    reject(simulation)
    approve(simulation)

    assert simulation.go().state is RunState.FAILED
    assert simulation.dispatched == ["a"]


@pytest.mark.parametrize("name", ["nobody", ""])
def test_a_rejection_of_what_there_is_not_changes_nothing(name: str) -> None:
    simulation = simulate(asking(handlers=()))
    before = len(simulation.events)
    reject(simulation, name)

    assert len(simulation.events) == before


def test_a_rejection_before_it_is_waited_for_counts_at_once() -> None:
    simulation = simulate(asking(handlers=(HandlerOn.WAIT,)))
    reject(simulation)
    assert simulation.states()["b"] == "failed"

    assert simulation.go().state is RunState.FAILED
    assert simulation.kinds(Kind.RUN_WAITING) == []


def test_a_rejection_leaves_others_waiting_and_that_is_told_in_the_journal() -> None:
    simulation = simulate(asking(step("c", **behind("other")), handlers=(HandlerOn.WAIT,)))
    simulation.go()
    reject(simulation)
    assert waits(simulation)
    assert fold("r1", simulation.run.workflow, simulation.events).waiting
    approve(simulation, "other")

    assert simulation.go().state is RunState.FAILED
    assert simulation.dispatched == ["a", "on-wait", "c"]
