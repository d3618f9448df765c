"""Schedules through the API: what is due, suspend, past times; and a server that starts what is due."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.dagengine import Engine
from support.served import eventually, places_of, served

from provisioning import wiring
from provisioning.core.access import Role
from provisioning.core.schedules import Mark

HOURLY = "schedule: '0 * * * *'\nsteps: [{name: one, command: 'echo $DAG_SCHEDULED_AT'}]"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def test_what_is_due_is_listed_and_a_suspended_dag_is_not_due(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hourly": HOURLY, "plain": "steps: [{command: 'true'}]"}) as here:
            assert [one["name"] for one in (await here.get("/schedules"))["schedules"]] == ["hourly"]
            assert [one["name"] for one in (await here.get("/schedules/next"))["due"]] == ["hourly"]
            assert (await here.post("/dags/hourly/suspend", role=Role.OPERATOR)).json()["suspended"]
            assert (await here.get("/schedules/next"))["due"] == []
            assert (await here.get("/dags?suspended=true"))["total"] == 1
            assert not (await here.post("/dags/hourly/resume", role=Role.OPERATOR)).json()["suspended"]
            assert len((await here.get("/schedules/next"))["due"]) == 1

    asyncio.run(story())


def test_a_pause_is_one_thing_for_the_command_line_and_the_api(tmp_path: Path) -> None:
    engine = Engine(tmp_path)

    def listed() -> dict[str, Any]:
        found: dict[str, Any] = engine("schedule", "list", "-o", "json").json["schedules"][0]
        return found

    async def story() -> None:
        async with served(tmp_path, {"hourly": HOURLY}) as here:

            async def shown() -> dict[str, Any]:
                found: dict[str, Any] = (await here.get("/schedules"))["schedules"][0]
                return found

            await here.post("/dags/hourly/suspend", role=Role.OPERATOR)
            told = await asyncio.to_thread(listed)
            assert (told["suspended"], told["paused_by"]) == (True, "operator (api)")
            assert (await shown())["paused_by"] == "operator (api)"
            await asyncio.to_thread(engine, "schedule", "resume", "hourly")
            assert ((await shown())["suspended"], (await shown())["paused_by"]) == (False, "")
            await asyncio.to_thread(engine, "schedule", "pause", "hourly")
            assert ((await shown())["suspended"], bool((await shown())["paused_by"])) == (True, True)
            assert (await here.get("/dags"))["dags"][0]["suspended"]
            await here.post("/dags/hourly/resume", role=Role.OPERATOR)
            told = await asyncio.to_thread(listed)
            assert (told["suspended"], told["paused_by"], told["paused_at"]) == (False, "", None)
            (tmp_path / "suspend" / "hourly.suspend").touch()  # as Dagu does it
            assert ((await shown())["suspended"], (await shown())["paused_by"]) == (True, "")

    asyncio.run(story())


def test_what_was_due_while_it_was_suspended_is_not_made_up_for(tmp_path: Path) -> None:
    async def story() -> None:
        places = places_of(tmp_path)
        store = wiring.open_store(places.data)
        await store.schedules.put({"hourly": Mark(cursor=datetime.now(UTC) - timedelta(minutes=100))})
        store.close()
        async with served(tmp_path, {"hourly": f"catchup_window: 3h\n{HOURLY}"}) as here:
            await here.post("/dags/hourly/suspend")
            await here.post("/dags/hourly/resume")
            looked_at = datetime.fromisoformat((await here.get("/schedules"))["schedules"][0]["looked_at"])
            assert datetime.now(UTC) - looked_at < timedelta(minutes=1)

    asyncio.run(story())


def test_stops_and_restarts_are_due_too(tmp_path: Path) -> None:
    async def story() -> None:
        text = "schedule: {start: '0 * * * *', stop: '30 * * * *', restart: '45 * * * *'}\nsteps: [{command: 'true'}]"
        async with served(tmp_path, {"three": text}) as here:
            assert sorted(one["kind"] for one in (await here.get("/schedules/next"))["due"]) == ["restart", "start", "stop"]
            due = (await here.get("/schedules/next?limit=6&every=true"))["due"]
            assert [due[0]["kind"], due[1]["kind"], due[2]["kind"]] == [one["kind"] for one in due[3:]]
            assert [one["at"] for one in due] == sorted(one["at"] for one in due)

    asyncio.run(story())


def test_past_times_are_run_once_each_and_again_only_if_that_is_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hourly": HOURLY, "plain": "steps: [{command: 'true'}]"}) as here:
            times = {"start": DAY.isoformat(), "end": (DAY + timedelta(hours=3)).isoformat(), "parallel": 2}
            dry = (await here.post("/schedules/hourly/backfill", {**times, "dry_run": True})).json()
            assert [one["action"] for one in dry["items"]] == ["run"] * 3
            assert (await here.get("/runs"))["runs"] == []
            assert (await here.post("/schedules/hourly/backfill", times, Role.OPERATOR)).status_code == 202

            async def over() -> bool:
                return all(one["over"] for one in (await here.get("/schedules/backfills"))["backfills"])

            await eventually(over)
            runs = (await here.get("/runs"))["runs"]
            assert {(run["status"], run["trigger"]) for run in runs} == {("succeeded", "backfill")}
            assert {run["run_id"] for run in runs} == {one["run_id"] for one in dry["items"]}
            told = {(await here.call("GET", f"/api/v1/runs/{run['run_id']}/steps/one/log")).text for run in runs}
            assert told == {f"2026-03-01T0{hour}:00:00Z\n" for hour in range(3)}
            again = (await here.post("/schedules/hourly/backfill", {**times, "dry_run": True})).json()
            assert [one["action"] for one in again["items"]] == ["skip"] * 3
            assert (await here.post("/schedules/plain/backfill", times)).status_code == 400
            assert (await here.post("/schedules/hourly/backfill", {**times, "end": times["start"]})).status_code == 400

    asyncio.run(story())


def test_a_server_with_a_scheduler_starts_what_was_due_while_none_was_there(tmp_path: Path) -> None:
    async def story() -> None:
        places = places_of(tmp_path)
        store = wiring.open_store(places.data)
        await store.schedules.put({"hourly": Mark(cursor=datetime.now(UTC) - timedelta(minutes=100))})
        store.close()
        async with served(tmp_path, {"hourly": f"catchup_window: 70m\n{HOURLY}"}, scheduler=True) as here:
            assert (await here.get("/schedules"))["running"]

            async def ran() -> bool:
                return any(run["ended"] for run in (await here.get("/runs"))["runs"])

            await eventually(ran)
            runs = (await here.get("/runs"))["runs"]
            assert {run["trigger"] for run in runs} <= {"catchup", "schedule"}
            assert {run["actor"] for run in runs} == {"scheduler"}

    asyncio.run(story())


def test_two_servers_that_schedule_start_each_instant_once_and_share_what_is_to_do(tmp_path: Path) -> None:
    async def story() -> None:
        places = places_of(tmp_path)
        store = wiring.open_store(places.data)
        await store.schedules.put({"hourly": Mark(cursor=datetime.now(UTC) - timedelta(hours=3))})
        store.close()
        text = f"catchup_window: 4h\noverlap_policy: all\n{HOURLY}"
        async with (
            served(tmp_path, {"hourly": text}, scheduler=True) as one,
            served(tmp_path, scheduler=True) as other,
        ):

            async def all_ended() -> bool:
                runs = (await one.get("/runs"))["runs"]
                return len(runs) >= 3 and all(run["ended"] for run in runs)

            await eventually(all_ended)
            runs = (await other.get("/runs"))["runs"]
            assert {run["status"] for run in runs} == {"succeeded"}
            told = [(await one.call("GET", f"/api/v1/runs/{run['run_id']}/steps/one/log")).text for run in runs]
            assert len(told) == len(set(told)) <= 4, "three, and one more where the hour ends meanwhile"

    asyncio.run(story())
