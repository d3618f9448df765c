"""What Prometheus reads: every name there is, with the values that runs have made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.served import Served, eventually, served
from support.unreachable import workspace

from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.access import Role
from provisioning.core.ports import Commit, Outcome, Report, Task, Timer
from provisioning.errors import Fenced, StaleRevision
from provisioning.operations.hosting.counting import Counting, Counts

Labels = tuple[tuple[str, str], ...]
NAMES = (
    *("dag_run_duration_seconds", "task_instance_duration_seconds", "task_queue_depth", "worker_count"),
    *("step_dispatch_latency_seconds", "step_attempts", "lease_lost", "stale_outcome", "commit_conflict"),
    *("journal_batch_size", "ready_steps", "pool_slots_in_use", "timer_lag_seconds"),
)


async def metrics(here: Served) -> dict[tuple[str, Labels], float]:
    answer = await here.call("GET", "/metrics", Role.VIEWER)
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    assert set(NAMES) <= {family.name for family in families}
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_runs_attempts_and_times_are_counted(tmp_path: Path) -> None:
    async def story() -> None:
        mark = tmp_path / "mark"
        text = f"""
steps:
  - {{name: one, command: 'true'}}
  - name: two
    command: 'test -e {mark} || {{ touch {mark}; exit 1; }}'
    depends: one
    retry_policy: {{limit: 1, interval_sec: 0}}
"""
        async with served(tmp_path, {"hello": text, "fails": "steps: [{command: 'false'}]"}) as here:
            assert (await here.until(await here.started("hello")))["status"] == "succeeded"
            assert (await here.until(await here.started("fails")))["status"] == "failed"
            found = await metrics(here)
            assert found["dag_run_duration_seconds_count", (("dag", "hello"), ("status", "succeeded"))] == 1
            assert found["dag_run_duration_seconds_count", (("dag", "fails"), ("status", "failed"))] == 1
            assert found["step_attempts_total", (("outcome", "retried"),)] == 1
            assert found["task_instance_duration_seconds_count", (("dag", "hello"), ("outcome", "retried"))] == 1
            assert found["step_dispatch_latency_seconds_count", ()] == 4, "what prepares a run is no step of it"
            assert found["journal_batch_size_sum", ()] > found["journal_batch_size_count", ()] > 0
            assert found["timer_lag_seconds_count", ()] >= 1, "the retry was a timer"
            assert found["worker_count", ()] == 1
            for name in ("task_queue_depth", "ready_steps", "lease_lost_total", "stale_outcome_total", "steps_running"):
                assert found[name, ()] == 0, name
            assert found["commit_conflict_total", (("kind", "stale"),)] == 0
            assert found["commit_conflict_total", (("kind", "fenced"),)] == 0

    asyncio.run(story())


def test_what_waits_and_what_is_taken_is_what_it_is_now(tmp_path: Path) -> None:
    async def story() -> None:
        gate = tmp_path / "gate"
        waits = f"while ! test -e {gate}; do sleep 0.02; done"
        steps = "".join(f"  - {{name: s{number}, command: '{waits}'}}\n" for number in range(3))
        text = f"type: graph\nmax_active_runs: 1\nmax_active_steps: 1\nsteps:\n{steps}"
        async with served(tmp_path, {"narrow": text}) as here:
            first, second = await here.started("narrow"), await here.started("narrow")

            async def one_goes_on() -> bool:
                found = await metrics(here)  # what was handed out counts as queued until the worker takes it
                known = found["steps_running", ()], found["ready_steps", ()], found["task_queue_depth", ()]
                return known == (1, 2, 2 + 1)  # two steps, and the other run

            await eventually(one_goes_on)
            found = await metrics(here)
            assert found["pool_slots_in_use", (("pool", "dag narrow"),)] == 1
            assert found["dag_runs_open", (("dag", "narrow"), ("state", "running"))] == 1
            gate.touch()
            for id in (first, second):
                await here.until(id)
            await eventually(lambda: idle(here))
            found = await metrics(here)
            assert found["task_queue_depth", ()] == found["ready_steps", ()] == 0
            assert not any(value for (name, _labels), value in found.items() if name == "pool_slots_in_use")

    asyncio.run(story())


async def idle(here: Served) -> bool:
    return not here.host.driven()


def test_runs_of_workspaces_count_too_and_make_nothing_negative(tmp_path: Path) -> None:
    workspace(tmp_path / "demo")

    async def story() -> None:
        async with served(tmp_path) as here:
            answer = await here.post("/workspaces/demo/provision", {"taskserv": "thing"})
            assert (await metrics(here))["task_queue_depth", ()] >= 0
            await here.until(answer.json()["run_id"])
            await eventually(lambda: idle(here))
            found = await metrics(here)
            assert found["dag_run_duration_seconds_count", (("dag", "demo"), ("status", "failed"))] == 1

    asyncio.run(story())


class Scripted:
    """A store that answers as it was told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.timers: list[Timer] = []
        self.said: list[Report] = []

    async def commit(self, _commit: Commit) -> int:
        if self.error is not None:
            raise self.error
        return 1

    async def reports(self) -> list[Report]:
        return self.said

    async def due(self) -> list[Timer]:
        return self.timers


async def test_conflicts_late_outcomes_and_late_timers_are_counted_and_nothing_is_changed() -> None:
    store, counts, late = Scripted(), Counts(), list[float]()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    counts.on_lag.append(late.append)
    counting = Counting(store, counts, dict, lambda: now)
    commit = Commit(run="r", expected_seq=0, events=[], fence=None)
    assert await counting.commit(commit) == 1
    for error in (StaleRevision("x"), StaleRevision("x"), Fenced("x")):
        store.error = error
        with pytest.raises(type(error)):
            await counting.commit(commit)
    assert counts.conflicts == {"stale": 2, "fenced": 1}
    store.timers = [Timer(run="r", step="", attempt=0, kind="retry", due=now - timedelta(seconds=3))]
    assert await counting.due() == store.timers
    assert late == [3.0]
    task = Task(run="r", step="s", attempt=1, epoch=1, action=None)  # type: ignore[arg-type]
    store.said = [Report(task=task, worker="w"), Report(task=task, worker="w", outcome=Outcome.OK)]
    assert await counting.reports() == store.said
    assert counts.stale_outcomes == 1, "nobody drives that run"


def test_everything_else_goes_straight_to_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "history.db")
    counting = Counting(store, Counts(), dict, lambda: datetime.now(UTC))
    assert counting.take_requests == store.take_requests
