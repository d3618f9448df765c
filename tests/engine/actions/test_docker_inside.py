"""Commands in containers that run already: what the action `docker` asks of its client, and what is stopped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from support.acting import Heard, task_of
from support.remote import commands_with, until

from provisioning.adapters.memory.processes import FakeProcesses, Played
from provisioning.adapters.processes import LocalProcesses
from provisioning.core.ports import Outcome
from provisioning.engine.actions import Result
from provisioning.engine.actions.docker import DockerAction, check_settings, container_name

TASK = task_of("docker", exec="db", command=["psql", "-l"])
MARK = f"PROVISIONING_ERRAND={container_name(TASK)}"
MARKS = "PROVISIONING_RUN_ID=run-1\nPROVISIONING_STEP=build/app\nPROVISIONING_ATTEMPT=1\n"


async def run(processes: FakeProcesses, context: Heard | None = None, **settings: Any) -> Result:
    task = task_of("docker", **{"exec": "db", "command": ["psql", "-l"], **settings})
    return await DockerAction(processes).run(task, context or Heard())


async def test_a_command_in_a_running_container_gets_variables_user_and_folder() -> None:
    processes = FakeProcesses()
    result = await run(processes, env={"A": "b"}, user="postgres", workdir="/w", stdin="x")
    expected = ["docker", "exec", "--interactive", "--user=postgres", "--workdir=/w"]

    assert result == Result(outcome=Outcome.OK, exit_code=0)
    assert [call.words for call in processes.ran] == [[*expected, "--env-file", f"A=b\n{MARKS}{MARK}\n", "db", "psql", "-l"]]


async def test_cancelling_ends_what_runs_inside_and_leaves_the_container() -> None:
    processes, context = FakeProcesses(), Heard()
    processes.on("docker exec --user=app --env-file", Played(hang=True))
    job = asyncio.create_task(run(processes, context, grace_s=2, user="app"))
    await processes.until_ran("docker exec")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    [begun, stopped] = processes.ran

    assert begun.cancelled
    assert stopped.words[:-1] == ["docker", "exec", "--user=app", "db", "sh", "-c"]
    assert MARK in stopped.words[-1]
    assert context.notes == []


async def test_what_could_not_be_ended_inside_is_told() -> None:
    processes, context = FakeProcesses(), Heard()
    processes.on("docker exec --env-file", Played(hang=True))
    processes.on("docker exec db sh", Played(code=127))
    job = asyncio.create_task(run(processes, context))
    await processes.until_ran("docker exec")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert context.notes == ["what runs in container db could not be stopped: look after it"]


@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: No such container: db",
        "Error response from daemon: container 0af is not running",
        'Error: no container with name or ID "db" found: no such container',
    ],
)
async def test_a_container_that_is_not_there_is_told_from_a_command_that_fails(said: str) -> None:
    processes = FakeProcesses()
    processes.on("docker exec", Played(code=1, stderr=said.encode()), Played(code=1, stderr=b"psql: no such table"))
    missing, failing = await run(processes), await run(processes)

    assert (missing.error_kind, missing.error) == ("docker", f"docker could not run the container: {said}")
    assert (failing.error_kind, failing.exit_code) == ("exit", 1)


async def test_a_command_is_all_that_may_be_said_of_a_running_container() -> None:
    wrong = {"exec": "db", "command": [], "volumes": ["/a:/b"], "keep": True}

    assert check_settings(wrong) == [
        "exec takes a container as it is, so it goes without keep, volumes",
        "exec needs a command",
    ]


STAND_IN = r"""#!/bin/bash
# docker exec, as far as these tests need it: what it runs goes on without its client, as in a container
shift
if [ "$1" = --env-file ]; then
    env -i PATH="$PATH" $(cat "$2") setsid "${@:4}" &
    wait
else
    shift
    exec "$@"
fi
"""


async def test_a_real_client_s_command_is_gone_when_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, context = tmp_path / "docker", Heard()
    script.write_text(STAND_IN)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    task = task_of("docker", exec="db", command=["sh", "-c", "trap '' TERM; echo up; sleep 1000; sleep 1000"], grace_s=0)
    job = asyncio.create_task(DockerAction(LocalProcesses()).run(task, context))
    await until(lambda: "up" in context.said)
    assert commands_with(MARK)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert commands_with(MARK) == []
    assert context.notes == []
