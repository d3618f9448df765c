"""The one workflow model: what formula DAGs, Dagu files and the Python builder compile into, and what the engine runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType

from provisioning.core.frozen import dataclass

NO_FIELDS: Mapping[str, object] = MappingProxyType({})
NO_LABELS: Mapping[str, str] = MappingProxyType({})
NO_POOLS: Mapping[str, int] = MappingProxyType({})


class On(StrEnum):
    """What must become of a step before the edge out of it is satisfied."""

    SUCCESS = "success"
    DONE = "done"  # any terminal state
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dep:
    """An edge, written at its head: this step waits for `step`."""

    step: str
    on: On = On.SUCCESS


class GateKind(StrEnum):
    """What, besides other steps, can keep a step waiting."""

    SIGNAL = "signal"
    APPROVAL = "approval"
    BREAKPOINT = "breakpoint"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """An extra count in the step's `remaining` number, opened by an event of the same kind and name."""

    kind: GateKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a step does: the registered name of an action and its settings. Never holds a secret's value."""

    type: str
    settings: Mapping[str, object] = field(default_factory=lambda: NO_FIELDS)


WAITING_ACTIONS = frozenset({"workflow", "dagu.run"})
"""Actions that only wait for others: they take no slot of a worker."""


class Strategy(StrEnum):
    """How the wait grows from attempt to attempt."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a failed attempt is followed by another one, and after how long."""

    attempts: int = 1  # tries in all, at least 1
    strategy: Strategy = Strategy.EXPONENTIAL
    base_s: float = 1.0
    factor: float = 2.0  # exponential
    increment_s: float = 1.0  # linear
    max_s: float = 60.0  # no wait is longer, jitter included
    jitter: float = 0.25  # share of the wait that may be taken off at random, 0..1
    only: tuple[str, ...] = ()  # error kinds that may be retried; empty: all
    never: tuple[str, ...] = ()  # error kinds that may not


class While(StrEnum):
    """Which ends of an attempt a repetition goes on after."""

    SUCCESS = "success"  # as long as it succeeds
    FAILURE = "failure"  # until it succeeds
    ALWAYS = "always"  # whatever becomes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """When an attempt that ended is followed by the same again. The end of the last one is the step's."""

    again: While = While.SUCCESS
    exit_codes: tuple[int, ...] = ()  # counts as success instead of 0; empty: just 0
    limit: int = 0  # attempts in all; 0 is no limit
    interval_s: float = 1.0
    factor: float = 1.0
    max_interval_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A circuit breaker. Steps with the same name share one, in all runs of a process."""

    name: str
    failures: int = 5  # in a row, until it opens
    cooldown_s: float = 60.0  # for which it stays open
    probes: int = 1  # attempts that may find out whether it can close again


class HandlerOn(StrEnum):
    """The end of a run that a handler step is for."""

    SUCCESS = "success"  # succeeded or partial
    FAILURE = "failure"  # failed or timed out
    CANCEL = "cancel"
    EXIT = "exit"  # every end
    WAIT = "wait"  # no end: nothing goes on but waiting for a person


class Fallback(StrEnum):
    """What becomes of a step while no worker is there that may run it."""

    WAIT = "wait"  # until there is one
    FAIL = "fail"
    RETARGET = "retarget"  # it belongs beside a step whose worker is gone: to another one that could have run that step


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which worker may run the step. Without any field: every worker."""

    target: str | None = None
    colocate_with: str | None = None
    follow_target_of: str | None = None
    colocate_here: bool = False
    selector: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)  # labels that the worker has to have, all of them
    fallback: Fallback = Fallback.WAIT


ANYWHERE = Placement()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A node of the workflow."""

    id: str
    action: Action
    kind: str = "step"  # node | gate | step: how it is shown; setup | handler | approval | mail: what comes with the steps
    args: object = None  # JSON with `core.values.Ref` at any depth
    deps: tuple[Dep, ...] = ()
    gates: tuple[Gate, ...] = ()
    optional: bool = False  # its failure does not fail the run, it makes it partial
    forgiven: bool = False  # its failure does not even make the run partial
    skippable: bool = False  # where it is skipped because a step that it needs was, its dependents go on all the same
    critical: bool = False  # under `continue`, its failure does
    after_failure: bool = False  # may start although the run is halting (cleaning up, reporting)
    break_after: bool = False  # those that depend on it stop at a breakpoint, see `core.authoring.stopped_behind`
    unchanged: bool = False  # already completed: passes without being dispatched
    handler: HandlerOn | None = None  # starts when all other steps have ended, if the run ended like that
    retry: Retry | None = None
    repeat: Repeat | None = None
    breaker: Breaker | None = None
    timeout_s: float | None = None  # of one attempt
    sla_s: float | None = None  # from the start of the run; a step that has not ended by then is recorded as late
    placement: Placement = ANYWHERE
    pools: tuple[str, ...] = ()  # one slot of each while it runs
    keys: tuple[str, ...] = ()  # never beside another step with the same key, in any run
    priority: int = 0  # higher first
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)  # formula, server, taskserv, ...


class OnFailure(StrEnum):
    """What the failure of a step does to the rest of the run."""

    FAIL = "fail"  # nothing new starts; what runs may finish
    SKIP_DOWNSTREAM = "skip_downstream"  # dependents are skipped, independent branches go on
    CONTINUE = "continue"  # as skip_downstream, but only critical steps decide the verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules for a whole run."""

    on_failure: OnFailure = OnFailure.FAIL
    max_parallel: int = 0  # steps at once; 0 is no limit
    timeout_s: float | None = None  # of the whole run, from its start
    sla_s: float | None = None  # a run that has not ended by then is recorded as late
    retry: Retry | None = None  # for steps without their own
    priority: int = 0  # of its steps, and of the run while it is queued: higher first
    max_runs: int = 0  # runs of this workflow at once, the others are queued; 0 is no limit
    queues: Mapping[str, int] = field(default_factory=lambda: NO_POOLS)  # slots by queue: the whole run has one of each
    rerun: Retry | None = None  # what a failed run does before it ends: everything that failed, and all below it, once more
    beside: str = ""  # the step whose worker runs the others too, those apart that are placed; one machine has no need of it
    if_gone: Fallback = Fallback.RETARGET  # what they do when that worker is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a workflow came from. Not part of its digest."""

    kind: str  # formula | dagu | python
    uri: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A compiled DAG. Immutable; its address is the digest of its canonical JSON (`codec.digest`), source aside."""

    name: str
    steps: tuple[Step, ...]  # in declaration order; ids are unique, deps name steps that exist, no cycle
    pools: Mapping[str, int] = field(default_factory=lambda: NO_POOLS)  # slots of the pools local to the run
    policy: Policy = field(default_factory=Policy)
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    source: Source | None = None


class RunState(StrEnum):
    """The states of a run."""

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


RUN_ENDED = frozenset({RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT})


class StepState(StrEnum):
    """The states of a step in a run."""

    PENDING = "pending"
    READY = "ready"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # its outcome is unknown: never stored as failed or done
    SKIPPED = "skipped"


STEP_ENDED = frozenset(
    {
        StepState.SUCCEEDED,
        StepState.UNCHANGED,
        StepState.FAILED,
        StepState.TIMED_OUT,
        StepState.CANCELLED,
        StepState.INTERRUPTED,
        StepState.SKIPPED,
    }
)
STEP_GOOD = frozenset({StepState.SUCCEEDED, StepState.UNCHANGED})
STEP_FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.INTERRUPTED})
