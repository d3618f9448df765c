"""Workers of a cluster that die, freeze, are slow, or come late: every step is done once as far as anybody can see to that."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support.natsservers import running
from support.natswork import Setting, begun, flow, leader, marking, marks, program, submitted, until, until_ended

from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.messages import reports_body
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.wire import Message
from provisioning.core.events import Kind
from provisioning.core.model import Placement, RunState
from provisioning.core.ports import Outcome, Report, Request, Task

LEASE_S = 2.0


@pytest.fixture
def setting(nats_access: Access, tmp_path: Path) -> Setting:
    """Return a setting in a namespace of its own. Leaders and workers get folders of their own below."""
    return Setting(
        url=nats_access.urls[0],
        namespace=nats_access.namespace,
        folder=str(tmp_path / "leader"),
        marks=str(tmp_path / "marks"),
        lease_s=LEASE_S,
    )


def worker(setting: Setting, name: str, **more: object) -> Setting:
    return Setting(**{**vars(setting), "name": name, "folder": f"{setting.folder}-{name}", **more})


async def test_n02_what_a_killed_worker_was_at_is_begun_by_another_one_within_its_lease_and_two_seconds(
    setting: Setting,
) -> None:
    path = Path(setting.marks)
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", seconds=3), marking("b", "a")))
        with program("worker", worker(setting, "w1")) as first:
            await until(lambda: begun(path, "a"))
            with program("worker", worker(setting, "w2")):
                await asyncio.sleep(LEASE_S / 2)  # its signs of life have been given
                first.kill()
                killed_s = time.time()
                run = await until_ended(store, "r1")
        events = await store.events("r1")

    assert run.state is RunState.SUCCEEDED
    one, two = begun(path, "a")
    assert (one.epoch, two.epoch, one.attempt, two.attempt) == (1, 2, 1, 1)
    assert two.at_s - killed_s < LEASE_S + 2
    assert [event.data["reason"] for event in events if event.kind is Kind.STEP_LEASE_LOST] == ["worker_lost"]
    assert [mark.step for mark in marks(path) if mark.what == "end"] == ["a", "b"]


async def test_n01_a_step_that_takes_ten_times_its_lease_is_done_exactly_once(setting: Setting) -> None:
    path = Path(setting.marks)
    short = Setting(**{**vars(setting), "lease_s": 0.5})
    async with leader(short) as store:
        await submitted(store, "r1", flow(marking("a", seconds=5)))
        with program("worker", worker(short, "w1")), program("worker", worker(short, "w2")):
            run = await until_ended(store, "r1")

    assert run.state is RunState.SUCCEEDED
    assert Counter(mark.what for mark in marks(path)) == {"begin": 1, "end": 1}


async def test_what_a_frozen_worker_says_when_it_wakes_up_changes_nothing(setting: Setting) -> None:
    path = Path(setting.marks)
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", seconds=3), marking("b", "a", seconds=3)))
        with program("worker", worker(setting, "w1", slots=1)) as first:
            await until(lambda: begun(path, "a"))
            first.send_signal(signal.SIGSTOP)
            with program("worker", worker(setting, "w2", slots=1)) as second:
                await until(lambda: len(begun(path, "a")) == 2)
                first.send_signal(signal.SIGCONT)
                run = await until_ended(store, "r1")
                await until(lambda: len([mark for mark in marks(path) if mark.what == "end" and mark.step == "a"]) == 2)
        await asyncio.sleep(0.2)
        events = await store.events("r1")

    assert run.state is RunState.SUCCEEDED
    assert [(event.step, event.epoch) for event in events if event.kind is Kind.STEP_SUCCEEDED] == [("a", 2), ("b", 1)]
    assert {event.data.get("worker") for event in events if event.kind is Kind.STEP_STARTED and event.epoch == 2} == {"w2"}
    assert {mark.pid for mark in begun(path)} == {first.pid, second.pid}


async def test_of_two_workers_that_get_the_same_message_one_begins_what_changes_something(setting: Setting) -> None:
    one, two = (worker(setting, name).store() for name in ("w1", "w2"))
    tasks = [Task(run="r1", step=f"s{n}", attempt=1, epoch=1, action=marking("x").action) for n in range(30)]
    winners = await asyncio.gather(*(store.tasks.begin(task, "w") for task in tasks for store in (one, two)))
    again = await asyncio.gather(*(store.tasks.begin(task, "w") for task in tasks for store in (one, two)))
    for store in (one, two):
        await store.aclose()

    assert [sum(winners[at : at + 2]) for at in range(0, len(winners), 2)] == [1] * len(tasks)
    assert again == winners  # who asks again, because no answer had come, gets the same one


async def test_a_step_that_changes_something_and_was_sent_to_nobody_who_began_it_is_no_lost_one(setting: Setting) -> None:
    """A worker that dies between getting a message and beginning leaves no trace: the next one begins it."""
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", kind="change")))
        dying = worker(setting, "dying").store()
        durable = await dying.tasks.pulls.ensure("")
        async with asyncio.timeout(20):
            taken = await dying.tasks.pulls.take([durable], 1)
            while not taken:
                taken = await dying.tasks.pulls.take([durable], 1)
        await dying.aclose()
        with program("worker", worker(setting, "w1")):
            run = await until_ended(store, "r1")
        events = await store.events("r1")

    assert run.state is RunState.SUCCEEDED
    assert not [event for event in events if event.kind is Kind.STEP_LEASE_LOST]
    assert [mark.epoch for mark in begun(Path(setting.marks))] == [1]


async def test_a_claim_that_is_stopped_while_it_accepts_leaves_its_tasks_to_others(setting: Setting) -> None:
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", kind="change"), marking("b", kind="change")))
        stopping = worker(setting, "stopping").store()
        reached = asyncio.Event()

        async def begin(task: Task, name: str) -> bool:
            if task.step == "b":
                reached.set()
                await asyncio.sleep(60)
            return await type(stopping.tasks).begin(stopping.tasks, task, name)

        stopping.tasks.begin = begin  # type: ignore[method-assign,assignment]
        claiming = asyncio.create_task(stopping.claim("stopping", [], 2, lambda _task: True))
        await asyncio.wait_for(reached.wait(), 20)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        with program("worker", worker(setting, "w1")):
            run = await until_ended(store, "r1", LEASE_S + 10)  # the one that stopped lives on, and holds nothing back
        await stopping.aclose()

    assert run.state is RunState.SUCCEEDED


async def test_what_is_over_is_not_done_again_when_the_consumer_of_a_target_is_made_anew(setting: Setting) -> None:
    path = Path(setting.marks)
    async with leader(setting) as store:
        await submitted(store, "r1", flow(*(marking(f"s{n}", kind="change" if n % 2 else "mark") for n in range(8))))
        with program("worker", worker(setting, "w1")):
            await until_ended(store, "r1")
        await submitted(store, "r2", flow(marking("open")))
        await until_handed_out(store, 9)
        await store.cluster.ask(f"CONSUMER.DELETE.{store.cluster.names.work}.{store.cluster.names.durable('')}")
        with program("worker", worker(setting, "w2")):
            run = await until_ended(store, "r2")
            await submitted(store, "r3", flow(marking("new")))
            await until_ended(store, "r3")

    assert run.state is RunState.SUCCEEDED  # what nobody had begun is dispatched anew
    assert Counter(mark.step for mark in begun(path)) == Counter([*(f"s{n}" for n in range(8)), "open", "new"])


async def until_handed_out(store: NatsStore, count: int) -> None:
    names = store.cluster.names
    async with asyncio.timeout(20):
        while True:
            info = await store.cluster.ask(f"STREAM.INFO.{names.work}", {"subjects_filter": names.tasks(None)})
            if len(info["state"].get("subjects") or {}) >= count:
                return
            await asyncio.sleep(0.05)


async def test_an_end_that_comes_late_or_twice_changes_nothing(setting: Setting) -> None:
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a"), marking("b", "a", seconds=1)))
        with program("worker", worker(setting, "w1")):
            await until(lambda: begun(Path(setting.marks), "b"))
            late = Task(run="r1", step="a", attempt=1, epoch=1, action=marking("a").action)
            for outcome in (Outcome.FAILED, Outcome.LOST, Outcome.OK):
                await store.report(Report(task=late, worker="w0", outcome=outcome))
            run = await until_ended(store, "r1")
        events = await store.events("r1")

    assert run.state is RunState.SUCCEEDED
    assert [event.kind for event in events if event.step == "a"] == [
        Kind.STEP_DISPATCHED,
        Kind.STEP_STARTED,
        Kind.STEP_SUCCEEDED,
    ]


async def test_an_end_that_somebody_tells_who_cannot_have_the_step_changes_nothing(setting: Setting) -> None:
    """Of this attempt and epoch, but by a worker of another target: whatever it writes, its login permits one subject only."""
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", placement=Placement(target="site a"))))
        await until_handed_out(store, 1)
        forging, names = worker(setting, "forging").store(), store.cluster.names
        true = Task(run="r1", step="a", attempt=1, epoch=1, action=marking("a").action, target="site a")
        await forging.report(Report(task=replace(true, target="site b"), worker="w0", outcome=Outcome.FAILED))
        await forging.report(Report(task=replace(true, target=""), worker="w0", outcome=Outcome.OK))
        pretended = reports_body([Report(task=true, worker="w0", outcome=Outcome.FAILED)])
        await forging.cluster.publish(Message(subject=names.end("r1", "a", 1, 1, "site b"), body=pretended))
        with program("worker", worker(setting, "w1", targets=("site a",))):
            run = await until_ended(store, "r1")
        await forging.aclose()
        events = await store.events("r1")

    assert run.state is RunState.SUCCEEDED
    assert [event.data["worker"] for event in events if event.kind is Kind.STEP_STARTED] == ["w1"]
    assert [event.kind for event in events if event.kind in {Kind.STEP_FAILED, Kind.STEP_LEASE_LOST}] == []


async def test_a_run_is_cancelled_also_when_no_worker_lives(setting: Setting) -> None:
    async with leader(setting) as store:
        await submitted(store, "r1", flow(*(marking(f"s{n}") for n in range(20)), marking("last", "s0")))
        await asyncio.sleep(0.3)
        await store.request(Request(run="r1", kind="cancel", data={"reason": "enough"}))
        run = await until_ended(store, "r1", 10)
        with program("worker", worker(setting, "w1")):
            await asyncio.sleep(1)

    assert run.state is RunState.CANCELLED
    assert {step.reason for step in run.steps.values()} == {"not started: enough"}
    assert marks(Path(setting.marks)) == []  # who comes later finds nothing to do


async def test_a_cancelled_run_whose_worker_is_killed_ends(setting: Setting) -> None:
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", seconds=30)))
        with program("worker", worker(setting, "w1")) as process:
            await until(lambda: begun(Path(setting.marks)))
            process.kill()
            await store.request(Request(run="r1", kind="cancel", data={"reason": "enough"}))
            run = await until_ended(store, "r1", LEASE_S * 3 + 5)

    assert run.state is RunState.CANCELLED


async def test_cancelling_stops_what_runs_on_other_machines(setting: Setting) -> None:
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", seconds=30), marking("b", "a")))
        with program("worker", worker(setting, "w1")):
            await until(lambda: begun(Path(setting.marks)))
            await store.request(Request(run="r1", kind="cancel", data={"reason": "enough"}))
            run = await until_ended(store, "r1", 10)

    assert {id: (step.state.value, step.reason) for id, step in run.steps.items()} == {
        "a": ("cancelled", "enough"),
        "b": ("cancelled", "not started: enough"),
    }
    assert [mark.what for mark in marks(Path(setting.marks))] == ["begin", "stopped"]


async def test_steps_for_a_target_that_nobody_serves_wait_until_somebody_does(setting: Setting) -> None:
    path = Path(setting.marks)
    far = marking("far", placement=Placement(target="site b"))
    async with leader(setting) as store:
        await submitted(store, "r1", flow(far, marking("near")))
        with program("worker", worker(setting, "w1", targets=("site a",))):
            await until(lambda: begun(path, "near"))
            await asyncio.sleep(1)
            assert not begun(path, "far")
            with program("worker", worker(setting, "w2", targets=("site b",))) as second:
                run = await until_ended(store, "r1")

    assert run.state is RunState.SUCCEEDED
    assert [mark.pid for mark in begun(path, "far")] == [second.pid]


async def test_a_worker_with_one_slot_and_many_targets_has_one_task_at_a_time(setting: Setting) -> None:
    targets = ("a", "b", "c")
    steps = [marking(f"{target}{n}", seconds=0.05, placement=Placement(target=target)) for target in targets for n in range(4)]
    async with leader(setting) as store:
        await submitted(store, "r1", flow(*steps, *(marking(f"any{n}", seconds=0.05) for n in range(4))))
        with program("worker", worker(setting, "w1", slots=1, targets=targets)):
            run = await until_ended(store, "r1")

    assert run.state is RunState.SUCCEEDED
    assert [mark.what for mark in marks(Path(setting.marks))] == ["begin", "end"] * 16


async def test_live_workers_keep_what_they_have_when_the_server_is_restarted(tmp_path: Path) -> None:
    with running() as server:
        setting = Setting(
            url=server.url, namespace="restart", folder=str(tmp_path / "l"), marks=str(tmp_path / "marks"), lease_s=1.0
        )
        async with leader(setting) as store:
            await submitted(store, "r1", flow(marking("a", seconds=6), marking("b", "a")))
            with program("worker", worker(setting, "w1")), program("worker", worker(setting, "w2")):
                await until(lambda: begun(Path(setting.marks)))
                server.kill()
                await asyncio.sleep(1.5)  # longer than the lease
                server.start()
                run = await until_ended(store, "r1")

    assert run.state is RunState.SUCCEEDED
    assert Counter((mark.what, mark.step) for mark in marks(Path(setting.marks))) == Counter(
        [("begin", "a"), ("end", "a"), ("begin", "b"), ("end", "b")]
    )
