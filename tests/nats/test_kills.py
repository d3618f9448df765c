"""Workers and leaders of a cluster are killed again and again while runs go on: nothing is lost, stuck, or begun twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from support.natsservers import running
from support.natswork import Setting, flow, marking, marks, program, submitted, until_ended

from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind
from provisioning.core.model import RunState, Workflow

Killed = subprocess.Popen[bytes]
LEASE_S = 1.0
STEPS = 60


@pytest.mark.parametrize(("kills", "what"), [pytest.param(3, "worker"), pytest.param(3, "leader")])
async def test_a_few_kills(tmp_path: Path, kills: int, what: str) -> None:
    await killing(tmp_path, what, kills, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("what", ["worker", "leader"])
async def test_200_kills(tmp_path: Path, what: str) -> None:
    begun = await killing(tmp_path, what, 200, seed=2)
    print(f"\n200 kills of a {what}: {begun} steps begun, 0 lost, 0 stuck, 0 begun twice in one epoch")  # noqa: T201 - for docs


async def killing(folder: Path, what: str, kills: int, seed: int) -> int:
    """Keep runs going while one of three processes is killed again and again; return how many steps were begun."""
    with running() as server:
        setting = Setting(
            url=server.url,
            namespace="kills",
            folder=str(folder / "watching"),
            marks=str(folder / "marks"),
            lease_s=LEASE_S,
            ttl_s=LEASE_S,
            slots=4,
        )
        store = setting.store()
        try:
            async with crew(setting, "leader"), crew(setting, "worker"):
                killer = asyncio.create_task(kill(PROCESSES[what], kills, random.Random(seed)))
                runs = 0
                while not killer.done() or not runs:
                    runs += 1
                    await submitted(store, f"r{runs}", workflow())
                    run = await until_ended(store, f"r{runs}")
                    assert run.state is RunState.SUCCEEDED, {id: (step.state, step.error) for id, step in run.steps.items()}
                await killer
            await judged(store, runs, disturbed=what == "worker")
        finally:
            await store.aclose()
    return verdict(Path(setting.marks), runs, disturbed=what == "worker")


def workflow() -> Workflow:
    """Return steps that only compute, and steps that change something, some after others."""
    steps = [marking(f"s{n}", seconds=0.02, kind="change" if n % 2 else "mark") for n in range(STEPS - 1)]
    return flow(*steps, marking("last", *(step.id for step in steps)))


PROCESSES: dict[str, dict[str, tuple[Killed, Callable[[], Killed]]]] = {}


@contextlib.asynccontextmanager
async def crew(setting: Setting, what: str) -> AsyncIterator[None]:
    """Run three processes of a kind, each of which is replaced when it is killed."""
    with contextlib.ExitStack() as stack:
        PROCESSES[what] = {}
        for number in range(3):
            mine = replace(setting, name=f"{what}{number}", folder=f"{setting.folder}-{what}{number}")

            def start(mine: Setting = mine) -> Killed:
                starting: AbstractContextManager[Killed] = program(what, mine)
                return stack.enter_context(starting)

            PROCESSES[what][mine.name] = (start(), start)
        yield


async def kill(processes: dict[str, tuple[Killed, Callable[[], Killed]]], kills: int, dice: random.Random) -> None:
    for _ in range(kills):
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        name = dice.choice(sorted(processes))
        process, start = processes[name]
        process.kill()
        process.wait()
        processes[name] = (start(), start)


async def judged(store: NatsStore, runs: int, *, disturbed: bool) -> None:
    """Look at what was recorded."""
    for number in range(1, runs + 1):
        kinds = Counter(event.kind for event in await store.events(f"r{number}"))
        assert kinds[Kind.STEP_SUCCEEDED] == STEPS
        assert kinds[Kind.RUN_FINISHED] == 1
        assert kinds[Kind.STEP_DISPATCHED] == STEPS + kinds[Kind.STEP_LEASE_LOST]
        assert disturbed or not kinds[Kind.STEP_LEASE_LOST]


def verdict(path: Path, runs: int, *, disturbed: bool) -> int:
    """Look at what was really done; return how often something was begun."""
    found = marks(path)
    begun = [mark for mark in found if mark.what == "begin"]
    ended = Counter(mark.step for mark in found if mark.what == "end")
    assert all(count >= runs for count in ended.values())
    assert len(ended) == STEPS
    assert disturbed or len(begun) == runs * STEPS
    assert max(Counter((mark.step, mark.attempt, mark.epoch) for mark in begun).values()) <= runs  # once in each run
    return len(begun)
