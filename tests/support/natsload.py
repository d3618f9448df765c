"""Runs that go on while a cluster is treated badly, and what they and the streams have to say of it in the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from support.natsnodes import NodeProcess, Post, change_step, python_step, shell_step

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.messages import head
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Event, Kind
from provisioning.core.model import RunState, Workflow
from provisioning.engine.runner import load as load_run
from provisioning.errors import StoreError
from provisioning.operations.cluster.runs import ClusterRuns

ENDS_WITHIN_S = 120.0
LAYERS, WIDE = 4, 4
STEPS = LAYERS * WIDE


def workflow(marks: Path, dice: Random) -> Workflow:
    """Return layers of steps, of which each needs two of the layer before: shell, Python, and what changes something."""
    steps, before = [], list[str]()
    for layer in range(LAYERS):
        names = [f"s{layer}-{number}" for number in range(WIDE)]
        for number, name in enumerate(names):
            needs, seconds = dice.sample(before, 2) if before else [], round(dice.uniform(0.02, 0.3), 3)
            if number % 2:
                steps.append(change_step(name, *needs, seconds=seconds))
            else:
                kind = python_step if (layer + number // 2) % 2 else shell_step
                steps.append(kind(name, *needs, seconds=seconds, marks=marks))
        before = names
    return Workflow(name="load", steps=tuple(steps))


@dataclass
class Load:
    """Submits runs, several at a time, and waits for the end of each. `runs` are those whose submission was acknowledged."""

    store: NatsStore
    post: Post
    seed: int
    runs: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    refused: int = 0  # submissions that nobody acknowledged
    _over: bool = False
    _feeders: list[asyncio.Task[None]] = field(default_factory=list)

    async def begin(self, feeders: int) -> None:
        """Have so many runs at a time."""
        await self.store.open_runs()  # follow from now on
        self._feeders = [asyncio.create_task(self._feed(number)) for number in range(feeders)]

    async def over(self) -> None:
        """Submit no more, and wait for the end of all runs. Raises AssertionError."""
        self._over = True
        await asyncio.gather(*self._feeders)

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        for feeder in self._feeders:
            if feeder.done():
                feeder.result()

    async def close(self) -> None:
        """Stop."""
        for feeder in self._feeders:
            feeder.cancel()
        await asyncio.gather(*self._feeders, return_exceptions=True)

    async def _feed(self, number: int) -> None:
        runs, count, dice = ClusterRuns(self.store, SystemClock(), "test"), 0, Random(f"{self.seed} {number}")
        while not self._over or not count:
            count += 1
            run_id = f"r{number}-{count}"
            try:
                await runs.submit(run_id, workflow(Path(self.post.marks), dice))
            except StoreError:  # it may be there or not: who asks is told that nobody knows
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            self.runs.append(run_id)
            await self._until_ended(run_id)

    async def _until_ended(self, run_id: str) -> None:
        """Wait for the end of a run. Raises AssertionError unless it succeeds in time."""
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                while self.store.history.summary(run_id).ended_at is None:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
        except TimeoutError:
            run = await patiently(lambda: load_run(self.store, run_id))
            stuck = {id: (step.state.value, step.epoch) for id, step in run.steps.items() if step.state.value != "succeeded"}
            raise AssertionError(f"run {run_id} is stuck: {run.state}, {stuck}") from None
        run = await patiently(lambda: load_run(self.store, run_id))
        assert run.state is RunState.SUCCEEDED, (run_id, {id: (one.state, one.error) for id, one in run.steps.items()})
        self.ended.append(run_id)


async def patiently(call: Callable[[], Awaitable[Any]], within_s: float = ENDS_WITHIN_S) -> Any:
    """Ask again while the servers do not answer: our own link is cut, too."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await call()
            except StoreError:
                await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def loaded(post: Post, seed: int, *, feeders: int = 2) -> AsyncIterator[Load]:
    """Have runs go on."""
    Path(post.effects).mkdir(parents=True, exist_ok=True)
    joined = replace(post, folder=f"{post.folder}-watching").joined()
    load = Load(joined.store, post, seed)
    try:
        await patiently(lambda: load.begin(feeders))
        yield load
    finally:
        await load.close()
        await joined.aclose()


