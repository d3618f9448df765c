"""Commands over SSH: what is stopped is gone, what is lost is said to be, and one connection serves them all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.passwords import PasswordServer
from support.remote import commands_with, until
from support.said import Said
from support.shells import login_of, ssh_shell
from support.ssh import QUICK, Wire, log_of

from provisioning.adapters.ssh import job as job_module
from provisioning.adapters.ssh.script import Heard
from provisioning.adapters.ssh.shell import SshRemoteShell
from provisioning.core.errands import Login
from provisioning.core.outside import Ears, Ended
from provisioning.errors import HostKeyError, LoginRefused, Unreachable


@pytest.fixture
def servers(throwaway_servers: Callable[..., ThrowawayServers]) -> ThrowawayServers:
    return throwaway_servers("web-0")


@pytest.fixture
def login(servers: ThrowawayServers) -> Login:
    return login_of(servers, "web-0")


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """Return what the processes of this test have in their environment."""
    return f"{tmp_path.name}-{os.getpid()}"


pytestmark = pytest.mark.sshd


# ---------------------------------------------------------------- what runs


async def test_floods_on_both_streams_are_heard_to_the_last_byte(servers: ThrowawayServers, login: Login) -> None:
    said = Said()
    flood = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo last; echo end >&2"
    async with ssh_shell(servers) as shell:
        assert await shell.run(login, flood, ears=said.ears) == Ended(kind="exit")

    assert said.counts == [6_000_005, 3_000_004]
    assert (said.stdout[-5:], said.stderr[-4:]) == (b"last\n", b"end\n")


async def test_variables_and_shell_are_the_caller_s(servers: ThrowawayServers, login: Login) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        ended = await shell.run(
            login, 'echo "$A"; false; echo no', shell=["bash", "-e"], env={"A": "it's\n$HOME"}, ears=said.ears
        )

    assert (ended, said.stdout) == (Ended(kind="exit", code=1), b"it's\n$HOME\n")


async def test_what_a_command_leaves_running_keeps_nobody(servers: ThrowawayServers, login: Login, mark: str) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        ended = await shell.run(login, "sleep 1000 & echo up", env={"MARK": mark}, ears=said.ears)
        await until(lambda: commands_with(mark))  # for a moment, a program that begins has no variables
        left = commands_with(mark)
        for pid in left:
            os.kill(pid, 9)

    assert (ended, said.stdout) == (Ended(kind="exit"), b"up\n")
    assert len(left) == 1


async def test_a_script_that_no_shell_takes_is_not_sent(servers: ThrowawayServers, login: Login) -> None:
    async with ssh_shell(servers) as shell:
        assert await shell.run(login, b"a\0b", ears=Said().ears) == Ended(kind="start", message="the script has a NUL byte")

    assert "Accepted" not in log_of(servers, "web-0")


async def test_one_connection_serves_more_commands_than_it_has_sessions(servers: ThrowawayServers, login: Login) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        jobs = [shell.run(login, f"sleep 0.2; exit {number}", ears=said.ears) for number in range(25)]
        ended = await asyncio.gather(*jobs)

    assert [one.code for one in ended] == list(range(25))
    assert log_of(servers, "web-0").count("Accepted publickey") == 1


@pytest.mark.parametrize("script", ["echo up; sleep 1000", "echo up >&2; sleep 1000"])
async def test_an_ear_that_raises_ends_the_command(servers: ThrowawayServers, login: Login, mark: str, script: str) -> None:
    def full(_data: bytes) -> None:
        raise OSError("no space left on device")

    async with ssh_shell(servers) as shell:
        with pytest.raises(OSError, match="no space left"):
            await shell.run(login, script, env={"MARK": mark}, ears=Ears(stdout=full, stderr=full))

    assert commands_with(mark) == []


async def test_an_ear_that_raises_before_we_know_what_to_stop_ends_the_command_too(
    servers: ThrowawayServers, login: Login, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard error, which says what there is to stop, comes last."""
    deaf = job_module._pass_on

    def late(heard: Heard, ready: Callable[[], bool], receive: Callable[[int], bytes]) -> bool:
        if receive.__name__ == "recv_stderr" and not told.is_set():
            return False
        return deaf(heard, ready, receive)

    def full(_data: bytes) -> None:
        told.set()
        raise OSError("no space left on device")

    told = asyncio.Event()
    monkeypatch.setattr(job_module, "_pass_on", late)
    async with ssh_shell(servers) as shell:
        with pytest.raises(OSError, match="no space left"):
            await shell.run(login, "echo up; sleep 1000", env={"MARK": mark}, ears=Ears(stdout=full, stderr=full))

    assert commands_with(mark) == []


# ---------------------------------------------------------------- what is stopped


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo up; sleep 1000 & wait", id="a child that nobody waits for"),
        pytest.param("trap '' TERM; echo up; sleep 1000; sleep 1000", id="one that does not hear"),
        pytest.param("setsid sleep 1000 & echo up; sleep 1000", id="one that has left the group"),
        pytest.param("echo up; kill -STOP $$", id="one that is stopped"),
    ],
)
async def test_cancelling_returns_when_all_of_it_is_gone(
    servers: ThrowawayServers, login: Login, mark: str, script: str
) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        job = asyncio.create_task(shell.run(login, script, env={"MARK": mark}, ears=said.ears, grace_s=0.3))
        await until(lambda: said.stdout)
        assert commands_with(mark)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

        assert commands_with(mark) == []
    assert said.notes == []


