"""Declarations, and everything that can be done to them: hostile texts in every field, damage to every file."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

CANARY = "canary"
HOSTILE: Mapping[str, str] = {
    "climbing": "../../etc/passwd",
    "a newline": "a\nb",
    "a command": f"$(touch {CANARY})",
    "more commands": f"`touch {CANARY}`;touch {CANARY}|touch {CANARY}",
    "an option": f"-oProxyCommand=touch${{IFS}}{CANARY}",
    "10,000 characters": "a" * 10_000,
    "a terminal's codes": "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "a nul": "a\0b",
    "backward text": "a\u202eb",
    "nothing": "",
}

Documents = Mapping[str, Mapping[str, Any]]
Key = tuple[str | int, ...]

FILES = {
    "workspace": "workspace.toml",
    "servers": "infra/main/servers.json",
    "dag": "infra/main/dag.json",
    "taskserv": "taskservs/os/taskserv.toml",
}


def documents(port: int) -> Documents:
    """Return valid documents that use every field with a text in it; the servers are `port` on loopback."""
    login = {"user": "me", "port": port, "key_path": "keys/id", "become": {"method": "sudo", "password": "env:X"}}
    ports = {"port": port}
    return {
        "workspace": {
            "name": "test",
            "default_infra": "main",
            "params": {"a": "b"},
            "secrets": {"s": "env:S"},
            "settings": {"ssh": {"connect_attempts": 1}},
        },
        "servers": {
            "servers": [
                {"hostname": "cp-0", "public_ip": "127.0.0.1", "site": "here", "labels": {"a": "b"}, "ssh": login},
                {"hostname": "cp-1", "address": "127.0.0.1", "ssh": {"proxy_jump": "cp-0", **ports}},
                {"hostname": "cp-2", "private_ip": "127.0.0.1", "ssh": ports},
            ]
        },
        "dag": {
            "formulas": [
                {
                    "id": "a",
                    "server": "cp-0",
                    "nodes": [
                        {"id": "n", "taskserv": {"name": "os", "profile": "default"}, "params": {"p": "v"}, "on_error": "stop"},
                        {"component": "redis", "depends_on": [{"node_id": "n", "kind": "always"}]},
                    ],
                    "health_gate": {"check_cmd": "true", "expected": "ok", "address": "public"},
                },
                {"id": "b", "server": "cp-1", "nodes": [{"taskserv": "os"}]},
                {"id": "c", "server": "cp-2", "nodes": [{"taskserv": "os"}], "depends_on": ["a"]},
            ],
            "composition": {
                "formulas": [{"formula_id": "b", "depends_on": [{"formula_id": "a", "condition": "healthy"}]}],
            },
        },
        "taskserv": {
            "name": "os",
            "version": "1",
            "description": "d",
            "operations": ["install", "status"],
            "requires": ["r"],
            "provides": ["r"],
            "conflicts_with": ["z"],
            "params": {"p": {"type": "string", "default": "d", "description": "e"}},
        },
    }


FREE = {
    "workspace": {"params.a", "params.a!", "secrets.s!"},
    "servers": {"servers.0.labels.a", "servers.0.labels.a!", "servers.0.ssh.key_path"},
    "dag": {"formulas.0.nodes.0.params.p", "formulas.0.health_gate.check_cmd", "formulas.0.health_gate.expected"},
    "taskserv": {"version", "description", "params.p.default", "params.p.description"},
}
"""Where a text may be anything, or nearly: it is carried, shown with care, and run nowhere but on the server it is for."""


def texts(value: object, path: Key = ()) -> Iterator[tuple[Key, bool]]:
    """Yield where texts stand: (path, whether the key itself is meant)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), True
            yield from texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from texts(inner, (*path, index))
    elif isinstance(value, str):
        yield path, False


def replaced(document: Mapping[str, Any], path: Key, new: object, *, key: bool = False) -> dict[str, Any]:
    """Return a copy with another value, or another key for the same value, at `path`."""
    changed: Any = copy.deepcopy(dict(document))
    at = changed
    for step in path[:-1]:
        at = at[step]
    if key:
        at[new] = at.pop(path[-1])
    else:
        at[path[-1]] = new
    return changed  # type: ignore[no-any-return]


def write(folder: Path, made: Documents) -> None:
    """Write a workspace with these documents, and the taskservs that they name."""
    for name in ("os", "redis"):
        script = folder / "taskservs" / name / "default" / f"install-{name}.sh"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("#!/bin/bash\n", "utf-8")
    for name, file in FILES.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(made[name], indent=1) if path.suffix == ".json" else tomli_w.dumps(made[name])
        path.write_bytes(text.encode("utf-8", "surrogatepass"))


# ---------------------------------------------------------------- damage


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _with(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        _remove(path)
        make(path)

    return damage


def _cut(path: Path) -> None:
    data = path.read_bytes().rstrip()
    path.write_bytes(data[: data.rindex(b'"')])


def _giant(path: Path) -> None:
    os.truncate(path, 8 << 30)  # a hole: it takes no room


DAMAGE: Mapping[str, Callable[[Path], object]] = {
    "a folder": _instead(lambda path: path.mkdir()),
    "a pipe": _instead(os.mkfifo),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
    "an endless device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "cut off": _cut,
    "binary": _with(bytes(range(256))),
    "another encoding": _with('{"formulas": []}'.encode("utf-16")),
    "oversized": _giant,
    "nested too deeply": _with(b"a = " + b"[" * 100_000),
    "nested JSON": _with(b'{"formulas": ' + b"[" * 100_000),
    "a key without end": _with(b"a" + b".a" * 50_000 + b" = 1"),
    "a number without end": _with(b"a = " + b"9" * 10_000),
    "a JSON number without end": _with(b'{"formulas": ' + b"9" * 10_000 + b"}"),
}
