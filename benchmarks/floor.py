"""The floor: the least that W(H) costs over SSH with paramiko, when nothing but the work is done.

`python floor.py JOB.json`. known_hosts is parsed once and the key loaded once; no agent, no search for keys; fast algorithms
first; TCP_NODELAY; one connection per server, one channel per taskserv, the bundle as a tar.gz on its standard input; a bounded
number of threads; a server that hangs up before it greets is tried again. No journal, no state, no claims, no plan.
"""

from __future__ import annotations

import io
import json
import random
import shlex
import socket
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from paramiko import Channel, Ed25519Key, SSHException, Transport

THREADS = 50
TRIES = 8
FAST_KEX = ("curve25519-sha256@libssh.org",)
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
FAST_KEYS = ("ssh-ed25519",)
RUN = 'd=$(mktemp -d) && cd "$d" && tar xz && bash ./install-{name}.sh install; s=$?; cd /; rm -rf "$d"; exit $s'


class Floor:
    """One run of the work."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._key = Ed25519Key.from_private_key_file(job["key"])
        self._known = _known_hosts(Path(job["known_hosts"]))
        loader = FileSystemLoader(job["bundles"])
        self._templates = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
        self._files = {name: sorted(Path(job["bundles"], name).iterdir()) for name in job["taskservs"]}

    def run(self) -> None:
        """Serve all servers."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._serve, self._job["machines"]))

    def _serve(self, machine: Mapping[str, Any]) -> None:
        transport = self._connected(machine)
        try:
            for name in self._job["taskservs"]:
                _execute(transport, RUN.format(name=name), self._bundle(name, machine))
            _execute(transport, f"bash -c {shlex.quote(self._job['gate'])}", b"")
        finally:
            transport.close()

    def _connected(self, machine: Mapping[str, Any]) -> Transport:
        for attempt in range(TRIES):
            try:
                return self._log_in(machine)
            except (SSHException, EOFError, OSError):
                if attempt == TRIES - 1:
                    raise
                time.sleep(random.uniform(0.05, 0.1) * 2**attempt)
        raise AssertionError("unreachable")

    def _log_in(self, machine: Mapping[str, Any]) -> Transport:
        connection = socket.create_connection((machine["address"], machine["port"]), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = Transport(connection)
        options = transport.get_security_options()
        options.kex = _first(FAST_KEX, options.kex)
        options.ciphers = _first(FAST_CIPHERS, options.ciphers)
        options.key_types = _first(FAST_KEYS, options.key_types)
        transport.start_client(timeout=15)
        offered = transport.get_remote_server_key()
        if self._known[f"[{machine['address']}]:{machine['port']}"] != (offered.get_name(), offered.get_base64()):
            raise RuntimeError(f"{machine['hostname']}: unknown host key")
        transport.auth_publickey(machine["user"], self._key)
        return transport

    def _bundle(self, name: str, machine: Mapping[str, Any]) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for path in self._files[name]:
                content = self._rendered(f"{name}/{path.name}", machine) if path.suffix == ".j2" else path.read_bytes()
                entry = tarfile.TarInfo(path.name.removesuffix(".j2"))
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return packed.getvalue()

    def _rendered(self, name: str, machine: Mapping[str, Any]) -> bytes:
        return self._templates.get_template(name).render(server=machine).encode()


def _execute(transport: Transport, command: str, stdin: bytes) -> None:
    """Run a command to its end. Raises RuntimeError with its output when it fails."""
    channel = transport.open_session()
    channel.set_combine_stderr(True)
    channel.exec_command(command)
    channel.sendall(stdin)
    channel.shutdown_write()
    output = _drained(channel)
    if channel.recv_exit_status() != 0:
        raise RuntimeError(f"{command}: {output.decode(errors='replace')}")
    channel.close()


def _drained(channel: Channel) -> bytes:
    pieces = []
    while piece := channel.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def _known_hosts(path: Path) -> dict[str, tuple[str, str]]:
    lines = (line.split() for line in path.read_text("utf-8").splitlines())
    return {host: (kind, key) for host, kind, key in lines}


def _first(wanted: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    return (*wanted, *(name for name in offered if name not in wanted))


if __name__ == "__main__":
    Floor(json.loads(Path(sys.argv[1]).read_text("utf-8"))).run()
