"""A workspace on throw-away servers, whose taskservs write down what they do, and the real program run on it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import ThrowawayServers
from support import nursery

SCRIPT = """#!/usr/bin/env bash
set -u
note() {{ printf '%s %s %s\\n' "$1" "$PROVISIONING_STEP" "$PROVISIONING_ATTEMPT" >>{calls}; }}
note begin
{body}
note end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class RealWorkspace:
    """`calls` is a file that every script appends to: one line when it begins, one when it ends."""

    def __init__(self, folder: Path, servers: ThrowawayServers) -> None:
        self.folder, self.servers = folder, servers
        self.calls = folder.parent / "calls.log"
        folder.mkdir(exist_ok=True)
        (folder / "workspace.toml").write_text(
            'name = "test"\n[settings.ssh]\nreconnect_s = 3\nconnect_attempts = 2\n', "utf-8"
        )
        (folder / "servers.json").write_text(json.dumps(servers.servers_json()), "utf-8")
        self.trust()

    def trust(self) -> None:
        """Know the servers' host keys."""
        hidden = self.folder / ".provisioning"
        hidden.mkdir(mode=0o700, exist_ok=True)
        self.servers.write_known_hosts(hidden / "known_hosts")

    def change_server(self, name: str, **ssh: object) -> None:
        """Change how one server is reached."""
        path = self.folder / "servers.json"
        declared = json.loads(path.read_text("utf-8"))
        for server in declared["servers"]:
            if server["hostname"] == name:
                server["ssh"].update(ssh)
        path.write_text(json.dumps(declared), "utf-8")

    def taskserv(self, name: str, body: str = "", *, toml: str = "", extra: Mapping[str, str] | None = None) -> None:
        """Write a taskserv whose script notes its begin and end around `body`."""
        profile = self.folder / "taskservs" / name / "default"
        profile.mkdir(parents=True, exist_ok=True)
        text = SCRIPT.format(calls=shlex.quote(str(self.calls)), body=body)
        (profile / f"install-{name}.sh").write_text(text, "utf-8")
        for file, content in (extra or {}).items():
            (profile / file).write_text(content, "utf-8")
        if toml:
            (profile.parent / "taskserv.toml").write_text(toml, "utf-8")

    def dag(self, *formulas: Mapping[str, object]) -> None:
        """Write the DAG."""
        (self.folder / "dag.json").write_text(json.dumps({"formulas": formulas}), "utf-8")

    def command(self, *arguments: str) -> list[str]:
        """The program's words."""
        return [sys.executable, "-m", "provisioning_cli.main", "-w", str(self.folder), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=_environment(),
        )

    def run(self, *arguments: str, timeout_s: float = 150) -> Ended:
        """Run the program to its end."""
        call = nursery.Call(
            module="provisioning_cli.main",
            arguments=["-w", str(self.folder), *arguments],
            folder=str(Path.cwd()),
            environment=_environment(),
        )
        code, out, err = nursery.run(call, limit_s=timeout_s)
        return Ended(code=code, out=out, err=err)

    def create(self, *arguments: str, timeout_s: float = 150) -> Ended:
        """`taskserv create -o json`."""
        return self.run("taskserv", "create", "-o", "json", *arguments, timeout_s=timeout_s)

    # ------------------------------------------------------------ what became of it

    def noted(self) -> list[tuple[str, str]]:
        """Return (begin|end, step) in the order in which they happened."""
        lines = self.calls.read_text("utf-8").splitlines() if self.calls.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    def begun(self) -> list[str]:
        return [step for word, step in self.noted() if word == "begin"]

    def counts(self, word: str) -> Counter[str]:
        return Counter(step for noted, step in self.noted() if noted == word)

    def state(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Return the state file's entries by (server, taskserv)."""
        path = self.folder / ".provisioning" / "state.json"
        if not path.exists():
            return {}
        servers = json.loads(path.read_text("utf-8"))["servers"]
        return {(host, name): entry for host, entries in servers.items() for name, entry in entries["taskservs"].items()}

    def states(self) -> dict[str, str]:
        return {name: entry["state"] for (_host, name), entry in self.state().items()}

    def left_on_servers(self, *marks: str) -> list[str]:
        """Return the command lines of processes on the servers that carry one of `marks`."""
        left = []
        for process in self.servers.leftovers():
            try:
                line = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if any(mark in line for mark in marks):
                left.append(line)
        return left


def wait_until(true: Any, timeout_s: float = 60) -> None:
    """Wait until `true()` holds. Raises AssertionError when it takes longer."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def formula(id: str, server: str, *taskservs: str, after: Sequence[str] = (), **fields: object) -> dict[str, object]:
    """A formula as the file has it."""
    nodes = [{"taskserv": {"name": name}} for name in taskservs]
    return {"id": id, "server": server, "nodes": nodes, "depends_on": list(after), **fields}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
