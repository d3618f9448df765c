"""What every link to a server promises: this machine, a server over SSH, and the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.remote import Heard, bundle_of, local_link, unit_of, until
from support.ssh import declared, ssh_hosts

from provisioning.adapters.memory.hosts import Answer, FakeHosts
from provisioning.core.declare import Server
from provisioning.core.hosts import Exit, HostLink

Linked = Callable[[Answer], AbstractAsyncContextManager[HostLink]]
CHECK = "printf ready"
KILLED = Exit(kind="signal", code=9)


@pytest.fixture(params=["fake", "local", pytest.param("ssh", marks=pytest.mark.sshd)])
def linked(request: pytest.FixtureRequest, tmp_path: Path) -> Linked:
    """Return a maker of links; the fake follows the given answer, the others do what their script says."""

    @asynccontextmanager
    async def make(answer: Answer) -> AsyncIterator[HostLink]:
        if request.param == "fake":
            hosts = FakeHosts()
            hosts.on_start("web", answer)
            hosts.on_probe(CHECK, Answer(output=b"ready"))
            hosts.on_probe("sleep 300", Answer(hang=True))
            yield await hosts.link(Server(hostname="web-0", address="127.0.0.1"))
        elif request.param == "local":
            yield local_link(tmp_path / "units")
        else:
            servers: ThrowawayServers = request.getfixturevalue("throwaway_servers")("web-0")
            async with ssh_hosts(servers) as over_ssh:
                yield await over_ssh.link(declared(servers, "web-0"))

    return make


@pytest.mark.parametrize(
    ("script", "answer", "exit"),
    [
        pytest.param("echo out", Answer(output=b"out\n"), Exit(kind="exit"), id="success"),
        pytest.param("echo out; exit 3", Answer(code=3, output=b"out\n"), Exit(kind="exit", code=3), id="failure"),
        pytest.param(
            "echo out; kill -9 $$", Answer(kind="signal", code=9, output=b"out\n"), Exit(kind="signal", code=9), id="signal"
        ),
        pytest.param("echo out; sleep 300", Answer(hang=True, output=b"out\n"), Exit(kind="timeout"), id="timeout"),
    ],
)
async def test_a_unit_ends_as_its_script_does(linked: Linked, script: str, answer: Answer, exit: Exit) -> None:
    heard = Heard()
    async with linked(answer) as link:
        assert await link.start(unit_of(timeout_s=0.7 if exit.kind == "timeout" else 20.0), bundle_of(script), heard) == exit

    assert heard.data.startswith(b"out\n")


async def test_a_unit_that_has_ended_is_adopted(linked: Linked) -> None:
    async with linked(Answer(code=3)) as link:
        await link.start(unit_of(), bundle_of("exit 3"), Heard())

        assert await link.start(unit_of(), bundle_of("exit 3"), Heard()) == Exit(kind="exit", code=3, adopted=True)


async def test_a_success_is_adopted_by_a_unit_that_resumes_it(linked: Linked) -> None:
    resuming = unit_of(run="run-2", resumes=("run-1", 1, "web/web"))
    async with linked(Answer()) as link:
        await link.start(unit_of(), bundle_of("exit 0"), Heard())

        assert await link.start(resuming, bundle_of("exit 0"), Heard()) == Exit(kind="exit", adopted=True)


async def test_an_older_token_is_fenced(linked: Linked) -> None:
    async with linked(Answer()) as link:
        await link.start(unit_of(token=2), bundle_of("exit 0"), Heard())

        assert (await link.start(unit_of(run="run-2", token=1), bundle_of("exit 0"), Heard())).kind == "fenced"


async def test_cancelling_a_start_ends_it(linked: Linked) -> None:
    heard = Heard()
    async with linked(Answer(hang=True, output=b"up\n")) as link:
        task = asyncio.create_task(link.start(unit_of(), bundle_of("echo up; sleep 300"), heard))
        await until(lambda: heard.data)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_probe_returns_what_it_printed(linked: Linked) -> None:
    heard = Heard()
    async with linked(Answer()) as link:
        assert await link.probe(CHECK, timeout_s=10, output=heard) == Exit(kind="exit", stdout=b"ready")

    assert heard.data == b"ready"


async def test_a_probe_past_its_time_is_a_timeout(linked: Linked) -> None:
    async with linked(Answer()) as link:
        assert (await link.probe("sleep 300", timeout_s=0.5, output=Heard())).kind == "timeout"
