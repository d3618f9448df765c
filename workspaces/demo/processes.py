"""Processes named by id and start time, so that only what we started is ever ended, even after ids were used again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process; `started` is in clock ticks since boot, as the kernel counts them."""

    pid: int
    started: int


def identify(pid: int) -> Process | None:
    """Return the process that has this id now; None when it is gone or only waits to be reaped."""
    try:
        stat = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return None if state in {"Z", "X"} else Process(pid=pid, started=int(fields[18]))


def alive(process: Process) -> bool:
    """Whether it still runs."""
    return identify(process.pid) == process


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to those that are alive; the others are left out."""
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if alive(process):  # checked once the handle holds it: the id cannot change hands any more
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def end(processes: Iterable[Process], *, patience_s: float = 2.0) -> None:
    """Ask them to end, and kill those that have not after `patience_s`. Returns when all are gone."""
    left = list(processes)
    send(left, signal.SIGTERM)
    send(left, signal.SIGCONT)
    if not _gone(left, patience_s):
        send(left, signal.SIGKILL)
        _gone(left, patience_s)


def kill(processes: Iterable[Process], *, patience_s: float = 2.0) -> None:
    """Kill them without asking, and return when they are gone."""
    left = list(processes)
    send(left, signal.SIGKILL)
    _gone(left, patience_s)


def descendants(pid: int) -> list[Process]:
    """Return the children of a process and theirs, nearest first."""
    found: list[Process] = []
    waiting = _children(pid)
    while waiting:
        child = waiting.pop(0)
        if process := identify(child):
            found.append(process)
        waiting.extend(_children(child))
    return found


def with_environment(variable: str, folder: Path) -> list[Process]:
    """Return the processes whose environment says that `variable` is `folder` or inside it."""
    inside, itself = f"{variable}={folder}/".encode(), f"{variable}={folder}".encode()
    return [
        process
        for pid, entries in _environments()
        if any(entry == itself or entry.startswith(inside) for entry in entries) and (process := identify(pid))
    ]


def command_line(process: Process) -> str:
    """Return what it was called with, blank when it is gone."""
    try:
        return (PROC / str(process.pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # another user's, or gone


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except OSError:
        return []


def _gone(processes: Iterable[Process], patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while any(alive(process) for process in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
