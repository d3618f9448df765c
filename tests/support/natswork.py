"""Leaders and workers of a cluster for tests: in this process, or as programs that can be killed.

python natswork.py leader|worker JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.lease import NatsLease
from provisioning.adapters.nats.store import NatsStore
from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.model import Action, Dep, Step, Workflow
from provisioning.core.ports import Commit, Outcome, Request, Task
from provisioning.core.run import Run, new_run
from provisioning.engine.actions import Action as Doing
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.limits import Limits
from provisioning.engine.runner import Runner, load
from provisioning.engine.worker import Place, Worker
from provisioning.errors import ClusterUnreachable, Fenced, ProvisioningError

ORDERS = ""
LONG_S = 60.0
OK = Result(outcome=Outcome.OK, exit_code=0)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a leader or a worker works."""

    url: str
    namespace: str
    folder: str  # of its own
    marks: str = ""  # the file into which steps write that they begin and end
    name: str = "w1"
    slots: int = 4
    lease_s: float = 2.0
    targets: tuple[str, ...] = ()
    ttl_s: float = 2.0

    def store(self) -> NatsStore:
        access = Access(urls=(self.url,), namespace=self.namespace)
        return NatsStore(Cluster(access), Path(self.folder), lease_s=self.lease_s)


# ---------------------------------------------------------------- steps


@dataclass(frozen=True)
class Marking:
    """Writes that a step begins, waits for as long as its settings say, writes that it ended."""

    marks: Path
    traits: Traits = field(default_factory=lambda: Traits(eager_log=False))

    async def run(self, task: Task, _context: Context) -> Result:
        self._mark("begin", task)
        try:
            await asyncio.sleep(float(str(task.action.settings.get("s", 0))))
        except asyncio.CancelledError:
            self._mark("stopped", task)
            raise
        self._mark("end", task)
        fails = str(task.action.settings.get("fails", ""))
        return Result(outcome=Outcome.FAILED, error_kind="scripted", error=fails) if fails else OK

    def _mark(self, what: str, task: Task) -> None:
        with self.marks.open("a", encoding="utf-8") as file:
            file.write(f"{what} {task.step} {task.attempt} {task.epoch} {os.getpid()} {time.time()}\n")


def doings(marks: Path) -> Mapping[str, Doing]:
    return {"mark": Marking(marks), "change": Marking(marks, Traits(eager_log=False, mutates=True))}


def marking(id: str, *needs: str, seconds: float = 0.0, kind: str = "mark", **fields: object) -> Step:
    deps = tuple(Dep(step=need) for need in needs)
    return Step(id=id, action=Action(type=kind, settings={"s": seconds}), deps=deps, **fields)  # type: ignore[arg-type]


