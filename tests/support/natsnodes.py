"""Processes of a cluster, put together as `provisioning worker start` does it, with leases short enough to lose many of them.

Their steps write down what they do. python natsnodes.py JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from support.netns import inside

from provisioning import clusters
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.lease import NatsLease
from provisioning.adapters.nats.store import NatsStore
from provisioning.builder import current, task
from provisioning.client.engine import Options
from provisioning.client.node import Duty, Node
from provisioning.clusters import Joined
from provisioning.core.model import Action, Dep, Step
from provisioning.core.ports import Outcome, Task
from provisioning.engine.actions import Action as Doing
from provisioning.engine.actions import Context, Result, Traits
from provisioning.settings import Settings

READY = b"ready\n"
STARTS_WITHIN_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Post:
    """One process. `marks` is the file that all steps append to, `effects` the folder of what they change."""

    urls: tuple[str, ...]
    namespace: str
    folder: str  # of its own: its home
    name: str
    marks: str
    effects: str
    lease_s: float = 2.0  # of tasks
    ttl_s: float = 2.0  # of the right to decide
    slots: int = 6
    targets: tuple[str, ...] = ()
    decides: bool = True
    replicas: int = 1
    timeout_s: float = 5.0

    def access(self) -> Access:
        """Return how it gets at the servers."""
        return Access(urls=self.urls, namespace=self.namespace, replicas=self.replicas, timeout_s=self.timeout_s)

    def joined(self) -> Joined:
        """Return its connection, and its copy of the history."""
        cluster = Cluster(self.access())
        store = NatsStore(cluster, Path(self.folder) / ".provisioning", lease_s=self.lease_s)
        return Joined(cluster=cluster, store=store, folder=Path(self.folder))


# ---------------------------------------------------------------- what steps do

SHELL = 'echo "begin $PROVISIONING_RUN_ID $PROVISIONING_STEP $PROVISIONING_ATTEMPT 0 $$" >> "$MARKS"; sleep {s}; '
SHELL += 'echo "end $PROVISIONING_RUN_ID $PROVISIONING_STEP $PROVISIONING_ATTEMPT 0 $$" >> "$MARKS"'


def shell_step(id: str, *needs: str, seconds: float, marks: Path) -> Step:
    """A step that runs a shell, which writes when it begins and ends."""
    settings = {"command": SHELL.format(s=seconds), "env": {"MARKS": str(marks)}}
    return Step(id=id, action=Action(type="shell", settings=settings), deps=tuple(Dep(step=need) for need in needs))


def python_step(id: str, *needs: str, seconds: float, marks: Path) -> Step:
    """A step that calls a function, which writes the same."""
    action = Action(type="python", settings={"function": "faults.note"})
    return Step(id=id, action=action, args={"args": [seconds, str(marks)]}, deps=tuple(Dep(step=need) for need in needs))


def change_step(id: str, *needs: str, seconds: float) -> Step:
    """A step that changes something, as a taskserv does on its server: once, whoever begins it and however often."""
    return Step(id=id, action=Action(type="change", settings={"s": seconds}), deps=tuple(Dep(step=need) for need in needs))


def note(path: Path, what: str, run: str, step: str, attempt: int, epoch: int) -> None:
    """Append a line in one write."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{what} {run} {step} {attempt} {epoch} {os.getpid()}\n")


@task(name="faults.note")
async def noting(seconds: float, marks: str) -> None:
    """Write down that the step begins and ends."""
    now = current()
    note(Path(marks), "begin", now.run, now.step_id, now.attempt, 0)
    await asyncio.sleep(seconds)
    note(Path(marks), "end", now.run, now.step_id, now.attempt, 0)


@dataclass(frozen=True)
class Changing:
    """Changes a thing that knows the highest token that was ever shown to it, and refuses whoever shows a lower one."""

    marks: Path
    effects: Path
    traits: Traits = Traits(eager_log=False, mutates=True)  # noqa: RUF009 - frozen

    async def run(self, task: Task, _context: Context) -> Result:
        """Begin, take a while, change it unless that was done, or somebody newer has begun."""
        note(self.marks, "begin", task.run, task.step, task.attempt, task.epoch)
        if not self._see(task, done=False):
            return Result(outcome=Outcome.FAILED, error_kind="stale", error="a newer attempt has begun")
        await asyncio.sleep(float(str(task.action.settings["s"])))
        if not self._see(task, done=True):
            return Result(outcome=Outcome.FAILED, error_kind="stale", error="a newer attempt has begun")
        note(self.marks, "end", task.run, task.step, task.attempt, task.epoch)
        return Result(outcome=Outcome.OK, exit_code=0)

    def _see(self, task: Task, *, done: bool) -> bool:
        with (self.effects / f"{task.run}-{task.step}").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            lines = [line.split() for line in file.read().splitlines()]
            if task.token < max((int(line[1]) for line in lines), default=0):
                return False
            if not done or not any(line[0] == "changed" for line in lines):
                file.write(f"{'changed' if done else 'claimed'} {task.token}\n")
        return True


class FaultNode(Node):
    """A node that can also change things."""

    def __init__(self, post: Post, joined: Joined, duty: Duty) -> None:
        super().__init__(joined, duty, Settings(), Options(slots=post.slots, worker=post.name))
        self._post = post

    def _actions(self, sites: object, dagu: object) -> Mapping[str, Doing]:
        change = Changing(Path(self._post.marks), Path(self._post.effects))
        return {**super()._actions(sites, dagu), "change": change}  # type: ignore[arg-type]


# ---------------------------------------------------------------- programs


@dataclass
class NodeProcess:
    """A node as a process. It can be killed and started again."""

    post: Post
    network: str = ""  # the namespace it lives in
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process; 0 without one."""
        return self.process.pid if self.process is not None else 0

    def start(self, *, wait: bool = False) -> None:
        """Start it; with `wait`, return when it works."""
        home = Path(self.post.folder)
        home.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
        words = [sys.executable, __file__, json.dumps(asdict(self.post))]
        place = inside(self.network) if self.network else contextlib.nullcontext()
        with (home / "log").open("ab") as log, place:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=env, cwd=home)
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until it works."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == READY, (Path(self.post.folder) / "log").read_text("utf-8")[-3000:]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.communicate()

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None


@contextlib.contextmanager
def crew(*posts: Post, networks: Mapping[str, str] | None = None) -> Iterator[list[NodeProcess]]:
    """Have these at work; in the end they are killed, however they are."""
    nodes = [NodeProcess(post, (networks or {}).get(post.name, "")) for post in posts]
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.ready()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


async def main(said: str) -> None:
    """Work until killed."""
    given = json.loads(said)
    post = Post(**{**given, "urls": tuple(given["urls"]), "targets": tuple(given["targets"])})
    clusters.lease = lambda joined: NatsLease(joined.cluster, f"pid {os.getpid()}", ttl_s=post.ttl_s)
    duty = Duty(name=post.name, slots=post.slots, targets=post.targets, decides=post.decides, home=Path(post.folder))
    joined = post.joined()
    until = time.monotonic() + STARTS_WITHIN_S
    while not await joined.cluster.connected(STARTS_WITHIN_S):
        assert time.monotonic() < until
        await asyncio.sleep(0.2)
    async with FaultNode(post, joined, duty) as node:
        os.write(1, READY)
        await node.done()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
