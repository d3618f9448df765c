"""What a dead engine has left running is found and ended, however it hid, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from provisioning.adapters.leftovers import RUN_VARIABLE, end_leftovers, leftovers

FORK_TWICE = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
os.wait()
"""
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
CLEANS_UP = "trap 'sleep 0.1; echo clean >\"$1\"; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[str]:
    """The id of a run that no other test has; what is left of it is ended."""
    run = str(uuid.uuid4())
    yield run
    for member in leftovers(run):
        with suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts a program of a run; with `ready`, it has said its first line when that returns."""
    with ExitStack() as stack:

        def begin(run: str, *words: str, ready: bool = False, user: int | None = None) -> subprocess.Popen[str]:
            env, pipe = {**os.environ, RUN_VARIABLE: run}, subprocess.PIPE
            process = subprocess.Popen(words, env=env, stdout=pipe, text=True, start_new_session=True, user=user)
            stack.enter_context(process)
            stack.callback(process.kill)
            if ready:
                assert process.stdout is not None
                process.stdout.readline()
            return process

        yield begin


def wait_for(run: str, names: list[str]) -> None:
    """Wait until these are the programs of a run's processes."""
    deadline_s = time.monotonic() + 20
    while sorted(member.name for member in leftovers(run)) != names:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        pytest.param(["sleep", "1000"], ["sleep"], id="a program"),
        pytest.param(["sh", "-c", "sleep 1000 & sleep 1000; true"], ["sh", "sleep", "sleep"], id="a background job"),
        pytest.param(["sh", "-c", "setsid sleep 1000 & wait"], ["sh", "sleep"], id="in a session of its own"),
        pytest.param(["sh", "-c", "sleep 1000 & exit 0"], ["sleep"], id="whose parent is gone"),
        pytest.param([sys.executable, "-c", FORK_TWICE], ["sleep"], id="a daemon, forked twice"),
    ],
)
async def test_all_processes_of_a_run_are_found_and_ended(run: str, start: Start, words: list[str], names: list[str]) -> None:
    process = start(run, *words)
    wait_for(run, names)
    assert await end_leftovers(run, grace_s=20) == []
    assert leftovers(run) == []
    process.wait()


async def test_one_that_does_not_listen_is_killed_when_its_time_is_over(run: str, start: Start) -> None:
    process = start(run, "sh", "-c", DEAF, ready=True)
    assert await end_leftovers(run, grace_s=0.2) == []
    assert process.wait() == -signal.SIGKILL


async def test_one_that_cleans_up_has_the_time_for_it(run: str, start: Start, tmp_path: Path) -> None:
    process = start(run, "sh", "-c", CLEANS_UP, "sh", str(tmp_path / "clean"), ready=True)
    assert await end_leftovers(run, grace_s=20) == []
    assert process.wait() == 0
    assert (tmp_path / "clean").read_text() == "clean\n"


async def test_a_stopped_one_hears_it_too(run: str, start: Start) -> None:
    process = start(run, "sleep", "1000")
    process.send_signal(signal.SIGSTOP)
    assert await end_leftovers(run, grace_s=20) == []
    assert process.wait() == -signal.SIGTERM


async def test_other_runs_are_left_alone_also_those_whose_id_begins_the_same(run: str, start: Start) -> None:
    others = [start(other, "sleep", "1000") for other in (f"{run}-2", run[:-1], "")]
    process = start(run, "sleep", "1000")
    assert await end_leftovers(run, grace_s=20) == []
    assert [other.poll() for other in others] == [None] * 3
    assert process.wait() == -signal.SIGTERM


async def test_a_run_without_any_takes_no_time(run: str) -> None:
    assert leftovers(run) == []
    assert await end_leftovers(run, grace_s=1_000) == []


async def test_one_that_was_started_this_moment_is_ended_too(run: str, start: Start) -> None:
    for _ in range(20):
        process = start(run, "sleep", "1000")
        assert await end_leftovers(run, grace_s=20) == []
        assert process.wait() == -signal.SIGTERM


def test_whoever_asks_is_no_leftover(run: str, start: Start) -> None:
    script = f"from provisioning.adapters.leftovers import leftovers; print(leftovers({run!r}))"
    asking = start(run, sys.executable, "-c", script)
    assert asking.communicate()[0] == "[]\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
async def test_processes_of_other_users_are_left_alone_though_they_claim_to_be_of_the_run(run: str, start: Start) -> None:
    other = start(run, "sleep", "1000", user=65534)
    assert leftovers(run) == []
    assert await end_leftovers(run, grace_s=0) == []
    assert other.poll() is None
