"""Commands of the machine below the lab, and processes that outlive us, known by id and start time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from processes import Process, end, identify, send

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class LabError(Exception):
    """The lab cannot do what it was asked for. The message says what went wrong."""


def run(*command: object, inside: str = "", check: bool = True, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command, in a network namespace if one is named, `given` on its input. Raises LabError when it fails."""
    words = [*_entering(inside), *(str(word) for word in command)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, errors="replace", input=given, env=environment())
    if check and ended.returncode:
        raise LabError(f"{' '.join(words)}: exit {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-600:]}")
    return ended


def environment() -> Mapping[str, str]:
    """Return our own environment, with the folders that have the programs for administrators."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{SBIN}", "LC_ALL": "C.UTF-8"}


def start(*command: object, record: Path, log: Path, inside: str = "") -> Process:
    """Start a process that goes on when we end; `record` remembers it for `ended` and `recorded`."""
    words = [*_entering(inside), *(str(word) for word in command)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawnp(words[0], words, environment(), file_actions=actions, setsid=True)
    process = identify(pid)
    if process is None:
        raise LabError(f"{words[0]} ended at once: {tail(log)}")
    record.write_text(json.dumps({"pid": process.pid, "started": process.started}), "utf-8")
    return process


def recorded(record: Path) -> Process | None:
    """Return the process that a record names, if it still runs."""
    try:
        found = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    process = Process(pid=found["pid"], started=found["started"])
    return process if identify(process.pid) == process else None


def ended(record: Path, *, patience_s: float = 5.0) -> None:
    """End the process that a record names, and forget it. One that is gone is no error."""
    process = recorded(record)
    if process is not None:
        end([process], patience_s=patience_s)
        reap(process)
    record.unlink(missing_ok=True)


def killed(process: Process | None) -> None:
    """Kill a process without asking."""
    if process is not None:
        send([process], signal.SIGKILL)
        reap(process)


def reap(process: Process) -> None:
    """Take a child's exit status, if it is ours and has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def tail(log: Path, size: int = 600) -> str:
    """Return the end of a log."""
    try:
        return log.read_text("utf-8", "replace")[-size:].strip()
    except OSError:
        return ""


def _entering(namespace: str) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
