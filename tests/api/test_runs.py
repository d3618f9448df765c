"""Runs through the API: started, watched to their end, steered, repaired, removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.dagengine import states
from support.served import served

from provisioning.core.access import Role

HELLO = """
params: [{name: WHO, default: world}]
steps:
  - {name: one, command: 'echo "hello $WHO"'}
  - {name: two, command: 'echo out; echo err >&2', depends: one}
"""
SLEEPS = "steps: [{name: long, command: 'sleep 600'}, {name: after, command: 'true', depends: long}]"
FAILS = """
steps:
  - {name: good, command: 'echo x >> {folder}/good'}
  - {name: bad, command: 'test -e {folder}/mended', depends: good}
  - {name: last, command: 'true', depends: bad}
"""
ASKS = "steps: [{name: one, command: 'true', approval: {prompt: really}}, {name: two, command: 'true', depends: one}]"


def waits_for(gate: Path) -> str:
    return f"while ! test -e {gate}; do sleep 0.05; done"


def test_a_run_is_started_with_params_and_its_record_logs_and_graph_can_be_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO}) as here:
            run = await here.until(await here.started("hello", WHO="you"))
            id = run["run_id"]
            assert (run["status"], run["exit_code"], run["kind"]) == ("succeeded", 0, "dagu")
            assert (run["trigger"], run["actor"], run["params"]) == ("api", "admin (api)", [["WHO", "you"]])
            assert states(run) == {"one": "succeeded", "two": "succeeded"}
            log = f"/runs/{id}/steps/two/log"
            assert (await here.call("GET", f"/api/v1{log}", Role.VIEWER)).text == "out\n"
            assert (await here.call("GET", f"/api/v1{log}?stream=stderr", Role.VIEWER)).text == "err\n"
            whole = (await here.call("GET", f"/api/v1/runs/{id}/log", Role.VIEWER)).text
            assert [line for line in whole.splitlines() if line and not line.startswith("==>")] == ["hello you", "out", "err"]
            graph = await here.get(f"/runs/{id}/graph")
            assert [(node["id"], node["state"], node["critical"]) for node in graph["nodes"]] == [
                ("one", "succeeded", True),
                ("two", "succeeded", True),
            ]
            assert graph["edges"] == [{"source": "one", "target": "two", "on": "success"}]
            listed = await here.get("/dags")
            assert (listed["dags"][0]["status"], len(listed["dags"][0]["recent"])) == ("succeeded", 1)

    asyncio.run(story())


@pytest.mark.parametrize("path", ["/api/dags/hello/run", "/api/v1/dags/hello/start"])
def test_older_programs_start_runs_without_a_body(tmp_path: Path, path: str) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO}) as here:
            answer = await here.call("POST", path, Role.OPERATOR)
            assert answer.status_code == 202
            assert (await here.until(answer.json()["run_id"]))["status"] == "succeeded"

    asyncio.run(story())


def test_wrong_params_and_taken_ids_are_refused_before_anything_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(
            tmp_path, {"strict": "params: [{name: N, type: integer, required: true}]\nsteps: [{command: 'true'}]"}
        ) as here:
            wrong = await here.post("/dags/strict/runs", {"params": {"N": "x"}})
            assert (wrong.status_code, bool(wrong.json()["faults"])) == (422, True)
            fine = {"params": {"N": "1"}, "run_id": "mine"}
            assert (await here.post("/dags/strict/runs", fine)).status_code == 202
            assert (await here.post("/dags/strict/runs", fine)).status_code == 409
            await here.until("mine")
            assert (await here.post("/dags/strict/runs", fine)).status_code == 409
            assert len((await here.get("/runs"))["runs"]) == 1

    asyncio.run(story())


def test_a_run_is_stopped_and_then_what_was_stopped_is_run_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"sleeps": SLEEPS}) as here:
            id = await here.started("sleeps")
            await here.until(id, "running")
            assert (await here.post(f"/runs/{id}/cancel", {"reason": "enough"}, Role.OPERATOR)).status_code == 202
            run = await here.until(id)
            assert (run["status"], states(run)["long"], states(run)["after"]) == ("aborted", "aborted", "not_started")
            assert (await here.post(f"/runs/{id}/cancel")).status_code == 400, "it has ended"
            here.dag("sleeps", SLEEPS)
            assert (await here.post(f"/runs/{id}/retry")).status_code == 202
            await here.until(id, "running")
            await here.post(f"/runs/{id}/cancel")
            assert (await here.until(id))["status"] == "aborted"

    asyncio.run(story())


def test_a_failed_run_goes_on_where_it_failed(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"fails": FAILS.replace("{folder}", str(tmp_path))}) as here:
            run = await here.until(await here.started("fails"))
            assert run["status"] == "failed"
            (tmp_path / "mended").touch()
            assert (await here.post(f"/runs/{run['run_id']}/retry")).status_code == 202
            again = await here.until(run["run_id"], "succeeded")
            assert states(again) == {"good": "succeeded", "bad": "succeeded", "last": "succeeded"}
            assert (tmp_path / "good").read_text() == "x\n", "what had succeeded was not repeated"
            attempts = (await here.get(f"/runs/{run['run_id']}/attempts?step=bad"))["attempts"]
            assert [one["state"] for one in attempts] == ["failed", "succeeded"]
            one = {"step": "good", "downstream": False}
            assert (await here.post(f"/runs/{run['run_id']}/retry", one)).status_code == 202
            await here.until(run["run_id"], "succeeded")
            assert (await here.post(f"/runs/{run['run_id']}/retry", {"step": "nosuch"})).status_code == 404

    asyncio.run(story())


def test_a_paused_run_starts_nothing_new_until_it_is_resumed(tmp_path: Path) -> None:
    async def story() -> None:
        gate = tmp_path / "gate"
        text = f"steps: [{{name: one, command: '{waits_for(gate)}'}}, {{name: two, command: 'true', depends: one}}]"
        async with served(tmp_path, {"two": text}) as here:
            id = await here.started("two")
            await here.until(id, "running")
            assert (await here.post(f"/runs/{id}/resume")).status_code == 400
            assert (await here.post(f"/runs/{id}/pause")).status_code == 202
            async with here.stream(f"run:{id}") as stream:
                while (await stream.next())[2]["event"]["kind"] != "pause_requested":
                    pass
                gate.touch()
                while (await stream.next())[2]["event"]["kind"] != "run_paused":
                    pass
            run = await here.get(f"/runs/{id}")
            assert (run["paused"], states(run)["two"]) == (True, "not_started")
            assert (await here.post(f"/runs/{id}/resume")).status_code == 202
            assert (await here.until(id))["status"] == "succeeded"

    asyncio.run(story())


def test_parameters_that_are_one_text_are_shown_one_by_one_and_checked_before_the_run(tmp_path: Path) -> None:
    text = "params: 'first WHO=world MANY=\"a b\"'\nsteps: [{name: one, command: 'echo $1 $WHO $MANY'}]"

    async def story() -> None:
        async with served(tmp_path, {"said": text, "torn": "params: 'A=\"b'\nsteps: [{name: one, command: 'true'}]"}) as here:
            shown = [(one["name"], one["default"]) for one in (await here.get("/dags/said"))["params"]]
            assert shown == [(None, "first"), ("WHO", "world"), ("MANY", "a b")]
            id = (await here.until(await here.started("said", WHO="me")))["run_id"]
            assert (await here.call("GET", f"/api/v1/runs/{id}/steps/one/log")).text == "first me a b\n"
            refused = await here.post("/dags/said/runs", {"params": {"WHOO": "me"}})
            assert refused.status_code == 422
            assert "WHOO" in refused.json()["faults"][0]["message"]
            assert [run["run_id"] for run in (await here.get("/runs"))["runs"]] == [id], "nothing was begun"
            assert (await here.get("/dags/torn"))["params"] == []

    asyncio.run(story())


@pytest.mark.parametrize(("verb", "status"), [("approve", "succeeded"), ("reject", "rejected")])
def test_a_step_that_waits_for_a_person_is_approved_or_rejected(tmp_path: Path, verb: str, status: str) -> None:
    async def story() -> None:
        async with served(tmp_path, {"asks": ASKS}) as here:
            id = await here.started("asks")
            run = await here.until(id, "waiting")
            assert run["waiting"] == ["one"], "the name that approve and reject take"
            graph = await here.get(f"/runs/{id}/graph")
            assert graph["edges"] == [{"source": "one", "target": "two", "on": "success"}]
            assert [(node["id"], node["approval"]) for node in graph["nodes"]] == [("one", True), ("two", False)]
            assert (await here.get("/dags/asks/graph"))["nodes"][0]["approval"], "as it stands in the file"
            assert [one["run_id"] for one in (await here.get("/runs?status=waiting"))["runs"]] == [id]
            assert (await here.post(f"/runs/{id}/{verb}", {"step": "two"})).status_code == 400
            assert (await here.post(f"/runs/{id}/{verb}", {"step": "one"}, Role.VIEWER)).status_code == 403
            assert (await here.post(f"/runs/{id}/{verb}", {"step": "one"}, Role.OPERATOR)).status_code == 202
            assert (await here.until(id))["status"] == status
            assert [one["status"] for one in (await here.get(f"/runs?status={status}"))["runs"]] == [status]

    asyncio.run(story())


def test_what_an_approval_asks_is_in_the_run_and_is_asked_for(tmp_path: Path) -> None:
    async def story() -> None:
        asked = "approval: {prompt: really, input: [WHY, WHO], required: [WHO]}"
        text = f"""
