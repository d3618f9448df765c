"""What the action `docker` asks of its client, which is played here, or stands in for the real one."""

from __future__ import annotations

import asyncio
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.acting import Heard, alive, task_of
from support.remote import until

from provisioning.adapters.memory.processes import FakeProcesses, Played
from provisioning.adapters.processes import LocalProcesses
from provisioning.core.ports import Outcome, Task
from provisioning.engine.actions import Result
from provisioning.engine.actions.docker import DockerAction, check_settings, container_name

SECRET = "hunter2-hunter2"
MARKS = "PROVISIONING_RUN_ID=run-1\nPROVISIONING_STEP=build/app\nPROVISIONING_ATTEMPT=1\n"
TASK = task_of("docker", image="busybox")
NAME = container_name(TASK)
START = f"docker run --name={NAME}"
LABELS = ["--label=provisioning.run=run-1", "--label=provisioning.step=build/app"]


async def run(processes: FakeProcesses, context: Heard | None = None, args: object = None, **settings: Any) -> Result:
    task = task_of("docker", args=args, **{"image": "busybox", **settings})
    return await DockerAction(processes).run(task, context or Heard())


async def called(args: object = None, **settings: Any) -> list[str]:
    """Return the words of the client that runs a container with these settings."""
    processes = FakeProcesses()
    await run(processes, args=args, **settings)
    return list(processes.ran[0].words)


# ---------------------------------------------------------------- calls


async def test_a_container_is_run_once_under_its_own_name_and_removed_at_its_end() -> None:
    processes = FakeProcesses()
    result = await run(processes, command=["echo", "a b"])

    assert result == Result(outcome=Outcome.OK, exit_code=0)
    assert [call.words for call in processes.ran] == [
        ["docker", "run", f"--name={NAME}", "--rm", *LABELS, "--env-file", MARKS, "busybox", "echo", "a b"]
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"network": "none"}, ["--network=none"], id="network"),
        pytest.param({"user": "1000:1000"}, ["--user=1000:1000"], id="user"),
        pytest.param({"workdir": "/w"}, ["--workdir=/w"], id="workdir"),
        pytest.param({"memory": "512m", "cpus": 1.5}, ["--memory=512m", "--cpus=1.5"], id="limits"),
        pytest.param({"pull": "never"}, ["--pull=never"], id="pull"),
        pytest.param({"platform": "linux/arm64"}, ["--platform=linux/arm64"], id="platform"),
        pytest.param(
            {"ports": ["80", "127.0.0.1:8080:80/tcp"]}, ["--publish=80", "--publish=127.0.0.1:8080:80/tcp"], id="ports"
        ),
        pytest.param({"name": "mine"}, ["--name=mine"], id="name"),
        pytest.param({"volumes": ["/a:/b", "v:/c:ro"]}, ["--volume=/a:/b", "--volume=v:/c:ro"], id="volumes"),
        pytest.param({"entrypoint": "sh -c"}, ["--entrypoint=sh"], id="entrypoint"),
        pytest.param({"entrypoint": []}, ["--entrypoint="], id="no entrypoint"),
    ],
)
async def test_settings_become_options_whose_values_are_no_options(settings: dict[str, Any], words: list[str]) -> None:
    line = await called(**settings)
    options = line[: line.index("busybox")]

    assert [word for word in options if word in words] == words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"command": "echo 'a b' $HOME"}, ["echo", "a b", "$HOME"], id="text is split, not interpreted"),
        pytest.param({"command": ["--privileged"]}, ["--privileged"], id="what comes after the image is the container's"),
        pytest.param({"entrypoint": ["sh", "-c"], "command": ["echo"]}, ["-c", "echo"], id="rest of an entrypoint"),
        pytest.param({}, [], id="none"),
    ],
)
async def test_the_command_comes_after_the_image(settings: dict[str, Any], words: list[str]) -> None:
    line = await called(**settings)

    assert line[line.index("busybox") + 1 :] == words


async def test_another_client_may_be_named_and_a_container_kept() -> None:
    line = await called(docker="/opt/podman", keep=True)

    assert line[:2] == ["/opt/podman", "run"]
    assert "--rm" not in line


def test_every_attempt_of_every_step_of_every_run_has_another_name() -> None:
    others = [replace(TASK, run="run-2"), replace(TASK, step="build/ap"), replace(TASK, attempt=2), replace(TASK, run="run-1b")]

    assert NAME.endswith("-1")
    assert len({NAME, *map(container_name, others)}) == 5


