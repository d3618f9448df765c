"""Workers and leaders of a cluster are killed or frozen again and again while real steps run: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from support.natsload import Load, judge, leader_of, loaded, takeovers
from support.natsnodes import NodeProcess, Post, change_step, crew, python_step, shell_step
from support.natsservers import running

from provisioning.adapters.clock import SystemClock
from provisioning.core.model import RunState, Step, Workflow
from provisioning.operations.cluster.runs import ClusterRuns

SEED = 20261201
Say = Callable[[str], None]


def post(folder: Path, url: str, name: str = "watching", **more: object) -> Post:
    """Return what a process is told."""
    marks, effects = str(folder / "marks"), str(folder / "effects")
    return Post(urls=(url,), namespace="faults", folder=str(folder / name), name=name, marks=marks, effects=effects, **more)  # type: ignore[arg-type]


async def killed_workers(folder: Path, say: Say, kills: int) -> None:
    """Three workers, of which one is killed every so often and replaced; who decides is left alone."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server:
        boss = post(folder, server.url, "boss", slots=2)
        with crew(boss, *(post(folder, server.url, f"w{n}", decides=False) for n in range(3))) as (_, *workers):
            async with loaded(boss, SEED) as load:
                for _ in range(kills):
                    load.check()
                    await asyncio.sleep(dice.uniform(0.1, 1.0))
                    await replaced(dice.choice(workers))
                await load.over()
                found = await judge(load)
    assert found.again, "no kill met anything"
    say(f"kill -9 of workers {kills} times, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}")


async def replaced(node: NodeProcess) -> None:
    """Kill a process and start it again; it works a little later."""
    assert node.lives, "it had ended by itself"
    await asyncio.to_thread(node.kill)
    node.start()


async def killed_leaders(folder: Path, say: Say, kills: int) -> None:
    """Three processes that may decide, of which the one that does is killed and replaced; a worker is left alone."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server:
        hand = post(folder, server.url, "hand", decides=False)
        with crew(hand, *(post(folder, server.url, f"n{n}", slots=2) for n in range(3))) as (_, *nodes):
            async with loaded(hand, SEED) as load:
                killed_s = [await kill_leader(load, nodes, dice) for _ in range(kills)]
                await leader_of(load.store, nodes)
                await asyncio.sleep(1)
                await load.over()
                found, gaps = await judge(load), await takeovers(load, killed_s)
    say(f"kill -9 of who decides {kills} times, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}; {told(gaps)}")
    assert max(gaps) < hand.ttl_s + 2


async def kill_leader(load: Load, nodes: Sequence[NodeProcess], dice: Random) -> float:
    """Let somebody decide for a while, then kill it; return when that was."""
    load.check()
    holder = await leader_of(load.store, nodes)
    await asyncio.sleep(dice.uniform(0.0, 2.0))
    await replaced(holder)
    return time.time()


def told(gaps: Sequence[float]) -> str:
    """Return how long taking over took."""
    median_s, most_s = sorted(gaps)[len(gaps) // 2], max(gaps)
    return f"taken over {len(gaps)} times after {median_s:.1f} s (median), at most {most_s:.1f} s, with a lease of 2 s"


async def kept_down(node: NodeProcess, seconds: float) -> None:
    """Freeze a process for a while."""
    node.send(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    node.send(signal.SIGCONT)


async def frozen(folder: Path, say: Say, rounds: int) -> None:
    """Who decides and a worker are frozen by turns for longer than their leases, and wake up."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server:
        boss = post(folder, server.url, "n0", slots=2)
        pair = (boss, replace(boss, name="n1", folder=f"{folder}/n1"))
        with crew(*pair, *(post(folder, server.url, f"w{n}", decides=False) for n in range(2))) as nodes:
            async with loaded(boss, SEED) as load:
                for number in range(rounds):
                    node = dice.choice(nodes[2:]) if number % 2 else await leader_of(load.store, nodes[:2])
                    await asyncio.sleep(dice.uniform(0.2, 1.0))
                    await kept_down(node, boss.lease_s + dice.uniform(1.0, 2.0))
                    await asyncio.sleep(1)
                await load.over()
                assert all(node.lives for node in nodes)
                found = await judge(load)
    say(f"frozen {rounds} times for 3 to 4 s, leases of 2 s, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}")


async def some_of_all(folder: Path, say: Say) -> None:
    """Workers and who decides are killed, and one of each is frozen: a little of everything."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server:
        hand = post(folder, server.url, "hand", decides=False)
        with crew(hand, *(post(folder, server.url, f"n{n}", slots=2) for n in range(2))) as (worker, *nodes):
            async with loaded(hand, SEED) as load:
                killed_s = [await kill_leader(load, nodes, dice)]
                heir = await leader_of(load.store, nodes)
                await asyncio.sleep(1)  # let it decide something
                await kept_down(heir, hand.lease_s + 1)
                await replaced(worker)
                await asyncio.sleep(dice.uniform(0.5, 1.0))
                await load.over()
                assert all(node.lives for node in nodes)
                found, gaps = await judge(load), await takeovers(load, killed_s)
    say(f"killed and frozen, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}; {told(gaps)}")


async def long_steps(folder: Path, say: Say, lease_s: float) -> None:
    """Steps of each kind that take ten times the lease."""
    began_s = time.monotonic()
    with running() as server:
        boss = post(folder, server.url, "boss", slots=2, lease_s=lease_s)
        with crew(boss, *(post(folder, server.url, f"w{n}", decides=False, slots=12, lease_s=lease_s) for n in range(2))):
            async with loaded(boss, SEED, feeders=0) as load:
                steps = [step(number, lease_s * 10, Path(boss.marks)) for number in range(24)]
                runs = ClusterRuns(load.store, SystemClock(), "test")
                await runs.submit("long", Workflow(name="long", steps=tuple(steps)))
                run = await runs.ended("long")
    lines = Counter(line.split()[0] for line in Path(boss.marks).read_text("utf-8").splitlines())
    assert run.state is RunState.SUCCEEDED
    assert lines == {"begin": 24, "end": 24}
    say(f"24 steps of {lease_s * 10:g} s on a lease of {lease_s:g} s, {time.monotonic() - began_s:.0f} s: each executed once")


def step(number: int, seconds: float, marks: Path) -> Step:
    """Return a step of one of the kinds."""
    if number % 3 == 0:
        return change_step(f"s{number}", seconds=seconds)
    return (python_step if number % 3 == 1 else shell_step)(f"s{number}", seconds=seconds, marks=marks)


@pytest.mark.slow
async def test_workers_and_leaders_that_are_killed_and_frozen(tmp_path: Path, say: Say) -> None:
    await some_of_all(tmp_path, say)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lease_s", [3.0, 30.0])
async def test_steps_that_take_ten_times_the_lease_are_executed_once(tmp_path: Path, say: Say, lease_s: float) -> None:
    await long_steps(tmp_path, say, lease_s)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_200_killed_workers(tmp_path: Path, say: Say) -> None:
    await killed_workers(tmp_path, say, 200)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_leader_killed_200_times(tmp_path: Path, say: Say) -> None:
    await killed_leaders(tmp_path, say, 200)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_leaders_and_workers_that_are_frozen_60_times(tmp_path: Path, say: Say) -> None:
    await frozen(tmp_path, say, 60)
