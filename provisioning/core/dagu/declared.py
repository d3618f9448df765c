"""What a Dagu file declares, whatever its dialect: names are resolved, texts are as they are written.

Nothing is expanded here. A text that is expanded when the DAG runs is a `Text`, with its place for messages. Everything is
in the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType

from provisioning.core.dagu.doing import Container, Doing, SshLogin, Text
from provisioning.core.frozen import dataclass

NO_LABELS: Mapping[str, str] = MappingProxyType({})
CLEAN_UP_S = 5
MAX_OUTPUT_BYTES = 1024 * 1024
RETENTION_DAYS = 30

Number = int | Text
"""A number, or a reference that becomes one when the DAG runs."""


class DagType(StrEnum):
    """How steps without `depends` follow one another."""

    GRAPH = "graph"  # not at all
    CHAIN = "chain"  # each after the one before


class TypeBecause(StrEnum):
    """Why a DAG has its type."""

    SAID = "said"  # by the file's `type`
    DEPENDS = "depends"  # a step has `depends`
    DIALECT = "dialect"  # the file is of the current dialect, which means graph
    BASE = "base"  # said by base.yaml
    DEFAULT = "default"  # by our setting


class Overlap(StrEnum):
    """What happens to a missed run while another one goes on."""

    SKIP = "skip"
    ALL = "all"
    LATEST = "latest"


class LogOutput(StrEnum):
    """Whether stdout and stderr of a step are logged apart."""

    SEPARATE = "separate"
    MERGED = "merged"


class Event(StrEnum):
    """When a handler runs."""

    INIT = "init"
    SUCCESS = "success"
    FAILURE = "failure"
    ABORT = "abort"
    EXIT = "exit"
    WAIT = "wait"


class RepeatMode(StrEnum):
    """Repeat while the condition holds, or until it does. Without a condition: while the step succeeds."""

    WHILE = "while"
    UNTIL = "until"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One of a list of environment variables; later ones may use earlier ones."""

    name: str
    value: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A variable whose value comes from a provider and is masked."""

    name: str
    provider: str = ""
    key: str = ""
    ref: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """When something starts, stops or restarts, again and again."""

    expression: str  # five fields, perhaps after `TZ=Area/City `
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`at` are single starts: RFC 3339 with an offset."""

    start: tuple[Cron, ...] = ()
    stop: tuple[Cron, ...] = ()
    restart: tuple[Cron, ...] = ()
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter. Without a name it is positional: $1, $2, ... in the order of all parameters."""

    name: str | None
    default: Text | None = None
    evaluated: Text | None = None  # `eval`: the default, in which commands are replaced by what they print
    type: str = "string"  # string | integer | number | boolean
    required: bool = False
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Without `expected` a command that has to succeed, else a text that has to match it."""

    condition: Text
    expected: str | None = None  # a whole line, or `re:` and a pattern; never expanded
    negate: bool = False
    evaluated: bool = False  # written with `eval`


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueOn:
    """After what a step's dependents go on all the same."""

    failure: bool = False
    skipped: bool = False
    exit_codes: tuple[int, ...] = ()
    output: tuple[str, ...] = ()  # part of a line of stdout, or `re:` and a pattern
    mark_success: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a failed step is tried again: `limit` times, each wait `backoff` times the one before."""

    limit: Number
    interval_s: Number
    backoff: float | None = None
    max_interval_s: Number | None = None
    exit_codes: tuple[int, ...] = ()  # empty: after any


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """How long a step is done again. `limit` counts all rounds and always wins."""

    mode: RepeatMode
    interval_s: Number = 0
    limit: Number | None = None
    condition: Text | None = None
    expected: str | None = None
    exit_codes: tuple[int, ...] = ()
    backoff: float | None = None
    max_interval_s: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEntry:
    """One value of a structured output: a `value`, or what is read from stdout, stderr or a file."""

    name: str
    value: Text | None = None
    source: str = ""  # stdout | stderr | file
    path: Text | None = None
    decode: str = "text"  # text | json | yaml
    select: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What of a step later ones may read: its stdout as `name`, or entries."""

    name: str = ""
    key: str = ""  # under which the run's outputs have it, else as `name` makes it
    omit: bool = False  # leave it out of the run's outputs
    entries: tuple[OutputEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person has to agree after the step has run."""

    prompt: Text | None = None
    inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which worker may run it: one that has all labels, or the parent's own process."""

    local: bool = False
    labels: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step or handler. `depends` are names of steps, the order of a chain included."""

    name: str
    line: int
    column: int
    id: str = ""
    generated: bool = False  # the file gives no name
    description: str = ""
    doing: Doing
    depends: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    working_dir: Text | None = None
    preconditions: tuple[Condition, ...] = ()
    continue_on: ContinueOn = field(default_factory=ContinueOn)
    retry: Retry | None = None
    repeat: Repeat | None = None
    timeout_s: int = 0  # 0: none
    signal_on_stop: str = ""  # "": SIGTERM
    mail_on_error: bool = False
    stdout: Text | None = None
    stderr: Text | None = None
    log_output: LogOutput | None = None
    output: Output | None = None
    approval: Approval | None = None
    worker_selector: Selector | None = None
    container: Container | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What steps have that do not say otherwise; `env` and `preconditions` come before their own."""

    env: tuple[Variable, ...] = ()
    preconditions: tuple[Condition, ...] = ()
    continue_on: ContinueOn | None = None
    retry: Retry | None = None
    repeat: Repeat | None = None
    timeout_s: int | None = None
    mail_on_error: bool | None = None
    signal_on_stop: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """The mail server."""

    host: Text | None = None
    port: Text | None = None
    username: Text | None = None
    password: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailOn:
    """When mail is sent."""

    failure: bool = False
    success: bool = False
    wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Who gets the mail of an event."""

    sender: Text | None = None
    to: tuple[Text, ...] = ()
    prefix: str = ""
    attach_logs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much history is kept: days, or runs where they are said."""

    days: int = RETENTION_DAYS
    runs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What a person may not change when starting the DAG."""

    disable_param_edit: bool = False
    disable_run_id_edit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What the version of Dagu that a file was written for did, and others do not."""

    errexit: bool = False  # a shell that the file does not name ends at the first command that fails (from 1.30 on)
    escapes: bool = False  # a backslash before a `$` protects it (from 2.7 on)
    in_quotes: bool = False  # references are replaced in single quotes too, where no shell does it (up to 2.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagFile:
    """One document. `given` are the keys that it says, by their current names: base.yaml fills the others."""

    name: str
    file: str = ""
    given: frozenset[str] = frozenset()
    description: str = ""
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)  # a label without `=` has the value ""
    type: DagType = DagType.CHAIN
    type_because: TypeBecause = TypeBecause.DEFAULT
    schedule: Schedule = field(default_factory=Schedule)
    skip_if_successful: bool = False
    catchup_window_s: int = 0  # 0: missed starts are not made up for
    overlap_policy: Overlap = Overlap.SKIP
    params: tuple[Param, ...] = ()
    params_text: Text | None = None  # `params` written as one text
    env: tuple[Variable, ...] = ()
    dotenv: tuple[Text, ...] | None = None  # None: `.env`; (): none at all
    secrets: tuple[Secret, ...] = ()
    working_dir: Text | None = None
    shell: tuple[Text, ...] = ()  # program and arguments; one item may hold both
    steps: tuple[Step, ...] = ()
    handlers: Mapping[Event, Step] = field(default_factory=lambda: MappingProxyType({}))
    inherited: tuple[Event, ...] = ()  # handlers that are base.yaml's: not for a DAG that another one starts
    preconditions: tuple[Condition, ...] = ()
    defaults: Defaults = field(default_factory=Defaults)
    max_active_steps: int = 0  # 0: no limit
    max_active_runs: int = 1
    queue: str = ""
    timeout_s: int = 0
    delay_s: int = 0
    restart_wait_s: int = 0
    clean_up_s: int = CLEAN_UP_S
    max_output_bytes: int = MAX_OUTPUT_BYTES
    retry: Retry | None = None
    retention: Retention = field(default_factory=Retention)
    log_dir: Text | None = None
    log_output: LogOutput = LogOutput.SEPARATE
    smtp: Smtp | None = None
    mail_on: MailOn = field(default_factory=MailOn)
    error_mail: Mail | None = None
    info_mail: Mail | None = None
    wait_mail: Mail | None = None
    container: Container | None = None
    ssh: SshLogin | None = None
    worker_selector: Selector | None = None
    run_config: RunConfig = field(default_factory=RunConfig)
    habits: Habits = field(default_factory=Habits)
    documents: Mapping[str, DagFile] = field(default_factory=lambda: MappingProxyType({}))  # the others of the same file
    package: str = ""  # the digest of what it travels in, see `core.dagu.package`; "": it is read where it lies
