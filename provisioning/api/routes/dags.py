"""DAG files: look at them, run them, suspend their schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path, Query

from provisioning.api import shown
from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.shapes.base import Name, fault
from provisioning.api.shapes.dags import DagDetail, DagItem, DagPage, Graph, ReadNote, Started, Text, Validation
from provisioning.api.shapes.dags import Start as StartRun
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.dagu.params import Given
from provisioning.operations.dagu.running import Start
from provisioning.operations.hosting.graphs import of_dag

RECENT = 14  # runs of the sparkline
DagName = Annotated[Name, Path(description="the DAG's name, or that of its file without the ending")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Word = Annotated[str, Query(max_length=200)]


def list_dags(
    host: TheHost, q: Word = "", label: Word = "", cursor: Word = "", limit: Limit = 100, suspended: bool | None = None
) -> DagPage:
    """List the DAG files of the folder.

    `q` is looked for in names and descriptions; `label` is KEY or KEY=VALUE.
    """
    page = host.library.page(q=q, label=label, after=cursor, limit=limit, suspended=suspended)
    recent = host.reading.recent([one.entry.name for one in page.dags], RECENT)
    return DagPage(
        folder=str(host.places.dags),
        total=page.total,
        labels=list(page.labels),
        dags=[shown.dag_item(one, recent.get(one.entry.name, ())) for one in page.dags],
        next=page.next,
    )


def get_dag(host: TheHost, name: DagName) -> DagDetail:
    """Show one DAG and what can be given to it."""
    one = host.library.find(name)
    return shown.dag_detail(one, host.reading.recent([one.entry.name], 50).get(one.entry.name, ()))


def get_dag_source(host: TheHost, name: DagName) -> Text:
    """Return the text of a DAG's file."""
    one = host.library.find(name)
    return Text(file=one.entry.file, text=host.library.source(one.entry))


def validate_dag(host: TheHost, name: DagName) -> Validation:
    """Say what is wrong with a DAG's file, and how it was read."""
    checked = host.library.check(name)
    notes = [ReadNote(code=one.code, message=one.message, line=one.line, column=one.column) for one in checked.notes]
    return Validation(valid=not checked.entry.faults, faults=[fault(one) for one in checked.entry.faults], notes=notes)


def get_dag_graph(host: TheHost, name: DagName) -> Graph:
    """Return the steps of a DAG and what they wait for."""
    return Graph.model_validate(of_dag(host.library.load(name)))


async def start_dag(host: TheHost, caller: TheCaller, name: DagName, body: StartRun) -> Started:
    """Start a run of a DAG."""
    dag = await host.library.loaded(name)
    given = (
        tuple(Given(name=key, value=value) for key, value in body.params.items())
        if isinstance(body.params, dict)
        else tuple(Given(value=value) for value in body.params)
    )
    asked = Start(given=given, run_id=body.run_id or "", trigger="api", actor=caller.actor, labels=body.labels)
    run_id = await host.start_dag(dag, asked)
    return Started(run_id=run_id, workflow=dag.name, status="queued")


async def start_dag_anew(host: TheHost, caller: TheCaller, name: DagName, body: StartRun | None = None) -> Started:
    """Start a run of a DAG, also without a body."""
    return await start_dag(host, caller, name, body or StartRun())


async def run_dag(host: TheHost, caller: TheCaller, name: DagName, body: StartRun | None = None) -> Started:
    """Start a run of a DAG, as older programs ask for it."""
    return await start_dag(host, caller, name, body or StartRun())


async def suspend_dag(host: TheHost, caller: TheCaller, name: DagName) -> DagItem:
    """Have the schedule of a DAG start, stop and restart nothing."""
    return shown.dag_item(await host.suspend(name, caller.actor, suspended=True))


async def resume_dag(host: TheHost, caller: TheCaller, name: DagName) -> DagItem:
    """Have the schedule of a DAG count again, from now on: what was due meanwhile is not made up for."""
    return shown.dag_item(await host.suspend(name, caller.actor, suspended=False))


_D = f"{API}/dags"
_ONE = f"{_D}/{{name}}"


def _look(path: str, handler: Callable[..., Any]) -> Endpoint:
    return Endpoint(method="GET", path=path, handler=handler, action="dag.read", role=Role.VIEWER, tag="dags")


def _act(path: str, handler: Callable[..., Any], action: str, status: int = 202) -> Endpoint:
    return Endpoint(method="POST", path=path, handler=handler, action=action, role=Role.OPERATOR, tag="dags", status=status)


ENDPOINTS = (
    _look(_D, list_dags),
    _look(_ONE, get_dag),
    _look(f"{_ONE}/source", get_dag_source),
    _look(f"{_ONE}/validate", validate_dag),
    _look(f"{_ONE}/graph", get_dag_graph),
    _act(f"{_ONE}/runs", start_dag, "run.start"),
    _act(f"{_ONE}/start", start_dag_anew, "run.start"),
    _act("/api/dags/{name}/run", run_dag, "run.start"),
    _act(f"{_ONE}/suspend", suspend_dag, "schedule.suspend", status=200),
    _act(f"{_ONE}/resume", resume_dag, "schedule.resume", status=200),
)
