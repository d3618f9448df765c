"""A workspace of real files whose servers are fakes, and the real command line, runner, journal and state file on it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.real import Ended

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.hosts import FakeHosts
from provisioning.operations import Project, open_project
from provisioning_cli.context import App
from provisioning_cli.main import call

SERVERS = ("cp-0", "etcd-0", "web-0")


@dataclass
class FakedWorkspace:
    """`hosts` is scripted before a call and asked after it; it lives as long as the workspace, as servers do."""

    folder: Path
    hosts: FakeHosts = field(default_factory=FakeHosts)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "workspace.toml").write_text('name = "test"\n', "utf-8")
        self.servers(*({"hostname": name, "address": "192.0.2.1"} for name in SERVERS))

    # ------------------------------------------------------------ writing files

    def servers(self, *servers: Mapping[str, object]) -> None:
        """Declare the servers."""
        (self.folder / "servers.json").write_text(json.dumps({"servers": servers}), "utf-8")

    def taskserv(self, *names: str, script: str = "", toml: str = "", profiles: Sequence[str] = ("default",)) -> None:
        """Write taskservs."""
        for name in names:
            for profile in profiles:
                place = self.folder / "taskservs" / name / profile
                place.mkdir(parents=True, exist_ok=True)
                (place / f"install-{name}.sh").write_text(f"#!/usr/bin/env bash\n{script}\n", "utf-8")
            if toml:
                (self.folder / "taskservs" / name / "taskserv.toml").write_text(toml, "utf-8")

    def dag(self, *formulas: object, **rest: object) -> None:
        """Write the DAG, and a taskserv for every name in it that has none."""
        (self.folder / "dag.json").write_text(json.dumps({"formulas": formulas, **rest}), "utf-8")
        for formula in formulas:
            nodes = formula.get("nodes", ()) if isinstance(formula, dict) else ()
            for node in nodes:
                held = node.get("taskserv") or node.get("component") or {}
                name = held.get("name", "") if isinstance(held, dict) else ""
                if name and not (self.folder / "taskservs" / name).exists():
                    self.taskserv(name)

    # ------------------------------------------------------------ calling

    def project(self) -> Project:
        """Load the workspace, with fakes for its servers. Raises as `open_project` does."""
        return replace(open_project(self.folder, None), connect=lambda *_: self.hosts)

    def run(self, *arguments: str) -> Ended:
        """Call the command line in this process."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = call(["-w", str(self.folder), *arguments], App(open_project=lambda _folder, _infra: self.project()))
        return Ended(code=code, out=out.getvalue(), err=err.getvalue())

    def create(self, *arguments: str) -> Ended:
        """`taskserv create -o json`."""
        return self.run("taskserv", "create", "-o", "json", *arguments)

    # ------------------------------------------------------------ what became of it

    @property
    def started(self) -> list[str]:
        """The taskservs that ran, in order."""
        return [name for _server, name in self.hosts.started]

    def document(self) -> Any:
        """Return the state file, parsed; None when there is none."""
        path = self.folder / ".provisioning" / "state.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def states(self) -> dict[str, str]:
        """Return what the state file says, by server/taskserv."""
        servers = (self.document() or {"servers": {}})["servers"]
        return {f"{host}/{name}": one["state"] for host, of in servers.items() for name, one in of["taskservs"].items()}


class Meeting(SystemClock):
    """A clock on which `size` sleepers wake one another: work that takes time ends only if so much of it runs at once."""

    def __init__(self, size: int) -> None:
        self.barrier = asyncio.Barrier(size)

    async def sleep(self, seconds: float) -> None:
        async with asyncio.timeout(20):
            await self.barrier.wait()


def steps(ended: Ended) -> dict[str, str]:
    """Return the state of each step of a run or the action of each step of a plan."""
    return {step["id"]: step.get("state") or step["action"] for step in ended.json["steps"]}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every file with its bytes and every folder with None: equal trees mean that nothing was written."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
