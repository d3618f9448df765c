"""Run contestants in turn, again and again, and keep every figure."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from servers import ThrowawayServers

from benchmarks.contestants import Call, Contestant, environment
from benchmarks.figures import Timed
from benchmarks.work import WorkError, prepare, verify

STOPWATCH = Path(__file__).with_name("stopwatch.py")
LIMIT_S = 1800

T = TypeVar("T")


@contextmanager
def hosts(count: int) -> Iterator[ThrowawayServers]:
    """Have so many throw-away servers on loopback."""
    width = len(str(count - 1))
    with ThrowawayServers([f"server-{number:0{width}}" for number in range(count)], shared=True) as servers:
        yield servers


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
