"""Hostile text in every field of every file a user writes: refused or harmless, and never a traceback."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
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
QUICK, SOAK = 150, 5_000  # fields; payloads in each field
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
    "{{ 7*7 }}",
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
                "ssh": {
                    "user": "admin",
                    "port": 22,
                    "key_path": "key",
                    "proxy_jump": "jump",
                    "become": {"method": "sudo", "password": "env:HOME"},
                },
            }
        ],
        "$schema": "servers.schema.json",
    },
    "dag.json": {
        "formulas": [
            {
                "id": "a",
                "server": "cp-0",
                "max_parallel": 2,
                "parallel": False,
                "nodes": [
                    {
                        "id": "n",
                        "taskserv": {"name": "os", "profile": "default"},
                        "params": {"text": "x"},
                        "on_error": "retry",
                        "max_retries": 1,
                        "timeout_s": 20,
                        "parallel": False,
                    },
                    {"component": "extra", "depends_on": [{"node_id": "n", "kind": "on_success"}]},
                ],
                "health_gate": {
                    "check_cmd": "echo ok",
                    "expected": "ok",
                    "address": "public",
                    "retries": 1,
                    "timeout_ms": 2000,
                    "probe_timeout_ms": 2000,
                    "interval_ms": 100,
                },
            },
            {"id": "b", "server": "cp-0", "nodes": [{"taskserv": "more"}]},
        ],
        "composition": {"formulas": [{"formula_id": "b", "depends_on": [{"formula_id": "a", "condition": "healthy"}]}]},
        "$schema": "dag.schema.json",
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
        "params": {"text": {"type": "string", "default": "x", "description": "it", "required": False}},
    },
}
Place = tuple[str | int, ...]


class LocalHosts:
    """Fulfils `hosts.Hosts`: every server is this machine, with a folder of its own."""

    def __init__(self, home: Path) -> None:
        self._link = local_link(environment={**os.environ, "PROVISIONING_HOME": str(home)})

    async def link(self, server: Server, *, address: str | None = None) -> RemoteLink:
        """Return a link to this machine."""
        return self._link

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """Nothing has to be opened."""
        return {server.hostname: None for server in servers}

    async def recorded(self) -> None:
        """See Hosts."""
        await self._link.recorded()

    async def close(self) -> None:
        """See Hosts."""
        self._link.close()


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
    made.taskserv("extra", "more")
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


Attack = tuple[str, Place, str, bool]
"""File, way to a field, payload, and whether the payload takes the place of the field's name."""


def pairs(dice: random.Random) -> list[Attack]:
    """Return every payload in every field, in any order."""
    work = [
        (file, way, payload, key)
        for file, document in GOOD.items()
        for way, key in places(document)
        for payload in PAYLOADS
        if (file, *way) not in BY_DESIGN
    ]
    dice.shuffle(work)
    return work


def spoken(payload: str, canary: Path) -> str:
    """Return a payload with the name of the file that must not come into being."""
    return payload.replace("{canary}", str(canary))


def payloads(dice: random.Random) -> Iterator[str]:
    """Yield the payloads, then any that can be made of them: joined, doubled, cut."""
    yield from PAYLOADS
    while True:
        joined = "".join(dice.choices(PAYLOADS, k=dice.randint(1, 4))) * dice.choice((1, 1, 1, 3))
        yield joined[: dice.choice((8, 40, 128, 129, 4_097))]


def attack(workspace: LocalWorkspace, work: Iterable[Attack], *, run_each: int) -> Counter[str]:
    """Put payloads into fields; run every so many-th workspace that is accepted."""
    root, found = workspace.folder.parent, Counter[str]()
    canary, outside = root / "canary", tree(root.parent / "elsewhere")
    for number, (file, way, payload, key) in enumerate(work):
        text = spoken(payload, canary)
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
    return found


@pytest.mark.timeout(600)
def test_hostile_text_in_every_field_is_refused_or_harmless(workspace: LocalWorkspace, say: Callable[[str], None]) -> None:
    work = pairs(random.Random(SEED))
    found = attack(workspace, work[:QUICK], run_each=8)
    say(f"{QUICK} of {len(work)} hostile fields, seed {SEED}: {dict(sorted(found.items()))}, 0 canaries, 0 outside")


@pytest.mark.soak
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("file", GOOD)
def test_five_thousand_payloads_in_every_field(workspace: LocalWorkspace, say: Callable[[str], None], file: str) -> None:
    fields = [(way, key) for way, key in places(GOOD[file]) if (file, *way) not in BY_DESIGN]
    dice = random.Random(SEED)
    work = ((file, way, payload, key) for way, key in fields for payload in islice(payloads(dice), SOAK))
    found = attack(workspace, work, run_each=50)
    say(
        f"{file}: {len(fields)} fields x {SOAK} payloads, seed {SEED}: {dict(sorted(found.items()))},"
        " 0 canaries, 0 files outside"
    )


