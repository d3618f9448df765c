"""Shells on throw-away servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from servers import ThrowawayServers
from support.ssh import QUICK

from provisioning.adapters.ssh.connect import SshOptions
from provisioning.adapters.ssh.shell import SshRemoteShell
from provisioning.core.errands import Login


def login_of(servers: ThrowawayServers, name: str, **changes: object) -> Login:
    """Return the way into a throw-away server."""
    one = servers.server(name)
    login = Login(host=one.address, user=one.user, port=one.port, key_path=str(one.key_path))
    return replace(login, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def ssh_shell(
    servers: ThrowawayServers, *, known_hosts: Path | None = None, options: SshOptions = QUICK
) -> AsyncIterator[SshRemoteShell]:
    """Yield shells on throw-away servers, which are closed at the end."""
    known = known_hosts or servers.folder / "known_hosts"
    shell = SshRemoteShell(known_hosts=[known], config=[servers.folder / "no-such-config"], options=options)
    try:
        yield shell
    finally:
        await shell.close()
