"""A second engine, small and slow: it looks at every step again after each thing that happens, and remembers nothing else.

It is told what happened to the real one (what was handed out, how that ended, what an operator asked) and says what state every
step and the run must be in. Where two causes end a step at once, either may be named: `not_run` covers both words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioning.core.model import Gate, GateKind, HandlerOn, On, OnFailure, Step, Workflow
from provisioning.core.ports import Outcome

WAITING, ACTIVE, RETRY = "waiting", "active", "retry"
GOOD, NOT_RUN = "succeeded", "not_run"
FAILED = {"failed", "timed_out", "interrupted"}
OVER = {GOOD, NOT_RUN, *FAILED, "stopped"}
_WORDS = {
    "pending": WAITING,
    "ready": WAITING,
    "dispatched": ACTIVE,
    "running": ACTIVE,
    "retry_wait": RETRY,
    "skipped": NOT_RUN,
    "cancelled": NOT_RUN,
}


def word(state: str) -> str:
    """Return what a state of the real engine is called here."""
    return _WORDS.get(state, state)


@dataclass
class Reference:
    """One run."""

    flow: Workflow
    state: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    opened: set[tuple[str, str]] = field(default_factory=set)
    paused: bool = False
    cancelled: bool = False
    halted: bool = False
    verdict: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        self.state = {step.id: WAITING for step in self.flow.steps}
        self.tries = dict.fromkeys(self.state, 0)

    # ------------------------------------------------------------ what happens

    def handed_out(self, id: str) -> None:
        assert self.may_start(self.spec(id)), f"{id} must not start"
        self.state[id] = ACTIVE
        self.tries[id] += 1

    def worker_died(self) -> None:
        for id, state in self.state.items():
            if state == ACTIVE:
                self.state[id] = WAITING
                self.tries[id] -= 1

    def done(self, id: str, outcome: Outcome) -> None:
        spec, stopping = self.spec(id), self._stopping(self.spec(id))
        if outcome is Outcome.OK:
            self.state[id] = GOOD
        elif outcome in {Outcome.FAILED, Outcome.TIMED_OUT} and not stopping and self.tries[id] < self._most(spec):
            self.state[id] = RETRY
        else:
            self.state[id] = {
                Outcome.FAILED: "failed",
                Outcome.TIMED_OUT: "timed_out",
                Outcome.UNKNOWN: "interrupted",
                Outcome.CANCELLED: NOT_RUN,
            }[outcome]
            self._halt(spec)
        self.settle()

    def due(self, id: str) -> None:
        self.state[id] = WAITING
        self.settle()

    def ask(self, what: str, gate: Gate | None = None) -> None:
        if what == "pause" and not self.paused and not self.verdict:
            self.paused = True
        elif what == "resume":
            self.paused = False
        elif what == "cancel" and not self.verdict:
            self.cancelled = True
            self.state.update({id: NOT_RUN for id, state in self.state.items() if state == RETRY and not self.spec(id).handler})
        elif gate is not None:
            self.opened.add((gate.kind.value, gate.name))
        self.settle()

    # ------------------------------------------------------------ what follows

    def settle(self) -> None:
        """Look at every step until nothing changes any more."""
        while any(self._look_at(spec) for spec in self.flow.steps) or self._finish():
            pass

    def may_start(self, spec: Step) -> bool:
        return self.state[spec.id] == WAITING and not self._held(spec) and self._may_go(spec)

    def _may_go(self, spec: Step) -> bool:
        """Whether nothing but the run itself keeps it."""
        gates = all((gate.kind.value, gate.name) in self.opened for gate in spec.gates)
        deps = all(self._satisfied(dep.on, dep.step) for dep in spec.deps)
        return gates and deps and (spec.handler is None or self._handles(spec.handler))

    def _held(self, spec: Step) -> bool:
        return self._stopping(spec) or (self.paused and spec.handler is None)

    def _stopping(self, spec: Step) -> bool:
        return spec.handler is None and (self.cancelled or (self.halted and not spec.after_failure))

    def _satisfied(self, on: On, id: str) -> bool:
        state = self.state[id]
        if on is On.SUCCESS:
            return state == GOOD
        return state in OVER and (on is On.DONE or state in FAILED)

    def _look_at(self, spec: Step) -> bool:
        id = spec.id
        if self.state[id] == RETRY and self._stopping(spec):
            self.state[id] = "failed"
            self._halt(spec)
            return True
        if self.state[id] != WAITING:
            return False
        broken = [dep for dep in spec.deps if self.state[dep.step] in OVER and not self._satisfied(dep.on, dep.step)]
        if broken:
            self.state[id] = NOT_RUN
            if any(self.state[dep.step] in FAILED or dep.step in self.blocked for dep in broken):
                self.blocked.add(id)
            return True
        if self._is_out_of_the_question(spec):
            self.state[id] = NOT_RUN
        return self.state[id] != WAITING

    def _is_out_of_the_question(self, spec: Step) -> bool:
        if spec.handler is not None:
            return bool(self.verdict) and not self._handles(spec.handler)
        return self.cancelled or (self._stopping(spec) and self._may_go(spec))

    def _halt(self, spec: Step) -> None:
        counts = self.state[spec.id] in FAILED and not spec.optional and spec.handler is None
        if counts and self.flow.policy.on_failure is OnFailure.FAIL and not self.cancelled:
            self.halted = True

    def _finish(self) -> bool:
        if self.ended or (self.paused and not self.cancelled):
            return False
        ordinary = [spec for spec in self.flow.steps if spec.handler is None]
        if not self.verdict and all(self.state[spec.id] in OVER for spec in ordinary):
            self.verdict = self._judge(ordinary)
            return True
        if self.verdict and all(state in OVER for state in self.state.values()):
            self.ended = True
            broken = any(spec.handler and not spec.optional and self.state[spec.id] in FAILED for spec in self.flow.steps)
            if broken and self.verdict in {"succeeded", "partial"}:
                self.verdict = "failed"
        return False

    def _judge(self, ordinary: list[Step]) -> str:
        if self.cancelled:
            return "cancelled"
        bad = [spec for spec in ordinary if self.state[spec.id] in FAILED or spec.id in self.blocked]
        if self.flow.policy.on_failure is OnFailure.CONTINUE:
            fatal = any(spec.critical for spec in bad)
        else:
            fatal = any(not spec.optional for spec in bad)
        if fatal:
            return "failed"
        return "partial" if any(not spec.forgiven for spec in bad) else "succeeded"

    def _handles(self, handler: HandlerOn) -> bool:
        wanted: Mapping[str, set[HandlerOn]] = {
            "succeeded": {HandlerOn.SUCCESS, HandlerOn.EXIT},
            "partial": {HandlerOn.SUCCESS, HandlerOn.EXIT},
            "failed": {HandlerOn.FAILURE, HandlerOn.EXIT},
            "cancelled": {HandlerOn.CANCEL, HandlerOn.EXIT},
        }
        return handler in wanted.get(self.verdict, set())

    # ------------------------------------------------------------ parts

    def spec(self, id: str) -> Step:
        return next(step for step in self.flow.steps if step.id == id)

    def _most(self, spec: Step) -> int:
        retry = spec.retry or self.flow.policy.retry
        return retry.attempts if retry else 1


def stops(flow: Workflow) -> list[Gate]:
    """Return the signals of a workflow."""
    return [gate for spec in flow.steps for gate in spec.gates if gate.kind is GateKind.SIGNAL]
