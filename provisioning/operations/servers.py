"""Servers apart from runs: can we log in, and which host key do we trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioning import wiring
from provisioning.core.declare import Server
from provisioning.operations import Project
from provisioning.operations.session import run_blocking


def check_logins(project: Project, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
    """Log in to servers in parallel; return for each hostname its error or None."""
    return run_blocking(_warm(project, servers))


async def _warm(project: Project, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
    hosts = wiring.hosts(project.folder, project.settings)
    try:
        return await hosts.warm(servers)
    finally:
        await hosts.close()
