"""What has run of Dagu files, and what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from provisioning import clusters, wiring
from provisioning.core.dagu.report import RunReport, report
from provisioning.core.history import RunSummary
from provisioning.core.model import RUN_ENDED, GateKind, Workflow
from provisioning.core.ports import Request
from provisioning.core.upstream import awaiting
from provisioning.engine.runner import load
from provisioning.errors import NotFoundError, UsageError, WaitTimeout
from provisioning.operations.steering import HERE, Reach, Store

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore

T = TypeVar("T")
STOPS_WITHIN_S = 120.0
SUBDAG = "subdag:"
"""How the trigger of a run begins that another run has started."""


@contextmanager
def opened(data: Path) -> Iterator[SqliteStore]:
    """Open the store for reading and asking. Raises NotFoundError when nothing ever ran."""
    if not wiring.has_history(data):
        raise NotFoundError("no DAG has run yet", hint="`dag-engine run FILE` runs one")
    store = wiring.open_store(data)
    try:
        yield store
    finally:
        store.close()


def is_lost(data: Path, summary: RunSummary) -> bool:
    """Whether a run is open although its process is gone. A run inside another is driven by that one's process."""
    if summary.state in RUN_ENDED:
        return False
    if clusters.is_replica(data):  # somebody takes over what a process leaves
        return False
    root = summary
    with opened(data) as store:
        while root.trigger.startswith(SUBDAG):
            root = store.history.summary(root.trigger.removeprefix(SUBDAG))
    return wiring.run_lock(data, root.run_id).holder() is None


def newest(data: Path, name: str, *, top: bool = True) -> RunSummary | None:
    """Return the newest run of a DAG; with `top` only of those that no other run has started."""
    try:
        with opened(data) as store:
            for one in store.history.list_runs(200, workflow=name):
                if one.source == "dagu" and not (top and one.trigger.startswith(SUBDAG)):
                    return one
    except NotFoundError:
        return None
    return None


def find(data: Path, *, name: str | None = None, run_id: str | None = None) -> RunReport:
    """Return one run: by its id or the beginning of it, or the newest of a DAG. Raises NotFoundError."""
    if run_id is None:
        summary = newest(data, name or "")
        if summary is None:
            raise NotFoundError(f"{name} has not run yet", hint=f"`dag-engine run {name}` runs it")
        run_id = summary.run_id
    with opened(data) as store:
        detail = store.history.run(run_id)
        if name is not None and detail.summary.workflow != name:
            raise NotFoundError(f"run {run_id} is of {detail.summary.workflow}, not of {name}")
        lost = is_lost(data, detail.summary)
        waiting: Sequence[str] = ()
        if detail.summary.state not in RUN_ENDED and not lost:
            run = asyncio.run(load(store, detail.run_id))
            waiting = [step.spec.id for step in awaiting(run)]
        return report(detail, waiting=waiting, lost=lost)


def history(
    data: Path,
    *,
    name: str | None = None,
    limit: int = 50,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
    run_id: str = "",
    inside: bool = False,
) -> list[RunReport]:
    """Return the newest runs first, whose ids begin with `run_id`. None when nothing ever ran.

    Those `inside` others only if that is asked for.
    """
    try:
        with opened(data) as store:
            found: list[RunReport] = []
            before: str | None = None
            while len(found) < limit:
                page = store.history.list_runs(max(limit, 50), workflow=name, before=before)
                for one in page:
                    wanted = one.source == "dagu" and (inside or not one.trigger.startswith(SUBDAG))
                    if wanted and one.run_id.startswith(run_id) and _within(one, since, until):
                        made = report(store.history.run(one.run_id), lost=is_lost(data, one))
                        if status is None or made.status == status:
                            found.append(made)
                if not page or (since is not None and page[-1].created_at < since):
                    break
                before = page[-1].run_id
            return found[:limit]
    except NotFoundError:
        return []


def _within(one: RunSummary, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or one.created_at >= since) and (until is None or one.created_at <= until)


# ---------------------------------------------------------------- asking


