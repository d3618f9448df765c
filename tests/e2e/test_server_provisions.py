"""The demo's workspace on four real SSH servers, provisioned through the API of a server that is killed on the way."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import ThrowawayServers
from stage import Stage, set_up
from support.dagengine import Engine
from support.outside import Outside, outside

from provisioning.core.access import Role

pytestmark = [pytest.mark.sshd, pytest.mark.slow, pytest.mark.timeout(600)]
WHOLE_S = 300.0  # nothing takes that long
ENDED = "run_finished"


@pytest.fixture
def stage(tmp_path: Path, throwaway: ThrowawayServers) -> Stage:
    made = set_up(tmp_path / "stage", throwaway)
    assert made.call("workspace", "use", str(made.workspace)).returncode == 0
    return made


def events(server: Outside, run: str, position: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (id, record) of a run as the stream has them, until the server goes or ends the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WHOLE_S)
    headers = {"Authorization": f"Bearer {server.tokens[Role.VIEWER]}", **({"Last-Event-ID": position} if position else {})}
    connection.request("GET", f"/api/v1/events/stream?topics=run:{run}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    fields: dict[str, str] = {}
    try:
        while line := answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                if fields.get("event") == "event":
                    yield fields["id"], json.loads(fields["data"])["event"]
                fields = {}
            else:
                fields[name] = value
    except (ConnectionError, http.client.HTTPException):
        return
    finally:
        connection.close()


def provisioned(server: Outside) -> str:
    (known,) = server.ask("GET", "/api/v1/workspaces", Role.VIEWER).json["workspaces"]
    path = f"/api/v1/workspaces/{known['name']}/provision"
    answer = server.ask("POST", path, Role.OPERATOR, {"everything": True})
    assert answer.status == 202, answer.body
    return str(answer.json["run_id"])


def test_a_workspace_is_provisioned_and_its_gates_are_among_the_events(stage: Stage) -> None:
    with outside(Engine(stage.home)) as server:
        run = provisioned(server)
        seen: list[dict[str, Any]] = []
        for _id, event in events(server, run):
            seen.append(event)
            if event["kind"] == ENDED:
                break
        assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
        gates = [event["step"] for event in seen if event["kind"] == "step_succeeded" and event["step"].endswith("/gate")]
        assert sorted(gates) == [f"{one}/gate" for one in ("app-one", "app-two", "balancer", "queue", "storage", "worker")]
        assert gates[0] == "storage/gate", "the others need it"
        found = server.until("ended", run)
        assert (found["status"], found["exit_code"]) == ("succeeded", 0)
        assert {step["state"] for step in found["steps"]} == {"succeeded"}
        assert set(stage.resources().values()) == {"completed"}
        name = found["workspace"]
        states = server.ask("GET", f"/api/v1/workspaces/{name}/state", Role.VIEWER).json["resources"]
        assert {(one["server"], one["taskserv"]) for one in states} == set(stage.resources())
        plan = server.ask("GET", f"/api/v1/workspaces/{name}/plan", Role.VIEWER).json["steps"]
        assert {one["action"] for one in plan} <= {"unchanged", "verify"}
        log = server.ask("GET", f"/api/v1/runs/{run}/log", Role.VIEWER)
        assert log.headers["log-complete"] == "true"
        assert b"==> storage/kv-store attempt 1" in log.body


@pytest.mark.soak
def test_a_server_that_is_killed_in_the_middle_leaves_the_run_to_the_next_one(stage: Stage) -> None:
    engine = Engine(stage.home)
    with outside(engine) as server:
        run = provisioned(server)
        position, seen = "", []
        for newest, event in events(server, run):
            position = newest
            seen.append(event)
            if event["kind"] == "step_started" and event["step"] == "queue/job-queue":
                os.kill(server.pid, signal.SIGKILL)
                break
        tokens = server.tokens
    done = {event["step"] for event in seen if event["kind"] == "step_succeeded"}
    assert "storage/kv-store" in done
    with outside(engine, known=tokens) as server:
        for _newest, event in events(server, run, position):
            seen.append(event)
            if event["kind"] == ENDED and event["data"]["state"] == "succeeded":
                break
        assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1)), "nothing was missed, nothing came twice"
        found = settled(server, run)
        assert found["status"] == "succeeded"
        assert set(stage.resources().values()) == {"completed"}
        again = [event["step"] for event in seen if event["kind"] == "step_succeeded" and event["step"] in done]
        assert sorted(one for one in again if not one.endswith("/gate")) == sorted(
            one for one in done if not one.endswith("/gate")
        ), "what was done was not done again"


def settled(server: Outside, run: str) -> Any:
    """Return a run that has ended and is not being taken up."""
    end_s = time.monotonic() + WHOLE_S
    while (found := server.ask("GET", f"/api/v1/runs/{run}").json)["status"] != "succeeded":
        assert time.monotonic() < end_s, found
        time.sleep(0.1)
    return found