steps:
  - {{name: 'one, two', command: 'true', {asked}}}
  - {{name: last, command: 'echo $WHO', depends: 'one, two'}}
"""
        async with served(tmp_path, {"asks": text.replace("depends: 'one, two'", "depends: ['one, two']")}) as here:
            id = await here.started("asks")
            run = await here.until(id, "waiting")
            question = {"step": "one, two", "prompt": "really", "inputs": ["WHY", "WHO"], "required": ["WHO"]}
            assert (run["waiting"], run["approvals"]) == (["one, two"], [question])
            step = {"step": run["waiting"][0]}
            assert (await here.post(f"/runs/{id}/approve", step)).status_code == 400, "WHO is missing"
            assert (await here.post(f"/runs/{id}/approve", {**step, "inputs": {"WHO": "me", "X": "1"}})).status_code == 400
            assert (await here.post(f"/runs/{id}/approve", {**step, "inputs": {"WHO": "me"}})).status_code == 202
            run = await here.until(id)
            assert (run["status"], run["waiting"], run["approvals"]) == ("succeeded", [], [])
            assert (await here.call("GET", f"/api/v1/runs/{id}/steps/last/log")).text == "me\n"

    asyncio.run(story())


def test_runs_of_one_dag_wait_for_their_turn_and_one_that_waits_can_be_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        gate = tmp_path / "gate"
        text = f"max_active_runs: 1\nsteps: [{{name: one, command: '{waits_for(gate)}'}}]"
        async with served(tmp_path, {"single": text}) as here:
            first, second, third = [await here.started("single") for _ in range(3)]
            await here.until(first, "running")
            assert {(await here.get(f"/runs/{id}"))["status"] for id in (second, third)} == {"queued"}
            assert (await here.post(f"/runs/{second}/cancel")).status_code == 202
            assert (await here.until(second))["ended"]
            gate.touch()
            for id in (first, third):
                assert (await here.until(id))["status"] == "succeeded"
            assert not here.host.driven()

    asyncio.run(story())


def test_an_ended_run_is_removed_with_its_logs_and_one_that_goes_on_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO, "sleeps": SLEEPS}) as here:
            run = await here.until(await here.started("hello"))
            goes_on = await here.started("sleeps")
            assert (await here.call("DELETE", f"/api/v1/runs/{goes_on}")).status_code == 400
            assert (await here.call("DELETE", f"/api/v1/runs/{run['run_id']}")).status_code == 200
            assert (await here.call("GET", f"/api/v1/runs/{run['run_id']}")).status_code == 404
            assert not list((tmp_path / "data").rglob(f"*{run['run_id']}*"))
            await here.post(f"/runs/{goes_on}/cancel")
            await here.until(goes_on)

    asyncio.run(story())


def test_the_list_has_filters_and_goes_on_where_a_page_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": HELLO, "fails": "steps: [{command: 'false'}]"}) as here:
            ids = [(await here.until(await here.started(name)))["run_id"] for name in ("hello", "fails", "hello", "hello")]
            newest = ids[::-1]

            async def listed(query: str = "") -> list[str]:
                return [one["run_id"] for one in (await here.get(f"/runs?{query}"))["runs"]]

            assert await listed() == newest
            assert await listed("dag=fails") == [ids[1]]
            assert await listed("status=failed") == [ids[1]]
            assert await listed("status=failed,succeeded") == newest
            assert await listed("status=nonsense") == []
            assert await listed("q=fa") == [ids[1]]
            assert await listed(f"q={ids[2][:20]}") == [id for id in newest if id.startswith(ids[2][:20])]
            assert await listed("since=2000-01-01T00:00:00Z&until=2000-01-02T00:00:00Z") == []
            page = await here.get("/runs?limit=3")
            rest = await here.get(f"/runs?limit=3&cursor={page['next']}")
            assert [one["run_id"] for one in (*page["runs"], *rest["runs"])] == newest
            assert rest["next"] == ""

    asyncio.run(story())


@pytest.mark.parametrize(
    ("range", "status", "body"),
    [
        ("bytes=0-3", 206, "0123"),
        ("bytes=4-", 206, "456789\n"),
        ("bytes=-3", 206, "89\n"),
        ("bytes=2-1000", 206, "23456789\n"),
        ("bytes=11-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-1", 200, "0123456789\n"),
        ("bytes=0-1,3-4", 200, "0123456789\n"),
        ("lines=1-2", 200, "0123456789\n"),
        ("bytes=x", 200, "0123456789\n"),
    ],
)
def test_of_a_log_the_bytes_that_are_asked_for_are_sent(tmp_path: Path, range: str, status: int, body: str | None) -> None:
    async def story() -> None:
        async with served(tmp_path, {"digits": "steps: [{name: one, command: 'echo 0123456789'}]"}) as here:
            run = await here.until(await here.started("digits"))
            path = f"/api/v1/runs/{run['run_id']}/steps/one/log"
            answer = await here.call("GET", path, Role.VIEWER, range=range)
            assert answer.status_code == status
            assert body is None or answer.text == body
            assert answer.headers["content-type"].startswith("text/plain" if body else "application/problem+json")
            if status == 206:
                assert answer.headers["content-range"].endswith("/11")
            if status == 416:
                assert answer.headers["content-range"] == "bytes */11"
            assert (await here.call("GET", f"{path}?tail=1&attempt=1", Role.VIEWER)).text == "0123456789\n"
            assert (await here.call("GET", f"{path}?attempt=2", Role.VIEWER)).status_code == 404

    asyncio.run(story())


def test_output_is_never_markup(tmp_path: Path) -> None:
    async def story() -> None:
        text = "steps: [{name: '<img src=x onerror=alert(1)>', command: 'echo \"<script>alert(1)</script>\"'}]"
        async with served(tmp_path, {"evil": text}) as here:
            run = await here.until(await here.started("evil"))
            id = run["run_id"]
            for path in (run["steps"][0]["log"], f"/api/v1/runs/{id}/log", f"/api/v1/runs/{id}", "/api/v1/dags/evil/source"):
                answer = await here.call("GET", path, Role.VIEWER)
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"].split(";")[0] in {"text/plain", "application/json"}
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "sandbox" in answer.headers["content-security-policy"]

    asyncio.run(story())
