"""How long a command takes that has next to nothing to do: bare Python, ours, the peers'."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.contestants import PEERS, PROJECT, Call, program
from benchmarks.figures import Timed
from benchmarks.rounds import time_command, turned

BARE = "python -c pass"
OURS = ("provisioning --version", "provisioning --help", "provisioning dag validate")
THEIRS = ("pyinfra --version", "ansible --version")


def commands(checkout: Path, folder: Path) -> dict[str, Call]:
    """Return the calls by name; those of peers that are not installed are left out. `folder` has the demo's workspace."""
    calls = {BARE: Call(command=(sys.executable, "-c", "pass"), folder=folder)}
    for name in OURS:
        calls[name] = program(checkout, folder, *name.split()[1:])
    for name in THEIRS:
        command, *words = name.split()
        if (PEERS / command).exists():
            calls[name] = Call(command=(str(PEERS / command), *words), folder=folder)
    return calls


def measure(checkout: Path, *, rounds: int, tell: Callable[[str], None]) -> list[Timed]:
    """Run each once without counting it, then `rounds` times in turn. Raises WorkError."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        shutil.copytree(PROJECT / "workspaces" / "demo", home / "demo", ignore=shutil.ignore_patterns(".provisioning"))
        calls = commands(checkout, home / "demo")
        for name, call in calls.items():
            time_command(call, home, name=name)
        tell(f"start-up: {len(calls)} commands, {rounds} rounds")
        return [
            time_command(call, home, name=name, round=round)
            for round in range(1, rounds + 1)
            for name, call in turned(list(calls.items()), round)
        ]
    finally:
        shutil.rmtree(home, ignore_errors=True)
