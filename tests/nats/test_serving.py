"""Two servers of one cluster and a worker, each a process: what is begun at one is seen, followed and steered at the other."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers import ThrowawayServers
from stage import set_up
from support.clusterprocs import reach, worker
from support.dagengine import LONG_S, Engine
from support.natsservers import access, running
from support.outside import Outside, outside

from provisioning.adapters.nats.connect import Access
from provisioning.core.access import Role

pytestmark = pytest.mark.slow

SLOW = "steps:\n  - name: slow\n    command: echo begun; sleep 60\n"
TALKS = "steps:\n  - name: talk\n    command: for n in 1 2 3 4 5; do echo line $n; sleep 0.1; done; echo last\n"
ASKS = (
    "type: chain\nsteps:\n  - {name: before, command: echo before}\n"
    "  - {name: ask, action: human.task, with: {prompt: go on?}}\n  - {name: after, command: echo after}\n"
)
FAILS = 'steps:\n  - {{name: bad, command: test -e "{mark}"}}\n'
DAILY = 'schedule: "0 1 * * *"\nsteps:\n  - {name: one, command: echo at $DAG_RUN_ID}\n'


@dataclass(frozen=True)
class Two:
    """Servers of one cluster."""

    one: Outside
    other: Outside
    folder: Path

    def get(self, path: str) -> list[Any]:
        """Return what each says."""
        return [server.ask("GET", f"/api/v1{path}").json for server in (self.one, self.other)]


@contextmanager
def two_servers(folder: Path, access: Access, **dags: str) -> Iterator[Two]:
    with ExitStack() as stack:
        options = reach(access)
        stack.enter_context(worker(folder / "worker", *options, "--name", "w1"))
        homes = [Engine(folder / name) for name in ("one", "other")]
        for home in homes:
            for name, text in dags.items():
                home.dag(name, text)
        first, second = (stack.enter_context(outside(home, *options)) for home in homes)
        yield Two(first, second, folder)


def until(holds: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + LONG_S
    while not (found := holds()):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    return found


def answered(server: Outside, method: str, path: str, body: object = None) -> Any:
    answer = server.ask(method, f"/api/v1{path}", body=body)
    assert answer.status in {200, 202}, answer.body
    return answer.json


def followed(server: Outside, topics: str) -> Iterator[tuple[str, Any]]:
    """Yield (kind, data) of what the stream says, until it says nothing for long."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
    connection.request(
        "GET", f"/api/v1/events/stream?topics={topics}", headers={"Authorization": f"Bearer {server.tokens[Role.VIEWER]}"}
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    fields: dict[str, str] = {}
    try:
        while line := answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line != "\n":
                fields[name] = value
            elif "data" in fields:
                yield fields.get("event", ""), json.loads(fields["data"])
                fields = {}
    finally:
        connection.close()


def test_a_run_begun_at_one_server_is_seen_followed_and_stopped_at_the_other(tmp_path: Path, nats_access: Access) -> None:
    with two_servers(tmp_path, nats_access, slow=SLOW) as servers:
        run = servers.one.started("slow")
        assert [found["status"] for found in servers.get(f"/runs/{run}")] != []
        assert servers.other.ask("GET", f"/api/v1/runs/{run}").status == 200, "at once"
        kinds: list[str] = []
        for kind, data in followed(servers.other, f"run:{run},log:{run}/slow"):
            if kind == "log" and "begun" in data["text"]:
                answered(servers.other, "POST", f"/runs/{run}/cancel", {"reason": "enough"})
            if kind == "event":
                kinds.append(data["event"]["kind"])
                if kinds[-1] == "run_finished":
                    break
        assert kinds[0] == "run_created"
        assert servers.one.until("ended", run)["status"] == "aborted"
        assert servers.one.ask("GET", f"/api/v1/runs/{run}/steps/slow/log").body == b"begun\n"
        listed = [[(one["run_id"], one["status"]) for one in found["runs"]] for found in servers.get("/runs?dag=slow")]
        assert listed == [[(run, "aborted")]] * 2
        answered(servers.other, "DELETE", f"/runs/{run}")
        until(lambda: servers.one.ask("GET", f"/api/v1/runs/{run}").status == 404)


@pytest.mark.parametrize(
    ("dags", "told"), [("dags", ""), ("none", ", a folder that is not there: name another one with --dags")]
)
def test_whoever_starts_a_server_is_told_which_cluster_it_is_of_and_where_its_dag_files_are(
    tmp_path: Path, nats_access: Access, dags: str, told: str
) -> None:
    home = Engine(tmp_path)
    with outside(home, *reach(nats_access), "--dags", str(tmp_path / dags)):
        until(lambda: f"DAG files of {tmp_path / dags}{told}\n" in (tmp_path / "server.log").read_text("utf-8"))
    where = nats_access.urls[0].replace("app:app@", "")
    assert f"cluster {where}, namespace {nats_access.namespace}: " in (tmp_path / "server.log").read_text("utf-8")


def test_while_nats_does_not_answer_a_server_shows_what_it_has_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with running() as nats:
        mine = access(nats.url)
        with two_servers(tmp_path, mine, fast="steps:\n  - {name: one, command: echo one}\n") as servers:
            run = servers.one.started("fast")
            assert servers.other.until("ended", run)["status"] == "succeeded"
            nats.kill()
            assert [found["status"] for found in servers.get(f"/runs/{run}")] == ["succeeded"] * 2
            refused = servers.one.ask("POST", "/api/v1/dags/fast/runs", body={})
            assert (refused.status, refused.json["code"]) == (503, "cluster_unreachable"), refused.body
            nats.start()
            second = until(lambda: _begun(servers.one))
            assert servers.other.until("ended", second)["status"] == "succeeded"


def _begun(server: Outside) -> str:
    answer = server.ask("POST", "/api/v1/dags/fast/runs", body={})
    return str(answer.json["run_id"]) if answer.status == 202 else ""


def test_a_log_is_not_called_complete_before_its_last_line_is_there(tmp_path: Path, nats_access: Access) -> None:
    with two_servers(tmp_path, nats_access, talks=TALKS) as servers:
        for _ in range(5):
            run = servers.one.started("talks")
            text = ""
            for kind, data in followed(servers.other, f"log:{run}/talk"):
                if kind == "log":
                    text += data["text"]
                    if data["over"]:
                        break
            assert text.endswith("last\n")
            whole = until(partial(_complete, servers.one, run))
            assert b"line 1\n" in whole
            assert whole.endswith(b"last\n\n")


def _complete(server: Outside, run: str) -> bytes:
    log = server.ask("GET", f"/api/v1/runs/{run}/log")
    return log.body if log.headers["log-complete"] == "true" else b""


def test_a_person_is_asked_at_both_and_answers_at_either(tmp_path: Path, nats_access: Access) -> None:
    with two_servers(tmp_path, nats_access, asks=ASKS) as servers:
        run, second = servers.one.started("asks"), servers.one.started("asks")
        until(lambda: all(found["waiting"] == ["ask"] for found in servers.get(f"/runs/{run}")))
        answered(servers.other, "POST", f"/runs/{run}/approve", {"step": "ask"})
        assert servers.one.until("ended", run)["status"] == "succeeded"
        again = servers.one.ask("POST", f"/api/v1/runs/{run}/approve", body={"step": "ask"})
        assert (again.status, "has ended" in again.json["detail"]) == (400, True), again.body
        until(lambda: all(found["waiting"] == ["ask"] for found in servers.get(f"/runs/{second}")))
        answered(servers.one, "POST", f"/runs/{second}/reject", {"step": "ask", "reason": "no"})
        until(lambda: [found["status"] for found in servers.get(f"/runs/{second}")] == ["rejected"] * 2)


def test_what_failed_is_retried_and_a_dead_letter_replayed_at_the_other_server(tmp_path: Path, nats_access: Access) -> None:
    mark = tmp_path / "mark"
    with two_servers(tmp_path, nats_access, fails=FAILS.format(mark=mark)) as servers:
        run, second = servers.one.started("fails"), servers.one.started("fails")
        for each in (run, second):
            assert servers.other.until("ended", each)["status"] == "failed"
        letters = [{one["run_id"]: one["id"] for one in found["letters"]} for found in servers.get("/dead-letters")]
        assert set(letters[0]) == {run, second}
        assert letters[0] == letters[1]
        mark.touch()
        answered(servers.other, "POST", f"/runs/{run}/retry")
        assert servers.one.until("succeeded", run)["steps"][0]["attempts"] == 2
        answered(servers.other, "POST", f"/dead-letters/{letters[1][second]}/replay")
        assert servers.one.until("succeeded", second)["steps"][0]["attempts"] == 2
        assert [found["waiting"] for found in servers.get("/dead-letters")] == [0, 0]
        twice = servers.one.ask("POST", f"/api/v1/dead-letters/{letters[0][second]}/replay")
        assert (twice.status, "was replayed" in twice.json["detail"]) == (400, True), twice.body


def test_a_backfill_begun_at_one_server_runs_each_time_once_also_when_the_other_is_asked_for_the_same(
    tmp_path: Path, nats_access: Access
) -> None:
    asked = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-04T00:00:00Z"}
    with two_servers(tmp_path, nats_access, daily=DAILY) as servers:
        begun = answered(servers.one, "POST", "/schedules/daily/backfill", asked)
        id = begun["id"]
        done = until(lambda: (found := answered(servers.one, "GET", f"/schedules/backfills/{id}"))["over"] and found)
        assert (done["started"], done["ended"], done["failed"]) == (3, 3, 0)
        seen = servers.other.ask("GET", "/api/v1/runs?dag=daily").json["runs"]
        assert sorted(one["run_id"] for one in seen) == sorted(item["run_id"] for item in done["items"])
        twice = answered(servers.other, "POST", "/schedules/daily/backfill", asked)
        assert (twice["total"], twice["skipped"]) == (3, 3)


@pytest.mark.sshd
def test_a_run_of_a_workspace_has_its_name_at_every_server_and_is_begun_followed_and_retried_there(
    tmp_path: Path, throwaway: ThrowawayServers, nats_access: Access
) -> None:
    shop, options = set_up(tmp_path / "stage", throwaway), reach(nats_access)
    assert shop.call("workspace", "use", str(shop.workspace)).returncode == 0
    script = shop.workspace / "taskservs" / "base" / "default" / "install-base.sh"
    good = script.read_text("utf-8")
    script.write_text("#!/bin/bash\necho no base today; exit 3\n", "utf-8")
    with ExitStack() as stack:
        stack.enter_context(worker(tmp_path / "worker", *options, "--name", "w1"))
        one = stack.enter_context(outside(Engine(shop.home), *options))
        other = stack.enter_context(outside(Engine(tmp_path / "other"), *options))
        failed = shop.call("taskserv", "create", "--all", *options)
        assert failed.returncode == 1, failed.stderr
        for server in (one, other):
            (listed,) = answered(server, "GET", "/runs")["runs"]
            assert (listed["workspace"], listed["status"]) == ("demo", "failed")
            assert answered(server, "GET", "/runs?workspace=demo")["runs"] == [listed]
            assert answered(server, "GET", "/runs?workspace=nobody")["runs"] == []
        run = listed["run_id"]
        shown = answered(other, "GET", f"/runs/{run}")
        assert (shown["workspace"], shown["status"]) == ("demo", "failed")
        assert b"no base today\n" in until(partial(_complete, other, run))
        assert {node["server"] for node in answered(other, "GET", f"/runs/{run}/graph")["nodes"]} != {""}
        states = answered(one, "GET", "/workspaces/demo/state")["resources"]
        assert "failed" in {state["state"] for state in states}
        script.write_text(good, "utf-8")
        again = one.ask("POST", "/api/v1/workspaces/demo/provision", body={"everything": True})
        assert again.status == 202, again.body
        second = again.json["run_id"]
        refused = other.ask("POST", f"/api/v1/runs/{run}/retry")
        assert (refused.status, second in refused.json["detail"]) == (409, True), refused.body
        kinds = []
        for kind, data in followed(other, f"run:{second}"):
            if kind == "event":
                kinds.append(data["event"]["kind"])
                if kinds[-1] == "run_finished":
                    break
        assert other.until("succeeded", second)["workspace"] == "demo"
        states = answered(one, "GET", "/workspaces/demo/state")["resources"]
        assert {state["state"] for state in states} == {"completed"}
        answered(other, "DELETE", f"/runs/{run}")
        until(lambda: one.ask("GET", f"/api/v1/runs/{run}").status == 404)
