"""Random workflows under random outcomes, crashes, pauses and cancels: the engine is always where the small reference is."""

from __future__ import annotations

import json
import random

from hypothesis import given
from hypothesis import strategies as st
from support.generated import Script, flows, scripted, scripts
from support.reference import WAITING, Reference, gates, word
from support.simulate import End, Simulation, report

from provisioning.codec import encode
from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
from provisioning.core.folding import fold
from provisioning.core.model import Gate, GateKind, RunState, Workflow
from provisioning.core.ports import Outcome, Report, Task
from provisioning.core.run import Run, new_run

CHANCES = (*["end"] * 6, "timer", "pause", "resume", "cancel", "crash", "lost", "lost", "open", "open", "reject")


class Both:
    """The engine's core and the reference, side by side."""

    def __init__(self, flow: Workflow, script: Script, seed: int) -> None:
        self.dice = random.Random(seed)
        self.script = script
        self.engine = Simulation(run=new_run("r1", flow), outcome=lambda task: scripted(script, task), dice=self.dice)
        self.reference = Reference(flow)
        self.told = 0
        self.stale: list[Task] = []
        self.engine.begin({})
        self.reference.settle()
        self.compare()

    def play(self, turns: int) -> None:
        """Let things happen; then go straight to the end."""
        for _ in range(turns):
            if not self.engine.run.ended:
                getattr(self, f"_{self.dice.choice(CHANCES)}")()
                self.compare()
        self._ask("resume")
        for gate in gates(self.engine.run.workflow):
            self._ask("open_gate", gate)
        while not self.engine.run.ended:
            assert self.engine.tasks or self.engine.timers, "it is stuck"
            self._end() if self.engine.tasks else self._timer()
            self.compare()

    def compare(self) -> None:
        """Tell the reference what was handed out, and hold both against each other."""
        new, self.told = self.engine.events[self.told :], len(self.engine.events)
        for event in new:
            if event.kind is Kind.STEP_DISPATCHED:
                self.reference.handed_out(event.step, event.attempt)
        run = self.engine.run
        assert {id: word(step.state.value) for id, step in run.steps.items()} == self.reference.state, drawn(run.workflow)
        assert run.ended == self.reference.ended
        assert run.has_waited == self.reference.waited
        if run.ended:
            assert run.state.value == self.reference.verdict

    # ------------------------------------------------------------ what may happen

    def _end(self) -> None:
        if not self.engine.tasks:
            return
        task = self.engine.tasks.pop(self.dice.randrange(len(self.engine.tasks)))
        end = scripted(self.script, task)
        if self.engine.run.cancel_reason and not self.engine.run.steps[task.step].spec.handler:
            end = End(outcome=Outcome.CANCELLED, passes=end.passes)
        self._decide(lambda it: decide.on_report(it, Report(task=task, worker="w"), 0.5))
        self.reference.done(task.step, end)
        self._decide(lambda it: decide.on_report(it, report(task, end), 0.5))

    def _timer(self) -> None:
        if not self.engine.timers:
            return
        timer = self.engine.timers.pop(0)
        if self.reference.state[timer.step] == "retry" and timer.attempt == self.reference.attempt[timer.step]:
            self.reference.due(timer.step)
        self._decide(lambda it: decide.on_timer(it, timer))

    def _pause(self) -> None:
        if self.engine.run.state is RunState.RUNNING:
            self._ask("pause")

    def _resume(self) -> None:
        self._ask("resume")

    def _cancel(self) -> None:
        if self.dice.random() < 0.3 and self.engine.run.verdict is None:
            self._ask("cancel")

    def _open(self) -> None:
        if found := gates(self.engine.run.workflow):
            self._ask("open_gate", self.dice.choice(found))

    def _reject(self) -> None:
        if found := [gate for gate in gates(self.engine.run.workflow) if gate.kind is GateKind.APPROVAL]:
            self._ask("reject", self.dice.choice(found))

    def _crash(self) -> None:
        """Forget everything but the journal, and recover."""
        self.reference.worker_died()
        self.reference.settle()
        self.engine.crash()

    def _lost(self) -> None:
        """Lose the worker of one step. What it says later, or is said of it again, changes nothing."""
        if self.engine.tasks:
            task = self.engine.tasks.pop(self.dice.randrange(len(self.engine.tasks)))
            self.reference.lost(task.step)
            self.reference.settle()
            self._decide(lambda it: decide.on_report(it, report(task, Outcome.LOST), 0.5))
            self.stale.append(task)
        for task in self.stale:
            said = report(task, self.dice.choice((Outcome.LOST, Outcome.OK, Outcome.FAILED)))
            self._decide(lambda it, said=said: decide.on_report(it, said, 0.5))

    def _ask(self, what: str, gate: Gate | None = None) -> None:
        self.reference.ask(what, gate)
        self.engine.ask(what, **({"kind": gate.kind.value, "name": gate.name} if gate else {}))
        self.compare()

    def _decide(self, what: object) -> None:
        decision = Decision(run=self.engine.run, now=self.engine.now)
        what(decision)  # type: ignore[operator]
        self.engine._finish(decision)


def states(run: Run) -> dict[str, str]:
    return {id: step.state.value for id, step in run.steps.items()}


def drawn(flow: Workflow) -> str:
    """Return a workflow in a few lines."""
    said = json.loads(encode(flow))
    lines = [str({key: value for key, value in step.items() if key != "action"}) for step in said["steps"]]
    return "\n".join([*lines, str(said["policy"])])


@given(flows(), scripts(), st.integers(), st.integers(0, 30))
def test_the_engine_is_where_the_reference_is(flow: Workflow, script: Script, seed: int, turns: int) -> None:
    both = Both(flow, script, seed)
    both.play(turns)

    assert both.engine.run.ended
    assert WAITING not in both.reference.state.values()


@given(flows(), scripts(), st.integers(), st.integers(0, 30))
def test_what_is_recorded_folds_to_where_the_engine_is(flow: Workflow, script: Script, seed: int, turns: int) -> None:
    both = Both(flow, script, seed)
    both.play(turns)
    again = fold("r1", flow, both.engine.events)

    assert again.state is both.engine.run.state
    assert states(again) == states(both.engine.run)
    assert again.counts == both.engine.run.counts
    assert (again.unended, again.handlers_unended) == (0, 0)
