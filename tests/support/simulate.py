"""Runs a workflow through the pure core alone: the outcomes come from a function, the interleaving from a dice."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Event, Kind
from provisioning.core.folding import fold
from provisioning.core.model import Action, Dep, On, Step, Workflow
from provisioning.core.ports import Outcome, Report, Request, Task, Timer
from provisioning.core.ready import GIVES_BACK, ReadyQueue
from provisioning.core.run import Run, new_run

START = datetime(2026, 1, 1, tzinfo=UTC)
NOOP = Action(type="noop")


@dataclass(frozen=True, kw_only=True)
class End:
    """How an attempt ends, where it is more than its outcome: as in `ports.Report`."""

    outcome: Outcome = Outcome.OK
    passes: bool = False
    partial: bool = False
    stops: str = ""
    wait_s: float | None = None
    again: bool | None = None
    retryable: bool = True
    output: object = None


Script = Callable[[Task], Outcome | End]


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
    outcome: Script
    dice: random.Random
    queue: ReadyQueue = field(default_factory=ReadyQueue)
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    dispatched: list[str] = field(default_factory=list)
    peak: int = 0
    after_halt: list[str] = field(default_factory=list)

    def begin(self, params: Mapping[str, object]) -> None:
        self.queue.open_run(self.run)
        decision = self._decision()
        decide.create(decision, "sha256:0", name=self.run.workflow.name, trigger="test", params=params)
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

    def hear(self, said: Report) -> None:
        decision = self._decision()
        decide.on_report(decision, said, 0.5)
        self._finish(decision)

    def ask(self, request: str, **data: object) -> None:
        decision = self._decision()
        decide.on_request(decision, Request(run=self.run.id, kind=request, data=data))
        self._finish(decision)

    def crash(self) -> None:
        """Forget everything but the journal and the timers, and recover."""
        self.run = fold(self.run.id, self.run.workflow, self.events)
        self.queue = ReadyQueue()
        self.queue.open_run(self.run)
        self.tasks.clear()
        decision = self._decision()
        decide.recover(decision)
        self._finish(decision)

    def reopen(self, from_step: str | None = None, **how: Any) -> list[str]:
        """Run it again, as `decide.reopen`, and start what is ready then."""
        decision = self._decision()
        again = decide.reopen(decision, from_step, **how)
        self._finish(decision)
        return again

    def kinds(self, *wanted: Kind) -> list[Kind]:
        """Return the kinds of what was recorded, those that are wanted, in order."""
        return [event.kind for event in self.events if event.kind in wanted]

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


def report(task: Task, end: Outcome | End) -> Report:
    end = End(outcome=end) if isinstance(end, Outcome) else end
    said: dict[str, Any] = {field.name: getattr(end, field.name) for field in fields(end)}
    if end.outcome is not Outcome.OK:
        said |= {"error_kind": "exit", "error": f"{task.step} {end.outcome.value}"}
    return Report(task=task, worker="w", exit_code=0, **said)


def simulate(
    flow: Workflow,
    outcome: Script = lambda _task: Outcome.OK,
    seed: int = 0,
    *,
    run_id: str = "r1",
    params: Mapping[str, object] = MappingProxyType({}),
) -> Simulation:
    """Start a run; call `go` to take it to its end."""
    simulation = Simulation(run=new_run(run_id, flow), outcome=outcome, dice=random.Random(seed))
    simulation.begin(params)
    return simulation


def ending(**ends: Outcome | End) -> Script:
    """Outcomes: every attempt of these steps ends so, the others succeed."""
    return lambda task: ends.get(task.step, Outcome.OK)


def failing(*ids: str) -> Script:
    """Outcomes: these steps fail, the others succeed."""
    return lambda task: Outcome.FAILED if task.step in ids else Outcome.OK
