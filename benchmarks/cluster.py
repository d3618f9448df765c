"""What a cluster does in a second: `python -m benchmarks cluster`. A real NATS server, schedulers and a worker, each a process.

Submitted and awaited through the client, as a user would, from one more process. One worker has all the slots but one and never
decides; each scheduler has one, because there is none without. The server's files are on a disk. Where it syncs `always`,
nothing that was acknowledged is lost in a power cut; the other way is the server's own default.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workflows import MAKERS
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.client import Info, connect

ROUNDS = 3
SLOTS = 512
LEAST_PER_S: Mapping[str, int] = {"always": 2000, "2m": 3000}  # steps, with 10,000 leaves, by how the server syncs
GROWTH_LIMIT = 2.3  # per doubling
MOST_MESSAGES = 3.0  # that are kept, per step
EDGE_LIMIT_MS = 10.0  # from the end of a step to that of the next, at the median
FINISHED, FINISHED_LIMIT = 1000, 1.05  # runs in the store; times an empty one
READY_S = 30.0
CHAIN, FAN_OUT = "chain", "fan-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustered:
    """One shape. Wall time is from the submission to the end of the run, CPU time that of all processes, the server's too."""

    shape: str  # fan-out | chain
    steps: int
    sync: str  # always | 2m: when the server syncs
    schedulers: int
    finished: int  # runs that were in the store
    wall_s: float
    cpu_s: float
    messages: float  # that were kept, per step
    edge_ms: float  # from the end of a step to that of the next, at the median

    @property
    def per_s(self) -> float:
        """Steps per second."""
        return self.steps / self.wall_s


def measure(tell: Callable[[str], None]) -> list[Clustered]:
    """Measure everything; some minutes."""
    found: list[Clustered] = []
    with server("always") as always, crew(always, "one", schedulers=1) as one:
        found += [best(one, FAN_OUT, 10_000), best(one, FAN_OUT, 20_000), best(one, CHAIN, 1000)]
    with server("always") as always, crew(always, "five", schedulers=5) as five:
        found.append(best(five, CHAIN, 1000))
    tell("cluster: filling a store with finished runs")
    with server("always") as always, crew(always, "few", schedulers=1) as few, crew(always, "many", schedulers=1) as many:
        many.ask("fill", FINISHED)
        found += in_turn(few, many)
    with server("2m") as unsynced, crew(unsynced, "one", schedulers=1) as one:
        found.append(best(one, FAN_OUT, 10_000))
    return found


def best(of: Crew, shape: str, steps: int) -> Clustered:
    """Return the fastest of some rounds."""
    return min((of.run(shape, steps) for _ in range(ROUNDS)), key=lambda one: one.wall_s)


def in_turn(few: Crew, many: Crew) -> list[Clustered]:
    """Return a fan-out in a store with few runs and in one with many, which take turns: the cheapest of each."""
    rounds = [(few.run(FAN_OUT, 10_000), many.run(FAN_OUT, 10_000, FINISHED)) for _ in range(2 * ROUNDS)]
    return [min(side, key=lambda one: one.cpu_s) for side in zip(*rounds, strict=True)]


def growth(found: Sequence[Clustered], one: Clustered) -> float | None:
    """Return how many times as long a shape took as the same with half as many steps; None where that was not measured."""
    same = (one.shape, one.sync, one.schedulers, one.finished)
    half = next(
        (it for it in found if (it.shape, it.sync, it.schedulers, it.finished) == same and 2 * it.steps == one.steps), None
    )
    return one.wall_s / half.wall_s if half else None


def burden(found: Sequence[Clustered]) -> float | None:
    """Return how many times as much CPU time the same takes in a store with finished runs as in the one it took turns with."""
    at = next((number for number, one in enumerate(found) if one.finished), 0)
    return found[at].cpu_s / found[at - 1].cpu_s if at else None


# ---------------------------------------------------------------- processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A NATS server."""

    url: str
    monitor: str
    sync: str
    pid: int


