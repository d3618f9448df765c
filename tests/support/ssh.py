"""Throw-away servers as the SSH adapter sees them, and a wire to them that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from servers import ThrowawayServers

from provisioning.adapters.ssh.connect import SshOptions
from provisioning.adapters.ssh.hosts import SshHosts
from provisioning.core.declare import Server, SshLogin
from provisioning.core.ports import Secrets

QUICK = SshOptions(tries=3, patience_s=8.0, connect_s=3.0, greeting_s=3.0, login_s=5.0, dead_after_s=4.0)


def declared(servers: ThrowawayServers, name: str, **login: object) -> Server:
    """Return a server as a workspace declares it; `login` changes its ssh fields."""
    one = servers.server(name)
    fields: dict[str, object] = {"user": one.user, "port": one.port, "key_path": str(one.key_path), **login}
    return Server(hostname=name, address=one.address, ssh=SshLogin(**fields))  # type: ignore[arg-type]


@asynccontextmanager
async def ssh_hosts(
    servers: ThrowawayServers,
    *,
    known_hosts: Path | None = None,
    options: SshOptions = QUICK,
    secrets: Secrets | None = None,
    config: Path | None = None,
) -> AsyncIterator[SshHosts]:
    """Yield connections to throw-away servers, which are closed at the end."""
    hosts = SshHosts(
        servers=[declared(servers, name) for name in servers.names],
        known_hosts=[known_hosts or servers.folder / "known_hosts"],
        config=[config or servers.folder / "no-such-config"],
        secrets=secrets,
        options=options,
    )
    try:
        yield hosts
    finally:
        await hosts.close()


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> tuple[str, str]:
    """Make a key pair; return type and blob of its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True)
    kind, blob, *_ = path.with_suffix(".pub").read_text().split()
    return kind, blob


def fingerprint(servers: ThrowawayServers, name: str) -> str:
    """Return what ssh-keygen shows of a server's host key."""
    public = servers.folder / name / "host_key.pub"
    return subprocess.run(["ssh-keygen", "-l", "-f", public], check=True, capture_output=True, text=True).stdout.split()[1]


@contextmanager
def agent_with(key: Path, at: Path, *, ask: Path | None = None) -> Iterator[None]:
    """Run an agent that holds a key; `ask` is a program that says its passphrase."""
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", at], stdout=subprocess.DEVNULL)
    try:
        while not _answers(at):  # its file is there before anybody listens
            time.sleep(0.01)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(at)}
        environment |= {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"} if ask else {}
        subprocess.run(["ssh-add", "-q", key], check=True, env=environment)
        yield
    finally:
        agent.terminate()
        agent.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def log_of(servers: ThrowawayServers, name: str) -> str:
    """Return what a server's sshd has logged."""
    return (servers.folder / name / "sshd.log").read_text("utf-8", "replace")


class Wire:
    """A relay on loopback between a client and a server. It can refuse, stop passing anything on, and go on."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._server_port = address, port
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sinks: list[asyncio.StreamWriter] = []
        self.refusals = 0  # connections that are still to be hung up on before a word is said
        self.accepted = 0
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for sink in self._sinks:
                sink.transport.abort()
            await asyncio.gather(*(sink.wait_closed() for sink in self._sinks), return_exceptions=True)

    def cut(self) -> None:
        """Pass nothing on any more, and say nothing about it: a partition."""
        self._flows.clear()

    def mend(self) -> None:
        """Pass on again, what was held back included."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._sinks.append(writer)
        if self.refusals:
            self.refusals -= 1
            writer.close()
            return
        back_reader, back_writer = await asyncio.open_connection(self._address, self._server_port)
        self._sinks.append(back_writer)
        for source, sink in ((reader, back_writer), (back_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        await self._flows.wait()
        sink.close()