async def test_variables_never_stand_in_arguments() -> None:
    processes = FakeProcesses()
    await run(
        processes, args={"REF": {"a": 1}, "KEY": "line\nline"}, env={"TOKEN": SECRET, "PATH": "/inside", "BIG": "x" * 40_000}
    )
    program, words = processes.ran[0].program, list(processes.ran[0].words)
    plain = [word for word in program.words if isinstance(word, str)]

    assert words[words.index("--env-file") + 1] == f'TOKEN={SECRET}\nPATH=/inside\nREF={{"a":1}}\n{MARKS}'
    assert [word for word in plain if word.startswith("--env=")] == ["--env=BIG", "--env=KEY"]
    assert program.env == {"BIG": "x" * 40_000, "KEY": "line\nline"}
    assert not any(SECRET in word or "line" in word for word in plain)


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("played", "kind", "error"),
    [
        pytest.param(Played(code=3), "exit", "`busybox sh` ended with exit code 3", id="failure"),
        pytest.param(Played(code=137), "exit", "`busybox sh` ended with exit code 137", id="killed inside"),
        pytest.param(
            Played(kind="missing", message="there is no program docker in PATH (/bin)"),
            "docker_missing",
            "there is no program docker in PATH (/bin); "
            "install Docker or Podman on this worker, or name the program in the setting docker",
            id="no client",
        ),
        pytest.param(
            Played(
                code=125, stderr=b"docker: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n"
            ),
            "docker_unavailable",
            "docker does not reach its daemon: "
            "docker: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            id="no daemon",
        ),
        pytest.param(
            Played(
                code=125, stderr=b"Unable to find image\ndocker: no such image: busybox\n\nRun 'docker run --help' for more\n"
            ),
            "docker",
            "docker could not run the container: docker: no such image: busybox",
            id="no image",
        ),
        pytest.param(Played(code=125), "docker", "docker could not run the container: exit code 125", id="no word"),
        pytest.param(
            Played(code=1, stderr=b"Cannot connect to the Docker daemon"),
            "exit",
            "`busybox sh` ended with exit code 1",
            id="words of the container itself",
        ),
    ],
)
async def test_a_step_ends_as_its_container_did_or_says_why_there_was_none(played: Played, kind: str, error: str) -> None:
    processes = FakeProcesses()
    processes.on("docker run", played)
    result = await run(processes, command="sh")

    assert (result.outcome, result.error_kind, result.error) == (Outcome.FAILED, kind, error)


async def test_output_is_kept_as_of_a_shell_step() -> None:
    processes = FakeProcesses()
    processes.on("docker run", Played(stdout=b'{"a": 1}\n', stderr=b"noise"))

    assert (await run(processes, output="json")).output == {"a": 1}


async def test_a_container_that_a_lost_worker_has_left_is_replaced() -> None:
    processes, context = FakeProcesses(), Heard()
    conflict = f'docker: Conflict. The container name "/{NAME}" is already in use by container "0".'.encode()
    processes.on("docker run", Played(code=125, stderr=conflict), Played(stdout=b"done"))
    result = await run(processes, context)

    assert result.output == "done"
    assert [call.words[:2] for call in processes.ran] == [["docker", "run"], ["docker", "rm"], ["docker", "run"]]
    assert context.notes == [f"removing container {NAME}: a worker that was lost has left it"]


async def cancelled(processes: FakeProcesses, **settings: Any) -> None:
    job = asyncio.create_task(run(processes, **settings))
    await processes.until_ran("docker run")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


@pytest.mark.parametrize(("keep", "removed"), [(False, [["docker", "rm", "-f", NAME]]), (True, [])])
async def test_cancelling_stops_the_container_then_the_client_then_removes_it(*, keep: bool, removed: list[list[str]]) -> None:
    processes = FakeProcesses()
    processes.on("docker run", Played(hang=True))
    await cancelled(processes, keep=keep, grace_s=7)

    assert processes.ran[0].cancelled
    assert [call.words for call in processes.ran[1:]] == [["docker", "stop", "-t", "7", NAME], *removed]


async def test_a_daemon_that_does_not_answer_does_not_keep_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioning.engine.actions.docker.PATIENCE_S", 0.02)
    processes = FakeProcesses()
    for words in ("docker run", "docker stop", "docker rm"):
        processes.on(words, Played(hang=True))
    await cancelled(processes, grace_s=0)

    assert [call.cancelled for call in processes.ran] == [True, True, True]


# ---------------------------------------------------------------- names, input


async def test_a_container_with_a_name_of_its_own_never_takes_the_place_of_another() -> None:
    processes = FakeProcesses()
    processes.on("docker run", Played(code=125, stderr=b'docker: The container name "/mine" is already in use.'))
    result = await run(processes, name="mine")

    assert (result.error_kind, len(processes.ran)) == ("docker", 1)
    assert "already in use" in result.error


