"""How runs begin that another process is to drive: recorded first, then its driver is told to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from provisioning.core import decide
from provisioning.core.decide import Decision, Extent
from provisioning.core.model import NO_FIELDS, Workflow
from provisioning.core.ports import Clock, Commit, Inbox, Journal, Request
from provisioning.core.run import Run, new_run
from provisioning.errors import NotFoundError, UsageError

ORDERS = ""
"""Requests that are for whoever drives the store, rather than for one run."""


class Store(Journal, Inbox, Protocol):
    """What can be asked of any store."""


async def create(
    store: Store,
    clock: Clock,
    run_id: str,
    flow: Workflow,
    *,
    trigger: str,
    actor: str,
    params: Mapping[str, object] = NO_FIELDS,
) -> Run:
    """Record a run, durably, and have it taken up. Raises StaleRevision when the id exists."""
    decision = Decision(run=new_run(run_id, flow), now=clock.now(), actor=actor)
    decide.create(decision, await store.put_workflow(flow), name=flow.name, trigger=trigger, params=params)
    await store.commit(Commit(run=run_id, expected_seq=0, events=decision.events, fence=None))
    await order(store, "adopt", actor)
    return decision.run


async def order(store: Store, kind: str, actor: str, data: Mapping[str, object] = NO_FIELDS) -> None:
    """Ask whoever drives the store, now or later: adopt, retry, replay."""
    await store.request(Request(run=ORDERS, kind=kind, actor=actor, data=data))


def refuse_retry(run: Run, from_step: str | None, extent: Extent, clock: Clock) -> None:
    """Raise what a runner would: NotFoundError, UsageError where there is nothing to run again."""
    if not run.ended:
        raise UsageError(f"run {run.id} has not ended: it is {run.state}", hint="cancel it first, or wait for it")
    if from_step is not None and from_step not in run.steps:
        raise NotFoundError(f"run {run.id} has no step {from_step}")
    if not decide.reopen(Decision(run=run, now=clock.now()), from_step, extent=extent):
        raise UsageError(f"run {run.id} has nothing to retry: every step succeeded")
