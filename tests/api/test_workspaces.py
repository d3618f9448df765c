"""Workspaces through the API: what they hold, what would be done, and a run that works on one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.served import eventually, served
from support.unreachable import workspace

from provisioning import wiring
from provisioning.core.access import Role
from provisioning.operations.hosting import formulas


def test_servers_states_plan_and_graph_of_a_workspace_are_shown(tmp_path: Path) -> None:
    workspace(tmp_path / "demo")

    async def story() -> None:
        async with served(tmp_path) as here:
            assert [one["name"] for one in (await here.get("/workspaces"))["workspaces"]] == ["demo"]
            found = await here.get("/workspaces/demo", Role.VIEWER)
            assert (found["valid"], found["infra"], found["busy"]) == (True, "main", "")
            assert [one["hostname"] for one in found["servers"]] == ["cp-0"]
            assert "thing" in [one["name"] for one in found["taskservs"]]
            assert (await here.get("/workspaces/demo/state"))["resources"] == []
            plan = await here.get("/workspaces/demo/plan", Role.VIEWER)
            assert next((one["id"], one["action"], one["runs"]) for one in plan["steps"]) == ("cp/thing", "create", True)
            assert [node["id"] for node in (await here.get("/workspaces/demo/graph"))["nodes"]] == ["cp"]
            assert (await here.call("GET", "/api/v1/workspaces/demo/plan?taskserv=thin")).status_code == 404
            assert (await here.call("GET", "/api/v1/workspaces/nosuch")).status_code == 404

    asyncio.run(story())


def test_every_fault_of_a_broken_workspace_is_shown(tmp_path: Path) -> None:
    workspace(tmp_path / "demo", {"formulas": [{"id": "cp", "server": "nosuch", "nodes": [{"taskserv": {"name": "no"}}]}]})

    async def story() -> None:
        async with served(tmp_path) as here:
            found = await here.get("/workspaces/demo")
            assert (found["valid"], len(found["faults"])) == (False, 2)
            assert (await here.call("GET", "/api/v1/workspaces/demo/plan")).status_code == 422

    asyncio.run(story())


def test_a_run_on_a_workspace_is_begun_followed_and_found_among_all_runs(tmp_path: Path) -> None:
    workspace(tmp_path / "demo")

    async def story() -> None:
        async with served(tmp_path) as here:

            async def idle() -> bool:
                return not here.host.driven()

            asked = {"taskserv": "thing"}
            assert (await here.post("/workspaces/demo/provision", asked, Role.VIEWER)).status_code == 403
            assert (await here.post("/workspaces/demo/provision", {})).status_code == 400
            answer = await here.post("/workspaces/demo/provision", asked, Role.OPERATOR)
            assert answer.status_code == 202, answer.text
            id = answer.json()["run_id"]
            async with here.stream(f"run:{id}") as stream:
                events = await stream.events()
            assert events[0][1]["kind"] == "run_created"
            run = await here.until(id)
            assert (run["status"], run["kind"], run["workspace"], run["exit_code"]) == ("failed", "formula", "demo", 7)
            assert [one["run_id"] for one in (await here.get("/runs?workspace=demo"))["runs"]] == [id]
            await eventually(idle)  # the states are written, and the workspace is free
            assert (await here.get("/workspaces/demo/state"))["resources"][0]["state"] == "failed"
            graph = await here.get(f"/runs/{id}/graph")
            assert ("cp/thing", "cp") in [(node["id"], node["group"]) for node in graph["nodes"]]
            assert (await here.post(f"/runs/{id}/retry", role=Role.OPERATOR)).status_code == 202
            assert (await here.until(id))["ended"]

    asyncio.run(story())


def test_a_workspace_that_is_let_go_of_a_moment_after_a_run_ended_can_be_worked_on_at_once(tmp_path: Path) -> None:
    """The journal says that a run has ended before its runner has let go: somebody holds the lock that long here."""
    workspace(tmp_path / "demo")

    async def story() -> None:
        async with served(tmp_path) as here:

            async def idle() -> bool:
                return not here.host.driven()

            id = (await here.post("/workspaces/demo/provision", {"taskserv": "thing"})).json()["run_id"]
            await here.until(id)
            await eventually(idle)
            lock = wiring.workspace_lock(tmp_path / "demo")
            lock.acquire_sync()
            asyncio.get_running_loop().call_later(0.5, lock.release_sync)
            assert (await here.post(f"/runs/{id}/retry")).status_code == 202
            await here.until(id)
            lock.acquire_sync(wait=True)
            asyncio.get_running_loop().call_later(0.5, lock.release_sync)
            assert (await here.post("/workspaces/demo/provision", {"taskserv": "thing"})).status_code == 202
            await eventually(idle)

    asyncio.run(story())


def test_a_workspace_that_somebody_works_on_is_refused_with_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "FREED_WITHIN_S", 0.2)
    workspace(tmp_path / "demo")

    async def story() -> None:
        lock = wiring.workspace_lock(tmp_path / "demo")
        lock.acquire_sync()
        async with served(tmp_path) as here:
            answer = await here.post("/workspaces/demo/provision", {"taskserv": "thing"})
            assert (answer.status_code, answer.json()["code"]) == (409, "locked")
            assert "pid" in answer.json()["detail"]
        lock.release_sync()

    asyncio.run(story())


def test_who_looks_at_the_list_of_runs_is_told_of_those_of_workspaces(tmp_path: Path) -> None:
    workspace(tmp_path / "demo")

    async def story() -> None:
        async with served(tmp_path) as here, here.stream("runs") as stream:
            assert (await stream.next())[1] == "changed", "whoever comes is told once"
            await here.post("/workspaces/demo/provision", {"taskserv": "thing"})
            assert (await stream.next())[1] == "changed"

    asyncio.run(story())
