"""What every shell on other machines promises: over SSH to a real server, and the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from servers import ThrowawayServers
from support.said import Said
from support.shells import login_of, ssh_shell

from provisioning.adapters.memory.processes import Played
from provisioning.adapters.memory.remote_shell import FakeRemoteShell
from provisioning.core.errands import Login, RemoteShell
from provisioning.core.outside import Ended
from provisioning.errors import HostKeyError, LoginRefused, Unreachable

Opening = Callable[..., AbstractAsyncContextManager[tuple[RemoteShell, Login]]]


@pytest.fixture(params=["fake", pytest.param("ssh", marks=pytest.mark.sshd)])
def opening(request: pytest.FixtureRequest) -> Opening:
    """Return a maker of shells; the fake does what is played, the real one what its script says."""

    @asynccontextmanager
    async def make(played: Played) -> AsyncIterator[tuple[RemoteShell, Login]]:
        if request.param == "fake":
            fake = FakeRemoteShell()
            fake.on("", played)
            yield fake, Login(host="web-0")
            return
        servers: ThrowawayServers = request.getfixturevalue("throwaway_servers")("web-0")
        async with ssh_shell(servers) as shell:
            yield shell, login_of(servers, "web-0")

    return make


@pytest.mark.parametrize(
    ("script", "played", "ended"),
    [
        pytest.param("true", Played(), Ended(kind="exit"), id="success"),
        pytest.param("exit 3", Played(code=3), Ended(kind="exit", code=3), id="failure"),
        pytest.param("kill -9 $$", Played(code=137), Ended(kind="exit", code=137), id="signal"),
        pytest.param(b"#!/bin/sh\nexit 4\n", Played(code=4), Ended(kind="exit", code=4), id="script"),
    ],
)
async def test_a_command_ends_as_it_does(opening: Opening, script: str | bytes, played: Played, ended: Ended) -> None:
    async with opening(played) as (shell, login):
        assert await shell.run(login, script, ears=Said().ears) == ended


async def test_both_streams_are_heard_apart(opening: Opening) -> None:
    said = Said()
    async with opening(Played(stdout=b"out\n", stderr=b"err")) as (shell, login):
        await shell.run(login, "echo out; printf err >&2", ears=said.ears)

    assert (said.stdout, said.stderr) == (b"out\n", b"err")


async def test_a_command_that_takes_too_long_is_stopped(opening: Opening) -> None:
    said = Said()
    async with opening(Played(stdout=b"there\n", hang=True)) as (shell, login):
        ended = await shell.run(login, "echo there; sleep 1000", ears=said.ears, timeout_s=3.0)

    assert (ended, said.stdout) == (Ended(kind="timeout"), b"there\n")


async def test_output_is_heard_while_the_command_runs_and_cancelling_ends_it(opening: Opening) -> None:
    said = Said()
    async with opening(Played(stdout=b"there\n", hang=True)) as (shell, login):
        job = asyncio.create_task(shell.run(login, "echo there; sleep 1000", ears=said.ears))
        await said.first.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    assert said.stdout == b"there\n"


@pytest.mark.parametrize("kind", [Unreachable, HostKeyError, LoginRefused])
async def test_a_fake_refuses_as_it_is_told(kind: type[Unreachable | HostKeyError | LoginRefused]) -> None:
    fake = FakeRemoteShell()
    fake.refuse("web-0", kind("web-0: no"))
    with pytest.raises(kind):
        await fake.run(Login(host="web-0"), "true", ears=Said().ears)
    assert fake.sent == []
