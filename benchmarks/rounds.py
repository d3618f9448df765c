"""Run contestants in turn, again and again, and keep every figure."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from servers import ThrowawayServers

from benchmarks.contestants import Call, Contestant, environment
from benchmarks.figures import Timed
from benchmarks.work import WorkError, prepare, verify

STOPWATCH = Path(__file__).with_name("stopwatch.py")
LIMIT_S = 1800
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHY = 0x80086601, 0x40086602, 0x00020000  # of ioctl, and `chattr +T`

T = TypeVar("T")


@contextmanager
def hosts(count: int) -> Iterator[ThrowawayServers]:
    """Have so many throw-away servers on loopback, whose files lie as far from each other as those of so many machines."""
    names = [f"server-{number:0{len(str(count - 1))}}" for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        spread(Path(folder))
        with ThrowawayServers(names, folder=Path(folder), shared=True) as servers:
            yield servers


def spread(folder: Path) -> None:
    """Have ext4 put each folder that is made in this one into a block group of its own; elsewhere nothing happens.

    A group keeps in mind for some minutes which of its inodes were deleted, and looks past all of them whenever a file is
    created: servers that share one would be timed for what the others, and the contestants before, have deleted.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            (flags,) = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0)))
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags | _TOP_OF_HIERARCHY))
    finally:
        os.close(handle)


def compete(
    some: Sequence[Contestant], servers: ThrowawayServers, *, count: int, rounds: int, tell: Callable[[str], None]
) -> list[Timed]:
    """Let each do W(`count`) once without counting it on two servers, then `rounds` times in turn. Raises WorkError."""
    for contestant in some:
        _once(contestant, servers, count=min(count, 2), round=0)
    found = []
    for round in range(1, rounds + 1):
        for contestant in turned([one for one in some if (round - 1) % one.every == 0], round):
            timed = _once(contestant, servers, count=count, round=round)
            tell(f"{count:4} servers, round {round}: {contestant.name:13} {timed.wall_s:8.2f} s")
            found.append(timed)
    return found


def time_command(call: Call, home: Path, *, name: str, servers: int = 0, round: int = 0) -> Timed:
    """Run one command under the stopwatch. Raises WorkError with the end of what it said when it fails."""
    report, said = home / "report.json", home / "output.txt"
    watched = [sys.executable, "-I", str(STOPWATCH), str(report), *call.command]
    inside = {**environment(home), **call.environment}
    with said.open("wb") as output:
        done = subprocess.run(watched, cwd=call.folder, env=inside, stdout=output, stderr=output, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise WorkError(f"{name} ended with {done.returncode}: {said.read_text('utf-8', 'replace')[-2000:]}")
    facts = json.loads(report.read_text("utf-8"))
    facts.pop("code")
    return Timed(name=name, servers=servers, round=round, **facts)


def _once(contestant: Contestant, servers: ThrowawayServers, *, count: int, round: int) -> Timed:
    home = Path(tempfile.mkdtemp(prefix="b-", dir=servers.folder))  # deleted with the servers: see `prepare`
    job = prepare(home / "job", servers, count)
    timed = time_command(contestant.lay_out(job), home, name=contestant.name, servers=count, round=round)
    try:
        verify(job)
    except WorkError as wrong:
        raise WorkError(f"{contestant.name}: {wrong}") from None
    return timed


def turned(some: Sequence[T], round: int) -> Sequence[T]:
    """Return who goes when: the first of one round is the last of the next, so that nobody always follows the same one."""
    at = round % len(some)
    return (*some[at:], *some[:at])