def going_on(data: Path, *, name: str | None = None) -> list[RunSummary]:
    """Return the runs that have not ended, of one DAG or of all, the newest first; not those inside others."""
    try:
        with opened(data) as store:
            found = [store.history.summary(run) for run in _run(store.open_runs())]
    except NotFoundError:
        return []
    wanted = [one for one in found if one.source == "dagu" and not one.trigger.startswith(SUBDAG)]
    return [one for one in reversed(wanted) if name in (None, one.workflow)]


def flow_of(data: Path, summary: RunSummary) -> Workflow:
    """Return the workflow that a run was started with."""
    with opened(data) as store:
        return _run(store.workflow(summary.digest))


def stop(data: Path, *, name: str | None, run_id: str | None, actor: str, reach: Reach = HERE) -> list[RunReport]:
    """Stop a run, or all of a DAG that go on, and wait until they have ended. Raises NotFoundError, UsageError, WaitTimeout."""
    with opened(data) as store:
        wanted = [store.history.run(run_id).summary] if run_id is not None else going_on(data, name=name)
    open_ones = [one for one in wanted if one.state not in RUN_ENDED]
    alive = [one.run_id for one in open_ones if not is_lost(data, one)]
    if not alive and open_ones:
        lost = open_ones[0].run_id
        raise UsageError(f"run {lost} does not go on: its process is gone", hint=f"resume: dag-engine retry {lost}")
    if not alive:
        what = f"run {wanted[0].run_id} has ended" if wanted else f"no run of {name} goes on"
        raise UsageError(what, hint="`dag-engine history` shows the runs")
    return reach.within(data, lambda store: _stopped(store, data, alive, actor))


async def _stopped(store: Store, data: Path, runs: Sequence[str], actor: str) -> list[RunReport]:
    for run_id in runs:
        await store.request(Request(run=run_id, kind="cancel", actor=actor, data={"reason": "stopped"}))
    return [await _when_ended(store, data, run_id) for run_id in runs]


def answer(
    data: Path,
    run_id: str,
    step: str,
    actor: str,
    *,
    approve: bool,
    payload: object = None,
    reason: str = "",
    reach: Reach = HERE,
) -> str:
    """Approve a step that waits for a person, or reject it; return the run's id. Raises NotFoundError, UsageError."""
    with opened(data) as store:
        summary = store.history.run(run_id).summary
        if summary.state in RUN_ENDED:
            raise UsageError(f"run {summary.run_id} has ended: {summary.state.value}")
        if is_lost(data, summary):
            hint = f"resume: dag-engine retry {summary.run_id}"
            raise UsageError(f"run {summary.run_id} does not go on: its process is gone", hint=hint)
        run = asyncio.run(load(store, summary.run_id))
        gates = {gate.name for one in awaiting(run) for gate in one.spec.gates}
        if step not in gates:
            hint = f"waiting are: {', '.join(sorted(gates))}" if gates else "no step of it waits for a person"
            raise UsageError(f"step {step} of run {summary.run_id} does not wait for a person", hint=hint)
        data_ = {"kind": GateKind.APPROVAL.value, "name": step, "payload": payload, "reason": reason}
    request = Request(run=summary.run_id, kind="open_gate" if approve else "reject", actor=actor, data=data_)
    reach.within(data, lambda store: store.request(request))
    return summary.run_id


async def _when_ended(store: Store, data: Path, run_id: str) -> RunReport:
    clock = wiring.clock()
    until_s = clock.monotonic_s() + STOPS_WITHIN_S
    while store.history.summary(run_id).state not in RUN_ENDED:
        if clock.monotonic_s() > until_s:
            raise WaitTimeout(f"run {run_id} has not stopped within {STOPS_WITHIN_S:g} s", hint="try again later")
        if is_lost(data, store.history.summary(run_id)):
            break
        await clock.sleep(0.05)
    return report(store.history.run(run_id), lost=is_lost(data, store.history.summary(run_id)))


def _run(work: Coroutine[None, None, T]) -> T:
    return asyncio.run(work)
