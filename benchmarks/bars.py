"""What each figure is held against, and whether it holds. A figure that was not measured is not judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import cluster, dagfiles, server
from benchmarks.dagfiles import Ran
from benchmarks.figures import Timed, digits, ratio, summaries
from benchmarks.planning import GROWTH_LIMIT, LIMIT_S, Planned
from benchmarks.startup import OURS, THEIRS
from benchmarks.workflows import DURABLE, LEAST_PER_S, MOST_BYTES, RESUME_LIMIT_S, Flowed, growth
from benchmarks.workflows import GROWTH_LIMIT as FLOW_GROWTH_LIMIT

FLOOR_LIMIT = 1.4  # times the floor, at 100 servers
CPU_LIMIT_MS = 20.0  # of the client, per server, at 100 servers
PEAK_LIMIT_MB = 120.0  # of the client, at 100 servers
AHEAD = {"pyinfra": 4.0, "mitogen": 15.0, "ansible": 60.0}  # times as long as ours, at least
TITLES = {"pyinfra": "pyinfra", "mitogen": "Ansible with mitogen", "ansible": "Ansible, tuned"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One figure beside its bar."""

    what: str
    bar: str
    measured: str
    holds: bool


def of_ssh(runs: Sequence[Timed]) -> Iterator[Held]:
    """Judge the work over SSH."""
    beside = ratio(runs, "provisioning", "floor", 100)
    if beside:
        measured, holds = f"{beside} times", beside.middle <= FLOOR_LIMIT
        yield Held(what="W(100) beside the floor", bar=f"at most {FLOOR_LIMIT} times", measured=measured, holds=holds)
    for name, least in AHEAD.items():
        for servers in sorted({run.servers for run in runs if run.name == name}):
            ahead = ratio(runs, name, "provisioning", servers)
            if ahead:
                what, bar = f"W({servers}): {TITLES[name]} takes", f"at least {least:.0f} times as long"
                yield Held(what=what, bar=bar, measured=f"{ahead} times", holds=ahead.middle >= least)
    for one in summaries(runs):
        if (one.name, one.servers) == ("provisioning", 100):
            cpu_ms, peak_mb = one.cpu_ms_per_server, one.peak_mb
            bar = f"at most {CPU_LIMIT_MS:.0f} ms"
            measured, holds = f"{cpu_ms:.1f} ms", cpu_ms <= CPU_LIMIT_MS
            yield Held(what="W(100): the client's CPU per server", bar=bar, measured=measured, holds=holds)
            bar, measured, holds = f"under {PEAK_LIMIT_MB:.0f} MB", f"{peak_mb:.0f} MB", peak_mb < PEAK_LIMIT_MB
            yield Held(what="W(100): the client's memory", bar=bar, measured=measured, holds=holds)


def of_start(runs: Sequence[Timed]) -> Iterator[Held]:
    """Judge start-up: what ours takes of what the peers' take."""
    for ours in OURS[:2]:
        for theirs in THEIRS:
            part = ratio(runs, ours, theirs, 0)
            if part:
                what, holds = f"`{ours}` beside `{theirs}`", part.middle < 1
                yield Held(what=what, bar="takes less", measured=f"{part} of it", holds=holds)


def of_planning(found: Sequence[Planned]) -> Iterator[Held]:
    """Judge planning."""
    slowest_s = max((max(one.plan_s, one.compile_s) for one in found if one.growth is None), default=None)
    if slowest_s is not None:
        bar = f"at most {LIMIT_S:.0f} s each"
        measured, holds = f"{digits(slowest_s)} s", slowest_s <= LIMIT_S
        yield Held(what="planning, compiling 10,000 and 12,500 formulas", bar=bar, measured=measured, holds=holds)
    steepest = max((one.growth for one in found if one.growth), default=None)
    if steepest is not None:
        bar, measured = f"at most {GROWTH_LIMIT} times the time", f"{digits(steepest)} times"
        yield Held(what="twice as many formulas", bar=bar, measured=measured, holds=steepest <= GROWTH_LIMIT)


def of_workflows(found: Sequence[Flowed]) -> Iterator[Held]:
    """Judge the workflow engine."""
    for one in found:
        what = f"{one.shape} of {one.steps:,} steps, {one.store}"
        if (one.shape, one.steps, one.store) == ("fan-out", 10_000, DURABLE):
            bar, measured = f"at least {LEAST_PER_S:,} steps a second", f"{one.per_s:,.0f}"
            yield Held(what=what, bar=bar, measured=measured, holds=one.per_s >= LEAST_PER_S)
        times = growth(found, one)
        if times is not None:
            bar, measured = f"at most {FLOW_GROWTH_LIMIT} times half as many", f"{digits(times)} times"
            yield Held(what=what, bar=bar, measured=measured, holds=times <= FLOW_GROWTH_LIMIT)
        if one.shape == "resume":
            bar, measured = f"at most {RESUME_LIMIT_S:g} s", f"{digits(one.wall_s)} s"
            yield Held(what=what, bar=bar, measured=measured, holds=one.wall_s <= RESUME_LIMIT_S)
        elif (one.shape, one.store) == ("fan-out", DURABLE):
            bar, measured = f"under {MOST_BYTES:,} bytes a step", f"{one.bytes_per_step:,.0f}"
            yield Held(what=what, bar=bar, measured=measured, holds=one.bytes_per_step < MOST_BYTES)


