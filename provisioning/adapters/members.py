"""Which processes belong to a program that was started here: those of its group and session, and those that bear its mark."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from provisioning.core.frozen import dataclass

_PROC = Path("/proc")
_DEAD = frozenset("ZXx")
_NO_GROUP = -1


@dataclass(frozen=True, slots=True)
class Member:
    """A process that has not ended. `began` tells it from a later one with its number."""

    pid: int
    began: str  # clock ticks since the machine was started
    name: str
    inside: bool  # in the program's own process group


def members(group: int, mark: bytes) -> list[Member]:
    """Return the processes of the group or session `group`, and those in whose environment `mark`, NAME=VALUE, stands."""
    found = (_member(pid, group, mark) for pid in _pids())
    return [member for member in found if member is not None]


def bearers(mark: bytes) -> list[Member]:
    """Return our own user's processes in whose environment `mark`, NAME=VALUE, stands, whoever has started them.

    Not this process. One that has given its environment up, as `sudo` and `su -` do, is not found.
    """
    return [member for member in members(_NO_GROUP, mark) if _is_ours(member.pid)]


def send(member: Member, number: signal.Signals) -> None:
    """Send a signal to a process, but never to another one that has got its number since."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(member.pid)
        try:
            facts = _facts(member.pid)
            if facts is not None and facts[3] == member.began:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _pids() -> Iterator[int]:
    us = os.getpid()
    for name in os.listdir(_PROC):  # noqa: PTH208 - a thousand Path objects would be made for nothing
        if name.isdecimal() and int(name) != us:
            yield int(name)


def _member(pid: int, group: int, mark: bytes) -> Member | None:
    facts = _facts(pid)
    if facts is None:
        return None
    name, pgrp, session, began = facts
    if group in (pgrp, session) or _bears(pid, mark):
        return Member(pid, began, name, pgrp == group)
    return None


def _facts(pid: int) -> tuple[str, int, int, str] | None:
    """Return name, group, session and start of a process that has not ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")  # a name may hold anything
    fields = rest.split()
    if fields[0] in _DEAD:
        return None
    return name, int(fields[2]), int(fields[3]), fields[19]


def _is_ours(pid: int) -> bool:
    try:
        return (_PROC / str(pid)).stat().st_uid == os.getuid()
    except OSError:  # it has ended
        return False


def _bears(pid: int, mark: bytes) -> bool:
    try:
        return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is somebody else's
        return False
