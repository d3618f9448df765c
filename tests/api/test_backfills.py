"""Past times through the API: kept when the server dies, gone on with by the next, stopped, run anew."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.dagengine import Engine, until
from support.served import Served, eventually, places_of, served

from provisioning import wiring
from provisioning.core.access import Role
from provisioning.core.backfill import Phase

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def hourly(command: str) -> str:
    return f"schedule: '0 * * * *'\nsteps: [{{name: one, command: {json.dumps(command)}}}]"


def times(hours: int, **more: object) -> dict[str, object]:
    return {"start": DAY.isoformat(), "end": (DAY + timedelta(hours=hours)).isoformat(), **more}


async def over(here: Served, id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = await here.get(f"/schedules/backfills/{id}")
        return found if found["over"] else None

    found: dict[str, Any] = await eventually(look)
    return found


def test_a_backfill_whose_server_was_killed_is_gone_on_with_and_runs_each_time_once(tmp_path: Path) -> None:
    engine, gate = Engine(tmp_path), tmp_path / "gate"
    engine.dag("hourly", hourly(f"echo $DAG_SCHEDULED_AT >> {tmp_path}/begun; while ! test -e {gate}; do sleep 0.05; done"))
    with engine.started("server", "--port", "0", "--no-auth") as server:
        assert server.stderr is not None
        port = int(server.stderr.readline().rpartition(":")[2])
        url = f"http://127.0.0.1:{port}/api/v1/schedules/hourly/backfill"
        body = json.dumps(times(6, parallel=2)).encode()
        request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            id = json.load(answer)["id"]
        until(lambda: (tmp_path / "begun").exists() and len((tmp_path / "begun").read_text().split()) == 2)
        server.send_signal(signal.SIGKILL)
        server.wait(60)

    async def story() -> None:
        async with served(tmp_path) as here:
            (known,) = (await here.get("/schedules/backfills"))["backfills"]
            assert (known["id"], known["over"], known["parallel"]) == (id, False, 2)

            async def two_go_on() -> bool:
                return len((tmp_path / "begun").read_text().split()) == 4  # those that were cut off, once more

            await eventually(two_go_on)
            gate.touch()
            found = await over(here, id)
            assert (found["total"], found["started"], found["ended"], found["failed"]) == (6, 6, 6, 0)
            assert {one["status"] for one in found["items"]} == {"succeeded"}
            runs = (await here.get("/runs"))["runs"]
            assert sorted(run["run_id"] for run in runs) == sorted(one["run_id"] for one in found["items"])
            begun = (tmp_path / "begun").read_text().split()
            assert sorted(set(begun)) == [f"2026-03-01T0{hour}:00:00Z" for hour in range(6)]
            assert all(begun.count(at) == 1 for at in begun[4:])

    asyncio.run(story())


def test_a_backfill_of_a_server_that_ended_shows_its_progress_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hourly": hourly("true")}) as here:
            id = (await here.post("/schedules/hourly/backfill", times(3))).json()["id"]
            done = await over(here, id)
        async with served(tmp_path) as here:
            assert await here.get(f"/schedules/backfills/{id}") == done
            assert [one["id"] for one in (await here.get("/schedules/backfills"))["backfills"]] == [id]
            assert (await here.call("GET", "/api/v1/schedules/backfills/nosuch")).status_code == 404

    asyncio.run(story())


def test_at_most_so_many_go_on_at_once_and_a_stopped_backfill_starts_nothing_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hourly": hourly("sleep 600")}) as here:
            id = (await here.post("/schedules/hourly/backfill", times(10, parallel=3))).json()["id"]

            async def going() -> bool:
                found: dict[str, Any] = await here.get(f"/schedules/backfills/{id}")
                assert found["started"] <= 3
                return [str(one["status"]) for one in found["items"]].count("running") == 3

            await eventually(going)
            path = f"/schedules/backfills/{id}/stop"
            assert (await here.post(path, role=Role.VIEWER)).status_code == 403
            assert (await here.post(path, role=Role.OPERATOR)).status_code == 202
            found = await over(here, id)
            assert (found["stopped"], found["started"], found["ended"], found["failed"]) == (True, 3, 3, 3)
            assert [one["status"] for one in found["items"]] == ["cancelled"] * 3 + [""] * 7
            assert (await here.post(path)).status_code == 400, "it is stopped already"

    asyncio.run(story())


def test_times_whose_runs_failed_are_run_anew_and_only_those(tmp_path: Path) -> None:
    async def story() -> None:
        mended = tmp_path / "mended"
        command = f"case $DAG_SCHEDULED_AT in *T01:*) test -e {mended};; esac"
        async with served(tmp_path, {"hourly": hourly(command)}) as here:
            first = await over(here, (await here.post("/schedules/hourly/backfill", times(3))).json()["id"])
            assert [one["status"] for one in first["items"]] == ["succeeded", "failed", "succeeded"]
            mended.touch()
            asked = times(3, reprocess_failed=True, newest_first=True)
            dry = (await here.post("/schedules/hourly/backfill", {**asked, "dry_run": True})).json()
            assert [(one["action"], one["because"]) for one in dry["items"]] == [
                ("skip", "it succeeded"),
                ("again", "it failed"),
                ("skip", "it succeeded"),
            ]
            again = await over(here, (await here.post("/schedules/hourly/backfill", asked)).json()["id"])
            assert (again["skipped"], again["started"], again["failed"]) == (2, 1, 0)
            both = times(3, reprocess_failed=True, reprocess_successful=True, dry_run=True)
            found = (await here.post("/schedules/hourly/backfill", both)).json()["items"]
            assert [one["action"] for one in found] == ["again"] * 3
            assert len((await here.get("/schedules/backfills"))["backfills"]) == 2, "dry runs are not kept"

    asyncio.run(story())


def test_a_backfill_whose_file_is_gone_ends_with_the_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hourly": hourly("sleep 600")}) as here:
            id = (await here.post("/schedules/hourly/backfill", times(3))).json()["id"]
        store = wiring.open_store(places_of(tmp_path).data)
        order = await store.backfills.find(id)
        store.close()
        assert order is not None
        assert order.phase is Phase.GOING
        (tmp_path / "dags" / "hourly.yaml").unlink()
        async with served(tmp_path) as here:
            found = await over(here, id)
            assert "hourly" in found["items"][-1]["because"]

    asyncio.run(story())
