"""Hosts over SSH: one connection per server, made when first needed, watched, made again when it broke."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from provisioning.adapters.remote.link import RemoteLink
from provisioning.adapters.remote.program import COMMAND, SUDO_COMMAND, SUDO_PASSWORD_COMMAND
from provisioning.adapters.remote.wire import Wire, made_in_thread, missing_programs
from provisioning.adapters.ssh.channel import ChannelWire, WayIn, open_channel
from provisioning.adapters.ssh.config import Resolver, SshConfig, Target
from provisioning.adapters.ssh.connect import Busy, Connection, Connector, SshOptions, quietly
from provisioning.adapters.ssh.hostkeys import HostKey
from provisioning.core.declare import Server
from provisioning.core.ports import Secrets
from provisioning.errors import BecomeRefused, HostError, Unreachable

_BUSY_TRIES = 4
_BOOTING_S = 1.0  # between tries of a server that was there before
_ASK_AFTER = 0.3  # of the time after which silence means dead


class SshHosts:
    """Hosts over SSH.

    `servers` are those that `proxy_jump` may name. `known_hosts` are files besides OpenSSH's own, `config` replaces
    OpenSSH's client configuration. `secrets` resolves the password of `become`.
    """

    def __init__(
        self,
        *,
        servers: Sequence[Server] = (),
        known_hosts: Sequence[Path] = (),
        config: Sequence[Path] | None = None,
        secrets: Secrets | None = None,
        options: SshOptions | None = None,
    ) -> None:
        self._config_paths = config
        self._servers, self._known_hosts, self._secrets = servers, known_hosts, secrets
        self._options = options or SshOptions()
        self._ways = Lines(self._options)
        self._resolver: Resolver | None = None
        self._targets: dict[tuple[str, str | None], Target] = {}
        self._links: dict[Target, RemoteLink] = {}

    async def link(self, server: Server, *, address: str | None = None) -> RemoteLink:
        """See Hosts."""
        target = self._target(server, address)
        line = self._ways.line(target)
        await line.connection()
        if target not in self._links:
            shell = SshShell(line, self._ways.threads, self._secrets, sudo_s=self._options.sudo_s)
            self._links[target] = RemoteLink(shell, patience_s=self._options.patience_s)
        return self._links[target]

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """See Hosts."""
        made = await asyncio.gather(*(self.link(server) for server in servers), return_exceptions=True)
        errors: dict[str, Exception | None] = {}
        for server, one in zip(servers, made, strict=True):
            if isinstance(one, BaseException) and not isinstance(one, Exception):
                raise one
            errors[server.hostname] = one if isinstance(one, Exception) else None
        return errors

    async def recorded(self) -> None:
        """See Hosts."""
        await asyncio.gather(*(link.recorded() for link in self._links.values()))

    async def close(self) -> None:
        """See Hosts."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._ways.close()

    async def scan_host_key(self, server: Server, *, address: str | None = None) -> tuple[str, HostKey]:
        """Return what known_hosts would call a server, and the key it offers, without trusting it.

        Jump hosts on the way have to be trusted already. Raises HostError.
        """
        target = self._target(server, address)
        through = await self._ways.line(target).way()
        scan = partial(self._ways.connector.host_key, target, through)
        return target.host_key_name, await made_in_thread(self._ways.threads, scan, lambda _key: None)

    def _target(self, server: Server, address: str | None) -> Target:
        """Return where a server is. Asked for by every step, so it is found out once."""
        key = (server.hostname, address)
        if key not in self._targets:
            if self._resolver is None:
                config = SshConfig(self._config_paths)
                self._resolver = Resolver(config, servers=self._servers, known_hosts=self._known_hosts)
            self._targets[key] = self._resolver.target(server, address=address)
        return self._targets[key]


