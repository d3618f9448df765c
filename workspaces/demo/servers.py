"""Throw-away servers: OpenSSH daemons on loopback with keys, ports and folders of their own.

    python workspaces/demo/servers.py up FOLDER      starts the demo's four and leaves them running
    python workspaces/demo/servers.py down FOLDER    ends them, and what was installed on them

Each server has a folder with `state` (where the runner keeps its claims: PROVISIONING_HOME) and `root` (where the demo's
services live: DEMO_ROOT). Nothing of the system's configuration is read or changed.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from processes import Process, end, kill, send, with_environment
from sshd import (
    ADDRESSES_PER_DAEMON,
    Daemon,
    Seat,
    SshdError,
    free_port,
    leave_privilege_folder,
    make_key,
    privilege_folder,
    sshd_path,
)

DEMO_SERVERS = ("edge", "app-1", "app-2", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrowawayServer:
    """One server, as it is reached."""

    name: str
    address: str
    port: int
    user: str
    key_path: Path
    pid: int  # of its sshd; 0 while it is stopped
    home: Path  # PROVISIONING_HOME on the server: claims and results of the runner
    root: Path  # DEMO_ROOT on the server


class ThrowawayServers:
    """Some servers that exist until `stop`, or until the `with` block ends.

    Every name gets a daemon of its own on 127.0.0.1. With `shared`, the servers are 127.0.0.1, 127.0.0.2, ... on one
    port, sixteen to a daemon, because sshd opens no more sockets; stopping one then stops those that share its daemon.

    Without `folder`, a temporary one is made and removed at the end. Raises SshdError when sshd is missing or refuses.
    """

    def __init__(
        self,
        names: Sequence[str] = DEMO_SERVERS,
        *,
        folder: Path | None = None,
        shared: bool = False,
        ports: Callable[[], int] = free_port,
    ) -> None:
        self._temporary = folder is None
        self.folder = (folder or Path(tempfile.mkdtemp(prefix="provisioning-servers-"))).resolve()
        self.names = tuple(names)
        self._shared = shared
        self._ports = ports
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def client_key(self) -> Path:
        """The private key that every server accepts."""
        return self.folder / "client_key"

    def start(self) -> None:
        """Make keys, start all daemons side by side, return when every one answers."""
        if sshd_path() is None:
            raise SshdError("OpenSSH's server is not installed: apt-get install openssh-server")
        self._daemons = self._seated()
        for seat in (seat for daemon in self._daemons for seat in daemon.seats):
            for name in ("root", "tmp"):
                (seat.home / name).mkdir(parents=True, exist_ok=True)
        for key in [make_key(path) for path in (self.client_key, *(daemon.host_key for daemon in self._daemons))]:
            key.wait()
        try:
            self._launch(self._daemons)
        except SshdError:
            self.stop()
            raise
        self.write_known_hosts(self.folder / "known_hosts")

    def stop(self) -> None:
        """End the daemons, whatever was started through them, and the temporary folder. Stopping twice is no error."""
        for daemon in self._daemons:
            daemon.stop()
        end(self.leftovers())
        leave_privilege_folder()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def leftovers(self) -> list[Process]:
        """Return what still runs on the servers: everything started over a connection keeps its DEMO_ROOT."""
        return with_environment("DEMO_ROOT", self.folder)

    def server(self, name: str) -> ThrowawayServer:
        """Return one server. Raises KeyError."""
        daemon, seat = self._find(name)
        return ThrowawayServer(
            name=name,
            address=seat.address,
            port=daemon.port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            key_path=self.client_key,
            pid=daemon.process.pid if daemon.process else 0,
            home=seat.home / "state",
            root=seat.home / "root",
        )

    def servers_json(self) -> dict[str, object]:
        """Return them as a workspace's servers.json has them."""
        return {"servers": [self._declared(self.server(name)) for name in self.names]}

    def write_known_hosts(self, path: Path) -> None:
        """Write the host keys of all servers, as OpenSSH's known_hosts has them."""
        lines = []
        for name in self.names:
            daemon, seat = self._find(name)
            kind, key, *_ = daemon.host_key.with_suffix(".pub").read_text("utf-8").split()
            lines.append(f"[{seat.address}]:{daemon.port} {kind} {key}\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), "utf-8")

    def kill_sessions(self, name: str) -> None:
        """Cut every connection to a server at once. Commands behind them go on."""
        kill(self._find(name)[0].sessions())

    def stop_one(self, name: str) -> None:
        """Take a server down: its connections break, new ones are refused."""
        self._find(name)[0].stop()

    def start_one(self, name: str) -> None:
        """Bring it back, same port, same key."""
        daemon = self._find(name)[0]
        with privilege_folder([daemon]):
            daemon.launch()
            if not daemon.wait():
                raise SshdError(f"port {daemon.port} of {name} has been taken by another program")

    def rekey(self, name: str) -> None:
        """Give a server a new host key, as after a reinstallation."""
        daemon = self._find(name)[0]
        daemon.stop()
        make_key(daemon.host_key).wait()
        self.start_one(name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a server's daemon and connections from answering for a while; the kernel still accepts and acknowledges."""
        daemon = self._find(name)[0]
        still = [*daemon.sessions(), *([daemon.process] if daemon.process else [])]
        send(still, signal.SIGSTOP)
        try:
            yield
        finally:
            send(still, signal.SIGCONT)

    def record(self) -> None:
        """Note in the folder which processes are ours, for `take_down`."""
        ours = [{"pid": one.process.pid, "started": one.process.started} for one in self._daemons if one.process]
        (self.folder / "daemons.json").write_text(json.dumps(ours), "utf-8")

    def _seated(self) -> list[Daemon]:
        if not self._shared:
            return [self._daemon(name, (self._seat(name, "127.0.0.1"),), self._ports()) for name in self.names]
        port = self._ports()
        seats = [self._seat(name, f"127.0.{number // 250}.{number % 250 + 1}") for number, name in enumerate(self.names)]
        groups = [tuple(seats[at : at + ADDRESSES_PER_DAEMON]) for at in range(0, len(seats), ADDRESSES_PER_DAEMON)]
        return [self._daemon(f"sshd-{number}", group, port) for number, group in enumerate(groups)]

    def _seat(self, name: str, address: str) -> Seat:
        return Seat(name=name, address=address, home=self.folder / name)

    def _daemon(self, name: str, seats: tuple[Seat, ...], port: int) -> Daemon:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return Daemon(folder=folder, seats=seats, authorized_keys=self.client_key.with_suffix(".pub"), port=port)

    def _launch(self, daemons: list[Daemon]) -> None:
        """Start daemons; where a port was taken meanwhile, try again on other ones."""
        with privilege_folder(daemons):
            for _ in range(5):
                for daemon in daemons:
                    daemon.launch()
                refused = [daemon for daemon in daemons if not daemon.wait()]
                if not refused:
                    return
                daemons = self._daemons if self._shared else refused
                port = self._ports()
                for daemon in daemons:
                    daemon.stop()
                    daemon.port = port if daemon is daemons[0] or self._shared else self._ports()
        raise SshdError("no free port was left for sshd after five tries")

    def _find(self, name: str) -> tuple[Daemon, Seat]:
        for daemon in self._daemons:
            for seat in daemon.seats:
                if seat.name == name:
                    return daemon, seat
        raise KeyError(name)

    @staticmethod
    def _declared(server: ThrowawayServer) -> dict[str, object]:
        login = {"user": server.user, "port": server.port, "key_path": str(server.key_path)}
        return {"hostname": server.name, "address": server.address, "ssh": login}


def take_down(folder: Path) -> int:
    """End servers that another process left running in `folder`, and remove it; return how many processes were ended."""
    folder = folder.resolve()
    recorded = folder / "daemons.json"
    if not recorded.is_file():
        return 0
    daemons = [Process(pid=one["pid"], started=one["started"]) for one in json.loads(recorded.read_text("utf-8"))]
    left = [*daemons, *with_environment("DEMO_ROOT", folder)]
    end(left)
    leave_privilege_folder()
    shutil.rmtree(folder)
    return len(left)


def main(arguments: Sequence[str]) -> int:
    """Start or end the demo's servers."""
    match arguments:
        case ["up", folder]:
            take_down(Path(folder))
            servers = ThrowawayServers(folder=Path(folder))
            servers.start()
            servers.record()
            print(json.dumps(servers.servers_json(), indent=2))
        case ["down", folder]:
            print(f"ended {take_down(Path(folder))} processes")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SshdError as error:
        sys.exit(f"error: {error}")
