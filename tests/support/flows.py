"""Functions for steps of workflows under test, and a client to run them with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.builder import TaskError, Workflow, task
from provisioning.client import Info, connect
from provisioning.client.client import Client

LONG_S = 20.0  # nothing in a test takes that long


@dataclass
class Stage:
    """What the steps of one test do together: what was called, doors that keep a step from ending, scripted failures."""

    called: list[str] = field(default_factory=list)
    doors: dict[str, asyncio.Event] = field(default_factory=dict)
    begun: dict[str, asyncio.Event] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)  # how often a step still fails
    running: int = 0
    peak: int = 0

    def close(self, *names: str) -> None:
        """Let these steps wait until `open`."""
        self.doors.update({name: asyncio.Event() for name in names})

    def open(self, *names: str) -> None:
        for name in names:
            self.doors[name].set()

    async def reached(self, name: str) -> None:
        """Wait until a step has begun."""
        await asyncio.wait_for(self.begun.setdefault(name, asyncio.Event()).wait(), LONG_S)


_stages: list[Stage] = []


def stage() -> Stage:
    """Begin a new stage; the steps of this module play on the newest one."""
    _stages[:] = [Stage()]
    return _stages[0]


@task
async def play(name: str, value: object = None, *_more: object) -> object:
    """Say that it was called, wait at its door, fail as often as it is scripted to, return `value`."""
    on = _stages[0]
    on.called.append(name)
    on.running += 1
    on.peak = max(on.peak, on.running)
    on.begun.setdefault(name, asyncio.Event()).set()
    try:
        if name in on.doors:
            await on.doors[name].wait()
        if on.failures.get(name, 0):
            on.failures[name] -= 1
            raise TaskError(f"{name} fails", kind="scripted")
        return value
    finally:
        on.running -= 1


def flow(name: str = "test", **rules: object) -> Workflow:
    return Workflow(name, **rules)  # type: ignore[arg-type]


def log_text(info: Info, step: str) -> str:
    return Path(info.step(step).log).read_text("utf-8")


def states(info: Info) -> Mapping[str, str]:
    return {step.id: step.state for step in info.steps}


@asynccontextmanager
async def client(folder: Path | None = None, **options: object) -> AsyncIterator[Client]:
    async with asyncio.timeout(LONG_S * 2), connect(folder, **options) as it:  # type: ignore[arg-type]
        yield it


async def until(it: Client, run: str, status: str) -> None:
    """Wait until a run has a status."""
    async with asyncio.timeout(LONG_S):
        while (await it.info(run)).status != status:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
