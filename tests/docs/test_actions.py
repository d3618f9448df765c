"""The page of actions names every setting that they have, and no other."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from provisioning.engine.actions import docker, http, shell

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "actions.md"


@pytest.mark.parametrize(
    ("action", "settings"),
    [("shell", shell.SETTINGS), ("http", http.SETTINGS), ("docker", docker.SETTINGS)],
    ids=["shell", "http", "docker"],
)
def test_the_table_of_an_action_s_settings_is_complete(action: str, settings: Collection[str]) -> None:
    section = PAGE.read_text("utf-8").partition(f"\n## {action}\n")[2].partition("\n## ")[0]
    table = section.partition("| setting |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])]

    assert sorted(named) == sorted(settings)