def of_dagfiles(found: Sequence[Ran]) -> Iterator[Held]:
    """Judge runs of Dagu files."""
    for one in found:
        if one.own_s:
            bar, measured = (
                f"at most {dagfiles.OVER_LIMIT_S * 1000:.0f} ms over the steps' own time",
                f"{one.over_s * 1000:.0f} ms",
            )
            yield Held(
                what=f"`dag-engine run` of {one.shape}", bar=bar, measured=measured, holds=one.over_s <= dagfiles.OVER_LIMIT_S
            )
        elif one.steps == dagfiles.SIZES[0]:
            bar, measured = f"at least {dagfiles.LEAST_PER_S} a second", f"{one.per_s:,.0f}"
            yield Held(what=f"{one.steps:,} shell steps", bar=bar, measured=measured, holds=one.per_s >= dagfiles.LEAST_PER_S)
        times = dagfiles.growth(found, one)
        if times is not None:
            bar, measured = f"at most {dagfiles.GROWTH_LIMIT} times half as many", f"{digits(times)} times"
            yield Held(what=f"{one.steps:,} shell steps", bar=bar, measured=measured, holds=times <= dagfiles.GROWTH_LIMIT)


def of_cluster(found: Sequence[cluster.Clustered]) -> Iterator[Held]:
    """Judge a cluster."""
    for one in found:
        what = f"{one.shape} of {one.steps:,} steps in a cluster"
        if one.shape == cluster.CHAIN:
            what, bar = f"{what}, {one.schedulers} schedulers", f"at most {cluster.EDGE_LIMIT_MS:.0f} ms from step to step"
            yield Held(what=what, bar=bar, measured=f"{digits(one.edge_ms)} ms", holds=one.edge_ms <= cluster.EDGE_LIMIT_MS)
            continue
        if one.steps == 10_000 and not one.finished:
            least, syncs = cluster.LEAST_PER_S[one.sync], "synced each time" if one.sync == "always" else "synced now and then"
            bar, measured, holds = f"at least {least:,} steps a second", f"{one.per_s:,.0f}", one.per_s >= least
            yield Held(what=f"{what}, {syncs}", bar=bar, measured=measured, holds=holds)
            bar, holds = f"at most {cluster.MOST_MESSAGES:.0f} messages a step", one.messages <= cluster.MOST_MESSAGES
            yield Held(what=f"{what}, {syncs}", bar=bar, measured=f"{one.messages:.2f}", holds=holds)
        times = cluster.growth(found, one)
        if times is not None:
            bar, measured = f"at most {cluster.GROWTH_LIMIT} times half as many", f"{digits(times)} times"
            yield Held(what=what, bar=bar, measured=measured, holds=times <= cluster.GROWTH_LIMIT)
    burden = cluster.burden(found)
    if burden is not None:
        what, bar = f"the same with {cluster.FINISHED:,} finished runs", f"at most {cluster.FINISHED_LIMIT} times the CPU time"
        yield Held(what=what, bar=bar, measured=f"{burden:.2f} times", holds=burden <= cluster.FINISHED_LIMIT)


def of_server(found: Sequence[server.Served]) -> Iterator[Held]:
    """Judge the server's pages over a long history."""
    if not found:
        return
    slowest = max(found, key=lambda one: one.long_ms)
    bar, measured = f"under {server.LIMIT_MS:.0f} ms of CPU at the median", f"{digits(slowest.long_ms)} ms"
    what = f"the slowest of {len(found)} pages of the server, 1,000 DAGs, 100,000 runs ({slowest.page})"
    yield Held(what=what, bar=bar, measured=measured, holds=slowest.long_ms < server.LIMIT_MS)
    grown = [(one.growth, one.page) for one in found if one.growth is not None and one.page not in server.LOOKING]
    most, page = max(grown)
    what, bar = f"100,000 runs beside 1,000 ({page})", f"at most {server.GROWTH_LIMIT:.0f} times the time"
    yield Held(what=what, bar=bar, measured=f"{digits(most)} times", holds=most <= server.GROWTH_LIMIT)
