"""What a worker does with the actions of its own machine: real processes, real time limits."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.acting import holders
from support.engine import engine
from support.remote import until
from support.simulate import step, workflow
from support.web import serving

from provisioning import wiring
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.memory.store import MemoryStore
from provisioning.core.model import Action, RunState, Step, StepState
from provisioning.core.ports import Request
from provisioning.core.values import Ref

HOLDS_THE_PIPE = "echo begun; sleep 1000 & wait"


def shell_step(id: str, command: str, *deps: str, folder: Path | None = None, **fields: object) -> Step:
    settings = {"command": command, "cwd": str(folder) if folder else None}
    return replace(step(id, *deps, **fields), action=Action(type="shell", settings=settings))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(HOLDS_THE_PIPE, id="a child holds the pipe"),
        pytest.param("sh -c 'sleep 1000 & wait'", id="a shell waits for its child"),
        pytest.param("setsid sleep 1000 & sleep 1000", id="a child has left the group"),
    ],
)
async def test_A41_when_a_step_times_out_all_its_processes_are_gone(tmp_path: Path, command: str) -> None:  # noqa: N802
    run = await engine(wiring.local_actions()).run(workflow(shell_step("a", command, folder=tmp_path, timeout_s=0.5)))

    assert (run.steps["a"].state, run.steps["a"].error_kind) == (StepState.TIMED_OUT, "timeout")
    assert holders(tmp_path) == []


async def test_cancelling_a_run_ends_all_processes_of_its_steps(tmp_path: Path) -> None:
    logs, store = MemoryLogs(), MemoryStore()
    made = engine(wiring.local_actions(), logs=logs, store=store)

    async def cancel() -> None:
        await until(lambda: any(log.data for log in logs.written.values()))
        await store.request(Request(run="r1", kind="cancel"))

    run = await made.run(workflow(shell_step("a", HOLDS_THE_PIPE, folder=tmp_path)), meanwhile=cancel)

    assert run.state is RunState.CANCELLED
    assert holders(tmp_path) == []


async def test_outputs_reach_later_steps_as_environment(tmp_path: Path) -> None:
    first = shell_step("first", "echo '$(touch gone) \"'")
    second = shell_step(
        "second", 'printf "%s/%s" "$TEXT" "$PROVISIONING_STEP"; ls', "first", folder=tmp_path, args={"TEXT": Ref(step="first")}
    )
    run = await engine(wiring.local_actions()).run(workflow(first, second))

    assert run.steps["second"].output == '$(touch gone) "/second'


def test_what_only_some_steps_need_is_not_imported_before() -> None:
    names = ", ".join(f"provisioning.engine.actions.{name}" for name in ("shell", "http", "docker"))
    heavy = {"http.client", "tempfile", "urllib.request", "email", "zlib", "yaml", "jinja2", "paramiko"}
    code = f"import sys, {names}; from provisioning import wiring; wiring.local_actions(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert heavy & set(loaded) == set()


async def test_what_a_server_repeats_of_our_credentials_is_in_no_log_and_no_verdict() -> None:
    secret = "hunter2-hunter2"

    def repeat(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n" + request)

    logs = MemoryLogs()
    with serving(repeat) as web:
        settings = {"url": f"http://me:{secret}@127.0.0.1:{web.port}/?k={secret}", "allow_private": True}
        asking = replace(step("a"), action=Action(type="http", settings=settings))
        run = await engine(wiring.local_actions(), logs=logs).run(workflow(asking))
    (log,) = logs.written.values()

    assert b"Authorization: Basic " in web.requests[0]
    assert run.steps["a"].error_kind == "http_404"
    assert b"Authorization: " in log.data
    assert secret.encode() not in log.data
    assert base64.b64encode(f"me:{secret}".encode()) not in log.data
    assert secret not in run.steps["a"].error