def test_the_untouched_files_are_accepted_and_run(workspace: LocalWorkspace) -> None:
    workspace.write(GOOD)
    ended = workspace.run("taskserv", "create", "--all")
    assert ended.code == 0, ended.err


def test_every_field_that_a_schema_knows_is_attacked() -> None:
    attacked = {str(way[-1]) for document in GOOD.values() for way, key in places(document) if key}
    for file in (Path(__file__).parents[2] / "schemas").glob("*.schema.json"):
        known = set(properties(json.loads(file.read_text("utf-8"))))
        assert known
        assert known <= attacked, file.name


def properties(schema: object) -> Iterator[str]:
    """Yield the names of all fields in a schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from properties(inner)


NAMED = (
    ("taskserv", "show", "{}"),
    ("taskserv", "create", "{}", "--check"),
    ("taskserv", "create", "os", "--check", "--server", "{}"),
    ("taskserv", "create", "os", "--check", "--cmd", "{}"),
    ("taskserv", "generate", "{}"),
    ("taskserv", "validate", "{}"),
    ("workspace", "validate", "--infra", "{}"),
    ("dag", "show", "--infra", "{}"),
    ("dag", "plan", "{}"),
    ("dag", "validate", "{}"),
    ("server", "show", "{}"),
    ("server", "ssh", "{}", "-o", "json"),
    ("run", "show", "{}"),
    ("run", "logs", "{}"),
    ("run", "logs", "last", "{}"),
    ("run", "retry", "{}"),
    ("run", "cancel", "{}"),
    ("state", "show", "{}"),
    ("state", "reset", "cp-0", "{}"),
    ("state", "forget", "{}"),
    ("state", "history", "{}", "{}"),
    ("workspace", "use", "{}"),
)


@pytest.mark.timeout(600)
def test_hostile_names_on_the_command_line_are_refused_or_harmless(
    workspace: LocalWorkspace, say: Callable[[str], None]
) -> None:
    workspace.write(GOOD)
    assert workspace.run("taskserv", "create", "--all").code == 0
    root, found = workspace.folder.parent, Counter[int]()
    outside = tree(root.parent / "elsewhere")
    for words in NAMED:
        for payload in PAYLOADS:
            text = spoken(payload, root / "canary")
            if "\0" in text:
                continue  # no argument can hold one
            ended = workspace.run(*(text if word == "{}" else word for word in words))
            assert ended.code in {0, 1, 2, 3, 4}, (words, payload[:60], ended)
            assert "Traceback" not in ended.err, (words, payload[:60])
            assert "this is a bug" not in ended.err + ended.out, (words, payload[:60], ended)
            assert "\x1b]52" not in ended.err + ended.out, (words, payload[:60])
            assert not (root / "canary").exists(), (words, payload[:60])
            found[ended.code] += 1
    assert tree(root.parent / "elsewhere") == outside
    assert {path.name for path in root.iterdir()} <= {"workspace", "server"}
    say(f"{len(NAMED)} commands x {len(PAYLOADS)} hostile names: exit codes {dict(sorted(found.items()))}, 0 canaries")


@pytest.mark.timeout(600)
def test_hostile_names_of_folders_are_refused_or_harmless(workspace: LocalWorkspace) -> None:
    root = workspace.folder.parent
    for payload in PAYLOADS:
        name = spoken(payload, Path("canary")).replace("/", "_").replace("\0", "_").encode()[:200].decode("utf-8", "ignore")
        if name in {"", ".", ".."}:
            continue
        workspace.write(GOOD)
        infra, taskserv = workspace.folder / "infra" / name, workspace.folder / "taskservs" / name / "default"
        for folder, file in ((infra, "servers.json"), (taskserv, f"install-{name}.sh"[:200])):
            folder.mkdir(parents=True)
            (folder / file).write_text("{}", "utf-8")
        for words in (("taskserv", "list"), ("workspace", "show"), ("workspace", "validate"), ("taskserv", "validate")):
            ended = workspace.run(*words)
            assert ended.code in {0, 3, 4}, (words, payload[:60], ended)
            assert "this is a bug" not in ended.err + ended.out, (words, payload[:60], ended)
            assert "\x1b]52" not in ended.err + ended.out, (words, payload[:60])
        assert {path.name for path in root.iterdir()} <= {"workspace", "server"}
        for folder in (infra, taskserv.parent):
            shutil.rmtree(folder)
