"""Runs a workflow through the pure core alone: the outcomes come from a function, the interleaving from a dice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Dep, On, Step, Workflow
from provisioning.core.ports import Outcome, Report, Request, Task, Timer
from provisioning.core.ready import ReadyQueue
from provisioning.core.run import Run, new_run

START = datetime(2026, 1, 1, tzinfo=UTC)
NOOP = Action(type="noop")
GIVES_BACK = {
    Kind.STEP_SUCCEEDED,
    Kind.STEP_FAILED,
    Kind.STEP_TIMED_OUT,
    Kind.STEP_CANCELLED,
    Kind.STEP_INTERRUPTED,
    Kind.STEP_RETRY_WAIT,
    Kind.STEP_LEASE_LOST,
}


def step(id: str, *deps: str, **fields: object) -> Step:
    """A no-op step; a dependency is `id` or `id:done` or `id:failed`."""
    parsed = tuple(Dep(step=dep.split(":")[0], on=On(dep.split(":")[1]) if ":" in dep else On.SUCCESS) for dep in deps)
    return Step(id=id, action=NOOP, deps=parsed, **fields)  # type: ignore[arg-type]


def workflow(*steps: Step, **fields: object) -> Workflow:
    return Workflow(name="test", steps=steps, **fields)  # type: ignore[arg-type]


@dataclass
class Simulation:
    """One run, its queue, what the workers have, and everything that was recorded."""

    run: Run
    outcome: Callable[[Task], Outcome]
    dice: random.Random
    queue: ReadyQueue = field(default_factory=ReadyQueue)
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    dispatched: list[str] = field(default_factory=list)
    peak: int = 0
    after_halt: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.queue.open_run(self.run)
        decision = self._decision()
        decide.create(decision, "sha256:0", name=self.run.workflow.name, trigger="test", params={})
        decide.start(decision)
        self._finish(decision)

    def go(self, turns: int = 10_000_000) -> Run:
        while not self.run.ended and turns and (self.tasks or self.timers):
            self.turn()
            turns -= 1
        return self.run

    def turn(self) -> None:
        self.now += timedelta(seconds=1)
        decision = self._decision()
        if self.tasks:
            task = self.tasks.pop(self.dice.randrange(len(self.tasks)))
            decide.on_report(decision, Report(task=task, worker="w"), 0.5)
            decide.on_report(decision, report(task, self.outcome(task)), 0.5)
        else:
            timer = self.timers.pop(0)
            self.now = max(self.now, timer.due)
            decision.now = self.now
            decide.on_timer(decision, timer)
        self._finish(decision)

    def ask(self, request: str, **data: object) -> None:
        decision = self._decision()
        decide.on_request(decision, Request(run=self.run.id, kind=request, data=data))
        self._finish(decision)

    def states(self) -> dict[str, str]:
        return {id: step.state.value for id, step in self.run.steps.items()}

    def _decision(self) -> Decision:
        return Decision(run=self.run, now=self.now)

    def _finish(self, decision: Decision) -> None:
        decide.settle(decision)
        self._record(decision)
        for event in decision.events:
            if event.kind in GIVES_BACK:
                self.queue.give_back(self.run.id, event.step)
        while self.run.became_ready and self.run.accepting:
            self.queue.add(self.run, self.run.became_ready.popleft())
        started = self._decision()
        for _run, id in self.queue.take({self.run.id: self.run}):
            refused = decide.dispatch(started, id)
            assert refused is None, refused
            self.dispatched.append(id)
            if self.run.halted_by:
                self.after_halt.append(id)
        self._record(started)
        self.peak = max(self.peak, self.run.active)

    def _record(self, decision: Decision) -> None:
        self.events += decision.events
        self.tasks += decision.tasks
        self.timers += decision.timers


def report(task: Task, outcome: Outcome) -> Report:
    return Report(task=task, worker="w", outcome=outcome, error_kind="" if outcome is Outcome.OK else "exit", exit_code=0)


def simulate(
    flow: Workflow, outcome: Callable[[Task], Outcome] = lambda _task: Outcome.OK, seed: int = 0, *, run_id: str = "r1"
) -> Simulation:
    """Start a run; call `go` to take it to its end."""
    simulation = Simulation(run=new_run(run_id, flow), outcome=outcome, dice=random.Random(seed))
    simulation.begin()
    return simulation


def failing(*ids: str) -> Callable[[Task], Outcome]:
    """Outcomes: these steps fail, the others succeed."""
    return lambda task: Outcome.FAILED if task.step in ids else Outcome.OK
