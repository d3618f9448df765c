"""Short ways to write events, commits and workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Dep, Step, Workflow
from provisioning.core.ports import Commit, Journal, Task, Timer

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NOOP = Action(type="noop")


def a_step(id: str, *needs: str, labels: Mapping[str, str] | None = None, kind: str = "step") -> Step:
    return Step(id=id, action=NOOP, deps=tuple(Dep(step=need) for need in needs), labels=labels or {}, kind=kind)


def a_workflow(*steps: Step, name: str = "w") -> Workflow:
    return Workflow(name=name, steps=steps or (a_step("a"), a_step("b", "a")))


def event(kind: Kind, step: str = "", /, *, run: str = "r1", attempt: int = 0, epoch: int = 0, **data: object) -> Event:
    epoch = epoch or attempt
    return Event(run=run, kind=kind, at=AT, step=step, attempt=attempt, epoch=epoch, data=data)


def a_commit(
    expected_seq: int,
    *events: Event,
    run: str = "r1",
    tasks: Sequence[Task] = (),
    timers: Sequence[Timer] = (),
    fence: int = 0,
    upto: int = 0,
) -> Commit:
    return Commit(run=run, expected_seq=expected_seq, events=events, tasks=tasks, timers=timers, fence=fence, upto=upto)


def a_task(step: str = "a", *, run: str = "r1", attempt: int = 1, epoch: int = 1, target: str = "") -> Task:
    return Task(run=run, step=step, attempt=attempt, epoch=epoch, action=NOOP, target=target)


async def created(journal: Journal, workflow: Workflow | None = None, *, run: str = "r1") -> int:
    """Create a run of a workflow and return its last seq."""
    workflow = workflow or a_workflow()
    address = await journal.put_workflow(workflow)
    events = [
        event(Kind.RUN_CREATED, run=run, workflow=address, name=workflow.name, params={"n": 1}, trigger="cli"),
        event(Kind.RUN_STARTED, run=run),
    ]
    return await journal.commit(a_commit(0, *events, run=run))
