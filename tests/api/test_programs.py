"""Runs of programs, that are built in Python, in a workspace: seen, signalled, approved and repaired through the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.flows import client, flow, play, stage
from support.served import Served, eventually, served
from support.unreachable import workspace

from provisioning.client.client import Client
from provisioning.core.access import Role


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[tuple[Served, Client]]:
    """Have a program at work in a workspace, and a server that knows it."""
    workspace(folder / "demo")
    async with client(folder / "demo") as it, served(folder) as here:
        yield here, it


async def test_a_signal_through_the_api_lets_a_step_go_on_with_what_it_brings(tmp_path: Path) -> None:
    stage()
    wf = flow()
    wf.step("a", play, "a", wf.signal("go"))
    async with program(tmp_path) as (here, it):
        run = await it.submit(wf)
        shown = await here.until(run, "running")
        assert (shown["kind"], shown["workspace"], shown["lost"]) == ("python", "demo", False)
        body = {"name": "go", "payload": {"n": 7}}
        assert (await here.post(f"/runs/{run}/signal", body, Role.VIEWER)).status_code == 403
        async with here.stream(f"run:{run}") as stream:
            assert (await here.post(f"/runs/{run}/signal", body, Role.OPERATOR)).status_code == 202
            events = await stream.events()
        opened = next(event for _id, event in events if event["kind"] == "gate_opened")
        assert (opened["actor"], opened["data"]["name"]) == ("operator (api)", "go")
        assert (await it.result(run, "a")) == {"n": 7}
        assert (await here.until(run))["status"] == "succeeded"
        assert (await here.post(f"/runs/{run}/signal", body)).status_code == 400, "it has ended"


async def test_a_dead_letter_of_a_program_is_listed_and_replayed_in_its_run(tmp_path: Path) -> None:
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    a = wf.step("a", play, "a", 7)
    wf.step("b", play, "b", a.ref())
    async with program(tmp_path) as (here, it):
        run = await it.submit(wf)
        await here.until(run, "failed")
        page = await here.get("/dead-letters?workspace=demo", Role.VIEWER)
        (letter,) = page["letters"]
        assert (page["waiting"], letter["run_id"], letter["step"], letter["error_kind"]) == (1, run, "a", "scripted")
        path = f"/dead-letters/{letter['id']}/replay"
        assert (await here.post(path)).status_code == 404, "there is none of DAG files"
        assert (await here.post(f"{path}?workspace=demo", role=Role.OPERATOR)).status_code == 202
        assert (await here.until(run, "succeeded"))["status"] == "succeeded"
        assert await it.result(run, "b") == 7
        page = await here.get("/dead-letters?workspace=demo&replayed=true")
        assert (page["waiting"], page["letters"][0]["replayed_by"]) == (0, "operator (api)")
        assert (await here.post(f"{path}?workspace=demo")).status_code == 400, "it was replayed"
    assert on.called == ["a", "a", "b"]


async def test_an_ended_run_of_a_program_is_run_again_by_the_program_and_by_nobody_else(tmp_path: Path) -> None:
    on = stage()
    on.failures["a"] = 1
    wf = flow()
    wf.step("a", play, "a", 7)
    async with program(tmp_path) as (here, it):
        run = await it.submit(wf)
        await here.until(run, "failed")
        assert (await here.post(f"/runs/{run}/retry")).status_code == 202
        assert (await here.until(run, "succeeded"))["status"] == "succeeded"
        assert (await here.post(f"/runs/{run}/retry")).status_code == 400, "every step succeeded"
    async with served(tmp_path) as here:
        answer = await here.post(f"/runs/{run}/retry", {"step": "a"})
        assert (answer.status_code, "start that program" in answer.json()["hint"]) == (400, True)


async def test_a_run_whose_program_is_gone_is_lost_and_cannot_be_steered(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a")
    async with program(tmp_path) as (_here, it):
        run = await it.submit(wf)
        await on.reached("a")
    async with served(tmp_path) as here:
        found = await here.get(f"/runs/{run}")
        assert found["lost"] != found["ended"]
        assert (await here.post(f"/runs/{run}/cancel")).status_code == 400
    on.open("a")
    await asyncio.sleep(0)


async def test_a_dead_letter_of_a_dag_file_is_replayed_in_its_run(tmp_path: Path) -> None:
    text = f"steps: [{{name: one, command: 'test -e {tmp_path}/mended'}}, {{name: two, command: 'true', depends: one}}]"
    async with served(tmp_path, {"fails": text}) as here:
        run = (await here.until(await here.started("fails")))["run_id"]
        page = await here.get("/dead-letters?dag=fails")
        assert (page["waiting"], [one["step"] for one in page["letters"]]) == (1, ["one"])
        assert (await here.get("/dead-letters?dag=other"))["letters"] == []
        (tmp_path / "mended").touch()
        path = f"/dead-letters/{page['letters'][0]['id']}/replay"
        assert (await here.post(path, role=Role.VIEWER)).status_code == 403
        assert (await here.post(path, role=Role.OPERATOR)).status_code == 202
        found = await here.until(run, "succeeded")
        assert [step["attempts"] for step in found["steps"]] == [2, 1]
        assert (await here.post(path)).status_code == 400
        assert (await here.post("/dead-letters/99/replay")).status_code == 404
        assert (await here.get("/dead-letters"))["waiting"] == 0


async def test_dead_letters_are_listed_that_wait_that_were_run_again_or_all(tmp_path: Path) -> None:
    text = "steps: [{name: one, command: 'false'}]"
    async with served(tmp_path, {"fails": text}) as here:
        for _ in range(2):
            await here.until(await here.started("fails"))
        newer, older = [one["id"] for one in (await here.get("/dead-letters"))["letters"]]
        assert (await here.post(f"/dead-letters/{older}/replay")).status_code == 202

        async def three() -> bool:
            return len((await here.get("/dead-letters?replayed=any"))["letters"]) == 3

        await eventually(three)
        listed = {
            which: [one["id"] for one in (await here.get(f"/dead-letters?replayed={which}"))["letters"]]
            for which in ("any", "true", "false")
        }
        newest = listed["any"][0]
        assert listed == {"any": [newest, newer, older], "true": [older], "false": [newest, newer]}
        assert [one["id"] for one in (await here.get("/dead-letters"))["letters"]] == listed["false"], "if nothing is said"
        first = await here.get("/dead-letters?replayed=any&limit=2")
        then = await here.get(f"/dead-letters?replayed=any&limit=2&cursor={first['next']}")
        assert [one["id"] for page in (first, then) for one in page["letters"]] == listed["any"]
        assert (await here.call("GET", "/api/v1/dead-letters?replayed=all")).status_code == 422
