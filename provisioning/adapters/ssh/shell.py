"""Commands on other machines over our own SSH: one connection for each login, one channel for each command."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.adapters.remote.wire import made_in_thread
from provisioning.adapters.ssh.channel import new_session
from provisioning.adapters.ssh.config import Resolver, SshConfig
from provisioning.adapters.ssh.connect import Connection, SshOptions, quietly
from provisioning.adapters.ssh.hosts import Line, Lines
from provisioning.adapters.ssh.job import Job
from provisioning.adapters.ssh.script import Errand
from provisioning.adapters.unshaken import to_its_end
from provisioning.core.declare import Server, SshLogin
from provisioning.core.errands import Login
from provisioning.core.frozen import dataclass
from provisioning.core.outside import NOTHING, Ears, Ended
from provisioning.core.stopping import stop_script
from provisioning.errors import HostError, HostKeyError, Unreachable

if TYPE_CHECKING:
    from paramiko import Channel

_AT_ONCE = 5  # commands on one connection: OpenSSH allows ten, and stopping each of them takes another
_STOPPING_S = 20.0  # besides the grace; a lost link is made again meanwhile
_LAST_WORDS_S = 1.0  # of what has been stopped
_AGAIN_S = 0.1  # until a link that is broken is tried again
_UNKNOWN_KEY = "compare the fingerprint on the server, then log in once with ssh, or name a file with its key as known_hosts"


@dataclass(frozen=True, slots=True)
class _Place:
    """A machine, and the commands that may run on it at once."""

    line: Line
    free: asyncio.Semaphore


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    """How a command is asked to end."""

    signal: str
    grace_s: float


class SshRemoteShell:
    """Fulfils `errands.RemoteShell`. `known_hosts` are files besides OpenSSH's, `config` replaces its client configuration."""

    def __init__(
        self,
        *,
        known_hosts: Sequence[Path] = (),
        config: Sequence[Path] | None = None,
        options: SshOptions | None = None,
    ) -> None:
        self._known_hosts, self._config_paths = known_hosts, config
        self._lines = Lines(options or SshOptions())
        self._config: SshConfig | None = None
        self._places: dict[Login, _Place] = {}

    async def run(
        self,
        login: Login,
        command: str | bytes,
        *,
        ears: Ears,
        shell: Sequence[str] = (),
        env: Mapping[str, str] = NOTHING,
        timeout_s: float | None = None,
        grace_s: float = 5.0,
        stop_signal: str = "SIGTERM",
    ) -> Ended:
        """See RemoteShell."""
        script = command.encode("utf-8", "surrogateescape") if isinstance(command, str) else command
        errand = Errand(number=secrets.token_hex(12), script=script, shell=tuple(shell), env=env)
        if wrong := errand.unfit():
            return Ended(kind="start", message=wrong)
        stop = _Stop(signal=signal.Signals[stop_signal].name.removeprefix("SIG"), grace_s=grace_s)
        place, job = self._place(login), None
        try:
            async with asyncio.timeout(timeout_s), place.free:
                job = Job(errand, login.host, *await self._channel(place.line), ears, self._lines.threads)
                return await self._follow(job, place.line, stop)
        except TimeoutError:
            return Ended(kind="unknown", message=job.fate) if job and job.fate else Ended(kind="timeout")

    async def close(self) -> None:
        """See RemoteShell."""
        self._places.clear()
        self._lines.close()

    def _place(self, login: Login) -> _Place:
        """Return where a login leads. Raises HostError, ConfigError."""
        if login not in self._places:
            if self._config is None:
                self._config = SshConfig(self._config_paths)
            extra = (Path(login.known_hosts).expanduser(),) if login.known_hosts else ()
            named = SshLogin(user=login.user or None, port=login.port or None, key_path=login.key_path or None)
            server = Server(hostname=login.host, address=login.host, ssh=named)
            target = Resolver(self._config, known_hosts=(*extra, *self._known_hosts)).target(server)
            target = replace(target, password=login.password or None)
            if login.connect_s:
                target = replace(target, connect_timeout_s=login.connect_s)
            self._places[login] = _Place(self._lines.line(target), asyncio.Semaphore(_AT_ONCE))
        return self._places[login]

    async def _channel(self, line: Line) -> tuple[Connection, Channel]:
        """Return a channel that nothing runs on yet. A connection that broke while nobody used it is made again."""
        from paramiko import ChannelException, SSHException

        while True:
            connection = await _trusted(line)
            try:
                return connection, await made_in_thread(self._lines.threads, partial(new_session, connection), _close)
            except ChannelException as refused:
                name = line.target.name
                raise HostError(f"{name} opens no more sessions: {refused.text}", server=name) from refused
            except (SSHException, EOFError, OSError) as wrong:
                if connection.alive:
                    raise Unreachable(f"{line.target.name}: {wrong}", server=line.target.name) from wrong

    async def _follow(self, job: Job, line: Line, stop: _Stop) -> Ended:
        try:
            await job.start()
            return await asyncio.shield(job.over)  # it goes on while it is stopped
        except BaseException:  # also of an ear
            job.fate = await to_its_end(self._stop(job, line, stop))
            raise
        finally:
            job.close()

    async def _stop(self, job: Job, line: Line, stop: _Stop) -> str:
        """End all of it; return why nobody can say that it is gone, or nothing."""
        try:
            async with asyncio.timeout(stop.grace_s + _STOPPING_S):
                if not await job.known():
                    return ""  # nothing was begun, or it has ended
                mark = f"PROVISIONING_ERRAND={job.errand.number}"
                script = stop_script(mark, group=job.group, signal=stop.signal, grace_s=stop.grace_s)
                gone = await self._told(line, f"exec sh -c '{script}'", stop.grace_s + _STOPPING_S)
                await asyncio.wait([job.over], timeout=_LAST_WORDS_S)
            why = "" if gone else f"what runs on {job.host} could not be stopped"
        except (TimeoutError, HostError):
            why = f"{job.host} cannot be asked whether the command still runs there"
        if why:
            job.ears.note(why)
        return why

    async def _told(self, line: Line, command: str, limit_s: float) -> bool:
        """Have a command run that may run twice, and say whether it ended with 0. A link that breaks meanwhile is made again.

        That one has broken is not seen at once: so nothing but the time ends the attempts. Raises HostError.
        """
        from paramiko import SSHException

        while True:
            tell = partial(_exit_code, await line.connection(), command, limit_s)
            try:
                code = await made_in_thread(self._lines.threads, tell, lambda _code: None)
            except (SSHException, EOFError, OSError):
                code = -1
            if code >= 0:
                return code == 0
            await asyncio.sleep(_AGAIN_S)


async def _trusted(line: Line) -> Connection:
    """Return the live connection. Raises HostError; there is no workspace that could be told to trust a key."""
    try:
        return await line.connection()
    except HostKeyError as wrong:
        if "not known" not in wrong.message:
            raise
        raise HostKeyError(wrong.message, hint=_UNKNOWN_KEY, server=wrong.server) from wrong


def _exit_code(connection: Connection, command: str, limit_s: float) -> int:
    """Run a command of ours to its end. Blocking. Raises SSHException."""
    channel = new_session(connection)
    try:
        channel.exec_command(command)
        return channel.recv_exit_status() if channel.status_event.wait(limit_s) else -1
    finally:
        _close(channel)


def _close(channel: Channel) -> None:
    quietly(channel.close)
