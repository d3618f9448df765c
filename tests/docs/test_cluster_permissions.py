"""The documented permissions are those that the roles are tested with."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.adapters.nats.names import Names
from provisioning.adapters.nats.permissions import Permissions, of_client, of_scheduler, of_server, of_worker

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cluster-permissions.md"
NAMES, INBOX = Names(), "_INBOX.NAME"
ROLES = {
    "Scheduler": of_scheduler(NAMES, INBOX),
    "Client": of_client(NAMES, INBOX),
    "Server": of_server(NAMES, INBOX),
    "Worker `wa` of `site-a`": of_worker(NAMES, INBOX, ["site-a"], "wa"),
}


def listed(permissions: Permissions) -> list[str]:
    return [
        *(f"publish    {subject}" for subject in permissions.publish),
        *(f"denied     {subject}" for subject in permissions.deny_publish),
        *(f"subscribe  {subject}" for subject in permissions.subscribe),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_the_page_lists_what_a_role_needs(role: str) -> None:
    section = PAGE.read_text("utf-8").partition(f"### {role}\n")[2].partition("```text\n")[2].partition("```")[0]
    assert section.splitlines() == listed(ROLES[role])
