"""Runs to whose journals somebody else writes: each ends with the reason, and the server goes on with all others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.served import Served, eventually, served

from provisioning import wiring
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
from provisioning.core.ports import Commit
from provisioning.engine.runner import load
from provisioning.errors import StaleRevision
from provisioning.operations.hosting import losses

TOLD = "somebody else has written to its journal: run {run} is at event"


def waits(mark: Path) -> str:
    """Return a DAG whose first step waits until a file is there."""
    return f"steps: [{waiting(mark)}, {{name: two, command: 'true', depends: one}}]"


def waiting(mark: Path) -> str:
    """Return a step that waits until a file is there."""
    return f"{{name: one, command: 'while [ ! -e {mark} ]; do sleep 0.05; done'}}"


@contextmanager
def somebody_else(here: Served) -> Iterator[SqliteStore]:
    store = wiring.open_store(here.host.places.data)
    try:
        yield store
    finally:
        store.close()


async def write(here: Served, run_id: str) -> None:
    """Write to a run's journal as another process would that drives it, too."""
    with somebody_else(here) as store:
        while True:
            decision = Decision(run=await load(store, run_id), now=here.host.now())
            known = decision.run.seq
            decision.emit(Kind.RUN_PAUSED)
            try:
                await store.commit(Commit(run=run_id, expected_seq=known, events=decision.events, fence=None))
            except StaleRevision:  # the server was first
                continue
            return


async def begun(here: Served, dag: str) -> str:
    """Start a run; return its id once its first step runs."""
    run_id = await here.started(dag)
    await eventually(lambda: _runs(here, run_id))
    return run_id


async def _runs(here: Served, run_id: str) -> bool:
    return bool((await here.get(f"/runs/{run_id}"))["steps"][0]["state"] == "running")


def test_a_run_that_somebody_else_wrote_to_ends_with_the_reason_and_others_go_on(tmp_path: Path) -> None:
    mark, other = tmp_path / "mark", tmp_path / "other"

    async def story() -> None:
        async with served(tmp_path, {"lost": waits(mark), "other": waits(other)}) as here:
            lost, kept = await begun(here, "lost"), await begun(here, "other")
            await write(here, lost)
            mark.touch()
            run = await here.until(lost)
            assert run["status"] == "failed"
            assert run["reason"].startswith(TOLD.format(run=lost))
            assert [step["state"] for step in run["steps"]] == ["failed", "aborted"], "what ran is interrupted"
            other.touch()
            assert (await here.until(kept))["status"] == "succeeded"
            assert here.host.failure is None
            await eventually(lambda: _nothing_driven(here))
            assert (await here.post(f"/runs/{lost}/retry")).status_code == 202
            assert (await here.until(lost))["status"] == "succeeded"
            assert len(await here.host.store.events(lost)) == (await load(here.host.store, lost)).seq, "one journal, unmixed"

    asyncio.run(story())


async def _nothing_driven(here: Served) -> bool:
    return not here.host.driven() and not here.host.runner.open_runs()


def test_a_run_that_somebody_else_keeps_writing_to_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "mark"

    async def story() -> None:
        async with served(tmp_path, {"lost": f"steps: [{waiting(mark)}]", "other": waits(mark)}) as here:
            lost = await begun(here, "lost")
            theirs: list[int] = []
            held: list[bool] = []

            async def always_behind(store: object, run_id: str) -> object:
                held.append(run_id in here.host.driven())
                run = await load(store, run_id)  # type: ignore[arg-type]
                await write(here, run_id)
                theirs.append(run.seq + 1)
                return run

            async def cancel(run_id: str) -> None:  # so late that its only step, and so the run, has ended for the engine
                await eventually(lambda: _over_here(here, run_id))

            monkeypatch.setattr(losses, "load", always_behind)
            monkeypatch.setattr(here.host.worker, "cancel", cancel)
            await write(here, lost)
            mark.touch()
            assert (await here.until(await here.started("other")))["status"] == "succeeded"
            await eventually(lambda: _nothing_driven(here))
            assert len(theirs) == losses.TRIES
            assert all(held), "it has the lock while it tries, whatever its own engine believes"
            assert (await here.host.store.events(lost))[-1].seq == theirs[-1], "nothing of ours came between"
            assert here.host.failure is None

    asyncio.run(story())


async def _over_here(here: Served, run_id: str) -> bool:
    return run_id not in here.host.runner.open_runs()


def test_a_run_whose_journal_is_gone_is_dropped_and_others_go_on(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def story() -> None:
        async with served(tmp_path, {"lost": waits(mark), "other": waits(mark)}) as here:
            lost = await begun(here, "lost")
            with somebody_else(here) as store:
                await store.delete(lost)
            mark.touch()
            assert (await here.until(await here.started("other")))["status"] == "succeeded"
            await eventually(lambda: _let_go(here, lost))
            assert (await here.call("GET", f"/api/v1/runs/{lost}")).status_code == 404
            assert here.host.failure is None

    asyncio.run(story())


async def _let_go(here: Served, run_id: str) -> bool:
    return run_id not in here.host.driven()
