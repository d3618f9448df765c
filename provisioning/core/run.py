"""The state of one run: its steps, what each still waits for, and how a change of one reaches the others.

Edges and `remaining` counters are built once; a terminal event walks only the out-edges of its step, so a whole run costs
O(V + E). Nothing here recurses, reads a clock or rolls a dice. `core.folding` says what each event changes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from provisioning.core.model import (
    NO_FIELDS,
    RUN_ENDED,
    STEP_ENDED,
    STEP_FAILED,
    STEP_GOOD,
    GateKind,
    HandlerOn,
    On,
    RunState,
    Step,
    StepState,
    Workflow,
)

ACTIVE = frozenset({StepState.DISPATCHED, StepState.RUNNING})
GateName = tuple[str, str]  # kind, name


@dataclass(slots=True)
class StepRun:
    """A step in a run. Only `core.folding` changes it."""

    spec: Step
    index: int  # declaration order
    remaining: int  # dependencies not yet satisfied, plus gates not yet open, plus one until handlers may start
    rank: int = 0  # steps on the longest path from here to an end, this one included
    state: StepState = StepState.PENDING
    attempt: int = 0
    attempts_before: int = 0  # repeated, or the run was opened again: these do not count for the retry policy
    repeats: int = 0  # attempts that a repetition has followed
    epoch: int = 0
    crash_count: int = 0
    lost: bool = False  # the next dispatch repeats the attempt instead of starting a new one
    blocked: bool = False  # skipped because something it needs failed, not because a condition did not hold
    late: bool = False  # it had not ended when it should have
    because: str = ""  # the step at the root of a skip
    reason: str = ""
    target: str = ""  # where the newest attempt was sent
    worker: str = ""
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    output: object = None
    log: str = ""
    due: str = ""  # while it waits for its next attempt: when that is (ISO time)
    passes: bool = False  # it failed or was skipped, and its dependents go on all the same
    partial: bool = False  # it succeeded, but what it did succeeded in part only
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class Run:
    """The state of one run: fold of its events over its workflow."""

    id: str
    workflow: Workflow
    steps: dict[str, StepRun]
    out_edges: dict[str, list[tuple[str, On]]]
    gated: dict[GateName, list[str]]  # the steps behind each gate
    state: RunState = RunState.CREATED
    reason: str = ""
    seq: int = 0
    counts: Counter[StepState] = field(default_factory=Counter)
    unended: int = 0  # steps that have not ended, handlers aside
    handlers_unended: int = 0
    opened: dict[GateName, object] = field(default_factory=dict)  # gates that are open, each with its payload
    halted_by: str = ""  # the step whose failure stops new ones from starting
    cancel_reason: str = ""
    verdict: RunState | None = None  # decided by the steps, before the handlers
    timed_out: bool = False  # it is cancelled because its time was over
    stop_handlers: bool = False  # cancelled once more, while the handlers ran
    late: bool = False
    waiting: bool = False  # nothing goes on but waiting for a person
    has_waited: bool = False  # it did so, now or before
    reruns: int = 0  # times that it was run again as a whole, by its policy
    rerun_due: str = ""  # when that will be (ISO time)
    params: Mapping[str, object] = field(default_factory=lambda: NO_FIELDS)
    nearest: dict[str, tuple[str, ...]] = field(default_factory=dict)  # see `core.upstream`
    homes: dict[str, str] = field(default_factory=dict)  # step -> the target that those beside it went to last
    became_ready: deque[str] = field(default_factory=deque)  # not yet taken by the dispatcher
    doomed: deque[tuple[str, str]] = field(default_factory=deque)  # (step, cause): can no longer start
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the run is in a terminal state."""
        return self.state in RUN_ENDED

    @property
    def active(self) -> int:
        """How many steps a worker has."""
        return self.counts[StepState.DISPATCHED] + self.counts[StepState.RUNNING]

    @property
    def accepting(self) -> bool:
        """Whether new steps may be dispatched, halting aside."""
        if self.state is RunState.FINISHING:
            return not self.stop_handlers
        return self.state is RunState.RUNNING and not self.cancel_reason

    def outputs(self) -> dict[str, object]:
        """Return the outputs of the steps that succeeded, by id."""
        return {id: step.output for id, step in self.steps.items() if step.state in STEP_GOOD}

    def signals(self) -> dict[str, object]:
        """Return the payloads of the signals that were delivered, by name."""
        return {name: payload for (kind, name), payload in self.opened.items() if kind == GateKind.SIGNAL}

    # ------------------------------------------------------------ how a change spreads

    def add(self, spec: Step) -> StepRun:
        """Put a step in. What it depends on is there already."""
        step = StepRun(spec=spec, index=len(self.steps), remaining=0, rank=1)
        self.steps[spec.id] = step
        self.out_edges[spec.id] = []
        self.counts[StepState.PENDING] += 1
        self._count(spec, 1)
        for dep in dict.fromkeys(spec.deps):
            self.out_edges[dep.step].append((spec.id, dep.on))
        for gate in dict.fromkeys(spec.gates):
            self.gated.setdefault((gate.kind.value, gate.name), []).append(spec.id)
        return step

    def move(self, step: StepRun, state: StepState) -> None:
        """Change a step's state."""
        self.counts[step.state] -= 1
        self.counts[state] += 1
        step.state = state

    def make_ready(self, step: StepRun) -> None:
        """Let the dispatcher have it."""
        self.move(step, StepState.READY)
        self.became_ready.append(step.spec.id)

    def one_less(self, step: StepRun) -> None:
        """Count one thing less that the step waits for."""
        step.remaining -= 1
        if step.remaining == 0 and step.state is StepState.PENDING:
            self.make_ready(step)

    def end(self, step: StepRun, state: StepState, at: datetime) -> None:
        """Put a step into a terminal state and walk its out-edges."""
        self.move(step, state)
        self._count(step.spec, -1)
        step.ended_at = at
        for target_id, on in self.out_edges[step.spec.id]:
            target = self.steps[target_id]
            if target.state in STEP_ENDED:
                continue
            if satisfied(on, step):
                self.one_less(target)
            else:
                self.doomed.append((target_id, step.spec.id))

    def wait_again(self, step: StepRun) -> None:
        """Take a step back to the beginning; `count_again` follows, when all of them are there."""
        if step.state in STEP_ENDED:
            self._count(step.spec, 1)
        self.move(step, StepState.PENDING)

    def count_again(self, step: StepRun) -> None:
        """Count what a step waits for. An edge that can no longer be satisfied dooms it."""
        step.remaining = sum((gate.kind.value, gate.name) not in self.opened for gate in set(step.spec.gates))
        step.remaining += step.spec.handler is not None and not self._calls(step.spec.handler)
        for dep in dict.fromkeys(step.spec.deps):
            other = self.steps[dep.step]
            if other.state in STEP_ENDED and satisfied(dep.on, other):
                continue
            step.remaining += 1
            if other.state in STEP_ENDED:
                self.doomed.append((step.spec.id, dep.step))
        if step.remaining == 0:
            self.make_ready(step)

    def _calls(self, handler: HandlerOn) -> bool:
        return self.has_waited if handler is HandlerOn.WAIT else applies(handler, self.verdict)

    def _count(self, spec: Step, change: int) -> None:
        if spec.handler is None:
            self.unended += change
        else:
            self.handlers_unended += change