async def test_a_command_is_asked_before_it_is_killed_and_its_last_words_are_heard(
    servers: ThrowawayServers, login: Login
) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        script = "trap 'echo bye; exit 9' INT; echo up; while :; do sleep 0.05; done"
        ended = await shell.run(login, script, ears=said.ears, timeout_s=3.0, grace_s=20.0, stop_signal="SIGINT")

    assert (ended, said.stdout) == (Ended(kind="timeout"), b"up\nbye\n")


async def test_the_time_of_one_that_waits_for_its_turn_runs_as_well(servers: ThrowawayServers, login: Login) -> None:
    async with ssh_shell(servers) as shell:
        said = [Said() for _ in range(5)]
        busy = [asyncio.create_task(shell.run(login, "echo up; sleep 1000", ears=one.ears, grace_s=0.1)) for one in said]
        await until(lambda: all(one.stdout for one in said))
        waiting = await shell.run(login, "echo never", ears=Said().ears, timeout_s=2.0)
        for job in busy:
            job.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    assert waiting == Ended(kind="timeout")
    assert [one.notes for one in said] == [[]] * 5


# ---------------------------------------------------------------- what is lost


async def test_a_link_that_breaks_is_unknown_and_the_next_command_has_another(
    servers: ThrowawayServers, login: Login, mark: str
) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        job = asyncio.create_task(shell.run(login, "echo up; sleep 1000", env={"MARK": mark}, ears=said.ears))
        await until(lambda: said.stdout)
        servers.kill_sessions("web-0")
        lost = await job
        again = await shell.run(login, "exit 5", ears=said.ears)

    lost_words = "the link to 127.0.0.1 was lost, and whether the command still runs there is not known"
    assert lost == Ended(kind="unknown", message=lost_words)
    assert again == Ended(kind="exit", code=5)
    for pid in commands_with(mark):
        os.kill(pid, 9)


async def test_a_link_that_only_falls_silent_is_noticed(servers: ThrowawayServers, login: Login) -> None:
    said = Said()
    async with Wire("127.0.0.1", login.port).open() as wire:
        known = servers.folder / "relayed"
        known.write_text((servers.folder / "known_hosts").read_text().replace(f":{login.port} ", f":{wire.port} "))
        async with ssh_shell(servers, known_hosts=known, options=replace(QUICK, dead_after_s=1.0)) as shell:
            job = asyncio.create_task(shell.run(replace(login, port=wire.port), "echo up; sleep 1000", ears=said.ears))
            await until(lambda: said.stdout)
            wire.cut()

            assert (await job).kind == "unknown"
            wire.mend()


async def test_stopping_over_a_link_that_broke_makes_another(servers: ThrowawayServers, login: Login, mark: str) -> None:
    said = Said()
    async with ssh_shell(servers) as shell:
        job = asyncio.create_task(shell.run(login, "echo up; sleep 1000", env={"MARK": mark}, ears=said.ears))
        await until(lambda: said.stdout)
        servers.kill_sessions("web-0")
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

        assert commands_with(mark) == []


async def test_a_shell_that_was_killed_is_unknown(servers: ThrowawayServers, login: Login) -> None:
    async with ssh_shell(servers) as shell:
        ended = await shell.run(login, "kill -9 0", ears=Said().ears)

    assert ended.kind == "unknown"
    assert "the shell on 127.0.0.1 was killed" in ended.message


# ---------------------------------------------------------------- the way in


async def test_an_unknown_host_is_refused_with_what_to_do(servers: ThrowawayServers, login: Login, tmp_path: Path) -> None:
    async with ssh_shell(servers, known_hosts=tmp_path / "none") as shell:
        with pytest.raises(HostKeyError, match=r"is not known: .* SHA256:") as refused:
            await shell.run(login, "true", ears=Said().ears)
        named = replace(login, known_hosts=str(servers.folder / "known_hosts"))
        assert await shell.run(named, "true", ears=Said().ears) == Ended(kind="exit")

    assert "name a file with its key as known_hosts" in refused.value.hint


async def test_a_changed_host_key_is_refused(servers: ThrowawayServers, login: Login) -> None:
    servers.rekey("web-0")
    async with ssh_shell(servers) as shell:
        with pytest.raises(HostKeyError, match="has changed"):
            await shell.run(login, "true", ears=Said().ears)


async def test_a_machine_that_is_not_there_may_be_tried_again(servers: ThrowawayServers, login: Login) -> None:
    servers.stop_one("web-0")
    async with ssh_shell(servers) as shell:
        with pytest.raises(Unreachable) as refused:
            await shell.run(login, "true", ears=Said().ears)

    assert refused.value.retryable


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[PasswordServer]:
    with PasswordServer(tmp_path, user="dag", password="hunter2") as server:
        yield server


async def test_a_password_lets_us_in_and_a_wrong_one_does_not(gate: PasswordServer, tmp_path: Path) -> None:
    shell = SshRemoteShell(known_hosts=[gate.known_hosts], config=[tmp_path / "none"], options=QUICK)
    login = Login(host="127.0.0.1", port=gate.port, user="dag", password="hunter2")
    try:
        ended = await shell.run(login, "true", ears=Said().ears)  # that server has no commands
        with pytest.raises(LoginRefused, match="refused the login as dag: the password") as refused:
            await shell.run(replace(login, password="hunter3"), "true", ears=Said().ears)
    finally:
        await shell.close()

    assert (ended.kind, gate.let_in) == ("start", 1)
    assert "hunter3" not in refused.value.message + repr(login)
