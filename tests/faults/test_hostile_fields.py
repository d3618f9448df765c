"""Hostile text in every field of every file a user writes: refused or harmless, and never a traceback."""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support.faked import FakedWorkspace, tree

from provisioning.adapters.local import local_link
from provisioning.adapters.remote.link import RemoteLink
from provisioning.core.declare import Server
from provisioning.operations import Project, open_project

SEED = 20260107
QUICK, SOAK = 500, 5_000
TIMES = (
    "..",
    "../../etc/x",
    "/etc/x",
    "a/b",
    "%2e%2e%2f",
    "a\0b",
    "a\nb",
    "\r",
    "-oProxyCommand=touch {canary}",
    "$(touch {canary})",
)
MORE = (
    "`touch {canary}`",
    ";touch {canary};",
    "x'; touch {canary}; '",
    '"; touch {canary}; "',
    "|touch {canary}",
    "{{{{ 7*7 }}}}",
)
ODD = (
    "\u202egnp.exe",
    "caf\u00e9",
    "cafe\u0301",
    "x" * 10_240,
    "\U0001f680",
    "CON",
    "health",
    "\x1b]52;c;eA==\x07",
    "",
    " ",
    "~root/x",
)
PAYLOADS = TIMES + MORE + ODD
BY_DESIGN = {("dag.json", "formulas", 0, "health_gate", "check_cmd")}  # a command: it is there to be run

GOOD: Mapping[str, Any] = {
    "workspace.toml": {
        "name": "test",
        "default_infra": "test",
        "params": {"colour": "red"},
        "secrets": {"password": "env:HOME"},
        "settings": {"ssh": {"reconnect_s": 3}},
    },
    "servers.json": {
        "servers": [
            {
                "hostname": "cp-0",
                "address": "192.0.2.1",
                "public_ip": "192.0.2.2",
                "private_ip": "10.0.0.1",
                "site": "here",
                "labels": {"role": "control"},
                "ssh": {"user": "admin", "port": 22, "key_path": "key", "proxy_jump": "jump", "become": {"method": "sudo"}},
            }
        ]
    },
    "dag.json": {
        "formulas": [
            {
                "id": "a",
                "server": "cp-0",
                "max_parallel": 2,
                "nodes": [
                    {"id": "n", "taskserv": {"name": "os", "profile": "default"}, "params": {"text": "x"}, "on_error": "stop"}
                ],
                "health_gate": {
                    "check_cmd": "echo ok",
                    "expected": "ok",
                    "address": "public",
                    "retries": 1,
                    "timeout_ms": 2000,
                },
            }
        ],
        "composition": {"formulas": [{"formula_id": "a", "depends_on": []}]},
    },
    "taskservs/os/taskserv.toml": {
        "name": "os",
        "version": "1.0",
        "description": "it",
        "operations": ["install"],
        "idempotent": True,
        "timeout_s": 20,
        "requires": [],
        "provides": ["system"],
        "conflicts_with": ["none"],
        "params": {"text": {"type": "string", "default": "x", "description": "it"}},
    },
}
Place = tuple[str | int, ...]


class LocalHosts:
    """Fulfils `ports.Hosts`: every server is this machine, with a folder of its own."""

    def __init__(self, home: Path) -> None:
        self._environment = {**os.environ, "PROVISIONING_HOME": str(home)}

    async def link(self, server: Server, *, address: str | None = None) -> RemoteLink:
        """Return a link to this machine."""
        return local_link(environment=self._environment)

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """Nothing has to be opened."""
        return {server.hostname: None for server in servers}

    async def close(self) -> None:
        """Nothing was opened."""