def flow(*steps: Step, **fields: object) -> Workflow:
    return Workflow(name="cluster", steps=steps, **fields)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One line of the file of marks."""

    what: str
    step: str
    attempt: int
    epoch: int
    pid: int
    at_s: float


def marks(path: Path) -> list[Mark]:
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    split = [line.split() for line in lines]
    return [
        Mark(what=what, step=step, attempt=int(attempt), epoch=int(epoch), pid=int(pid), at_s=float(at))
        for what, step, attempt, epoch, pid, at in split
    ]


# ---------------------------------------------------------------- leading and working


async def lead(store: NatsStore, lease: NatsLease, *, slots: int = 64, leading: asyncio.Event | None = None) -> None:
    """Contend, drive every open run, contend again when somebody else has taken over."""
    while True:
        try:
            token = await lease.acquire(wait=True)
        except ClusterUnreachable:
            await asyncio.sleep(0.2)
            continue
        try:
            await _drive(store, lease, token, slots, leading)
        except* (Fenced, ClusterUnreachable):
            pass
        finally:
            await store.resign()
            with contextlib.suppress(ClusterUnreachable):
                await lease.release()


async def _drive(store: NatsStore, lease: NatsLease, token: int, slots: int, leading: asyncio.Event | None) -> None:
    await store.take_over(token)
    runner = Runner(
        store, SystemClock(), roll=lambda: 0.5, stop_work=_nothing, fence=token, limits=Limits(slots=slots), poll_s=0.05
    )
    await runner.resume()
    if leading is not None:
        leading.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(_until_lost(lease))
        group.create_task(_orders(store, runner))
        group.create_task(runner.serve())


async def _until_lost(lease: NatsLease) -> None:
    await lease.lost()
    raise Fenced("the lease was lost")


async def _nothing(_run: str) -> None:
    """Workers are elsewhere: they hear of it from the store."""


async def _orders(store: NatsStore, runner: Runner) -> None:
    while True:
        orders = await store.take_requests([ORDERS])
        for order in orders:
            try:
                if order.kind == "retry":
                    await runner.retry(str(order.data["run"]), upto=order.id)
                else:
                    await runner.resume()
            except Fenced:
                raise
            except ProvisioningError:
                continue
        await store.handled(orders)
        await asyncio.sleep(0.05)


async def work(store: NatsStore, setting: Setting, actions: Mapping[str, Doing]) -> None:
    place = Place(slots=setting.slots, targets=setting.targets)
    worker = Worker(setting.name, store, actions, MemoryLogs(), SystemClock(), place=place)
    stopping: set[asyncio.Task[None]] = set()

    def stop(run: str) -> None:
        task = asyncio.create_task(worker.cancel(run))
        stopping.add(task)
        task.add_done_callback(stopping.discard)

    store.tasks.cancelled = stop
    await worker.serve()


@contextlib.asynccontextmanager
async def leader(setting: Setting, **more: object) -> AsyncIterator[NatsStore]:
    """Lead in this process; yield the store once we do."""
    store, leading = setting.store(), asyncio.Event()
    task = asyncio.create_task(lead(store, NatsLease(store.cluster, "test", ttl_s=setting.ttl_s), leading=leading, **more))  # type: ignore[arg-type]
    try:
        waiting = asyncio.create_task(leading.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.aclose()


# ---------------------------------------------------------------- clients


async def submitted(store: NatsStore, run_id: str, workflow: Workflow) -> None:
    """Create a run as a client does that does not lead, and have it adopted."""
    decision = Decision(run=new_run(run_id, workflow), now=SystemClock().now())
    decide.create(decision, await store.put_workflow(workflow), name=workflow.name, trigger="test", params={})
    await store.commit(Commit(run=run_id, expected_seq=0, events=decision.events, fence=None))
    await store.request(Request(run=ORDERS, kind="adopt"))


async def until_ended(store: NatsStore, run_id: str, within_s: float = LONG_S) -> Run:
    """Wait for the end of a run, whoever drives it."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(ClusterUnreachable):
                if (run := await load(store, run_id)).ended:
                    return run
            await asyncio.sleep(0.05)


async def until(what: object, within_s: float = LONG_S) -> None:
    """Wait until a function returns something true."""
    async with asyncio.timeout(within_s):
        while not what():  # type: ignore[operator]  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------- programs


@contextlib.contextmanager
def program(what: str, setting: Setting) -> Iterator[subprocess.Popen[bytes]]:
    """Run a leader or a worker as a process of its own; kill it in the end, if it still lives."""
    Path(setting.folder).mkdir(parents=True, exist_ok=True)
    with Path(setting.folder, f"{what}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, __file__, what, json.dumps(asdict(setting))], stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


async def main(what: str, said: str) -> None:
    given = json.loads(said)
    setting = Setting(**{**given, "targets": tuple(given["targets"])})
    store = setting.store()
    if what == "leader":
        await lead(store, NatsLease(store.cluster, f"pid {os.getpid()}", ttl_s=setting.ttl_s))
    else:
        await work(store, setting, doings(Path(setting.marks)))


def begun(path: Path, step: str = "") -> Sequence[Mark]:
    """Return the marks of what has begun."""
    return [mark for mark in marks(path) if mark.what == "begin" and (not step or mark.step == step)]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
