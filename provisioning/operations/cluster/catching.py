"""States that a run has ended with and nobody has written: whoever led died in between, or has not come to it yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.core.bookkeeping import record
from provisioning.core.ports import Clock, Resources
from provisioning.core.resources import Actor, ResourceBook
from provisioning.engine.runner import load
from provisioning.errors import NotFoundError, StaleRevision
from provisioning.operations.catchup import LOOK_BACK, created_after, unrecorded

if TYPE_CHECKING:
    from provisioning.adapters.nats.store import NatsStore

TRIES = 5
WRITES_WITHIN_S, LOOK_S = 3.0, 0.02
"""How long whoever leads may take to write how a run has ended, before somebody else does it."""


async def caught_up(store: NatsStore, resources: Resources, workspace: str, actor: Actor) -> ResourceBook:
    """Return the states with all that has come of ended runs, and have them written. Raises StateFileError, StoreError."""
    left = TRIES
    while True:
        book = await resources.load()
        whole = await folded(store, book, workspace, actor)
        if whole.servers is book.servers:
            return book
        left -= 1
        try:
            return await resources.save(whole)
        except StaleRevision:  # whoever leads has written meanwhile
            if not left:
                raise


async def written(store: NatsStore, resources: Resources, workspace: str, clock: Clock) -> bool:
    """Wait until the states say all that has come of ended runs; return whether they do. Raises as `caught_up`."""
    until_s = clock.monotonic_s() + WRITES_WITHIN_S
    while True:
        book = await resources.load()
        if (await folded(store, book, workspace, Actor())).servers is book.servers:
            return True
        if clock.monotonic_s() >= until_s:
            return False
        await clock.sleep(LOOK_S)


async def folded(store: NatsStore, book: ResourceBook, workspace: str, actor: Actor) -> ResourceBook:
    """Return the book with what the history says of ended runs beside; it has the same `servers` where that is nothing."""
    for run_id, known in _runs(store, book, workspace):
        events = await unrecorded(store, book, run_id, known=known)
        if events:
            run = await load(store, run_id)
            book = record(book, {id: step.spec for id, step in run.steps.items()}, events, actor)
    return book


def _runs(store: NatsStore, book: ResourceBook, workspace: str) -> list[tuple[str, bool]]:
    """Return the ended runs that the states may not know all of, and whether they know of them at all."""
    runs = [one for one in store.history.list_runs(LOOK_BACK, labels={"workspace": workspace}) if one.source == "formula"]
    new = created_after(runs, book.newest)
    return [(run, run not in new) for run in dict.fromkeys((book.run, *new)) if run and _has_ended(store, run)]


def _has_ended(store: NatsStore, run_id: str) -> bool:
    try:
        return store.history.summary(run_id).ended_at is not None
    except NotFoundError:  # it was deleted
        return False
