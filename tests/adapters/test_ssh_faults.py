"""A link that is lost is not a step that failed: what a unit on a real server does while nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.remote import Heard, alive_with, bundle_of, counting, members_of, runs, timed, unit_folder, unit_of, until
from support.ssh import QUICK, Wire, declared, ssh_hosts

from provisioning.core.declare import Server
from provisioning.core.hosts import Exit
from provisioning.errors import Unreachable

pytestmark = pytest.mark.sshd


@pytest.fixture
def servers(throwaway_servers: Callable[..., ThrowawayServers]) -> ThrowawayServers:
    return throwaway_servers("web-0")


@pytest.fixture
def web(servers: ThrowawayServers) -> Server:
    return declared(servers, "web-0")


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return tmp_path / "counter"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "release"


def let_go(release: Path) -> None:
    """Let such a script end."""
    release.touch()


def held(counter: Path, release: Path, *rest: str) -> str:
    """Return a script that says so, and waits until it is let go."""
    return counting(counter, "echo one", f"until [ -e '{release}' ]; do sleep 0.02; done", "echo two", *rest)


async def test_a_session_killed_in_the_middle_is_adopted(
    servers: ThrowawayServers, web: Server, counter: Path, release: Path
) -> None:
    heard = Heard()
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.start(unit_of(), bundle_of(held(counter, release, "exit 3")), heard))
        await until(lambda: heard.data)

        servers.kill_sessions("web-0")
        let_go(release)

        assert await task == Exit(kind="exit", code=3, adopted=True)
    assert heard.data == b"one\ntwo\n", "it goes on where it was cut, nothing twice"
    assert runs(counter) == 1


async def test_a_session_killed_again_and_again_changes_nothing(servers: ThrowawayServers, web: Server, counter: Path) -> None:
    heard = Heard()
    script = counting(counter, "for i in $(seq 1 200); do echo $i; sleep 0.02; done", "exit 4")
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.start(unit_of(), bundle_of(script), heard))
        for _ in range(6):
            before = len(heard.data)
            await until(lambda: len(heard.data) > before or task.done())  # noqa: B023 - awaited at once
            servers.kill_sessions("web-0")

        assert await task == Exit(kind="exit", code=4, adopted=True)
    assert heard.text.split() == [str(number) for number in range(1, 201)]
    assert runs(counter) == 1


async def test_a_link_lost_at_any_moment_of_the_start_never_doubles_the_effect(
    servers: ThrowawayServers, web: Server, tmp_path: Path
) -> None:
    async with ssh_hosts(servers) as hosts:
        for attempt in range(1, 16):
            counter = tmp_path / f"counter-{attempt}"
            link = await hosts.link(web)
            unit = unit_of(attempt=attempt)
            task = asyncio.create_task(link.start(unit, bundle_of(counting(counter, "sleep 0.1")), Heard()))
            await asyncio.sleep(0.004 * attempt)
            servers.kill_sessions("web-0")
            exit = await task
            assert exit.kind in {"exit", "refused"}, exit
            assert runs(counter) == (1 if exit.ok else 0), attempt


async def test_a_server_whose_sshd_was_away_for_a_while_is_asked_again(
    servers: ThrowawayServers, web: Server, counter: Path, release: Path
) -> None:
    heard = Heard()
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.start(unit_of(), bundle_of(held(counter, release)), heard))
        await until(lambda: heard.data)

        servers.stop_one("web-0")
        let_go(release)
        await until((unit_folder(servers.server("web-0").home, unit_of()) / "result").exists)
        servers.start_one("web-0")

        assert await task == Exit(kind="exit", code=0, adopted=True)
    assert heard.data == b"one\ntwo\n"
    assert runs(counter) == 1


async def test_a_server_that_does_not_come_back_leaves_the_outcome_unknown(
    servers: ThrowawayServers, web: Server, counter: Path, release: Path
) -> None:
    heard = Heard()
    async with ssh_hosts(servers, options=replace(QUICK, patience_s=1.0)) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.start(unit_of(), bundle_of(held(counter, release)), heard))
        await until(lambda: heard.data)
        servers.stop_one("web-0")

        assert (await task).kind == "unknown"


async def test_a_frozen_server_is_noticed(servers: ThrowawayServers, web: Server) -> None:
    async with ssh_hosts(servers, options=replace(QUICK, patience_s=0.1)) as hosts:
        link = await hosts.link(web)
        heard = Heard()
        task = asyncio.create_task(link.start(unit_of(), bundle_of("echo up; sleep 300"), heard))
        await until(lambda: heard.data)

        with servers.frozen("web-0"):
            seconds = await timed(task)

        assert task.result().kind == "unknown"
        assert seconds < QUICK.dead_after_s + QUICK.greeting_s + 2


async def test_a_silent_partition_is_noticed_and_healed(servers: ThrowawayServers, counter: Path, release: Path) -> None:
    heard = Heard()
    one = servers.server("web-0")
    async with Wire(one.address, one.port).open() as wire, ssh_hosts(servers) as hosts:
        servers.write_known_hosts(servers.folder / "known_hosts")
        through = declared(servers, "web-0", port=wire.port)
        trust(servers, wire.port)
        link = await hosts.link(through)
        task = asyncio.create_task(link.start(unit_of(), bundle_of(held(counter, release, "exit 6")), heard))
        await until(lambda: heard.data)

        wire.cut()
        let_go(release)
        await until((unit_folder(one.home, unit_of()) / "result").exists)
        await until(lambda: wire.accepted > 1)
        wire.mend()

        assert await task == Exit(kind="exit", code=6, adopted=True)
    assert runs(counter) == 1


async def test_a_probe_on_a_lost_link_is_unknown_and_the_next_one_works(servers: ThrowawayServers, web: Server) -> None:
    heard = Heard()
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.probe("echo up; sleep 300", timeout_s=60, output=heard))
        await until(lambda: heard.data)
        servers.kill_sessions("web-0")

        assert (await task).kind == "unknown"
        assert (await link.probe("echo up", timeout_s=10, output=Heard())).ok


async def test_the_next_runner_adopts_what_a_dead_one_left_running(
    servers: ThrowawayServers, web: Server, counter: Path, release: Path
) -> None:
    first, second = Heard(), Heard()
    bundle = bundle_of(held(counter, release, "exit 0"))
    async with ssh_hosts(servers, options=replace(QUICK, patience_s=0.5)) as hosts:
        task = asyncio.create_task((await hosts.link(web)).start(unit_of(), bundle, first))
        await until(lambda: first.data)
        servers.kill_sessions("web-0")
        task.cancel()  # like a dead runner it cannot ask for the unit to be stopped: nobody answers
        servers.stop_one("web-0")
        await asyncio.gather(task, return_exceptions=True)
    servers.start_one("web-0")

    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        again = asyncio.create_task(link.start(unit_of(run="run-2", token=2, resumes=("run-1", 1, "web/web")), bundle, second))
        await until(lambda: second.data)
        let_go(release)

        assert await again == Exit(kind="exit", code=0, adopted=True)
    assert second.data == b"one\ntwo\n"
    assert runs(counter) == 1


async def test_cancelling_over_ssh_leaves_nothing_on_the_server(servers: ThrowawayServers, web: Server) -> None:
    heard = Heard()
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        task = asyncio.create_task(link.start(unit_of(), bundle_of("echo up; setsid sleep 300"), heard))
        await until(lambda: heard.data)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert not members_of(servers.server("web-0").home, unit_of())


async def test_a_hung_probe_is_killed_on_the_server(servers: ThrowawayServers, web: Server) -> None:
    mark = f"hung-{servers.folder}"
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(web)
        exit = await link.probe(f"MARK='{mark}' setsid --wait sleep 300", timeout_s=0.5, output=Heard())

        assert exit.kind == "timeout"
        await until(lambda: not alive_with(mark))


async def test_a_server_that_cannot_be_reached_is_an_error_after_some_tries(servers: ThrowawayServers, web: Server) -> None:
    servers.stop_one("web-0")
    async with ssh_hosts(servers) as hosts:
        with pytest.raises(Unreachable, match="web-0"):
            await hosts.link(web)


async def test_a_server_that_hangs_up_on_the_first_logins_is_tried_again(servers: ThrowawayServers) -> None:
    one = servers.server("web-0")
    async with Wire(one.address, one.port).open() as wire, ssh_hosts(servers) as hosts:
        trust(servers, wire.port)
        wire.refusals = 2

        link = await hosts.link(declared(servers, "web-0", port=wire.port))

        assert (await link.probe("true", timeout_s=10, output=Heard())).ok
        assert wire.accepted == 3


def trust(servers: ThrowawayServers, port: int) -> None:
    """Let the relay's port be known by the server's key."""
    known = servers.folder / "known_hosts"
    kind, key = known.read_text().split()[1:3]
    known.write_text(f"{known.read_text()}[127.0.0.1]:{port} {kind} {key}\n")
