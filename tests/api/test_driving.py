"""How a server drives runs: a run that breaks ends with the reason, a lock is no run, and who has ended one lets go of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.served import Served, eventually, places_of, served

from provisioning import wiring
from provisioning.core.schedules import Mark
from provisioning.core.scheduling import run_id
from provisioning.operations.dagu import queues
from provisioning.operations.dagu.queues import Turn
from provisioning.operations.hosting import driving, host
from provisioning.operations.hosting.driving import Drivers

HELLO = "steps: [{name: one, command: 'echo hello'}]"
FAILS = "steps: [{name: one, command: 'false'}]"
HOURLY = "schedule: '0 * * * *'\ncatchup_window: 70m\nsteps: [{name: one, command: 'true'}]"
HANDLED = f"{HELLO}\nhandler_on: {{failure: {{command: 'echo failed'}}, exit: {{command: 'echo over'}}}}"


class Broken:
    """Slots that cannot be taken."""

    def try_take(self) -> bool:
        raise RuntimeError("the disk is on fire")

    def release(self) -> None:
        pass


@pytest.mark.parametrize("text", [HELLO, HANDLED], ids=["plain", "with handlers"])
def test_a_run_that_breaks_ends_as_failed_with_the_reason_and_others_go_on(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [Turn(slots=Broken(), reason="")]
    monkeypatch.setattr(host, "turns_of", lambda dag, *more: broken if dag.name == "bad" else queues.turns_of(dag, *more))

    async def story() -> None:
        async with served(tmp_path, {"bad": text, "good": HELLO}) as here:
            with caplog.at_level(logging.WARNING):
                run = await here.until(await here.started("bad"))
            assert (run["status"], run["reason"], run["exit_code"]) == ("failed", "RuntimeError: the disk is on fire", 1)
            assert {step["state"] for step in run["steps"]} <= {"not_started", "aborted"}
            assert [record.exc_info for record in caplog.records if "on fire" in record.getMessage()] == [None]
            assert (await here.until(await here.started("good")))["status"] == "succeeded"
            assert not here.host.driven()

    asyncio.run(story())


async def later(work: Callable[[], None]) -> None:
    await asyncio.sleep(0.5)
    work()


def test_a_lock_that_somebody_holds_is_no_run_until_one_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "FREED_WITHIN_S", 0.3)

    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO}) as here:
            lock = wiring.run_lock(tmp_path / "data", "mine")
            lock.acquire_sync()
            refused = await here.post("/dags/hello/runs", {"run_id": "mine"})
            assert (refused.status_code, refused.json()["code"]) == (409, "locked")
            lock.release_sync()
            assert (await here.post("/dags/hello/runs", {"run_id": "mine"})).status_code == 202
            await here.until("mine")
            refused = await here.post("/dags/hello/runs", {"run_id": "mine"})
            assert (refused.status_code, refused.json()["code"]) == (409, "exists")

    asyncio.run(story())


def test_a_start_waits_a_moment_for_a_lock_that_becomes_free(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO}) as here:
            lock = wiring.run_lock(tmp_path / "data", "mine")
            lock.acquire_sync()
            freeing = asyncio.create_task(later(lock.release_sync))
            assert (await here.post("/dags/hello/runs", {"run_id": "mine"})).status_code == 202
            await freeing
            assert (await here.until("mine"))["status"] == "succeeded"

    asyncio.run(story())


def test_a_due_start_whose_lock_is_held_is_made_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "FREED_WITHIN_S", 0.1)
    tries: list[str] = []
    take = Drivers._locked_to_begin

    async def told(self: Drivers, id: str) -> object:
        tries.append(id)
        return await take(self, id)

    monkeypatch.setattr(Drivers, "_locked_to_begin", told)

    async def story() -> None:
        places, now = places_of(tmp_path), datetime.now(UTC)
        due = now.replace(minute=0, second=0, microsecond=0)
        store = wiring.open_store(places.data)
        await store.schedules.put({"hourly": Mark(cursor=due - timedelta(minutes=1))})
        store.close()
        lock = wiring.run_lock(places.data, run_id("hourly", due))
        lock.acquire_sync()
        async with served(tmp_path, {"hourly": HOURLY}, scheduler=True) as here:
            await eventually(lambda: _at_least(tries, 2))
            assert (await here.get("/runs"))["runs"] == []
            lock.release_sync()
            assert (await here.until(await _known(here, run_id("hourly", due))))["status"] == "succeeded"

    asyncio.run(story())


async def _at_least(tries: list[str], count: int) -> bool:
    return len(tries) >= count


async def _known(here: Served, id: str) -> str:
    async def there() -> bool:
        return any(run["run_id"] == id for run in (await here.get("/runs"))["runs"])

    await eventually(there)
    return id


def test_an_ended_run_can_be_run_again_and_removed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal says that a run has ended before its driver has let go of it: that moment is made long here."""
    let_go = driving.Driven.give_back

    async def story() -> None:
        async with served(tmp_path, {"fails": FAILS}) as here:
            loop = asyncio.get_running_loop()

            def slowly(driven: driving.Driven) -> None:
                loop.call_later(0.5, let_go, driven)

            monkeypatch.setattr(driving.Driven, "give_back", slowly)
            id = (await here.until(await here.started("fails")))["run_id"]
            assert (await here.post(f"/runs/{id}/retry")).status_code == 202
            await here.until(id)
            assert len((await here.get(f"/runs/{id}/attempts?step=one"))["attempts"]) == 2
            assert (await here.call("DELETE", f"/api/v1/runs/{id}")).status_code in {200, 409}

    asyncio.run(story())


@pytest.mark.parametrize(("retention", "left"), [("hist_retention_runs: 1", 1), ("hist_retention_days: 3650", 3), ("", 3)])
def test_a_server_removes_what_is_beyond_the_retention_also_where_nothing_runs(
    tmp_path: Path, retention: str, left: int
) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": f"hist_retention_days: 3650\n{HELLO}", "other": HELLO}) as here:
            ids = [(await here.until(await here.started("hello")))["run_id"] for _ in range(3)]
            other = (await here.until(await here.started("other")))["run_id"]
        async with served(tmp_path, {"hello": f"{retention}\n{HELLO}"}) as here:

            async def tidied() -> bool:
                return len((await here.get("/runs?dag=hello"))["runs"]) == left

            await eventually(tidied)
            kept = {run["run_id"] for run in (await here.get("/runs"))["runs"]}
            assert kept == {*ids[-left:], other}
            for id in ids[:-left]:
                assert not list((tmp_path / "data").rglob(f"*{id}*")), "nor its logs"

    asyncio.run(story())
