"""What the history says of runs: the records that commands, API and pages show.

Reading only; `core.projection` says how they come about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.model import NO_LABELS, RUN_ENDED, STEP_FAILED, RunState, StepState
from provisioning.core.suggest import nearest

HOST_ERRORS = frozenset({"host", "unreachable", "host_key", "login_refused", "become_refused"})
"""Error kinds that mean the server could not be used at all."""
UNMET = "precondition not met"
"""How the reason of a run begins that was not to run now."""
BY_SIGNAL = "stopped by a signal"
"""The reason of a Dagu run that the person who had started it stopped, with Ctrl-C for example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One line of a list of runs. Times are UTC."""

    run_id: str
    workflow: str  # name
    digest: str  # of the workflow
    state: RunState
    created_at: datetime
    reason: str = ""
    source: str = ""  # formula | dagu | python
    started_at: datetime | None = None
    ended_at: datetime | None = None
    trigger: str = ""
    actor: str = ""
    last_seq: int = 0
    exit_code: int | None = None  # None until the run has ended
    late_at: datetime | None = None  # it had not ended when it should have
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step of a run as it stands. `started_at` and `ended_at` are those of its newest attempt."""

    step: str
    kind: str = "step"
    formula: str = ""
    server: str = ""
    taskserv: str = ""
    state: StepState = StepState.PENDING
    reason: str = ""
    because: str = ""  # the step at the root of a skip
    attempts: int = 0
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    log: str = ""
    position: int = 0  # declaration order, from 0
    late_at: datetime | None = None  # it had not ended when it should have
    mark: str = ""  # what its end is worth, where the state does not say it: allowed | partial | rejected
    stdout: str = ""  # the end of what it printed, where the history keeps that
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try of a step. A lost lease ends it as interrupted; the next dispatch has a higher epoch."""

    step: str
    attempt: int
    epoch: int
    worker: str = ""
    state: StepState = StepState.DISPATCHED
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """The failed last attempt of a step, kept until somebody has it run again or throws it away. Formulas leave none."""

    id: int  # counts up
    run_id: str
    workflow: str
    step: str
    attempt: int
    error_kind: str
    error: str
    died_at: datetime
    replayed_at: datetime | None = None
    replayed_by: str = ""
    replayed_attempt: int | None = None  # the attempt that it was run again as


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetail:
    """A run with its steps in declaration order and the outputs of those that have one, by name."""

    summary: RunSummary
    steps: tuple[StepRecord, ...]
    outputs: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    params: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.summary.run_id

    @property
    def exit_code(self) -> int | None:
        """What a command that ran it exits with; None until the run has ended."""
        return self.summary.exit_code

    @property
    def failed(self) -> tuple[StepRecord, ...]:
        """The steps that failed, timed out or were interrupted: the one that decided the run, then first to end first."""
        return tuple(blamed(self.steps, self.summary.reason))

    def document(self) -> dict[str, object]:
        """Return the JSON of `run show` (design 7). Labels that a step does not have are left out."""
        return {
            "run_id": self.run_id,
            "workflow": self.summary.workflow,
            "status": self.summary.state.value,
            "reason": self.summary.reason,
            "exit_code": self.exit_code,
            "created_at": iso(self.summary.created_at),
            "started_at": iso(self.summary.started_at),
            "ended_at": iso(self.summary.ended_at),
            "trigger": self.summary.trigger,
            "actor": self.summary.actor,
            **({"late_at": iso(self.summary.late_at)} if self.summary.late_at else {}),
            "outputs": dict(self.outputs),
            "steps": [step_document(step) for step in self.steps],
        }


class History(Protocol):
    """Reads what the journal's projections hold. Blocks briefly; safe from any thread."""

    def list_runs(
        self,
        limit: int = 50,
        *,
        state: str | None = None,
        workflow: str | None = None,
        labels: Mapping[str, str] = NO_LABELS,
        before: str | None = None,
    ) -> list[RunSummary]:
        """Return the newest runs first; `before` is a run id and continues a list after it. They have all of `labels`."""
        ...

    def run(self, ref: str) -> RunDetail:
        """Return the run with this id, unique prefix of an id, or `last`. Raises NotFoundError."""
        ...

    def summary(self, run: str) -> RunSummary:
        """Return the run with this exact id, without its steps. Raises NotFoundError."""
        ...

    def step(self, run: str, step: str) -> StepRecord:
        """Return one step of a run (exact id). Raises NotFoundError."""
        ...

    def output(self, run: str, step: str) -> object:
        """Return the output of one step of a run (exact id); None when it has none."""
        ...

    def attempts(self, run: str, step: str | None = None) -> list[AttemptRecord]:
        """Return the attempts of a run (exact id), or of one of its steps, oldest first."""
        ...

    def outputs(self, run: str) -> Mapping[str, object]:
        """Return the outputs of a run's steps (exact id) by step id."""
        ...

    def dead_letters(
        self, limit: int = 50, *, replayed: bool | None = False, workflow: str | None = None, before: int | None = None
    ) -> list[DeadLetter]:
        """Return the newest dead letters first; `before` is an id and continues a list after it. `replayed` None: all."""
        ...

    def dead_letter(self, id: int) -> DeadLetter:
        """Return one dead letter. Raises NotFoundError."""
        ...

    def count_dead_letters(self) -> int:
        """Return how many have not been replayed."""
        ...

    def durations(self, workflow: str, runs: int = 20) -> Mapping[str, Sequence[float]]:
        """Return by step how many seconds its attempts that succeeded took, in the newest runs of a workflow."""
        ...


