"""Servers apart from runs: can we log in, and which host key do we trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.declare import Server
from provisioning.core.frozen import dataclass
from provisioning.operations import Project
from provisioning.operations.session import run_blocking

if TYPE_CHECKING:
    from provisioning.adapters.ssh.hostkeys import HostKey


def check_logins(project: Project, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
    """Log in to servers in parallel; return for each hostname its error or None."""
    return run_blocking(_warm(project, servers))


async def _warm(project: Project, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
    hosts = project.connect(project.folder, project.infra.servers, project.settings)
    try:
        return await hosts.warm(servers)
    finally:
        await hosts.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The host key that a server offers. `name` is what known_hosts files call the server."""

    server: str
    name: str
    type: str
    base64: str
    fingerprint: str
    trusted: bool  # known already, from the workspace's file or from OpenSSH's


def offered_key(project: Project, server: Server) -> Offered:
    """Ask a server for its host key, without logging in. Raises HostKeyError for a changed or revoked key, HostError."""
    from provisioning.adapters.ssh.hostkeys import KnownHosts

    name, key = run_blocking(_scan(project, server))
    known = KnownHosts(_known_hosts(project))
    trusted = False
    if known.types(name) or known.revoked(name, key):
        known.check(name, key, server=server.hostname)
        trusted = True
    return Offered(
        server=server.hostname, name=name, type=key.type, base64=key.base64, fingerprint=key.fingerprint, trusted=trusted
    )


def trust(project: Project, offered: Offered) -> Path:
    """Remember a key in the workspace's own known_hosts, and return that file."""
    from provisioning.adapters.ssh.hostkeys import HostKey, add_known_host

    path = wiring.known_hosts(project.folder)
    add_known_host(path, offered.name, HostKey(type=offered.type, base64=offered.base64))
    return path


def _known_hosts(project: Project) -> list[Path]:
    home = Path.home() / ".ssh"
    system = Path("/etc/ssh")
    theirs = [home / "known_hosts", home / "known_hosts2", system / "ssh_known_hosts", system / "ssh_known_hosts2"]
    return [wiring.known_hosts(project.folder), *theirs]


async def _scan(project: Project, server: Server) -> tuple[str, HostKey]:
    hosts = wiring.hosts(project.folder, project.infra.servers, project.settings)
    try:
        return await hosts.scan_host_key(server)
    finally:
        await hosts.close()
