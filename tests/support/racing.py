"""Runners that start together on one workspace with fake servers. Run as a program: it forks, so it has no threads.

python racing.py FOLDER ROUNDS SEED
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.faked import FakedWorkspace
from support.real import formula

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.hosts import Answer, FakeHosts
from provisioning.core.hosts import Exit
from provisioning.core.ports import Output


class NotedHosts(FakeHosts):
    """Notes each unit that runs in a file that all runners share, and holds it until a file appears."""

    def __init__(self, notes: Path, gate: Path) -> None:
        super().__init__()
        self._notes, self._gate = notes, gate

    async def _play(self, answer: Answer, output: Output, limit_s: float) -> Exit:
        with self._notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not self._gate.exists():
            await SystemClock().sleep(0.005)
        return await super()._play(answer, output, limit_s)


def race_report(folder: Path, *, rounds: int, seed: int, timeout_s: float) -> list[dict[str, Any]]:
    """Run this file as a program; return one record for each round."""
    command = [sys.executable, __file__, str(folder), str(rounds), str(seed)]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=found)
    assert done.returncode == 0, done.stderr
    report: list[dict[str, Any]] = json.loads(done.stdout)
    return report


def race(folder: Path, size: int, *, used: bool) -> dict[str, Any]:
    """Start so many runners together, let the winner end once the others have, say what each did.

    In a `used` workspace something ran before, and its lock file still bears the signature of that runner.
    """
    notes, gate = folder / "notes", folder / "gate"
    notes.touch()
    workspace = FakedWorkspace(folder / "workspace", NotedHosts(notes, gate))
    workspace.dag(formula("a", "cp-0", "os", "etcd"), formula("b", "web-0", "web"))
    if used:
        gate.touch()
        workspace.run("taskserv", "create", "--all")
        gate.unlink()
        notes.write_text("")
        (workspace.folder / ".provisioning" / "lock").write_text('{"user": "x", "host": "y", "pid": 1, "since": "then"}')
    start, begin = os.pipe()
    runners = [_forked(workspace, folder / f"runner-{number}", start, begin) for number in range(size)]
    time.sleep(0.01)
    os.close(start)
    os.close(begin)  # all read the end of the pipe at once
    waiting = set(runners)
    until = time.monotonic() + 60
    while len(waiting) > 1 and time.monotonic() < until:
        waiting -= {pid for pid in waiting if os.waitpid(pid, os.WNOHANG)[0]}
        time.sleep(0.001)
    gate.touch()
    for pid in waiting:
        os.waitpid(pid, 0)
    ended = [json.loads((folder / f"runner-{number}").read_text()) for number in range(size)]
    return {"size": size, "ended": ended, "steps": notes.read_text().split(), "states": workspace.states()}


def _forked(workspace: FakedWorkspace, answer: Path, start: int, begin: int) -> int:
    child = os.fork()
    if child:
        return child
    os.close(begin)
    os.read(start, 1)
    began_s = _unhindered_s()
    ended = workspace.run("taskserv", "create", "--all", "--reset")
    facts = {"pid": os.getpid(), "code": ended.code, "err": ended.err, "seconds": _unhindered_s() - began_s}
    answer.write_text(json.dumps(facts))
    os._exit(0)


def _unhindered_s() -> float:
    """Return a clock that stands while this thread is ready and others have the cores: a busy machine is not our delay."""
    try:
        waited_ns = int(Path("/proc/thread-self/schedstat").read_text("ascii").split()[1])
    except OSError:  # a kernel that does not count it
        waited_ns = 0
    return time.monotonic() - waited_ns / 1e9


def main(arguments: Sequence[str]) -> None:
    """Race, print."""
    folder, rounds, seed = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    (folder / "warm").mkdir()
    race(folder / "warm", 1, used=True)  # imports what a runner needs: afterwards a fork is as good as a process
    dice, report = random.Random(seed), []
    for number in range(rounds):
        place = folder / f"round-{number}"
        place.mkdir()
        report.append(race(place, dice.randint(2, 8), used=number % 2 == 1))
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
