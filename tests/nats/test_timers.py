"""Timers of a cluster: those that are due much later wait on the server, and fire whoever leads then."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.engine import Doer
from support.natslead import drive, mortal, working
from support.natswork import Setting, flow, marking
from support.records import a_commit, created, event

from provisioning.adapters.nats import timers
from provisioning.adapters.nats.connect import Access
from provisioning.core.events import Kind
from provisioning.core.model import Retry, RunState
from provisioning.core.ports import Outcome, Task, Timer
from provisioning.engine.actions import Context, Result


@pytest.fixture
def setting(nats_access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Return a setting in which every timer waits on the server, however soon it is due."""
    monkeypatch.setattr(timers, "SOON_S", -1.0)
    return Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "one"), slots=8)


def timer(after_s: float) -> Timer:
    return Timer(run="r1", step="a", attempt=1, kind="retry", due=datetime.now(UTC) + timedelta(seconds=after_s))


async def test_a_timer_on_the_server_fires_when_it_is_due_and_not_before(setting: Setting) -> None:
    store, given = mortal(setting, 1), timer(1.5)
    seq = await created(store)
    await store.take_over(1)
    await store.commit(a_commit(seq, event(Kind.RUN_RESUMED), timers=[given], fence=1))
    fired = await asyncio.wait_for(store.due(), timeout=20)
    fired_at = datetime.now(UTC)
    await store.aclose()

    assert fired == [given]
    assert fired_at >= given.due


async def test_a_timer_that_was_set_under_one_leader_fires_under_the_next(setting: Setting) -> None:
    first, second, given = mortal(setting, 1), mortal(setting, 2), timer(2.0)
    seq = await created(first)
    await first.take_over(1)
    await first.commit(a_commit(seq, event(Kind.RUN_RESUMED), timers=[given], fence=1))
    await first.settled()
    await first.aclose()
    await second.take_over(2)
    fired = await asyncio.wait_for(second.due(), timeout=20)
    await second.aclose()

    assert fired == [given]


async def test_a_step_is_tried_again_when_the_server_says_so(setting: Setting) -> None:
    async def do(task: Task, _context: Context) -> Result:
        failed = task.attempt == 1
        return Result(outcome=Outcome.FAILED if failed else Outcome.OK, error_kind="scripted" if failed else "")

    store = mortal(setting, 1)
    async with working(setting, Doer(do)):
        run = await drive(store, 1, "r1", flow(marking("a", kind="noop", retry=Retry(attempts=2, base_s=1.0))))
    await store.aclose()

    assert run.state is RunState.SUCCEEDED
    assert run.steps["a"].attempt == 2
