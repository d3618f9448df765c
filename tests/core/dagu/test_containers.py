"""What the action `docker`, and its client, are told of a container in a Dagu file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from provisioning.core.dagu.containers import (
    Box,
    docker_settings,
    inside,
    remove_words,
    script_program,
    start_words,
    volume_from,
)
from provisioning.engine.actions.docker import check_settings

FULL = Box(
    image="busybox:1",
    name="mine",
    pull_policy="always",
    env={"A": "b\nc"},
    volumes=("./data:/data:ro", "cache:/c"),
    user="app",
    working_dir="/w",
    platform="linux/arm64",
    ports=("80:8080",),
    network="host",
    keep=True,
)


def work(commands: tuple[str, ...] = (), **others: Any) -> dict[str, object]:
    """Return command and input for a container with a shell, or without."""
    shell = others.pop("shell", ())
    settings = docker_settings(Box(image="i", shell=shell), commands=commands, **others)
    assert check_settings(settings) == []
    return {name: settings[name] for name in ("command", "stdin") if name in settings}


def test_everything_said_of_an_image_becomes_a_setting_that_the_action_has() -> None:
    settings = docker_settings(FULL, argv=["a"], cwd="/dags")

    assert check_settings(settings) == []
    assert settings == {
        "image": "busybox:1",
        "name": "mine",
        "pull": "always",
        "env": {"A": "b\nc"},
        "volumes": ["/dags/data:/data:ro", "cache:/c"],
        "user": "app",
        "workdir": "/w",
        "platform": "linux/arm64",
        "ports": ["80:8080"],
        "network": "host",
        "keep": True,
        "command": ["a"],
    }


def test_of_a_running_container_only_what_a_command_has_is_told() -> None:
    settings = docker_settings(Box(exec_in="db", env={"A": "b"}, user="u", working_dir="/w", volumes=("a:/b",)), argv=["a"])

    assert check_settings(settings) == []
    assert settings == {"exec": "db", "env": {"A": "b"}, "user": "u", "workdir": "/w", "command": ["a"]}


@pytest.mark.parametrize(
    ("commands", "shell", "command"),
    [
        pytest.param((), (), None, id="what the image does"),
        pytest.param(("echo 'a b' $C | x",), (), ["echo", "a b", "$C", "|", "x"], id="words without a shell"),
        pytest.param(("echo 'a",), (), ["echo", "'a"], id="a quote that is never closed"),
        pytest.param(("a 'b c'", "d"), (), ["sh", "-c", "a 'b c' && d"], id="several without a shell"),
        pytest.param(("a | b",), ("bash", "-e"), ["bash", "-e", "-c", "a | b"], id="a shell"),
        pytest.param(("a | b",), ("bash", "-ec"), ["bash", "-ec", "a | b"], id="a shell that takes a text"),
        pytest.param(
            ("a", "b"), ("bash", "-e"), ["sh", "-c", 'for one; do bash -e -c "$one" || exit; done', "sh", "a", "b"], id="each"
        ),
    ],
)
def test_commands_become_words(commands: tuple[str, ...], shell: tuple[str, ...], command: list[str] | None) -> None:
    assert work(commands, shell=shell) == ({} if command is None else {"command": command})


def play(tmp_path: Path, told: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Do on this machine what a container would."""
    text = cast("str", told.get("stdin", ""))
    words = cast("list[str]", told["command"])
    return subprocess.run(words, input=text, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=30)


@pytest.mark.parametrize("shell", [(), ("bash", "-e")])
def test_several_commands_stop_at_the_first_that_fails(tmp_path: Path, shell: tuple[str, ...]) -> None:
    ran = play(tmp_path, work(("echo 'it is'", "sh -c 'exit 3'", "echo no"), shell=shell))

    assert (ran.stdout, ran.returncode) == ("it is\n", 3)


@pytest.mark.parametrize(
    ("script", "others", "said"),
    [
        pytest.param("echo a\necho $0", {}, "a\n/dev/fd/3\n", id="sh"),
        pytest.param("#!/usr/bin/env python3\nprint('it''s')", {}, "its\n", id="its own first line"),
        pytest.param("#!/bin/false\necho a", {"shell": ("bash", "-ec")}, "a\n", id="a shell comes before that"),
        pytest.param("print(1)", {"commands": ("python3 -u",)}, "1\n", id="a command comes before both"),
        pytest.param("cat; echo b", {}, "b\n", id="its input is empty"),
        pytest.param("echo END_OF_SCRIPT\nEND_OF_SCRIPT_=1", {}, "END_OF_SCRIPT\n", id="our own word"),
        pytest.param("echo '$x' `echo y` \\\\", {}, "$x y \\\n", id="nothing is replaced on the way"),
    ],
)
def test_a_script_is_run_without_a_file_and_never_stands_in_arguments(
    tmp_path: Path, script: str, others: dict[str, Any], said: str
) -> None:
    told = work(script=script, **others)

    assert script not in " ".join(cast("list[str]", told["command"]))
    assert play(tmp_path, told).stdout == said


def test_a_script_that_is_cut_off_is_not_run(tmp_path: Path) -> None:
    whole = script_program(["sh"], "touch done\ntouch done")
    for size in range(len(whole) - 2):
        play(tmp_path, {"command": ["sh", "-c", 'eval "$(cat)"'], "stdin": whole[:size]})

    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("volume", "found"),
    [
        ("./a:/b", "/dags/a:/b"),
        ("../a:/b:ro", "/a:/b:ro"),
        (".:/b", "/dags:/b"),
        ("~/a:/b", "/home/u/a:/b"),
        ("~:/b", "/home/u:/b"),
        ("~other/a:/b", "~other/a:/b"),
        ("/a:/b", "/a:/b"),
        ("name:/b", "name:/b"),
        ("./a", "./a"),
    ],
)
def test_folders_of_this_machine_stand_there_from_the_root_on(volume: str, found: str) -> None:
    assert volume_from(volume, "/dags", "/home/u") == found


def test_a_container_for_a_run_is_started_used_and_removed() -> None:
    started = start_words(FULL, "prov-1", run="run-1", cwd="/dags", client="podman")

    assert started == [
        *("podman", "run", "--detach", "--init", "--name=prov-1", "--label=provisioning.run=run-1"),
        *("--pull=always", "--platform=linux/arm64", "--network=host", "--user=app", "--workdir=/w"),
        *("--volume=/dags/data:/data:ro", "--volume=cache:/c", "--publish=80:8080"),
        *("--entrypoint=sh", "--", "busybox:1", "-c", started[-1]),
    ]
    assert inside(FULL, "prov-1") == Box(exec_in="prov-1", env=FULL.env, user="app", working_dir="/w")
    assert inside(Box(exec_in="db", user="u"), "prov-1") == Box(exec_in="db", user="u")
    assert remove_words("prov-1", client="podman") == ["podman", "rm", "--force", "--volumes", "--", "prov-1"]


def test_what_keeps_a_container_alive_does_nothing_and_ends_when_it_is_asked() -> None:
    idle = subprocess.Popen(["sh", "-c", start_words(FULL, "x", run="r")[-1]], start_new_session=True)
    with pytest.raises(subprocess.TimeoutExpired):
        idle.wait(0.3)
    idle.terminate()

    assert idle.wait(30) == 0
    os.killpg(idle.pid, 9)  # the sleep that it waited for