@contextmanager
def server(sync: str) -> Iterator[Server]:
    """Start one whose files are on a disk."""
    port, monitor = _free_port(), _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder:
        config = Path(folder, "server.conf")
        store = json.dumps(f"{folder}/js")
        config.write_text(
            f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{ store_dir: {store}, sync_interval: {sync} }}\n",
            "utf-8",
        )
        with _process([_program("nats-server"), "-c", str(config)], Path(folder, "server.log"), dict(os.environ)) as pid:
            _wait_for(port)
            yield Server(url=f"nats://127.0.0.1:{port}", monitor=f"http://127.0.0.1:{monitor}", sync=sync, pid=pid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The processes of one namespace."""

    server: Server
    namespace: str
    schedulers: int
    pids: Sequence[int]
    environment: Mapping[str, str]

    def run(self, shape: str, steps: int, finished: int = 0) -> Clustered:
        """Run a shape, from a process of its own."""
        before = {pid: _cpu_s(pid) for pid in self.pids}
        said = self.ask(shape, steps)
        cpu_s = said.pop("own_cpu_s") + sum(_cpu_s(pid) - since for pid, since in before.items())
        how = {"sync": self.server.sync, "schedulers": self.schedulers, "finished": finished}
        return Clustered(shape=shape, steps=steps, cpu_s=cpu_s, **how, **said)  # type: ignore[arg-type]

    def ask(self, what: str, count: int) -> dict[str, float]:
        """Have a client do something; return what it took."""
        command = [sys.executable, "-m", "benchmarks.cluster", what, str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(self.environment))
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


@contextmanager
def crew(of: Server, namespace: str, *, schedulers: int) -> Iterator[Crew]:
    """Start schedulers and a worker, each with a home of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        environment = {
            **os.environ,
            "HOME": folder,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PROVISIONING_NATS": of.url,
            "PROVISIONING_NATS_NAMESPACE": namespace,
            "PROVISIONING_NATS_MONITOR": of.monitor,
            "PROVISIONING_NATS_ANY_SYNC": str(of.sync != "always").lower(),
        }
        for name in [name for name in environment if name.startswith("XDG_")]:
            del environment[name]
        names = [*((f"scheduler-{number}", 1, ()) for number in range(schedulers)), ("worker", SLOTS, ("--no-scheduler",))]
        pids = [of.pid]
        for name, slots, more in names:
            command = [_program("provisioning"), "worker", "start", "--name", name, "--slots", str(slots), *more]
            command += ["--import", "benchmarks.workflows"]
            pids.append(stack.enter_context(_process(command, Path(folder, f"{name}.log"), environment)))
        made = Crew(server=of, namespace=namespace, schedulers=schedulers, pids=pids, environment=environment)
        made.ask("fill", 1)  # once that has ended, somebody leads and somebody works
        yield made


@contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=dict(environment), cwd=log.parent)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(READY_S)
        process.kill()
        process.wait()


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed (make bench sees to it)")
    return found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("nats-server does not answer")


def _cpu_s(pid: int) -> float:
    """Return the processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- the client


async def run_shape(shape: str, steps: int) -> dict[str, float]:
    """Run a shape and say what it took."""
    async with connect(os.environ["PROVISIONING_NATS"]) as client:
        await client.wait(await client.submit(MAKERS[shape](20).build()))  # what has to be loaded and caught up with
        flow = MAKERS[shape](steps).build()
        kept, cpu_s, start_s = await _kept(), time.process_time(), time.perf_counter()
        info = await client.wait(await client.submit(flow))
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    if info.status != "succeeded":
        raise SystemExit(f"the run ended as {info.status}: {info.reason}")
    messages = (await _kept() - kept) / len(flow.steps)
    return {"wall_s": wall_s, "own_cpu_s": cpu_s, "messages": messages, "edge_ms": _edge_ms(info)}


def _edge_ms(info: Info) -> float:
    ends = sorted(step.ended_at for step in info.steps if step.ended_at is not None)
    return statistics.median((later - sooner).total_seconds() * 1000 for sooner, later in itertools.pairwise(ends))


async def _kept() -> int:
    """Return how many messages the server keeps of the work."""
    environment = os.environ
    access = Access(
        urls=(environment["PROVISIONING_NATS"],),
        namespace=environment["PROVISIONING_NATS_NAMESPACE"],
        monitor=environment["PROVISIONING_NATS_MONITOR"],
        any_sync=environment["PROVISIONING_NATS_ANY_SYNC"] == "true",
    )
    cluster = Cluster(access)
    try:
        return int((await cluster.ask(f"STREAM.INFO.{cluster.names.work}"))["state"]["messages"])
    finally:
        await cluster.close()


async def fill(runs: int) -> dict[str, float]:
    """Run so many short runs to their ends."""
    async with connect(os.environ["PROVISIONING_NATS"]) as client:
        for first in range(0, runs, 50):
            flows = [MAKERS[CHAIN](3).build() for _ in range(first, min(runs, first + 50))]
            names = await asyncio.gather(*(client.submit(flow) for flow in flows))
            await asyncio.gather(*(client.wait(name) for name in names))
    return {}


def main(arguments: Sequence[str]) -> None:
    """Do one thing in this process, and print what it took as JSON."""
    what, count = arguments
    print(json.dumps(asyncio.run(fill(int(count)) if what == "fill" else run_shape(what, int(count)))))


if __name__ == "__main__":
    main(sys.argv[1:])
