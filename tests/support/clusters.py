"""A workspace on the lab's servers, and the real program run on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.laboratory import Lab
from support.real import Ended

SHIPPED = Path(__file__).resolve().parents[2] / "workspaces"


class LabWorkspace:
    """A folder whose servers.json names the lab's servers and whose known_hosts has their keys."""

    def __init__(self, folder: Path, lab: Lab, *names: str) -> None:
        self.folder, self.lab = folder, lab
        folder.mkdir(exist_ok=True, parents=True)
        if not (folder / "workspace.toml").exists():
            (folder / "workspace.toml").write_text('name = "lab"\n', "utf-8")
        self.names = names or tuple(f"h{number}" for number in lab.place.numbers())
        (folder / "servers.json").write_text(json.dumps(lab.servers_json(*self.names)), "utf-8")
        self.trust()

    @classmethod
    def shipped(cls, name: str, folder: Path, lab: Lab) -> LabWorkspace:
        """Copy one of the project's workspaces, with secrets, and put the lab's addresses in."""
        shutil.copytree(SHIPPED / name, folder, ignore=shutil.ignore_patterns(".provisioning", "secrets"))
        subprocess.run(["bash", "./make-secrets"], cwd=folder, check=True, capture_output=True)
        declared = json.loads((folder / "servers.json").read_text("utf-8"))["servers"]
        return cls(folder, lab, *(server["hostname"] for server in declared))

    def trust(self) -> None:
        """Know the host keys that the servers have now."""
        hidden = self.folder / ".provisioning"
        hidden.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.lab.place.known_hosts, hidden / "known_hosts")

    def settings(self, **values: float) -> None:
        """Set settings of `ssh`."""
        lines = [f"{name} = {value}" for name, value in values.items()]
        (self.folder / "workspace.toml").write_text("\n".join(['name = "lab"', "[settings.ssh]", *lines, ""]), "utf-8")

    def taskserv(self, name: str, body: str, *, toml: str = "idempotent = true\n") -> None:
        """Write a taskserv of one script."""
        profile = self.folder / "taskservs" / name / "default"
        profile.mkdir(parents=True, exist_ok=True)
        (profile / f"install-{name}.sh").write_text(f"#!/usr/bin/env bash\nset -eu\n{body}\n", "utf-8")
        (profile.parent / "taskserv.toml").write_text(toml, "utf-8")

    def dag(self, *formulas: Mapping[str, object]) -> None:
        """Write the DAG."""
        (self.folder / "dag.json").write_text(json.dumps({"formulas": formulas}), "utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program in a process group of its own."""
        words = [sys.executable, "-m", "provisioning_cli.main", "-w", str(self.folder), *arguments]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen(words, text=True, start_new_session=True, stdout=pipe, stderr=pipe, stdin=nothing)

    def finish(self, child: subprocess.Popen[str], *, timeout_s: float) -> Ended:
        """Wait for it. A program that takes longer is killed."""
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise AssertionError(f"not ended after {timeout_s:g} s: {out[-2000:]}\n{err[-2000:]}") from None
        return Ended(code=child.returncode, out=out, err=err)

    def run(self, *arguments: str, timeout_s: float = 60) -> Ended:
        """Run the program to its end."""
        return self.finish(self.start(*arguments), timeout_s=timeout_s)

    def create(self, *arguments: str, timeout_s: float = 240) -> Ended:
        """`taskserv create -o json`."""
        return self.run("taskserv", "create", "-o", "json", *arguments, timeout_s=timeout_s)

    def states(self) -> dict[tuple[str, str], str]:
        """Return (server, taskserv) -> resource state."""
        path = self.folder / ".provisioning" / "state.json"
        servers: Mapping[str, Any] = json.loads(path.read_text("utf-8"))["servers"] if path.exists() else {}
        return {
            (host, name): entry["state"] for host, entries in servers.items() for name, entry in entries["taskservs"].items()
        }


def outcomes(ended: Ended) -> dict[str, str]:
    """Return step -> how it ended."""
    return {step["id"]: step["state"] for step in ended.json["steps"]}


def until(true: Callable[[], object], *, within_s: float, what: str) -> float:
    """Wait until something holds; return how many seconds it took. Raises AssertionError when it takes longer."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"{what}: not within {within_s:g} s"
        time.sleep(0.05)
    return time.monotonic() - began