class LocalWorkspace(FakedWorkspace):
    """A workspace whose scripts really run, on this machine."""

    def project(self) -> Project:
        """Load the workspace."""
        hosts = LocalHosts(self.folder.parent / "server")
        return replace(open_project(self.folder, None), connect=lambda *_: hosts)

    def write(self, documents: Mapping[str, Any]) -> None:
        """Write every file; one that cannot be said in TOML is left out."""
        for name, document in documents.items():
            text = tomli_w.dumps(document) if name.endswith(".toml") else json.dumps(document)
            (self.folder / name).write_text(text, "utf-8")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalWorkspace:
    (tmp_path / "lab").mkdir()
    made = LocalWorkspace(tmp_path / "lab" / "workspace")
    made.taskserv("os", script='. ./env-os; : "$TEXT"; printf "%s" "$TEXT"')
    template = "TEXT={{ params.text | sh }}\nNAME={{ server.hostname | sh }}\nCOLOUR={{ workspace.params.colour | sh }}\n"
    (made.folder / "taskservs" / "os" / "default" / "env-os.j2").write_text(template, "utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return made


def places(value: object, way: Place = ()) -> Iterator[tuple[Place, bool]]:
    """Yield each value of a document, and each key (True), by its way."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if not isinstance(inner, dict | list):
            yield (*way, key), False
        if isinstance(key, str):
            yield (*way, key), True
        yield from places(inner, (*way, key))


def changed(file: str, way: Place, payload: str, *, key: bool) -> dict[str, Any]:
    """Return all documents with a payload in one place, as a value or as a key."""
    documents = copy.deepcopy(dict(GOOD))
    holder = documents[file]
    for step in way[:-1]:
        holder = holder[step]
    if key:
        holder[payload] = holder.pop(way[-1])
    else:
        holder[way[-1]] = payload
    return documents


def attack(workspace: LocalWorkspace, count: int, *, run_each: int) -> Counter[str]:
    """Put payloads into places, `count` of all pairs in turn; run every so many-th that is accepted."""
    root, dice, found = workspace.folder.parent, random.Random(SEED), Counter[str]()
    canary, outside = root / "canary", tree(root.parent / "elsewhere")
    work = [
        (file, way, payload, key)
        for file, document in GOOD.items()
        for way, key in places(document)
        for payload in PAYLOADS
        if (file, *way) not in BY_DESIGN
    ]
    dice.shuffle(work)
    for number in range(count):
        file, way, payload, key = work[number % len(work)]
        text = payload.format(canary=canary) if "{" in payload else payload
        workspace.write(changed(file, way, text, key=key))
        words = ("workspace", "validate") if number % 2 else ("taskserv", "create", "--all", "--check")
        ended = workspace.run(*words)
        where = (file, way, payload[:60], key, ended)
        assert ended.code in {0, 3, 4}, where
        assert "Traceback" not in ended.err, where
        assert "\x1b]52" not in ended.err + ended.out, where
        found["accepted" if ended.code == 0 else "refused"] += 1
        if ended.code == 0 and found["accepted"] % run_each == 0:
            ran = workspace.run("taskserv", "create", "--all", "--reset")
            assert "unexpected" not in ran.err, (where, ran)
            assert ran.code in {0, 1, 3, 4, 5, 7}, (where, ran)
            found[f"run: exit {ran.code}"] += 1
        assert not canary.exists(), where
        assert {path.name for path in root.iterdir()} <= {"workspace", "server"}, where
    assert tree(root.parent / "elsewhere") == outside
    found["pairs there are"] = len(work)
    return found


@pytest.mark.timeout(120)
def test_hostile_text_in_every_field_is_refused_or_harmless(workspace: LocalWorkspace, say: Callable[[str], None]) -> None:
    found = attack(workspace, QUICK, run_each=8)
    say(f"{QUICK} hostile fields, seed {SEED}: {dict(sorted(found.items()))}, 0 canaries, 0 files outside")


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_five_thousand_hostile_fields(workspace: LocalWorkspace, say: Callable[[str], None]) -> None:
    found = attack(workspace, SOAK, run_each=1)
    say(f"{SOAK} hostile fields, seed {SEED}: {dict(sorted(found.items()))}, 0 canaries, 0 files outside")


def test_the_untouched_files_are_accepted_and_run(workspace: LocalWorkspace) -> None:
    workspace.write(GOOD)
    ended = workspace.run("taskserv", "create", "--all")
    assert ended.code == 0, ended.err
