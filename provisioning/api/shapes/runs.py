"""Runs: lists, one with its steps, its events."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from provisioning.api.shapes.base import Asked, Instant, Note, Shape

StepId = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Stream = Literal["stdout", "stderr"]


class RunItem(Shape):
    """One line of a list of runs."""

    run_id: str
    workflow: str
    kind: str = Field(description="dagu, formula or python")
    workspace: str = Field(default="", description="the workspace whose run it is; empty for DAG files")
    status: str = Field(description="in Dagu's words for runs of DAG files, else the state of the run")
    reason: str = ""
    exit_code: int | None = None
    created_at: Instant
    started_at: Instant | None = None
    ended_at: Instant | None = None
    duration_s: float | None = None
    late_at: Instant | None = None
    trigger: str = ""
    actor: str = ""
    labels: dict[str, str] = {}
    ended: bool
    last_seq: int = Field(description="number of the newest event")


class RunPage(Shape):
    """A page of runs, the newest first. `next` continues the list; it is empty at the end."""

    runs: list[RunItem]
    next: str = ""


class StepItem(Shape):
    """A step as it stands. Times are those of its newest attempt."""

    id: str
    kind: str
    formula: str = ""
    server: str = ""
    taskserv: str = ""
    state: str
    reason: str = ""
    because: str = Field(default="", description="the step at the root of a skip")
    error_kind: str = ""
    error: str = ""
    attempts: int
    exit_code: int | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    late_at: Instant | None = None
    log: str = Field(default="", description="where to read what it printed; empty if it never started")
    stdout: str = Field(default="", description="the end of what it printed, for short looks")
    stderr: str = ""


class Approval(Shape):
    """What a step asks a person: the name for `approve` and `reject`, and what can be filled in."""

    step: str
    prompt: str = ""
    inputs: list[str] = Field(default=[], description="names that may be filled in")
    required: list[str] = Field(default=[], description="names that have to be filled in")


class Run(RunItem):
    """A run with its steps in declaration order."""

    params: list[list[JsonValue]] = Field(default=[], description="pairs of name, null for positional ones, and value")
    outputs: dict[str, JsonValue] = {}
    steps: list[StepItem] = []
    waiting: list[str] = Field(default=[], description="what waits for a person now, by the names that approve and reject take")
    approvals: list[Approval] = Field(default=[], description="the same, with what is asked")
    paused: bool = False
    lost: bool = Field(default=False, description="it is open, and its process is gone")


class StepPage(Shape):
    """A page of steps in declaration order."""

    steps: list[StepItem]
    next: str = ""


class Attempt(Shape):
    """One try of a step."""

    step: str
    attempt: int
    epoch: int
    worker: str = ""
    state: str
    exit_code: int | None = None
    error_kind: str = ""
    error: str = ""
    started_at: Instant | None = None
    ended_at: Instant | None = None
    log: str = ""
    streams: list[Stream] = Field(default=[], description="which outputs it has apart")


class Attempts(Shape):
    """The attempts of a run or step, the oldest first."""

    attempts: list[Attempt]


class EventItem(Shape):
    """One record of the journal. `seq` counts from 1 without gaps."""

    seq: int
    kind: str
    at: Instant
    step: str = ""
    attempt: int = 0
    epoch: int = 0
    actor: str = ""
    data: dict[str, JsonValue] = {}


class EventPage(Shape):
    """Events of a run in their order. `next` is the number to ask for with `after`; 0 at the end."""

    events: list[EventItem]
    next: int = 0


class Cancel(Asked):
    """Why a run is stopped."""

    reason: Note = ""


class Retry(Asked):
    """What of an ended run is run again: what failed, or a step; with `downstream` all below it, too."""

    step: StepId | None = None
    downstream: bool = True


class Signal(Asked):
    """A signal that steps may wait for, with what it brings."""

    name: StepId
    payload: JsonValue = None


class Approve(Asked):
    """A step that waits for a person may go on; `inputs` are what the person fills in."""

    step: StepId
    inputs: dict[str, str] = {}


class Reject(Asked):
    """A step that waits for a person may not go on."""

    step: StepId
    reason: Note = ""


class LetterItem(Shape):
    """The failed last attempt of a step, kept until somebody has it run again."""

    id: int
    run_id: str
    workflow: str
    workspace: str = ""
    step: str
    attempt: int
    error_kind: str = ""
    error: str = ""
    died_at: Instant
    replayed_at: Instant | None = None
    replayed_by: str = ""
    replayed_attempt: int | None = None


class LetterPage(Shape):
    """Dead letters, the newest first; `waiting` have not been replayed."""

    letters: list[LetterItem]
    waiting: int
    next: str = ""
