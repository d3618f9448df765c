"""Runs of DAG files and workspaces alike: look, follow, steer, repair, remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime

from provisioning.api import shown
from provisioning.api.parts import TheCaller, TheHost
from provisioning.api.shapes.base import Done, Name
from provisioning.api.shapes.dags import Graph
from provisioning.api.shapes.runs import (
    Approve,
    Attempts,
    Cancel,
    EventPage,
    Reject,
    Retry,
    Run,
    RunPage,
    Signal,
    StepPage,
)
from provisioning.api.table import API, Endpoint
from provisioning.core.access import Role
from provisioning.core.decide import Extent
from provisioning.core.model import GateKind
from provisioning.operations.hosting.graphs import of_run
from provisioning.operations.hosting.reading import Wanted

RunId = Annotated[Name, Path(description="the run's id")]
StepRef = Annotated[str, Path(max_length=600, description="the step's id; slashes may stand in it")]
Limit = Annotated[int, Query(ge=1, le=500)]
Many = Annotated[int, Query(ge=1, le=5000)]
Word = Annotated[str, Query(max_length=200)]
Filter = Annotated[Name | None, Query()]


def list_runs(
    host: TheHost,
    dag: Filter = None,
    workspace: Filter = None,
    status: Word = "",
    label: Word = "",
    q: Word = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    inside: Annotated[bool, Query(description="also those that other runs have started")] = False,
    cursor: Filter = None,
    limit: Limit = 50,
) -> RunPage:
    """List runs, the newest first: those of DAG files, or of a workspace.

    `status` may be several words with commas between; `q` is the beginning of a run's id or of its name.
    """
    wanted = Wanted(
        name=dag,
        workspace=workspace,
        status=status,
        labels=(label,) if label.partition("=")[0] else (),
        q=q,
        since=since,
        until=until,
        inside=inside,
        before=cursor,
    )
    found, following = host.reading.page(wanted, limit)
    of = host.reading.workspace_of
    runs = [shown.run_item(run, status=word, workspace=workspace or of(run)) for run, word in found]
    return RunPage(runs=runs, next=following)


def get_run(host: TheHost, run: RunId, steps: bool = True) -> Run:
    """Show one run with its steps, outputs and parameters."""
    return shown.run(host.reading.run(run), steps=steps)


def get_run_steps(host: TheHost, run: RunId, cursor: Word = "", limit: Many = 500) -> StepPage:
    """List the steps of a run in declaration order, a page at a time."""
    found = shown.run_steps(host.reading.run(run))
    at = int(cursor) if cursor.isascii() and cursor.isdecimal() else 0
    page = found[at : at + limit]
    return StepPage(steps=page, next=str(at + limit) if at + limit < len(found) else "")


def get_run_attempts(host: TheHost, run: RunId, step: Word = "") -> Attempts:
    """List the attempts of a run, or of one of its steps."""
    return Attempts(attempts=[shown.attempt(run, one) for one in host.reading.attempts(run, step or None)])


async def get_run_events(host: TheHost, run: RunId, after: Annotated[int, Query(ge=0)] = 0, limit: Many = 1000) -> EventPage:
    """List what has happened in a run, after an event's number."""
    events = await host.reading.events(run, after)
    page = events[:limit]
    return EventPage(events=[shown.event(one) for one in page], next=page[-1].seq if len(events) > limit else 0)


def get_run_graph(host: TheHost, run: RunId) -> Graph:
    """Return what a run runs: its steps, their states and what they wait for. The longest path is marked."""
    return Graph.model_validate(of_run(*host.reading.flow(run)))


async def cancel_run(host: TheHost, caller: TheCaller, run: RunId, body: Cancel | None = None) -> Done:
    """Stop a run: what runs is stopped, nothing new starts, its handlers run."""
    await host.cancel(run, caller.actor, (body or Cancel()).reason)
    return Done()


async def pause_run(host: TheHost, caller: TheCaller, run: RunId) -> Done:
    """Have a run start nothing new."""
    await host.pause(run, caller.actor)
    return Done()


async def resume_run(host: TheHost, caller: TheCaller, run: RunId) -> Done:
    """Have a paused run go on."""
    await host.resume(run, caller.actor)
    return Done()


async def retry_run(host: TheHost, caller: TheCaller, run: RunId, body: Retry | None = None) -> Done:
    """Run what failed of an ended run again and all below it, or one step, alone or with all below it."""
    asked = body or Retry()
    extent = Extent.BELOW if asked.downstream or asked.step is None else Extent.ALONE
    await host.retry(run, caller.actor, step=asked.step, extent=extent)
    return Done()


async def signal_run(host: TheHost, caller: TheCaller, run: RunId, body: Signal) -> Done:
    """Send a signal to a run."""
    await host.open_gate(run, caller.actor, GateKind.SIGNAL, body.name, body.payload)
    return Done()


async def approve_step(host: TheHost, caller: TheCaller, run: RunId, body: Approve) -> Done:
    """Approve a step that waits for a person."""
    await host.approve(run, caller.actor, body.step, body.inputs)
    return Done()


async def reject_step(host: TheHost, caller: TheCaller, run: RunId, body: Reject) -> Done:
    """Reject a step that waits for a person."""
    await host.reject(run, caller.actor, body.step, body.reason)
    return Done()


async def delete_run(host: TheHost, run: RunId) -> Done:
    """Remove an ended run with its logs and the runs inside it."""
    await host.delete(run)
    return Done()


_R = f"{API}/runs"
_ONE = f"{_R}/{{run}}"


def _look(path: str, handler: object) -> Endpoint:
    return Endpoint(method="GET", path=path, handler=handler, action="run.read", role=Role.VIEWER, tag="runs")  # type: ignore[arg-type]


def _act(verb: str, handler: object, noun: str = "run") -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{_ONE}/{verb}",
        handler=handler,  # type: ignore[arg-type]
        action=f"{noun}.{verb}",
        role=Role.OPERATOR,
        tag="runs",
        status=202,
    )


ENDPOINTS = (
    _look(_R, list_runs),
    _look(_ONE, get_run),
    _look(f"{_ONE}/steps", get_run_steps),
    _look(f"{_ONE}/attempts", get_run_attempts),
    _look(f"{_ONE}/events", get_run_events),
    _look(f"{_ONE}/graph", get_run_graph),
    _act("cancel", cancel_run),
    _act("pause", pause_run),
    _act("resume", resume_run),
    _act("retry", retry_run),
    _act("signal", signal_run),
    _act("approve", approve_step, "step"),
    _act("reject", reject_step, "step"),
    Endpoint(method="DELETE", path=_ONE, handler=delete_run, action="run.delete", role=Role.ADMIN, tag="runs"),
)