def blame(step: str, state: StepState) -> str:
    """Return the reason of a run that failed because of this step."""
    return f"{step} {state.value.replace('_', ' ')}"


def blamed(steps: Iterable[StepRecord], reason: str) -> list[StepRecord]:
    """Return the steps that failed: the one that the run's reason blames, then first to end first."""
    failed = [step for step in steps if step.state in STEP_FAILED]
    return sorted(
        failed,
        key=lambda step: (blame(step.step, step.state) != reason, step.ended_at is None, step.ended_at, step.position),
    )


def exit_code_of(state: RunState, steps: Iterable[StepRecord], source: str = "", reason: str = "") -> int | None:
    """Return what a command that ran this run exits with; None while the run has not ended.

    `steps` need only hold those that failed. The one that `reason` blames, else the first one, decides between a gate (5),
    a server (7) and the rest (1). In Dagu's eyes a partial run is a success, and so is one that was not to run now.
    """
    if state not in RUN_ENDED:
        return None
    if state is RunState.SUCCEEDED or (state is RunState.PARTIAL and source == "dagu"):
        return 0
    if state is RunState.CANCELLED:
        return _cancelled(source, reason)
    first = next(iter(blamed(steps, reason)), None)
    if first is None:
        return 1
    if first.error_kind in HOST_ERRORS:
        return 7
    return 5 if first.kind == "gate" else 1


def _cancelled(source: str, reason: str) -> int:
    if source != "dagu" or reason == BY_SIGNAL:
        return 130
    return 0 if reason.startswith(UNMET) else 1


def step_document(step: StepRecord) -> dict[str, object]:
    """Return one entry of `steps` in the JSON of `run show`."""
    labels = {"formula": step.formula, "server": step.server, "taskserv": step.taskserv}
    optional = {"reason": step.reason, "because": step.because, "error_kind": step.error_kind, "error": step.error}
    return {
        "id": step.step,
        **{key: value for key, value in labels.items() if value},
        "kind": step.kind,
        "state": step.state.value,
        **{key: value for key, value in optional.items() if value},
        "attempts": step.attempts,
        **({"exit_code": step.exit_code} if step.exit_code is not None else {}),
        "started_at": iso(step.started_at),
        "ended_at": iso(step.ended_at),
        **({"late_at": iso(step.late_at)} if step.late_at else {}),
        "log": step.log,
    }


def iso(at: datetime | None) -> str | None:
    """Return a UTC time as ISO 8601 with `Z`, to the millisecond; None stays None."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else None


LETTERS_HINT = "`provisioning deadletter list` shows them"


def not_found_hint(ref: str, known: Sequence[str]) -> str:
    """Return what to try instead of a run id that nothing has."""
    near = nearest(ref, known, cutoff=0.5)
    return f"did you mean {near}?" if near else "`provisioning run list` shows the runs"
