"""Runs of the real program under strace: what it calls on its own files, and a signal or an error at one such call."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from support.real import Ended, RealWorkspace

_LINE = re.compile(r"^(?P<thread>\d+)\s+(?P<call>[a-z0-9_]+)\((?P<rest>.*)")
_PATH = re.compile(r"[<\"](/[^>\"]*)[>\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The `number`th time that a thread makes the system call `call` on the file `name` of `.provisioning`."""

    call: str
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number} of {self.name or '.provisioning'}"


def need_strace() -> None:
    """Skip where strace is missing or may not trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace may not trace here (ptrace is not permitted)")


def points_of(workspace: RealWorkspace, calls: Sequence[str], *arguments: str, only_writing: bool = False) -> list[Point]:
    """Run the program once and return every such call on files of `.provisioning`. Raises AssertionError if it fails.

    `only_writing` leaves out the opens that only read.
    """
    log = workspace.folder.parent / "strace.log"
    ended = _traced(workspace, ["-y", "-o", str(log), "-e", f"trace={','.join(calls)}"], arguments)
    assert ended.code == 0, ended.err
    hidden = f"{(workspace.folder / '.provisioning').resolve()}"
    counted: Counter[tuple[str, str, str]] = Counter()
    points: set[Point] = set()
    for found in filter(None, map(_LINE.match, log.read_text("utf-8", "replace").splitlines())):
        paths = [path for path in _PATH.findall(found["rest"]) if path.startswith(hidden)]
        for path in paths[:1]:
            key = (found["thread"], found["call"], path[len(hidden) :].lstrip("/"))
            counted[key] += 1
            left_out = only_writing and found["call"] == "openat" and "O_RDONLY" in found["rest"]
            if not (left_out or key[2].startswith("logs/")):  # their names are new in every run
                points.add(Point(call=key[1], name=key[2], number=counted[key]))
    return sorted(points, key=lambda point: (point.call, point.name, point.number))


def hit(workspace: RealWorkspace, point: Point, what: str, *arguments: str) -> tuple[Ended, bool]:
    """Run the program; at `point` happens `what`: `signal=SIGKILL` or `error=EIO`. Return also whether it came so far.

    strace counts for each thread, so another number of threads at work may leave a point unreached. A killed run has a
    negative code.
    """
    path = (workspace.folder / ".provisioning").resolve() / point.name
    inject = f"inject={point.call}:{what}:when={point.number}"
    log = workspace.folder.parent / "hit.log"
    options = ["-o", str(log), "-P", str(path), "-e", f"trace={point.call}", "-e", inject]
    ended = _traced(workspace, options, arguments)
    return ended, ended.code < 0 or "(INJECTED)" in log.read_text("utf-8", "replace")


def _traced(workspace: RealWorkspace, options: Sequence[str], arguments: Sequence[str]) -> Ended:
    child = subprocess.Popen(
        ["strace", "-f", "-qq", *options, *workspace.command(*arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        out, err = child.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return Ended(code=child.returncode, out=out, err=err)