def satisfied(on: On, step: StepRun) -> bool:
    """Whether an edge is satisfied by how the step it comes from has ended."""
    if on is On.SUCCESS:
        return step.state in STEP_GOOD or step.passes
    return on is On.DONE or step.state in STEP_FAILED


def applies(handler: HandlerOn, verdict: RunState | None) -> bool:
    """Whether a handler is for a run that ends like this. None: the steps have not ended yet."""
    return verdict is not None and handler in _HANDLERS[verdict]


_GOOD_END = frozenset({HandlerOn.SUCCESS, HandlerOn.EXIT})
_BAD_END = frozenset({HandlerOn.FAILURE, HandlerOn.EXIT})
_HANDLERS: Mapping[RunState, frozenset[HandlerOn]] = {
    RunState.SUCCEEDED: _GOOD_END,
    RunState.PARTIAL: _GOOD_END,
    RunState.FAILED: _BAD_END,
    RunState.TIMED_OUT: _BAD_END,
    RunState.CANCELLED: frozenset({HandlerOn.CANCEL, HandlerOn.EXIT}),
}


def new_run(run_id: str, workflow: Workflow) -> Run:
    """Build a run before its first event: counters, out-edges, ranks. O(V + E)."""
    run = Run(id=run_id, workflow=workflow, steps={}, out_edges={spec.id: [] for spec in workflow.steps}, gated={})
    for index, spec in enumerate(workflow.steps):
        waits = len(set(spec.deps)) + len(set(spec.gates)) + (spec.handler is not None)
        run.steps[spec.id] = StepRun(spec=spec, index=index, remaining=waits)
        run._count(spec, 1)
        edges: dict[On, tuple[str, On]] = {}  # a join of ten thousand has one edge, ten thousand times
        for dep in dict.fromkeys(spec.deps):
            run.out_edges[dep.step].append(edges.setdefault(dep.on, (spec.id, dep.on)))
        for gate in dict.fromkeys(spec.gates):
            run.gated.setdefault((gate.kind.value, gate.name), []).append(spec.id)
    run.counts[StepState.PENDING] = len(run.steps)
    _set_ranks(run)
    return run


def _set_ranks(run: Run) -> None:
    """Longest remaining path, in steps, by peeling the DAG from its ends."""
    open_edges = {id: len(edges) for id, edges in run.out_edges.items()}
    peeled = deque(id for id, count in open_edges.items() if count == 0)
    while peeled:
        step = run.steps[peeled.popleft()]
        step.rank += 1
        for dep in dict.fromkeys(step.spec.deps):
            before = run.steps[dep.step]
            before.rank = max(before.rank, step.rank)
            open_edges[dep.step] -= 1
            if open_edges[dep.step] == 0:
                peeled.append(dep.step)


def order(run: Run, step: StepRun) -> tuple[int, int, int]:
    """Return the key of the ready heap: priority, then longest remaining path, then declaration order."""
    return (-run.workflow.policy.priority - step.spec.priority, -step.rank, step.index)


__all__ = ["ACTIVE", "GateName", "Run", "StepRun", "applies", "new_run", "order", "satisfied"]
