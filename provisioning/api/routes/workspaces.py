"""Workspaces: servers, formulas, states, plans, and bringing them to the declared state."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.routes.runs import Filter
from provisioning.api.shapes.base import Name, fault
from provisioning.api.shapes.dags import Graph
from provisioning.api.shapes.workspaces import (
    Plan,
    PlanStep,
    Provision,
    Provisioned,
    ResourceItem,
    ResourceList,
    Server,
    ServerList,
    Taskserv,
    Workspace,
    WorkspaceItem,
    WorkspaceList,
)
from provisioning.api.table import API, Endpoint
from provisioning.core import plan as planned
from provisioning.core.access import Role
from provisioning.core.plan import Selection
from provisioning.core.resources import ResourceBook
from provisioning.operations import Project, RunOptions
from provisioning.operations.hosting.graphs import of_project

WorkspaceName = Annotated[Name, Path(description="a workspace that this user has made or used")]
Hosts = Annotated[list[str], Query(max_length=1000)]


def list_workspaces(host: TheHost) -> WorkspaceList:
    """List the workspaces that this user has made or used."""
    return WorkspaceList(workspaces=[WorkspaceItem.model_validate(one) for one in host.workspaces.known()])


def get_workspace(host: TheHost, name: WorkspaceName, infra: Filter = None) -> Workspace:
    """Show a workspace: its servers, what can be installed, and who works on it; or every fault of its files."""
    found = host.workspaces.look(name, infra)
    project = found.project
    return Workspace(
        name=name,
        path=str(found.folder),
        infra=project.infra.name if project else infra or "",
        infras=list(found.infras),
        valid=project is not None,
        faults=[fault(one) for one in found.faults],
        servers=_servers(project, project.book()) if project else [],
        taskservs=_taskservs(project) if project else [],
        formulas=len(project.infra.dag.formulas) if project and project.infra.dag else 0,
        busy=found.busy,
    )


def list_servers(host: TheHost, name: WorkspaceName, infra: Filter = None) -> ServerList:
    """List the servers of a workspace, with what is recorded of each."""
    project = host.workspaces.open(name, infra)
    return ServerList(servers=_servers(project, project.book()))


def get_state(host: TheHost, name: WorkspaceName) -> ResourceList:
    """Show what is recorded of every taskserv on every server."""
    book = host.workspaces.book(name)
    rows = [
        ResourceItem(
            server=server,
            taskserv=taskserv,
            state=one.state.value,
            operation=one.operation,
            profile=one.profile,
            run_id=one.run_id or "",
            started_at=one.started_at,
            ended_at=one.ended_at,
            blocker=one.blocker or "",
        )
        for server, taskservs in book.servers.items()
        for taskserv, one in taskservs.items()
    ]
    return ResourceList(lineage=book.lineage, serial=book.serial, resources=rows)


def get_plan(
    host: TheHost,
    name: WorkspaceName,
    taskserv: Filter = None,
    server: Hosts = [],  # noqa: B006 -- as FastAPI wants it
    only: bool = False,
    update: bool = False,
    reset: bool = False,
    reset_prerequisites: bool = False,
    infra: Filter = None,
) -> Plan:
    """Show what would be done for a taskserv, or for everything. Nothing is written, nobody is contacted."""
    project = host.workspaces.open(name, infra)
    asked = Selection(
        name=taskserv,
        everything=taskserv is None,
        servers=frozenset(server),
        only=only,
        update=update,
        reset=reset,
        reset_prerequisites=reset_prerequisites,
    )
    plan = project.plan(asked)
    return Plan(infra=plan.infra, has_dag=plan.has_dag, notes=list(plan.notes), steps=[_planned(one) for one in plan.steps])


def _planned(one: planned.PlanStep) -> PlanStep:
    return PlanStep(
        id=one.id,
        formula=one.formula,
        server=one.server,
        taskserv=one.taskserv,
        kind=one.kind,
        action=one.action.value,
        because=one.because,
        runs=one.runs,
        profile=one.profile,
        operation=one.operation,
        depends_on=list(one.depends_on),
    )


def get_workspace_graph(host: TheHost, name: WorkspaceName, infra: Filter = None) -> Graph:
    """Return the formulas of a workspace, their states and what they wait for."""
    project = host.workspaces.open(name, infra)
    return Graph.model_validate(of_project(project))


async def provision_workspace(host: TheHost, caller: TheCaller, name: WorkspaceName, body: Provision) -> Provisioned:
    """Bring a taskserv with all that it needs, or everything, to its declared state."""
    asked = Selection(
        name=body.taskserv,
        everything=body.everything,
        servers=frozenset(body.servers),
        only=body.only,
        update=body.update,
        reset=body.reset,
        reset_prerequisites=body.reset_prerequisites,
        operation=body.operation or "install",
        upload=body.upload,
    )
    options = RunOptions(keep_going=body.keep_going, max_parallel=body.max_parallel, actor=caller.name, source="api")
    run_id = await host.provision(name, body.infra, asked, options)
    return Provisioned(run_id=run_id, workspace=name, at=host.now())


def _servers(project: Project, book: ResourceBook) -> list[Server]:
    return [
        Server(
            hostname=one.hostname,
            address=one.address or one.public_ip or one.private_ip or "",
            site=one.site or "",
            labels=dict(one.labels),
            user=one.ssh.user or "",
            port=one.ssh.port or 22,
            taskservs={taskserv: state.state.value for taskserv, state in book.servers.get(one.hostname, {}).items()},
        )
        for one in project.infra.servers
    ]


def _taskservs(project: Project) -> list[Taskserv]:
    used: dict[str, list[str]] = {}
    for formula in project.infra.dag.formulas if project.infra.dag else ():
        for node in formula.nodes:
            used.setdefault(node.taskserv, []).append(formula.id)
    return [
        Taskserv(
            name=one.name,
            version=one.version,
            description=one.description,
            profiles=sorted(one.profiles),
            formulas=used.get(one.name, []),
        )
        for one in project.infra.taskservs.values()
    ]


_W = f"{API}/workspaces"
_ONE = f"{_W}/{{name}}"


def _look(path: str, handler: object) -> Endpoint:
    return Endpoint(method="GET", path=path, handler=handler, action="workspace.read", role=Role.VIEWER, tag="workspaces")  # type: ignore[arg-type]


ENDPOINTS = (
    _look(_W, list_workspaces),
    _look(_ONE, get_workspace),
    _look(f"{_ONE}/servers", list_servers),
    _look(f"{_ONE}/state", get_state),
    _look(f"{_ONE}/plan", get_plan),
    _look(f"{_ONE}/graph", get_workspace_graph),
    Endpoint(
        method="POST",
        path=f"{_ONE}/provision",
        handler=provision_workspace,
        action="workspace.provision",
        role=Role.OPERATOR,
        tag="workspaces",
        status=202,
    ),
)
