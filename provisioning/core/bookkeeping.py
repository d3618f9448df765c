"""Keeps the book of resource states: what the state file has to say after each event of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from provisioning.core.events import Event, Kind
from provisioning.core.model import Step
from provisioning.core.plan import INSTALL, REMOVING
from provisioning.core.resources import Actor, LogEntry, Resource, ResourceBook, ResourceState

CHANGING = frozenset({INSTALL, "reinstall", "update", "config"}) | REMOVING
"""Operations whose outcome says something about the resource. A failed backup does not make a service not installed."""
_STATES = {
    Kind.STEP_DISPATCHED: ResourceState.RUNNING,
    Kind.STEP_SUCCEEDED: ResourceState.COMPLETED,
    Kind.STEP_FAILED: ResourceState.FAILED,
    Kind.STEP_TIMED_OUT: ResourceState.FAILED,
    Kind.STEP_CANCELLED: ResourceState.INTERRUPTED,
    Kind.STEP_INTERRUPTED: ResourceState.INTERRUPTED,
    Kind.STEP_SKIPPED: ResourceState.BLOCKED,
}
_KEPT = frozenset({ResourceState.COMPLETED, ResourceState.RUNNING, ResourceState.INTERRUPTED})
"""States that say more than blocked: what is installed, and which attempt may have to be asked for on the server."""


def record(book: ResourceBook, steps: Mapping[str, Step], events: Iterable[Event], actor: Actor) -> ResourceBook:
    """Return the book after `events` of one run with these steps. Events up to the book's cursor were folded in before."""
    changes: dict[tuple[str, str], Resource | None] = {}
    run, seq, newest = book.run, book.seq, book.newest
    for event in events:
        if event.run == run and event.seq <= seq:
            continue
        run, seq = event.run, event.seq
        newest = event.run if event.kind is Kind.RUN_CREATED else newest
        step = steps.get(event.step)
        if step is None or step.kind != "node" or step.labels.get("operation", INSTALL) not in CHANGING:
            continue
        key = (step.labels["server"], step.labels["taskserv"])
        before = changes[key] if key in changes else book.get(*key)
        after = _after(before, event, step, actor)
        if after is not None:
            changes[key] = after
    return replace(book.put(changes) if changes else book, run=run, seq=seq, newest=newest)


def _after(before: Resource | None, event: Event, step: Step, actor: Actor) -> Resource | None:
    """Return the resource after the event, or None when the event does not concern it."""
    state = _state(event)
    if state is None or not _concerns(before, event, state):
        return None
    at = _iso(event.at)
    if state is ResourceState.RUNNING:
        changed = _begun(event, step, at)
    elif state is ResourceState.COMPLETED:
        changed = {"digest": step.labels.get("digest", ""), "blocker": None, "ended_at": at}
    else:
        changed = {"blocker": _blocker(event), "ended_at": at}
    if state is ResourceState.COMPLETED and step.labels.get("operation") in REMOVING:
        state = ResourceState.PENDING
    entry = LogEntry(ts=at, event=event.kind.value.removeprefix("step_"), source=event.run)
    resource = before or Resource(state=state)
    return resource.logged(entry, state=state, run_id=event.run, step=event.step, actor=actor, **changed)


def _state(event: Event) -> ResourceState | None:
    """A step that was stopped while it waited for another try has failed so far."""
    error = event.data.get("error")
    if event.kind is Kind.STEP_CANCELLED and isinstance(error, Mapping) and error.get("kind") != "cancelled":
        return ResourceState.FAILED
    return _STATES.get(event.kind)


def _concerns(before: Resource | None, event: Event, state: ResourceState) -> bool:
    """A step that never started leaves what is there alone, except that blocked is worth telling where nothing is."""
    if state is ResourceState.BLOCKED:
        return bool(event.data.get("blocked")) and (before is None or before.state not in _KEPT)
    if event.kind is Kind.STEP_CANCELLED:
        return event.attempt > 0 and before is not None and before.state is ResourceState.RUNNING
    return True


def _begun(event: Event, step: Step, at: str) -> dict[str, Any]:
    return {
        "operation": step.labels.get("operation", INSTALL),
        "profile": step.labels.get("profile", "default"),
        "attempt": event.attempt,
        "started_at": at,
        "ended_at": None,
        "blocker": None,
    }


def _blocker(event: Event) -> str:
    error = event.data.get("error")
    message = str(error.get("message", "")) if isinstance(error, Mapping) else ""
    return message or str(event.data.get("reason", "")).removeprefix("blocked: ")


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
