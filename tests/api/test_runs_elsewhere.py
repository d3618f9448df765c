"""Runs of other processes, as the API has them: of the command line, of a server that was killed, of one that was ended."""

from __future__ import annotations

import asyncio
import signal
import urllib.request
from pathlib import Path
from typing import Any

from support.dagengine import Engine, states, until
from support.served import served

from provisioning import wiring
from provisioning.operations.hosting.driving import is_servers

SLEEPS = "steps: [{name: long, command: 'sleep 600'}, {name: after, command: 'true', depends: long}]"


def second_time(mark: Path) -> str:
    """Return a command that ends the second time it is run."""
    return f"echo x >> {mark}; test $(wc -l < {mark}) -ge 2 || sleep 600"


def test_a_run_on_the_command_line_is_seen_followed_and_stopped_from_here(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.dag("sleeps", SLEEPS)

    async def story() -> None:
        async with served(tmp_path) as here:
            await here.until("theirs", "running")
            assert "theirs" not in here.host.driven()
            async with here.stream("run:theirs") as stream:
                assert (await here.post("/runs/theirs/cancel")).status_code == 202
                events = await stream.events()
                assert [event["seq"] for _id, event in events] == list(range(1, len(events) + 1))
            assert (await here.until("theirs"))["status"] == "aborted"

    with engine.started("run", "sleeps", "--run-id", "theirs") as running:
        until(lambda: wiring.has_history(engine.data))
        until(lambda: _known(engine.data, "theirs"))
        asyncio.run(story())
        running.wait(60)


def _known(data: Path, run: str) -> bool:
    pages = wiring.run_pages(data)
    try:
        return pages.has(run)
    finally:
        pages.close()


def test_a_killed_server_leaves_its_runs_to_the_next_one_and_those_of_people_alone(tmp_path: Path) -> None:
    engine, mark = Engine(tmp_path), tmp_path / "mark"
    engine.dag(
        "counts",
        f"steps: [{{name: one, command: '{second_time(mark)}'}}, {{name: two, command: 'true', depends: one}}]",
    )
    with engine.started("server", "--port", "0", "--no-auth") as server:
        port = _port(server)
        _post(port, "/api/v1/dags/counts/runs", b'{"run_id": "ours"}')
        until(mark.exists)
        server.send_signal(signal.SIGKILL)
        server.wait(60)
    mark.unlink()
    engine.killed("counts", mark, "theirs")

    async def story() -> None:
        async with served(tmp_path) as here:
            run = await here.until("ours", "succeeded")
            assert states(run) == {"one": "succeeded", "two": "succeeded"}
            theirs = await here.get("/runs/theirs")
            assert (theirs["lost"], theirs["status"]) == (True, "failed")
            assert (await here.post("/runs/theirs/cancel")).status_code == 400, "nobody would hear it"
            assert (await here.post("/runs/theirs/retry")).status_code == 202
            assert (await here.until("theirs", "succeeded"))["status"] == "succeeded"

    asyncio.run(story())


def test_asked_to_end_a_server_stops_what_runs_and_the_next_one_goes_on(tmp_path: Path) -> None:
    engine, mark = Engine(tmp_path), tmp_path / "mark"
    engine.dag("counts", f"steps: [{{name: one, command: '{second_time(mark)}'}}]")
    with engine.started("server", "--port", "0", "--no-auth") as server:
        _post(_port(server), "/api/v1/dags/counts/runs", b'{"run_id": "ours"}')
        until(mark.exists)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0

    async def story() -> None:
        async with served(tmp_path) as here:
            assert (await here.until("ours"))["status"] == "succeeded"
            assert mark.read_text() == "x\nx\n"

    asyncio.run(story())


def _port(server: Any) -> int:
    line = server.stderr.readline()
    assert line.startswith("listening on http://127.0.0.1:"), line
    return int(line.rpartition(":")[2])


def _post(port: int, path: str, body: bytes) -> None:
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def test_which_runs_are_a_servers_is_said_by_their_trigger() -> None:
    assert all(is_servers(trigger) for trigger in ("api", "schedule", "catchup", "backfill"))
    assert not any(is_servers(trigger) for trigger in ("manual", "subdag:x", "", "apis"))
