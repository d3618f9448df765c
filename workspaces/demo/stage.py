"""The demo's stage: throw-away servers, a copy of the workspace that points at them, and the real command to act with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from processes import command_line
from servers import ThrowawayServers
from sshd import free_port

HERE = Path(__file__).resolve().parent
COMMAND = HERE.parent.parent / ".venv" / "bin" / "provisioning"
PLAYED = ("workspace.toml", "dag.ncl", "taskservs")


class StoryError(Exception):
    """Something was not as the story says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A workspace on four running servers."""

    workspace: Path
    home: Path  # HOME of the command: empty, so that the developer's settings have no part in the story
    servers: ThrowawayServers
    ports: dict[str, int]

    def run(self, *arguments: str, expect: int = 0) -> None:
        """Show a command, run it as a user would, check its exit code."""
        show_command(*arguments)
        code = subprocess.run([COMMAND, *arguments], cwd=self.workspace, env=self._environment(), check=False).returncode
        check(code == expect, f"`provisioning {' '.join(arguments)}` ended with {code}, expected {expect}")

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command aside; return what it said and how it ended."""
        command = [str(COMMAND), *arguments]
        return subprocess.run(command, cwd=self.workspace, env=self._environment(), capture_output=True, text=True, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command, to be killed."""
        return subprocess.Popen([COMMAND, *arguments], cwd=self.workspace, env=self._environment())

    def facts(self, *arguments: str) -> Any:  # noqa: ANN401 -- JSON
        """Run a command aside and return its JSON."""
        done = self.call(*arguments, "-o", "json")
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            raise StoryError(f"`provisioning {' '.join(arguments)} -o json` is no JSON: {done.stdout}{done.stderr}") from None

    def run_and_kill(self, *arguments: str, when: Callable[[], bool], within_s: float = 30.0) -> None:
        """Show and run a command, and kill it with signal 9 as soon as `when` holds."""
        show_command(*arguments)
        with self.start(*arguments) as process:
            until = time.monotonic() + within_s
            while not when() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            code = process.wait()
        check(code == -signal.SIGKILL, f"the command should have been killed in the middle, but ended with {code}")

    def resources(self) -> dict[tuple[str, str], str]:
        """Return the state of each taskserv by (server, name), as the state file says; it must parse at any moment."""
        path = self.workspace / ".provisioning" / "state.json"
        if not path.exists():
            return {}
        book = json.loads(path.read_text("utf-8"))
        return {
            (server, name): resource["state"]
            for server, entry in book["servers"].items()
            for name, resource in entry["taskservs"].items()
        }

    def completed(self) -> set[tuple[str, str]]:
        """Return what is recorded as completed."""
        return {key for key, state in self.resources().items() if state == "completed"}

    def last_run(self) -> dict[str, Any]:
        """Return the newest run with its steps."""
        runs = self.facts("run", "list")["runs"]
        shown = self.facts("run", "show", max(runs, key=lambda run: run["started_at"])["run_id"])
        return dict(shown)

    def services(self) -> dict[str, str]:
        """Return what runs on the servers: process ids by command line."""
        return {command_line(one): str(one.pid) for one in self.servers.leftovers() if "python3" in command_line(one)}

    def ask(self, service: str, path: str, *, method: str = "GET", body: str = "") -> str:
        """Ask one of the installed services over HTTP. Raises StoryError when it does not answer."""
        connection = HTTPConnection("127.0.0.1", self.ports[service], timeout=5)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read().decode().strip()
        except (OSError, HTTPException) as error:
            raise StoryError(f"{service} does not answer on port {self.ports[service]}: {error}") from None
        finally:
            connection.close()

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in one of the workspace's files, and show it."""
        path = self.workspace / file
        text = path.read_text("utf-8")
        check(old in text, f"{file} has no {old!r}")
        path.write_text(text.replace(old, new), "utf-8")
        print(f"  {file}:  {old}  ->  {new}", flush=True)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PROVISIONING_", "XDG_"))}
        return {**kept, "HOME": str(self.home)}


def set_up(folder: Path, servers: ThrowawayServers) -> Stage:
    """Copy the workspace into `folder` and point it at `servers`, which run."""
    workspace, home = folder / "workspace", folder / "home"
    workspace.mkdir(parents=True)
    home.mkdir()
    for name in PLAYED:
        source = HERE / name
        shutil.copytree(source, workspace / name) if source.is_dir() else shutil.copy2(source, workspace / name)
    ports = {name: free_port() for name in json.loads((HERE / "ports.json").read_text("utf-8"))}
    (workspace / "ports.json").write_text(json.dumps(ports, indent=2), "utf-8")
    (workspace / "servers.json").write_text(json.dumps(servers.servers_json(), indent=2), "utf-8")
    servers.write_known_hosts(workspace / ".provisioning" / "known_hosts")
    return Stage(workspace=workspace, home=home, servers=servers, ports=ports)


@contextmanager
def stage() -> Iterator[Stage]:
    """Set up a stage in a temporary folder; at the end nothing of it is left, or the story fails."""
    with tempfile.TemporaryDirectory(prefix="provisioning-demo-") as folder:
        servers = ThrowawayServers(folder=Path(folder) / "servers")
        try:
            servers.start()
            yield set_up(Path(folder), servers)
        finally:
            servers.stop()
        check(not servers.leftovers(), "processes of the servers are still running")


def check(holds: bool, otherwise: str) -> None:
    """Fail the story with a sentence."""
    if not holds:
        raise StoryError(otherwise)


def narrate(text: str) -> None:
    """Print a line of the story."""
    print(f"\n\033[1m{text}\033[0m" if _colour() else f"\n# {text}", flush=True)


def show_command(*arguments: str) -> None:
    """Print a command as a user would type it."""
    line = f"$ provisioning {' '.join(arguments)}"
    print(f"\033[36m{line}\033[0m" if _colour() else line, flush=True)


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
