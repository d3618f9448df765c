"""Faults at random moments of a run on the lab's servers, and how soon the runner notices each."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lab.hosts import Host

SSH_PORT = 22
ESTABLISHED = "01"  # in /proc/net/tcp
LOOK_EVERY_S = 0.1
NOTICED_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind. `momentary` ones leave nothing to heal, `survivable` ones can be outlived by a connection.

    `most_s` is the longest that one lasts if it heals within a run.
    """

    begin: Callable[[Host], None]
    end: Callable[[Host], None] = Host.heal
    momentary: bool = False
    survivable: bool = False
    most_s: float = 22.0
    needs_disk: bool = False


FAULTS: Mapping[str, Fault] = {
    "partition": Fault(begin=Host.partition, survivable=True),
    "reset": Fault(begin=Host.reset_connections, momentary=True),
    "sessions": Fault(begin=Host.kill_sessions, momentary=True),
    "freeze": Fault(begin=Host.freeze, end=Host.thaw, survivable=True),
    "crash": Fault(begin=Host.crash, end=Host.boot, most_s=10.0),
    "power": Fault(begin=Host.lose_power, end=Host.boot, most_s=10.0, needs_disk=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault, so many seconds after the run began or after the one before it ended, but not before there is a
    connection to lose; `lasts_s` None: beyond the run.

    What became of it: `hit` unless the run had ended before, `noticed_s` when the runner had let
    go of it, or had ended. None: the fault was over before that. `starved_s`: how long its threads
    were ready in that time while other processes had the cores.
    """

    kind: str
    server: int
    after_s: float
    lasts_s: float | None
    hit: bool = False
    began_s: float = 0.0
    noticed_s: float | None = None
    starved_s: float = 0.0

    @property
    def late(self) -> bool:
        """Whether the runner took longer than it may to notice. Time in which others had the cores does not count."""
        lasted_s = float("inf") if self.lasts_s is None else self.lasts_s
        taken_s = lasted_s if self.noticed_s is None else self.noticed_s
        return self.hit and taken_s - self.starved_s > NOTICED_WITHIN_S

    def __str__(self) -> str:
        lasts = "beyond the run" if self.lasts_s is None else f"for {self.lasts_s:.1f} s"
        noticed = "not noticed" if self.noticed_s is None else f"noticed after {self.noticed_s:.1f} s"
        noticed += f", {self.starved_s:.1f} s without a core" if self.starved_s > 0.5 else ""
        return f"{self.kind} of server {self.server} at {self.began_s:.1f} s {lasts}: {noticed if self.hit else 'missed'}"


def drawn(dice: random.Random, kind: str, server: int, *, within_s: float, heals: bool = True) -> Strike:
    """Draw one fault's moment and length."""
    lasts = 0.0 if FAULTS[kind].momentary else dice.uniform(1.0, FAULTS[kind].most_s)
    return Strike(kind=kind, server=server, after_s=dice.uniform(0.0, within_s), lasts_s=lasts if heals else None)


def strike_all(hosts: Iterable[Host], strikes: Sequence[Strike], run: subprocess.Popen[str]) -> list[Strike]:
    """Strike every server while a run goes on, each on its own time; return what became of each. All end healed.

    Blocks until the run has ended, so somebody else has to read the run's output.
    """
    began_s = time.monotonic()
    by_host = {host: [strike for strike in strikes if strike.server == host.number] for host in hosts}

    def strike_one(host: Host) -> list[Strike]:
        return [_strike(host, strike, run, began_s) for strike in by_host[host]]

    with ThreadPoolExecutor(len(by_host)) as threads:
        return [strike for of_one in threads.map(strike_one, by_host) for strike in of_one]


def connections(host: Host) -> frozenset[int]:
    """Return the local ports of this machine's living SSH connections to a server."""
    address = f"{struct.unpack('=I', socket.inet_aton(host.address))[0]:08X}:{SSH_PORT:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return frozenset(int(line[1].partition(":")[2], 16) for line in lines if line[2] == address and line[3] == ESTABLISHED)


def _strike(host: Host, strike: Strike, run: subprocess.Popen[str], began_s: float) -> Strike:
    fault = FAULTS[strike.kind]
    _wait(strike.after_s, lambda: run.poll() is not None)
    _wait(None, lambda: run.poll() is not None or connections(host))
    before, struck_s, starved_s = connections(host), time.monotonic(), _starved_s(run)
    since = partial(_since, run, struck_s, starved_s)
    hit = bool(before) and run.poll() is None

    def let_go() -> bool:
        return run.poll() is not None or not before & connections(host)

    try:
        fault.begin(host)
        noticed = _wait(strike.lasts_s, let_go, since_s=struck_s)
        noticed_s, starved_s = since()
        _wait(strike.lasts_s, lambda: run.poll() is not None, since_s=struck_s)
    finally:
        fault.end(host)
    if not noticed and not fault.survivable:
        noticed = _wait(None, let_go)
        noticed_s, starved_s = since()
    return replace(
        strike,
        hit=hit,
        began_s=struck_s - began_s,
        noticed_s=noticed_s if hit and noticed else None,
        starved_s=starved_s,
    )


def _since(run: subprocess.Popen[str], struck_s: float, starved_s: float) -> tuple[float, float]:
    """Return the seconds since then, and those of them in which a process was kept waiting for a core."""
    return time.monotonic() - struck_s, max(0.0, _starved_s(run) - starved_s)


def _wait(limit_s: float | None, over: Callable[[], object], *, since_s: float | None = None) -> bool:
    """Wait until it is over, at most so many seconds; return whether it is."""
    since_s = time.monotonic() if since_s is None else since_s
    while not over():
        if limit_s is not None and time.monotonic() - since_s >= limit_s:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _starved_s(run: subprocess.Popen[str]) -> float:
    """Return how long the threads of a process have been ready without a core so far; 0 when it is gone."""
    waited_ns = 0
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{run.pid}/task").glob("*/schedstat"):
            waited_ns += int(path.read_text("ascii").split()[1])
    return waited_ns / 1e9
