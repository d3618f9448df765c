"""Processes that contend for something, and what their log says of how many had it at once.

A process writes a line after it has taken and one before it gives up, each in one append. So the log never shows more at once
than there were, and it shows two that had it at once unless the one wrote both its lines before the other wrote its first.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

PROLOGUE = """
import os, sys, time
from pathlib import Path
folder, log, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def note(text):
    with open(log, "a") as file:
        file.write(text + "\\n")
def begin():  # all together
    print("ready", flush=True)
    sys.stdin.readline()
"""


def contend(program: str, folder: Path, *, processes: int, rounds: int) -> list[str]:
    """Run a program, which begins with PROLOGUE, in several processes at once; return the lines of their log."""
    log = folder / "log"
    command = [sys.executable, "-c", PROLOGUE + program, str(folder), str(log), str(rounds)]
    with ExitStack() as stack:
        pipe = subprocess.PIPE
        starts = (subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(processes))
        running = [stack.enter_context(process) for process in starts]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.close()
        assert [process.wait(timeout=120) for process in running] == [0] * processes
    return log.read_text().splitlines()


def most_at_once(lines: Sequence[str]) -> int:
    """Return how many had it at once at most."""
    now = most = 0
    for line in lines:
        now += 1 if line == "took" else -1
        most = max(most, now)
    return most
