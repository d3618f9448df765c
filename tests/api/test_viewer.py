"""A viewer looks at everything and changes nothing: every route of the router is tried, and all that is kept is compared."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.served import PASSWORD, Served, served

from provisioning.api.app import ENDPOINTS
from provisioning.api.table import Endpoint
from provisioning.core.access import Role

DAGS = {
    "hello": "schedule: '0 4 * * *'\nsteps:\n  - {name: one, command: 'echo said'}\n  - {name: two, command: 'false'}\n",
    "waits": "steps:\n  - {name: ask, command: 'true', approval: {prompt: 'Go?'}}\n  - {name: go, command: 'true'}\n",
}
OWN = {"change_password", "log_out"}  # what a viewer may: its own password and session
BODIES: Mapping[str, object] = {
    "start_dag": {"params": {}},
    "start_dag_anew": {},
    "run_dag": {},
    "backfill_dag": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z"},
    "signal_run": {"name": "go"},
    "approve_step": {"step": "ask"},
    "reject_step": {"step": "ask"},
    "retry_run": {},
    "cancel_run": {},
    "provision_workspace": {"everything": True},
    "add_user": {"name": "eve", "password": PASSWORD, "role": "admin"},
    "change_user": {"role": "admin"},
    "add_token": {"role": "viewer"},
}


def kept(folder: Path) -> dict[str, Any]:
    """Return every file below a folder, and the rows of what is in databases. Only what is written of who asks is left out."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".db":
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE keys SET used_at = ''" if path.name == "server.db" else "SELECT 1")
                found[path.name] = [line for line in connection.iterdump() if "audit" not in line]
                connection.rollback()
            connection.close()
        elif path.is_file() and ".db" not in path.name:
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def filled(one: Endpoint, names: Mapping[str, str]) -> str:
    path = one.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
    return path


@pytest.mark.parametrize("role", [Role.VIEWER, None], ids=["viewer", "nobody"])
def test_whatever_a_viewer_or_nobody_calls_everything_stays_as_it_is(tmp_path: Path, role: Role | None) -> None:
    async def story() -> None:
        async with served(tmp_path, DAGS) as here:
            names = await _settled(here)
            before = kept(tmp_path)
            for one in ENDPOINTS:
                if one.handler.__name__ in OWN:
                    continue
                for name in ("hello", "waits", "admin"):
                    await _tried(here, one, filled(one, {**names, "name": name}), role)
            assert kept(tmp_path) == before
            await here.post("/dags/hello/suspend", role=Role.OPERATOR)
            assert kept(tmp_path) != before, "what an operator changes is seen"

    asyncio.run(story())


async def _settled(here: Served) -> dict[str, str]:
    """Have runs that ended and one that waits; return names of what there is."""
    ended = await here.started("hello")
    await here.until(ended)
    waiting = await here.started("waits")
    await here.until(waiting, "waiting")
    for one in Role:
        here.token(one)
    await here.call("GET", "/api/v1/me", Role.VIEWER)
    token = here.people.tokens("admin")[0].id
    letter = str((await here.get("/dead-letters"))["letters"][0]["id"])
    await asyncio.sleep(0.3)  # the engine writes nothing more
    return {"run": ended, "step": "one", "letter": letter, "token": token, "path": "index.html", "backfill": "none"}


async def _tried(here: Served, one: Endpoint, path: str, role: Role | None) -> None:
    """Call a route; it is refused where it changes something, and to nobody always where it is not open."""
    if one.handler.__name__ == "stream_events":
        path = f"{path}?topics=runs"
        if role is not None:
            return
    body = BODIES.get(one.handler.__name__) if one.method != "GET" else None
    answer = await here.call(one.method, path, role, body=body)
    if one.role is None:
        assert answer.status_code < 500, (path, answer.text)
    elif role is None:
        assert answer.status_code == 401, (one.method, path)
        assert "said" not in answer.text
    elif not role.may(one.role):
        assert answer.status_code == 403, (one.method, path)
    else:
        assert one.method == "GET", f"{path}: a viewer may change something"
        assert answer.status_code < 500, (path, answer.text)


def test_logs_downloads_and_streams_of_what_is_there_are_for_nobody_without_credentials(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, DAGS) as here:
            run = (await _settled(here))["run"]
            log = f"/api/v1/runs/{run}/steps/one/log"
            assert (await here.call("GET", log, Role.VIEWER)).text == "said\n"
            for path in (
                *(
                    log,
                    f"{log}?download=true",
                    f"{log}?tail=1",
                    f"/api/v1/runs/{run}/log",
                    f"/api/v1/runs/{run}/log?download=1",
                ),
                *(f"/api/v1/events/stream?topics=run:{run}", f"/api/v1/events/stream?topics=log:{run}/one", "/metrics"),
            ):
                for method in ("GET", "HEAD", "OPTIONS"):
                    answer = await here.call(method, path, None, range="bytes=0-3")
                    assert answer.status_code == 401, (method, path)
                    assert "said" not in answer.text
                    assert run not in answer.text

    asyncio.run(story())
