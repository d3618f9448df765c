"""Workspaces: servers, formulas, states, plans."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from provisioning.api.shapes.base import Asked, Fault, Instant, Name, Shape

Hostname = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class WorkspaceItem(Shape):
    """A workspace that this user has made or used."""

    name: str
    path: str
    active: bool
    exists: bool


class WorkspaceList(Shape):
    """All of them."""

    workspaces: list[WorkspaceItem]


class Server(Shape):
    """One machine, with how much of what is declared for it is completed."""

    hostname: str
    address: str = ""
    site: str = ""
    labels: dict[str, str] = {}
    user: str = ""
    port: int = 22
    taskservs: dict[str, str] = Field(default={}, description="taskserv -> state")


class ServerList(Shape):
    """The servers of an infra."""

    servers: list[Server]


class Taskserv(Shape):
    """Something that can be installed."""

    name: str
    version: str = ""
    description: str = ""
    profiles: list[str] = []
    formulas: list[str] = []


class Workspace(Shape):
    """One infra of a workspace. With faults there is nothing else."""

    name: str
    path: str
    infra: str = ""
    infras: list[str] = []
    valid: bool
    faults: list[Fault] = []
    servers: list[Server] = []
    taskservs: list[Taskserv] = []
    formulas: int = 0
    busy: str = Field(default="", description="who works on it now; empty: nobody")


class ResourceItem(Shape):
    """What is recorded of one taskserv on one server."""

    server: str
    taskserv: str
    state: str
    operation: str = ""
    profile: str = ""
    run_id: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    blocker: str = ""


class ResourceList(Shape):
    """The state file."""

    lineage: str
    serial: int
    resources: list[ResourceItem]


class PlanStep(Shape):
    """One step of a plan, why it is in, and what will happen to it."""

    id: str
    formula: str
    server: str
    taskserv: str | None = None
    kind: str
    action: str = Field(description="create, unchanged, changed, reset or verify")
    because: str
    runs: bool
    profile: str | None = None
    operation: str | None = None
    depends_on: list[str]


class Plan(Shape):
    """What would be done. Nothing is written, nobody is contacted."""

    infra: str
    has_dag: bool
    notes: list[str]
    steps: list[PlanStep]


class Provision(Asked):
    """What is to be brought to its declared state: a taskserv with all that it needs, or everything."""

    taskserv: Name | None = None
    everything: bool = False
    servers: list[Hostname] = []
    only: bool = False
    update: bool = False
    reset: bool = False
    reset_prerequisites: bool = False
    operation: Name | None = None
    upload: bool = False
    keep_going: bool = False
    max_parallel: int = Field(default=0, ge=0, le=10_000)
    infra: Name | None = None


class Provisioned(Shape):
    """The run that works on it; none (empty) where there was nothing to do."""

    run_id: str
    workspace: str
    at: Instant