# ---------------------------------------------------------------- verdict


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was counted."""

    runs: int
    steps: int
    begun: int  # executions
    again: int  # of them, those that followed a recorded loss of the worker
    changes: int
    decisions: int

    def __str__(self) -> str:
        counts = f"{self.runs} runs, {self.steps} steps, {self.begun} executions of which {self.again} after a lost worker"
        wrong = f"0 lost, 0 stuck, 0 changed twice, 0 of {self.decisions} decisions by who had been replaced"
        return f"{counts}, {self.changes} changes: {wrong}"


async def judge(load: Load) -> Verdict:
    """Judge all runs when they have ended. Raises AssertionError."""
    store, marks = load.store, Path(load.post.marks)
    assert sorted(load.ended) == sorted(load.runs)
    await patiently(store.replica.caught_up)
    events = {run: await store.replica.events(run, 0) for run in load.runs}
    lost = Counter((run, one.step) for run, of in events.items() for one in of if one.kind is Kind.STEP_LEASE_LOST)
    for run, of in events.items():
        _judge_events(run, of)
    split = [line.split() for line in marks.read_text("utf-8").splitlines()]
    begun = Counter((line[1], line[2]) for line in split if line[0] == "begin")
    ended = Counter((line[1], line[2]) for line in split if line[0] == "end")
    unknown = {run for run, _step in begun} - set(load.runs)
    assert len(unknown) <= load.refused
    for key in [(run, f"s{layer}-{number}") for run in load.runs for layer in range(LAYERS) for number in range(WIDE)]:
        assert ended[key] >= 1, f"{key} is lost: it is said to have succeeded, and has not ended"
        assert begun[key] <= 1 + lost[key], f"{key} was begun {begun[key]} times, and lost {lost[key]} times"
    return Verdict(
        runs=len(load.runs),
        steps=len(load.runs) * STEPS,
        begun=sum(count for (run, _step), count in begun.items() if run not in unknown),
        again=sum(max(0, begun[key] - 1) for key in lost),
        changes=_judge_changes(Path(load.post.effects), load.runs),
        decisions=await judge_fences(store),
    )


def _judge_events(run: str, events: Sequence[Event]) -> None:
    kinds = Counter(event.kind for event in events)
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"{run}: events are missing"
    assert kinds[Kind.STEP_SUCCEEDED] == STEPS, (run, kinds)
    assert kinds[Kind.RUN_FINISHED] == 1, (run, kinds)
    assert kinds[Kind.STEP_DISPATCHED] == STEPS + kinds[Kind.STEP_LEASE_LOST], (run, kinds)


def _judge_changes(effects: Path, runs: Sequence[str]) -> int:
    """See that each thing was changed once, and by who had shown the highest token so far; return how many were."""
    found = {path.name: [line.split() for line in path.read_text("utf-8").splitlines()] for path in effects.iterdir()}
    wanted = {f"{run}-s{layer}-{number}" for run in runs for layer in range(LAYERS) for number in range(1, WIDE, 2)}
    assert wanted <= found.keys(), wanted - found.keys()
    for name in wanted:
        tokens = [int(line[1]) for line in found[name]]
        assert tokens == sorted(tokens), (name, found[name])
        assert Counter(line[0] for line in found[name])["changed"] == 1, (name, found[name])
        claims = [int(line[1]) for line in found[name] if line[0] == "claimed"]
        assert len(set(claims)) == len(claims), f"{name}: two began the same dispatch"
    return len(wanted)


async def judge_fences(store: NatsStore) -> int:
    """See that no decision was stored of who had been replaced; return how many decisions there are."""
    names, cluster = store.cluster.names, store.cluster
    newest = [await patiently(partial(cluster.last, names.work, subject)) for subject in (names.decisions, names.fence)]
    last = max(stored.seq for stored in newest if stored is not None)
    reading, place, fence, count = Reading(cluster, names.work, [names.decisions, names.fence]), 0, 0, 0
    while place < last:
        for stored in await reading.next():
            place = stored.seq
            if stored.subject == names.fence:
                assert int(stored.body) > fence
                fence = int(stored.body)
            elif (by := head(stored).fence) is not None:
                count += 1
                assert by >= fence, f"message {stored.seq} is of leader {by}, and {fence} had taken over"
    await reading.close()
    return count


async def takeovers(load: Load, killed_s: Sequence[float]) -> list[float]:
    """Return for each moment at which a leader was killed how long it took until another one decided something.

    Those are left out who had not decided anything yet themselves: then it is counted from their end on.
    """
    everything = [
        event for run in load.runs for event in await load.store.replica.events(run, 0) if event.kind is not Kind.RUN_CREATED
    ]
    decided = sorted(event.at.timestamp() for event in everything)
    next_s = [decided[at] for at_s in killed_s if (at := bisect_right(decided, at_s)) < len(decided)]
    followed = [*killed_s[1:], float("inf")]
    return [then - at_s for then, at_s, again_s in zip(next_s, killed_s, followed, strict=False) if then < again_s]


async def leader_of(store: NatsStore, nodes: Sequence[NodeProcess], *, within_s: float = 60.0) -> NodeProcess:
    """Return who decides, as soon as somebody does."""
    names = store.cluster.names
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(StoreError, json.JSONDecodeError):
                found = await store.cluster.last(names.bucket("lease"), names.key("lease", "0"))
                pid = json.loads(found.body)["actor"].removeprefix("pid ") if found is not None and found.body else "0"
                for node in nodes:
                    if node.pid == int(pid) and node.lives:
                        return node
            await asyncio.sleep(0.02)
