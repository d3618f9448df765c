"""Queues and limits of DAG files hold over a whole cluster, whoever submits and whoever decides."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from support.calls import Caller
from support.clusterprocs import WorkerProcess, reach, worker
from support.daguhome import dag_folder
from support.natsnodes import shell_step

from provisioning import clusters, wiring
from provisioning.adapters.nats.connect import Access
from provisioning.client import connect
from provisioning.clusters import Joined
from provisioning.core.model import RunState, Workflow
from provisioning.operations import steering
from provisioning.operations.cluster.dagu import catalogue_at, send_off
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.dagu.running import Start
from provisioning.settings import DaguSettings, Settings

WITHIN_S = 60
TWO_AT_ONCE = Settings(dagu=DaguSettings(queues="etl=2"))


def dag(marks: Path, *, head: str = "queue: etl", seconds: float = 0.2) -> str:
    """Return a DAG whose run writes down that it begins and ends."""
    begin, end = (f'echo "{what} $DAG_NAME $DAG_RUN_ID" >> {marks}' for what in ("begin", "end"))
    return f"{head}\nsteps:\n  - name: one\n    command: '{begin}; sleep {seconds}; {end}'\n"


def marks_of(marks: Path) -> list[tuple[str, str, str]]:
    lines = marks.read_text("utf-8").splitlines() if marks.exists() else []
    return [(what, name, run) for what, name, run in (line.split() for line in lines)]


def peak(marks: Path, name: str = "") -> int:
    """Return how many runs, of one DAG or of all, were at it at once."""
    return most([what == "begin" for what, dag, _run in marks_of(marks) if name in {"", dag}])


def most(turns: Iterable[bool]) -> int:
    """Return how many were there at once: True is one that comes, False one that goes."""
    return max(accumulate(1 if comes else -1 for comes in turns))


def began(marks: Path) -> list[str]:
    return [run for what, _name, run in marks_of(marks) if what == "begin"]


class Submitter:
    """Somebody who has runs done, with a folder and a connection of his own."""

    def __init__(self, joined: Joined, dags: Path, settings: Settings) -> None:
        self.joined, self._dags, self._settings = joined, dags, settings
        self.runs = ClusterRuns(joined.store, wiring.clock(), "ann@home")

    async def start(self, ref: str, run_id: str) -> None:
        start = Start(run_id=run_id)
        await send_off(self.joined, catalogue_at(self._dags, self._settings), ref, start, self.runs, self._settings)

    async def ended(self, *run_ids: str) -> Counter[str]:
        async with asyncio.timeout(WITHIN_S):
            return Counter([(await self.runs.ended(run)).state.value for run in run_ids])

    async def stands(self, run_id: str) -> RunState:
        await self.joined.store.replica.caught_up()
        return self.joined.store.history.summary(run_id).state

    def order(self, run_ids: Sequence[str]) -> list[str]:
        """Return runs in the order in which they were started."""
        at = {run: self.joined.store.history.summary(run).started_at for run in run_ids}
        return sorted(run_ids, key=lambda run: str(at[run]))

    def turns(self, *run_ids: str) -> list[bool]:
        """Return, in the order of time, whether one of these runs began or ended."""
        found = [self.joined.store.history.summary(run) for run in run_ids]
        ends = sorted([*((str(one.started_at), True) for one in found), *((str(one.ended_at), False) for one in found)])
        return [begins for _at, begins in ends]

    async def is_queued(self, *run_ids: str) -> bool:
        return [await self.stands(run) for run in run_ids] == [RunState.QUEUED] * len(run_ids)


@asynccontextmanager
async def submitter(access: Access, dags: Path, settings: Settings = TWO_AT_ONCE) -> AsyncIterator[Submitter]:
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        yield Submitter(joined, dags, settings)
    finally:
        await joined.aclose()


async def until_marked(marks: Path, count: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while len(began(marks)) < count:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_a_queue_and_max_active_runs_hold_over_all_who_submit_and_the_oldest_goes_first(
    tmp_path: Path, nats_access: Access
) -> None:
    marks = tmp_path / "marks"
    files = {
        "wide": dag(marks),
        "narrow": dag(marks, head="queue: etl\nmax_active_runs: 1"),
        "free": dag(marks, head="type: chain"),
    }
    dags = dag_folder(tmp_path / "dags", **files)
    names = ["wide", "narrow", "narrow", "wide", "narrow", "wide", "wide", "narrow"]
    runs = [f"r{number}-{name}" for number, name in enumerate(names)]
    url, nats = nats_access.urls[0], {"namespace": nats_access.namespace}
    async with (
        submitter(nats_access, dags) as one,
        submitter(nats_access, dags) as two,
        connect(url, nats=nats, execute=True, slots=16),
    ):
        for number, (name, run) in enumerate(zip(names, runs, strict=True)):
            await (one, two)[number % 2].start(name, run)
        await one.start("free", "free")
        assert await one.ended(*runs, "free") == {"succeeded": len(runs) + 1}
        order = one.order(runs)

    assert peak(marks, "narrow") == 1
    for name in ("wide", "narrow"):
        assert [run for run in order if run.endswith(name)] == [run for run in runs if run.endswith(name)]
    queued = tmp_path / "queued"
    queued.write_text("".join(" ".join(one) + "\n" for one in marks_of(marks) if one[2] != "free"), "utf-8")
    assert peak(queued) == 2


async def test_who_does_not_decide_does_not_say_how_many_slots_a_pool_has(tmp_path: Path, nats_access: Access) -> None:
    marks, options = tmp_path / "marks", reach(nats_access)
    steps = [replace(shell_step(f"s{number}", seconds=60, marks=marks), pools=("wide",)) for number in range(3)]
    with worker(tmp_path / "w0", *options, "--name", "w0", "--pool", "wide=2"):
        async with (
            submitter(nats_access, tmp_path) as one,
            connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}) as client,
        ):
            await one.runs.submit("r1", Workflow(name="busy", steps=tuple(steps)))
            async with asyncio.timeout(WITHIN_S):
                while not (marks.exists() and len(marks.read_text("utf-8").splitlines()) == 2):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            waiting = (await client.debug("r1")).blockers
            await client.cancel("r1")
            assert await one.ended("r1") == {"cancelled": 1}
    assert waiting["s2"][0].reason == "pool wide is taken (2 of its slots): r1/s0, r1/s1"


async def test_a_run_that_waits_is_queued_says_for_whom_and_can_be_stopped(tmp_path: Path, nats_access: Access) -> None:
    marks = tmp_path / "marks"
    dags = dag_folder(tmp_path / "dags", first=dag(marks, seconds=30), second=dag(marks, seconds=0))
    url, nats = nats_access.urls[0], {"namespace": nats_access.namespace}
    async with submitter(nats_access, dags, Settings()) as one, connect(url, nats=nats, execute=True, slots=4):
        await one.start("first", "r1")
        await until_marked(marks, 1)
        for run in ("r2", "r3", "r4"):
            await one.start("second", run)
        assert await one.is_queued("r2", "r3", "r4")
        waits = [(one.run_id, one.reasons[0].reason) for one in await asyncio.to_thread(steering.queue, one.joined.folder)]
        assert ("r2", "queue etl is taken (1 of 1): r1") in waits
        await one.runs.cancel("r2", "stopped")
        assert await one.ended("r2") == {"cancelled": 1}
        assert await one.is_queued("r3", "r4")
        await one.runs.cancel("r1", "stopped")
        assert await one.ended("r1", "r3", "r4") == {"cancelled": 1, "succeeded": 2}

    assert began(marks) == ["r1", "r3", "r4"]


async def test_pools_and_the_limit_of_runs_are_those_of_the_worker_that_decides(tmp_path: Path, nats_access: Access) -> None:
    marks, options = tmp_path / "marks", reach(nats_access)
    steps = [replace(shell_step(f"s{number}", seconds=0.3, marks=marks), pools=("wide",)) for number in range(4)]
    flow = Workflow(name="busy", steps=tuple(steps))
    with worker(tmp_path / "w0", *options, "--name", "w0", "--pool", "wide=3", "--max-runs", "2"):
        async with submitter(nats_access, tmp_path) as one:
            for run in ("r1", "r2", "r3"):
                await one.runs.submit(run, flow)
            assert await one.ended("r1", "r2", "r3") == {"succeeded": 3}
            runs_at_once = most(one.turns("r1", "r2", "r3"))

    lines = marks.read_text("utf-8").splitlines()
    assert most([line.split()[0] == "begin" for line in lines]) == 3
    assert runs_at_once == 2


SOAK = (pytest.mark.soak, pytest.mark.timeout(1800))


@pytest.mark.parametrize("rounds", [pytest.param(2, id="quick"), pytest.param(24, id="soak", marks=SOAK)])
async def test_a_queue_holds_and_goes_on_while_those_who_decide_are_killed_and_frozen_by_turns(
    tmp_path: Path, nats_access: Access, rounds: int
) -> None:
    marks, options = tmp_path / "marks", reach(nats_access)
    dags = dag_folder(tmp_path / "dags", etl=dag(marks, head="queue: etl\nworker_selector: {does: work}", seconds=0.5))
    runs: list[str] = []
    with ExitStack() as stack:

        def start(name: str, *more: str) -> WorkerProcess:
            return stack.enter_context(worker(tmp_path / name, *options, "--name", name, *more))

        start("hands", "--no-scheduler", "--label", "does=work")
        leader = start("d0")
        async with submitter(nats_access, dags) as one:
            for number in range(1, rounds + 1):
                leader, before = start(f"d{number}"), leader
                for _ in range(8):
                    runs.append(f"r{len(runs)}")
                    await one.start("etl", runs[-1])
                await some_more(marks, 1)
                if number % 2:
                    before.process.kill()
                    continue
                before.process.send_signal(signal.SIGSTOP)
                await some_more(marks, 3)  # of which the other one has started at least one
                before.process.send_signal(signal.SIGCONT)
                await some_more(marks, 1)
                before.process.kill()
            ended, order = await one.ended(*runs), one.order(runs)

    assert ended == {"succeeded": len(runs)}
    assert order == runs
    assert peak(marks) == 2
    assert Counter(began(marks)) == dict.fromkeys(runs, 1)


async def some_more(marks: Path, count: int) -> None:
    await until_marked(marks, len(began(marks)) + count)


@pytest.mark.parametrize("word", ["db", "db=", "=4", "db=0", "db=many", "db=12345678"])
def test_a_pool_that_is_none_is_refused_before_anybody_is_asked(capsys: pytest.CaptureFixture[str], word: str) -> None:
    answer = Caller(capsys)("worker", "start", "--nats", "nats://127.0.0.1:1", "--pool", word)
    assert answer.code == 2
    assert f"found the pool '{word}', expected NAME=SLOTS" in answer.err
