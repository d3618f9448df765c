"""What the state file says after each event of a run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.simulate import step

from provisioning.core.bookkeeping import record
from provisioning.core.events import Event, Kind
from provisioning.core.resources import Actor, Resource, ResourceBook, ResourceState

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ("cp-0", "etcd")
STEPS = {"cp/etcd": step("cp/etcd", kind="node", labels={"server": "cp-0", "taskserv": "etcd", "operation": "install"})}


def _after(before: Resource | None, kind: Kind, **fields: object) -> Resource | None:
    book = ResourceBook(lineage="l").put({KEY: before})
    event = Event(run="r2", kind=kind, at=AT, seq=7, step="cp/etcd", **fields)  # type: ignore[arg-type]
    return record(book, STEPS, [event], Actor()).get(*KEY)


@pytest.mark.parametrize("state", [ResourceState.RUNNING, ResourceState.INTERRUPTED])
def test_being_blocked_does_not_make_forget_an_attempt_whose_end_nobody_knows(state: ResourceState) -> None:
    before = Resource(state=state, run_id="r1", step="cp/etcd", attempt=2)

    assert _after(before, Kind.STEP_SKIPPED, data={"blocked": True, "reason": "blocked: needs os/base"}) == before


@pytest.mark.parametrize("state", [None, ResourceState.PENDING, ResourceState.FAILED, ResourceState.BLOCKED])
def test_being_blocked_is_told_where_nothing_is_installed(state: ResourceState | None) -> None:
    before = Resource(state=state) if state else None

    after = _after(before, Kind.STEP_SKIPPED, data={"blocked": True, "reason": "blocked: needs os/base"})

    assert after is not None
    assert (after.state, after.blocker) == (ResourceState.BLOCKED, "needs os/base")


def test_being_skipped_says_nothing_of_what_is_installed() -> None:
    before = Resource(state=ResourceState.COMPLETED, run_id="r1")

    assert _after(before, Kind.STEP_SKIPPED, data={"blocked": True}) == before
    assert _after(None, Kind.STEP_SKIPPED, data={"reason": "cp/a did not fail"}) is None
