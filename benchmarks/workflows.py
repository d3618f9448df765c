"""What the workflow engine does in a second, and what a step costs in memory: `python -m benchmarks workflows`.

No-op steps of async functions, submitted and awaited through the client as a user would. Each figure is from a process of its
own, after a small run that loads what has to be loaded; the best of three. The durable store is SQLite, each commit synced.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from provisioning.builder import Workflow, task
from provisioning.client import connect

ROUNDS = 3
SLOTS = 64
LEAST_PER_S = 5000  # steps, durable, with 10,000 leaves
GROWTH_LIMIT = 2.3  # per doubling
MOST_BYTES = 2000  # of memory per step
RESUME_LIMIT_S = 1.0  # of a run with 10,000 steps
DURABLE, FORGETS = "durable", "in memory"
SHAPES = (
    ("fan-out", 10_000, DURABLE),
    ("fan-out", 20_000, DURABLE),
    ("fan-out", 10_000, FORGETS),
    ("chain", 2_000, DURABLE),
    ("chain", 100_000, FORGETS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flowed:
    """One shape. Seconds are wall time from the submission to the end of the run; for a resume, until steps start again."""

    shape: str  # fan-out | chain | resume
    steps: int
    store: str
    wall_s: float
    cpu_s: float
    bytes_per_step: float  # by which the process has grown at most

    @property
    def per_s(self) -> float:
        """Steps per second."""
        return self.steps / self.wall_s


@task
async def nothing() -> None:
    """Do nothing."""


@task
async def count(values: list[object]) -> int:
    """Return how many there are."""
    return len(values)


@task
async def one_more(value: int = 0) -> int:
    """Return the next number."""
    return value + 1


@task
async def wait_for_ever() -> None:
    """Wait."""
    await asyncio.Event().wait()


def fan_out(leaves: int) -> Workflow:
    """Return leaves and a join of all their results."""
    wf = Workflow("fan-out")
    found = [wf.step(f"leaf-{number}", nothing) for number in range(leaves)]
    wf.step("join", count, [leaf.ref() for leaf in found])
    return wf


def chain(length: int) -> Workflow:
    """Return steps each of which needs the result of the one before."""
    wf = Workflow("chain")
    last = wf.step("step-0", one_more)
    for number in range(1, length):
        last = wf.step(f"step-{number}", one_more, last.ref())
    return wf


def half_done(leaves: int) -> Workflow:
    """Return a fan-out of which every second leaf never ends, and needs a slot of a few."""
    wf = Workflow("resume", pools={"few": 8})
    for number in range(leaves):
        if number % 2:
            wf.step(f"leaf-{number}", wait_for_ever, pool="few", priority=-1)
        else:
            wf.step(f"leaf-{number}", nothing)
    return wf


MAKERS = {"fan-out": fan_out, "chain": chain}


def measure() -> list[Flowed]:
    """Measure every shape; a few minutes."""
    found = [min((_in_child(*shape) for _ in range(ROUNDS)), key=lambda one: one.wall_s) for shape in SHAPES]
    return [*found, min((_resumed(10_000) for _ in range(ROUNDS)), key=lambda one: one.wall_s)]


def growth(found: Sequence[Flowed], one: Flowed) -> float | None:
    """Return how many times as long a shape took as the same with half as many steps; None where that was not measured."""
    half = next((it for it in found if (it.shape, it.store, 2 * it.steps) == (one.shape, one.store, one.steps)), None)
    return one.wall_s / half.wall_s if half else None


def _in_child(*arguments: object) -> Flowed:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_disk()) as folder:
        command = [sys.executable, "-m", "benchmarks.workflows", folder, *map(str, arguments)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return Flowed(**json.loads(said))


def _disk() -> str:
    """Return a folder on a disk: what is in memory syncs in no time."""
    return "/var/tmp"


async def run_shape(folder: Path, shape: str, steps: int, store: str) -> Flowed:
    """Run a shape in this process."""
    await _run(MAKERS[shape](100), folder / "warm" if store == DURABLE else None)
    before_bytes, cpu_s = _memory("VmRSS"), time.process_time()
    flow = MAKERS[shape](steps)
    wall_s = await _run(flow, folder / "real" if store == DURABLE else None)
    grown_bytes = _memory("VmHWM") - before_bytes
    return Flowed(
        shape=shape,
        steps=steps,
        store=store,
        wall_s=wall_s,
        cpu_s=time.process_time() - cpu_s,
        bytes_per_step=grown_bytes / steps,
    )


async def _run(wf: Workflow, folder: Path | None) -> float:
    flow = wf.build()
    async with connect(folder, slots=SLOTS) as client:
        start_s = time.perf_counter()
        info = await client.wait(await client.submit(flow))
        took_s = time.perf_counter() - start_s
    if info.status != "succeeded":
        raise SystemExit(f"the run ended as {info.status}: {info.reason}")
    return took_s


def _memory(name: str) -> int:
    """Return a size of this process in bytes, as the kernel counts it."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


# ---------------------------------------------------------------- resume


def _resumed(steps: int) -> Flowed:
    """Kill a process when half of its run is done; measure how long the next one needs until it goes on with it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_disk()) as folder:
        command = [sys.executable, "-m", "benchmarks.workflows", folder, "half", str(steps), DURABLE]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()  # half of it is done
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        return _in_folder(folder, steps)


def _in_folder(folder: str, steps: int) -> Flowed:
    command = [sys.executable, "-m", "benchmarks.workflows", folder, "resume", str(steps), DURABLE]
    return Flowed(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


async def run_half(folder: Path, steps: int) -> None:
    """Submit, and say so when every step that ends has ended. To be killed then."""
    async with connect(folder, slots=SLOTS) as client:
        run = await client.submit(half_done(steps))
        while (await client.debug(run)).counts.get("succeeded", 0) < steps // 2:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.2)
        print("half of it is done", flush=True)
        await client.wait(run)


async def resume(folder: Path, steps: int) -> Flowed:
    """Take over what `run_half` has left."""
    before_bytes, cpu_s, start_s = _memory("VmRSS"), time.process_time(), time.perf_counter()
    async with connect(folder, slots=SLOTS) as client:
        wall_s = time.perf_counter() - start_s
        grown_bytes = _memory("VmHWM") - before_bytes
        cpu_s = time.process_time() - cpu_s
        open_runs = await client.list(status="running")
        if len(open_runs) != 1 or (await client.debug(open_runs[0].run_id)).counts.get("succeeded") != steps // 2:
            raise SystemExit("the run was not taken over as it was")
    return Flowed(shape="resume", steps=steps, store=DURABLE, wall_s=wall_s, cpu_s=cpu_s, bytes_per_step=grown_bytes / steps)


def main(arguments: Sequence[str]) -> None:
    """Run one shape in this process, and print what it took as JSON."""
    folder, shape, steps, store = arguments
    if shape == "half":
        with suppress(KeyboardInterrupt):
            asyncio.run(run_half(Path(folder), int(steps)))
        return
    work = resume(Path(folder), int(steps)) if shape == "resume" else run_shape(Path(folder), shape, int(steps), store)
    print(json.dumps(asdict(asyncio.run(work))))


if __name__ == "__main__":
    from benchmarks.workflows import main as the_importable_one

    the_importable_one(sys.argv[1:])
