"""DAG files and the pictures of what they and workspaces declare."""

from __future__ import annotations

from pydantic import Field

from provisioning.api.shapes.base import Asked, Fault, Instant, Name, Shape


class Schedule(Shape):
    """When a DAG starts, stops and starts anew: cron expressions, and single instants."""

    start: list[str] = []
    stop: list[str] = []
    restart: list[str] = []
    at: list[str] = []


class LastRun(Shape):
    """An earlier run, for a line of the list and its sparkline."""

    run_id: str
    status: str
    started_at: Instant | None = None
    ended_at: Instant | None = None
    duration_s: float | None = None


class DagItem(Shape):
    """One DAG file. A broken one has faults and says little else."""

    name: str
    file: str
    description: str = ""
    group: str = ""
    type: str | None = Field(default=None, description="chain or graph")
    steps: int | None = None
    labels: dict[str, str] = {}
    schedule: Schedule
    next_run: Instant | None = None
    suspended: bool = False
    valid: bool
    faults: list[Fault] = []
    status: str | None = Field(default=None, description="of the newest run, in Dagu's words")
    last_run: LastRun | None = None
    recent: list[LastRun] = Field(default=[], description="the newest runs, the oldest of them first")


class DagPage(Shape):
    """A page of DAGs, in the order of their files. `next` continues the list; it is empty at the end."""

    folder: str
    total: int = Field(description="how many there are with these filters")
    labels: list[str] = Field(default=[], description="every label of the folder, as KEY or KEY=VALUE")
    dags: list[DagItem]
    next: str = ""


class Param(Shape):
    """A parameter. One without a name is positional."""

    name: str | None
    default: str | None = None
    type: str = "string"
    required: bool = False
    enum: list[str] = []
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str = ""


class ReadNote(Shape):
    """How a place of the file was read, where it could be read otherwise."""

    code: str
    message: str
    line: int = 0
    column: int = 0


class DagDetail(DagItem):
    """One DAG with what can be given to it."""

    params: list[Param] = []
    params_text: str | None = Field(default=None, description="`params` as they stand in the file, where that is one text")
    max_active_runs: int = 1
    queue: str = ""
    overlap_policy: str = ""
    catchup_window_s: int = 0
    skip_if_successful: bool = False


class Text(Shape):
    """The text of a file, exactly as it is."""

    file: str
    text: str


class Validation(Shape):
    """What is wrong with a file, and how it was read."""

    valid: bool
    faults: list[Fault]
    notes: list[ReadNote] = []


class Node(Shape):
    """One box of a graph."""

    id: str
    label: str
    kind: str = Field(description="what kind of step: shell, http, node, gate, handler, ...")
    does: str = ""
    state: str = ""
    server: str = ""
    group: str = Field(default="", description="the formula that the step is a part of")
    line: int = 0
    approval: bool = False
    critical: bool = Field(default=False, description="it lies on the longest path")
    layer: int = 0


class Link(Shape):
    """An edge: `target` waits for `source`."""

    source: str
    target: str
    on: str = Field(default="success", description="success, done or failed")


class Graph(Shape):
    """Boxes and edges, in declaration order."""

    nodes: list[Node]
    edges: list[Link]


class Start(Asked):
    """How a run is started. `params` are KEY: value, or in order for positional ones."""

    params: dict[str, str] | list[str] = {}
    run_id: Name | None = Field(default=None, description="its id; a new one if nothing is said")
    labels: dict[Name, str] = {}


class Started(Shape):
    """A run that was recorded; it starts as soon as its queue has room."""

    run_id: str
    workflow: str
    status: str