async def test_input_reaches_the_container() -> None:
    processes = FakeProcesses()
    await run(processes, stdin="a\nb", command="cat")

    assert processes.ran[0].program.stdin == b"a\nb"
    assert "--interactive" in processes.ran[0].words


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        pytest.param({"image": None}, "image has to be there", id="no image"),
        pytest.param(
            {"image": "--privileged"}, "image has to be a text that is not empty and does not begin with -", id="option"
        ),
        pytest.param({"imagee": "a"}, 'unknown setting "imagee", did you mean "image"?', id="unknown"),
        pytest.param(
            {"volumes": ["/a"]}, "volumes has to be a list of SOURCE:/TARGET or SOURCE:/TARGET:ro, unlike '/a'", id="half"
        ),
        pytest.param(
            {"volumes": ["a:b"]}, "volumes has to be a list of SOURCE:/TARGET or SOURCE:/TARGET:ro, unlike 'a:b'", id="rel"
        ),
        pytest.param(
            {"command": "echo 'a"},
            "command has to be text that splits into words (no closing quotation), or a list of texts",
            id="quote",
        ),
        pytest.param({"command": [1]}, "command has to be a text or a list of texts", id="number"),
        pytest.param({"cpus": 0}, "cpus has to be a number above 0", id="cpus"),
        pytest.param({"pull": "maybe"}, "pull has to be missing or always or never", id="pull"),
        pytest.param(
            {"ports": ["http"]},
            "ports has to be a list of PORT, HOST_PORT:PORT or ADDRESS:HOST_PORT:PORT, unlike 'http'",
            id="port",
        ),
        pytest.param(
            {"exec": "c", "command": "x"}, "exec takes a container as it is, so it goes without image", id="two containers"
        ),
        pytest.param({"grace_s": 1.5}, "grace_s has to be a whole number, at least 0", id="half a second"),
        pytest.param(
            {"env": {"A B": "c"}}, 'env has to be without the variable "A B", whose name no system takes', id="variable"
        ),
    ],
)
async def test_wrong_settings_are_refused_and_nothing_runs(settings: dict[str, Any], found: str) -> None:
    processes = FakeProcesses()
    result = await run(processes, **settings)

    assert check_settings({"image": "busybox", **settings}) == [found]
    assert (result.error_kind, result.error, processes.ran) == ("settings", found, [])


async def test_a_variable_that_would_steer_the_client_is_refused_where_no_file_can_hold_it() -> None:
    processes = FakeProcesses()
    result = await run(processes, args={"DOCKER_HOST": "tcp://x\n"})

    assert (result.error_kind, processes.ran) == ("settings", [])
    assert result.error.startswith("env cannot give DOCKER_HOST a value of several lines")


# ---------------------------------------------------------------- a stand-in on PATH

STAND_IN = r"""#!/bin/bash
# docker, as far as these tests need it: a container is a process that only this script ends
state=$(dirname "$0")/state; mkdir -p "$state"
printf '%s\n' "$*" >> "$state/calls"
for last; do :; done
case $1 in
run)
    for word; do
        case $word in --name=*) name=${word#--name=} ;; esac
        [ "$previous" = --env-file ] && { file=$word; stat -c %a "$word" > "$state/mode"; cp "$word" "$state/variables"; }
        previous=$word
    done
    printf '%s\n' "$file" > "$state/file"
    tr '\0' '\n' < /proc/$$/environ > "$state/environ"
    case $last in
    hang)
        setsid env -i sleep 1000 > /dev/null 2>&1 < /dev/null &
        echo $! > "$state/$name"; echo $$ > "$state/client"; echo started
        wait; exit 143 ;;
    *) eval "$last" ;;
    esac ;;
stop) kill "$(cat "$state/$last")"; rm "$state/$last" ;;
rm) : ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for docker on PATH; return where it keeps what it was asked."""
    script = tmp_path / "docker"
    script.write_text(STAND_IN)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "state"


def stood_in(command: str, **settings: Any) -> Task:
    return task_of("docker", image="busybox", command=["sh", "-c", command], **settings)


def noted(state: Path, name: str) -> str:
    """Return what the stand-in has written down under this name."""
    path = state / name
    return path.read_text() if path.exists() else ""


async def test_a_real_client_gets_a_private_file_of_variables_that_is_gone_afterwards(stand_in: Path) -> None:
    context = Heard()
    task = stood_in("echo out; echo err >&2; exit 4", env={"TOKEN": SECRET, "TWO": "lines\nof-it"})
    result = await DockerAction(LocalProcesses()).run(task, context)

    assert (result.exit_code, result.output) == (4, "out")
    assert sorted(context.said.split()) == ["err", "out"]
    assert noted(stand_in, "mode") == "600\n"
    assert noted(stand_in, "variables") == f"TOKEN={SECRET}\n{MARKS}"
    assert not os.access(noted(stand_in, "file").strip(), os.F_OK)
    assert SECRET not in noted(stand_in, "calls") + noted(stand_in, "environ")
    assert "TWO=lines\nof-it" in noted(stand_in, "environ")


async def test_a_real_client_is_ended_with_its_container(stand_in: Path) -> None:
    job = asyncio.create_task(DockerAction(LocalProcesses()).run(task_of("docker", image="busybox", command="hang"), Heard()))
    await until(lambda: noted(stand_in, "client"))
    container, client = int(noted(stand_in, NAME)), int(noted(stand_in, "client"))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert not alive(container)
    assert not alive(client)
    assert [shlex.split(line)[:1] for line in noted(stand_in, "calls").splitlines()] == [["run"], ["stop"], ["rm"]]


async def test_without_a_client_the_step_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    result = await DockerAction(LocalProcesses()).run(stood_in("true"), Heard())

    assert (result.outcome, result.error_kind) == (Outcome.FAILED, "docker_missing")
    assert result.error.startswith("there is no program docker in PATH (/none); install Docker or Podman")
