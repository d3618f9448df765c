"""What was measured, and what follows from it. Comparisons are made round by round, so a machine that slows down slows both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One run of one command: wall and processor seconds of all its processes, and the peak of the largest of them."""

    name: str
    servers: int  # 0 where it has nothing to do with servers
    round: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median over rounds, and the extremes."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{digits(self.middle)} ({digits(self.low)}-{digits(self.high)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One contestant at one size: medians over rounds."""

    name: str
    servers: int
    rounds: int
    wall_s: float
    cpu_s: float
    peak_bytes: float

    @property
    def cpu_ms_per_server(self) -> float:
        """Processor milliseconds of the client."""
        return self.cpu_s * 1000 / max(self.servers, 1)

    @property
    def peak_mb(self) -> float:
        """Megabytes of the client's largest process."""
        return self.peak_bytes / 1e6


def summaries(runs: Sequence[Timed]) -> list[Summary]:
    """Return one for each contestant and size, in the order in which they first ran."""
    found = []
    for name, servers in dict.fromkeys((run.name, run.servers) for run in runs):
        some = [run for run in runs if (run.name, run.servers) == (name, servers)]
        found.append(
            Summary(
                name=name,
                servers=servers,
                rounds=len(some),
                wall_s=median(run.wall_s for run in some),
                cpu_s=median(run.cpu_s for run in some),
                peak_bytes=median(run.peak_bytes for run in some),
            )
        )
    return found


def ratio(runs: Sequence[Timed], name: str, to: str, servers: int) -> Ratio | None:
    """Return how many times as long `name` took as `to`, of the rounds that have both; None where there are none."""
    walls = {(run.name, run.round): run.wall_s for run in runs if run.servers == servers}
    rounds = sorted({round for of, round in walls if of == name} & {round for of, round in walls if of == to})
    each = [walls[name, round] / walls[to, round] for round in rounds]
    return Ratio(middle=median(each), low=min(each), high=max(each)) if each else None


def digits(number: float) -> str:
    """Return a number with as many decimals as it is worth."""
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"