class Lines:
    """The ways to all servers. Jump hosts are shared by all that go through them."""

    def __init__(self, options: SshOptions) -> None:
        self.connector = Connector(options=options)
        self.threads = ThreadPoolExecutor(options.threads, thread_name_prefix="ssh")
        self._options = options
        self._burst = asyncio.Semaphore(options.burst)
        self._lines: dict[Target, Line] = {}

    def line(self, target: Target) -> Line:
        """Return the line to a target."""
        through = None
        for hop in (*target.jumps, target):
            if hop not in self._lines:
                make = partial(Line, hop, through, connector=self.connector, threads=self.threads)
                self._lines[hop] = make(burst=self._burst, options=self._options)
            through = self._lines[hop]
        return self._lines[target]

    def close(self) -> None:
        """Close them for good."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self.threads.shutdown(wait=False, cancel_futures=True)


class Line:
    """The way to one server: a connection that is made again when it broke."""

    def __init__(
        self,
        target: Target,
        through: Line | None,
        *,
        connector: Connector,
        threads: ThreadPoolExecutor,
        burst: asyncio.Semaphore,
        options: SshOptions,
    ) -> None:
        self.target = target
        self._through = through
        self._connector, self._threads, self._burst, self._options = connector, threads, burst, options
        self._making: asyncio.Task[Connection] | None = None
        self._connection: Connection | None = None
        self._watch: asyncio.Task[None] | None = None
        self._was_there = False
        self._ended = False

    async def connection(self) -> Connection:
        """Return the live connection, made now if there is none. Raises HostError.

        Who comes while it is being made shares what comes of it: a dead server costs its limit once, not once per caller.
        """
        if self._ended:
            raise HostError(f"the connection to {self.target.name} has been closed", server=self.target.name)
        if self._connection is not None and self._connection.alive:
            return self._connection
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
            self._making.add_done_callback(lambda made: made.cancelled() or made.exception())  # all callers may be gone
        return await asyncio.shield(self._making)

    async def way(self) -> Connection | None:
        """Return the connection of the jump host before us."""
        return await self._through.connection() if self._through is not None else None

    def close(self) -> None:
        """Close the connection for good."""
        self._ended = True
        if self._making is not None:
            self._making.cancel()
        self._drop()

    async def _make(self) -> Connection:
        self._drop()
        self._connection = await self._connect()
        self._was_there = True
        self._watch = asyncio.create_task(self._keep_watch(self._connection))
        return self._connection

    def _drop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._connection is not None:
            self._connection.close()
        self._watch = self._connection = None

    async def _connect(self) -> Connection:
        """Try with back-off and jitter; only what may pass is tried again, a busy server some times more.

        A server that we have been on has lost its link, or is booting: that is waited for as long as for an answer.
        """
        until_s = time.monotonic() + (self._options.patience_s if self._was_there else 0)
        waits = {False: _waits(self._options.tries), True: _waits(self._options.tries + _BUSY_TRIES)}
        while True:
            try:
                through = await self.way()
                async with self._burst:
                    connect = partial(self._connector.connect, self.target, through)
                    return await made_in_thread(self._threads, connect, Connection.close)
            except Unreachable as failed:
                pause = next(waits[isinstance(failed, Busy)], None)
                if pause is None and time.monotonic() >= until_s:
                    raise
                pause = _BOOTING_S if pause is None else pause
            await asyncio.sleep(pause)

    async def _keep_watch(self, connection: Connection) -> None:
        """Ask when it has been silent, and close it when no answer comes: everyone on it then learns that it is lost."""
        interval_s = self._options.dead_after_s * _ASK_AFTER
        asked_s = None
        while connection.alive:
            began_s = time.monotonic()
            await asyncio.sleep(interval_s)
            now = time.monotonic()
            we_slept = now - began_s > 2 * interval_s  # this process was stopped: what was not heard proves nothing
            if now - connection.ears.heard_s < interval_s or we_slept:
                asked_s = None
            elif asked_s is None:
                asked_s = now
                self._threads.submit(quietly, partial(connection.transport.global_request, "keepalive@openssh.com", wait=True))
            elif now - asked_s >= interval_s:
                connection.close()


class SshShell:
    """Starts the wrapper on a line, as root if asked."""

    def __init__(self, line: Line, threads: ThreadPoolExecutor, secrets: Secrets | None, *, sudo_s: float) -> None:
        self._line, self._threads, self._secrets, self._sudo_s = line, threads, secrets, sudo_s

    @property
    def server(self) -> str:
        """See Shell."""
        return self._line.target.name

    async def open(self, program: bytes) -> Wire:
        """See Shell."""
        connection = await self._line.connection()
        launch = partial(open_channel, connection, self._threads, program, self._way_in(), sudo_s=self._sudo_s)
        return await made_in_thread(self._threads, launch, ChannelWire.close)

    def refusal(self, code: int, notes: str) -> HostError:
        """See Shell."""
        if self._line.target.become is None:
            return missing_programs(self.server, code, notes)
        return BecomeRefused(
            f"{self.server}: sudo refused (exit {code}): {notes or 'no message'}",
            hint="allow the login to use sudo without a password, or set ssh.become.password",
            server=self.server,
        )

    def _way_in(self) -> WayIn:
        become = self._line.target.become
        if become is None:
            return WayIn(command=COMMAND)
        if become.password is None:
            return WayIn(command=SUDO_COMMAND, as_root=True)
        if self._secrets is None:
            raise HostError(f"{self.server}: no secrets to take the password of become from", server=self.server)
        return WayIn(command=SUDO_PASSWORD_COMMAND, as_root=True, password=self._secrets.resolve(become.password))


def _waits(tries: int) -> Iterator[float]:
    longest = 0.4
    for _ in range(tries - 1):
        yield random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, guards nothing
        longest = min(longest * 2, 5.0)
