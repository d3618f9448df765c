"""A second engine, small and slow: it looks at every step again after each thing that happens, and remembers nothing else.

It is told what happened to the real one (what was handed out, how that ended, what an operator asked) and says what state every
step and the run must be in. Where two causes end a step at once, either may be named: `not_run` covers both words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from support.simulate import End

from provisioning.core.model import Gate, GateKind, HandlerOn, On, OnFailure, Step, Workflow
from provisioning.core.ports import Outcome

WAITING, ACTIVE, RETRY = "waiting", "active", "retry"
GOOD, NOT_RUN = "succeeded", "not_run"
CRASH_LIMIT = 5
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

_STATES = {
    Outcome.OK: GOOD,
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed_out",
    Outcome.UNKNOWN: "interrupted",
    Outcome.CANCELLED: NOT_RUN,
    Outcome.SKIPPED: NOT_RUN,
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
    attempt: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)  # of the newest attempt
    blocked: set[str] = field(default_factory=set)
    opened: set[tuple[str, str]] = field(default_factory=set)
    paused: bool = False
    cancelled: bool = False
    halted: bool = False
    waited: bool = False
    passed: set[str] = field(default_factory=set)
    half: set[str] = field(default_factory=set)
    well: set[str] = field(default_factory=set)
    verdict: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        self.state = {step.id: WAITING for step in self.flow.steps}
        self.tries, self.attempt, self.crashes = (dict.fromkeys(self.state, 0) for _ in range(3))

    # ------------------------------------------------------------ what happens

    def handed_out(self, id: str, attempt: int) -> None:
        assert self.may_start(self.spec(id)), f"{id} must not start"
        self.state[id] = ACTIVE
        self.tries[id] += 1
        if attempt != self.attempt[id]:
            self.attempt[id], self.crashes[id] = attempt, 0

    def worker_died(self) -> None:
        for id in [id for id, state in self.state.items() if state == ACTIVE]:
            self.lost(id)

    def lost(self, id: str) -> None:
        """The worker that had it is gone: it is begun again, which is no try; five times in one try are too many."""
        self.crashes[id] += 1
        if self.crashes[id] > CRASH_LIMIT:
            self.state[id] = "failed"
            self._halt(self.spec(id))
        else:
            self.state[id] = WAITING
            self.tries[id] -= 1

    def done(self, id: str, end: End) -> None:
        spec = self.spec(id)
        if not end.stops and not self._stopping(spec) and self._once_more(spec, end):
            self.state[id] = RETRY
            (self.well.add if end.outcome is Outcome.OK else self.well.discard)(id)
        else:
            self.state[id] = _STATES[end.outcome]
            if end.passes and self.state[id] not in {GOOD, "interrupted"}:
                self.passed.add(id)
            if end.partial and self.state[id] == GOOD:
                self.half.add(id)
            if end.stops and not self.verdict:
                self._cancel()
            self._halt(spec)
        self.settle()

    def _once_more(self, spec: Step, end: End) -> bool:
        if end.outcome not in {Outcome.OK, Outcome.FAILED, Outcome.TIMED_OUT}:
            return False
        if end.wait_s is not None and end.again:
            self.tries[spec.id] = 0
            return True
        return end.outcome is not Outcome.OK and (end.wait_s is not None or self.tries[spec.id] < self._most(spec))

    def due(self, id: str) -> None:
        self.state[id] = WAITING
        self.settle()

    def ask(self, what: str, gate: Gate | None = None) -> None:
        if what == "pause" and not self.paused and not self.verdict:
            self.paused = True
        elif what == "resume":
            self.paused = False
        elif what == "cancel" and not self.verdict:
            self._cancel()
        elif what == "reject" and gate is not None and (gate.kind.value, gate.name) not in self.opened:
            for spec in [spec for spec in self.flow.steps if gate in spec.gates and self.state[spec.id] == WAITING]:
                self.state[spec.id] = "failed"
                self._halt(spec)
        elif what == "open_gate" and gate is not None:
            self.opened.add((gate.kind.value, gate.name))
        self.settle()

    def _cancel(self) -> None:
        self.cancelled = True
        self.state.update({id: NOT_RUN for id, state in self.state.items() if state == RETRY and not self.spec(id).handler})

    # ------------------------------------------------------------ what follows

    def settle(self) -> None:
        """Look at every step until nothing changes any more."""
        while any(self._look_at(spec) for spec in self.flow.steps) or self._finish():
            pass
        if not (self.paused or self.cancelled or self.halted or self.verdict) and not self._busy():
            self.waited = self.waited or any(self._awaits_a_person(spec) for spec in self.flow.steps)

    def _busy(self) -> bool:
        return any(self.state[spec.id] in {ACTIVE, RETRY} or self.may_start(spec) for spec in self.flow.steps)

    def _awaits_a_person(self, spec: Step) -> bool:
        closed = {gate.kind for gate in spec.gates if (gate.kind.value, gate.name) not in self.opened}
        here = self.state[spec.id] == WAITING and all(self._satisfied(dep.on, dep.step) for dep in spec.deps)
        return here and closed == {GateKind.APPROVAL}

    def may_start(self, spec: Step) -> bool:
        return self.state[spec.id] == WAITING and not self._held(spec) and self._may_go(spec)

    def _may_go(self, spec: Step) -> bool:
        """Whether nothing but the run itself keeps it."""
        gates = all((gate.kind.value, gate.name) in self.opened for gate in spec.gates)
        deps = all(self._satisfied(dep.on, dep.step) for dep in spec.deps)
        return gates and deps and (spec.handler is None or self._handles(spec.handler))

    def _held(self, spec: Step) -> bool:
        return self._stopping(spec) or (self.paused and not self.verdict)

    def _stopping(self, spec: Step) -> bool:
        return spec.handler is None and (self.cancelled or (self.halted and not spec.after_failure))

    def _satisfied(self, on: On, id: str) -> bool:
        state = self.state[id]
        if on is On.SUCCESS:
            return state == GOOD or id in self.passed
        return state in OVER and (on is On.DONE or state in FAILED)

    def _look_at(self, spec: Step) -> bool:
        id = spec.id
        if self.state[id] == RETRY and self._stopping(spec):
            self.state[id] = NOT_RUN if id in self.well else "failed"
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
        return self.cancelled or (self._stopping(spec) and all(self._satisfied(dep.on, dep.step) for dep in spec.deps))

    def _halt(self, spec: Step) -> None:
        counts = self.state[spec.id] in FAILED and not self._may_fail(spec) and spec.handler is None
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
            broken = any(
                spec.handler and not self._may_fail(spec) and self.state[spec.id] in FAILED for spec in self.flow.steps
            )
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
            nothing = not any(self.state[spec.id] == GOOD for spec in ordinary if spec.kind == "step")
            fatal = any(not self._may_fail(spec) or (nothing and spec.id in self.passed) for spec in bad)
        if fatal:
            return "failed"
        half = any(spec.id in self.half for spec in ordinary)
        return "partial" if half or any(not spec.forgiven for spec in bad) else "succeeded"

    def _may_fail(self, spec: Step) -> bool:
        return spec.optional or spec.id in self.passed

    def _handles(self, handler: HandlerOn) -> bool:
        wanted: Mapping[str, set[HandlerOn]] = {
            "succeeded": {HandlerOn.SUCCESS, HandlerOn.EXIT},
            "partial": {HandlerOn.SUCCESS, HandlerOn.EXIT},
            "failed": {HandlerOn.FAILURE, HandlerOn.EXIT},
            "cancelled": {HandlerOn.CANCEL, HandlerOn.EXIT},
        }
        return self.waited if handler is HandlerOn.WAIT else handler in wanted.get(self.verdict, set())

    # ------------------------------------------------------------ parts

    def spec(self, id: str) -> Step:
        return next(step for step in self.flow.steps if step.id == id)

    def _most(self, spec: Step) -> int:
        retry = spec.retry or self.flow.policy.retry
        return retry.attempts if retry else 1


def gates(flow: Workflow) -> list[Gate]:
    """Return what people have to open in a workflow."""
    return list(dict.fromkeys(gate for spec in flow.steps for gate in spec.gates))
