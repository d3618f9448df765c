"""Leaders of a cluster that die at any commit, freeze, or are replaced: what came in is decided once, nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import Doer
from support.generated import APPROVALS, Script, flows, scripts
from support.natslead import Died, Numbers, drive, in_memory, mortal, runner_on, working
from support.natswork import (
    Setting,
    begun,
    flow,
    leader,
    marking,
    marks,
    program,
    submitted,
    until,
    until_ended,
)
from support.scripted import but_waiting, calm, doing, ends

from provisioning.adapters.nats import inputs
from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind
from provisioning.core.model import RunState, Step, Workflow
from provisioning.core.placement import Roster
from provisioning.core.ports import Outcome, Report, Request, Task
from provisioning.core.presence import Presence
from provisioning.engine.actions import Context, Result
from provisioning.engine.limits import Limits
from provisioning.engine.runner import load
from provisioning.errors import Fenced

TTL_S = 2.0


@pytest.fixture
def setting(nats_access: Access, tmp_path: Path) -> Setting:
    return Setting(
        url=nats_access.urls[0],
        namespace=nats_access.namespace,
        folder=str(tmp_path / "one"),
        marks=str(tmp_path / "marks"),
        ttl_s=TTL_S,
        slots=64,
    )


def test_the_same_workflows_end_the_same_in_memory_and_in_a_cluster(setting: Setting) -> None:
    numbers = Numbers()

    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(flows(gates=APPROVALS), scripts(stops=False))
    def same(given: Workflow, script: Script) -> None:
        asyncio.run(compare(calm(given), script))

    async def compare(given: Workflow, script: Script) -> None:
        store = mortal(setting, 0)
        async with working(setting, doing(script)):
            run = await drive(store, numbers.next(), numbers.run_id(), given)
        again = await load(store, run.id)
        await store.aclose()
        assert ends(run) == ends(again) == await in_memory(given, script)

    same()


def test_a_leader_that_dies_at_any_commit_changes_nothing_in_the_end(setting: Setting) -> None:
    numbers = Numbers()
    deaths = 0

    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(flows(gates=APPROVALS), scripts(stops=False), st.integers(0, 2**32))
    def same(given: Workflow, script: Script, seed: int) -> None:
        asyncio.run(compare(calm(given), script, Random(seed)))

    async def compare(given: Workflow, script: Script, dice: Random) -> None:
        nonlocal deaths
        run_id = numbers.run_id()
        async with working(setting, doing(script)):
            for number in range(6):  # five leaders die, if the run lives that long; the last one lives
                store = mortal(setting, number)
                store.dies_at, store.after = (dice.randint(1, 6) if number < 5 else 0), dice.random() < 0.5
                run = None
                try:
                    run = await drive(store, numbers.next(), run_id, given)
                except (Died, BaseExceptionGroup):
                    deaths += 1
                finally:
                    await store.aclose()
                if run is not None:
                    break
        assert run is not None
        assert but_waiting(ends(run)) == but_waiting(await in_memory(given, script))

    same()
    assert deaths >= 20


ASKED = (
    Request(run="r1", kind="pause"),
    Request(run="r1", kind="resume"),
    Request(run="r1", kind="open_gate", data={"kind": "approval", "name": "one"}),
)
ANSWERS = {Kind.PAUSE_REQUESTED, Kind.RUN_RESUMED, Kind.GATE_OPENED}


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_asked_of_a_run_is_done_once_whenever_its_leader_dies(setting: Setting, *, after: bool) -> None:
    given = flow(marking("a", kind="noop"), marking("b", "a", kind="noop", gates=APPROVALS[:1]))
    numbers, done = Numbers(), 0
    async with working(setting, doing({})):
        for dies_at in range(1, 12):
            run_id = numbers.run_id()
            first = mortal(setting, 0)
            await submitted(first, run_id, given)
            for request in ASKED:
                await first.request(replace(request, run=run_id))
            await first.aclose()
            dying, living = mortal(setting, 1), mortal(setting, 2)
            dying.dies_at, dying.after = dies_at, after
            with contextlib.suppress(Died, BaseExceptionGroup):
                await drive(dying, numbers.next(), run_id, given)
            await dying.aclose()
            run = await load(living, run_id)
            if not run.ended:
                run = await drive(living, numbers.next(), run_id, given)
            events = await living.events(run_id)
            await living.aclose()
            assert [event.kind for event in events if event.kind in ANSWERS] == [
                Kind.PAUSE_REQUESTED,
                Kind.RUN_RESUMED,
                Kind.GATE_OPENED,
            ], dies_at
            assert run.state is RunState.SUCCEEDED
            done += dying.commits >= dies_at
    assert done > 3


async def test_a_retry_that_was_asked_for_happens_once_whoever_leads(setting: Setting) -> None:
    async def fail(_task: Task, _context: Context) -> Result:
        return Result(outcome=Outcome.FAILED, error_kind="scripted", error="no")

    given = flow(marking("a", kind="noop"))
    async with working(setting, Doer(fail)):
        async with leader(setting) as store:
            await submitted(store, "r1", given)
            await until_ended(store, "r1")
            await store.request(Request(run="", kind="retry", data={"run": "r1"}))
            await until_reopened(store)
        for number in range(3):  # one after the other leads, and finds what was asked for
            async with leader(replace(setting, folder=f"{setting.folder}-{number}")) as store:
                await asyncio.sleep(0.3)
                events = await store.events("r1")
    assert Counter(event.kind for event in events)[Kind.RUN_REOPENED] == 1


async def until_reopened(store: NatsStore) -> None:
    async with asyncio.timeout(20):
        while Kind.RUN_REOPENED not in {event.kind for event in await store.events("r1")}:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_the_next_leader_takes_over_within_the_lease_and_two_seconds_and_disturbs_nobody(setting: Setting) -> None:
    path = Path(setting.marks)
    steps = [marking(f"s{n}", *([f"s{n - 1}"] if n else []), seconds=0.05) for n in range(60)]
    watching = replace(setting, folder=f"{setting.folder}-watching").store()
    with contextlib.ExitStack() as stack:
        leaders = [stack.enter_context(program("leader", replace(setting, folder=f"{setting.folder}-l{n}"))) for n in range(3)]
        stack.enter_context(program("worker", replace(setting, folder=f"{setting.folder}-w")))
        await submitted(watching, "r1", flow(*steps))
        gaps: list[float] = []
        for so_many in (10, 30):
            await until_begun(path, so_many)
            holder = await holder_of(watching)
            next(each for each in leaders if each.pid == holder).kill()
            killed_s = time.monotonic()
            await until_begun(path, len(begun(path)) + 2)
            gaps.append(time.monotonic() - killed_s)
        run = await until_ended(watching, "r1")
    await watching.aclose()

    assert run.state is RunState.SUCCEEDED
    assert max(gaps) < TTL_S + 2
    assert Counter((mark.what, mark.step) for mark in marks(path)) == Counter(
        (what, f"s{n}") for n in range(60) for what in ("begin", "end")
    )


async def until_begun(path: Path, more_than: int) -> None:
    await until(lambda: len(begun(path)) > more_than)


async def holder_of(store: NatsStore) -> int:
    """Return the process id of who leads."""
    found = await store.cluster.last(store.cluster.names.bucket("lease"), store.cluster.names.key("lease", "0"))
    assert found is not None
    return int(found.body.decode().partition("pid ")[2].split('"')[0])


async def test_a_frozen_leader_that_wakes_up_changes_nothing(setting: Setting) -> None:
    path = Path(setting.marks)
    steps = [marking(f"s{n}", *([f"s{n - 1}"] if n else []), seconds=0.05) for n in range(80)]
    watching = replace(setting, folder=f"{setting.folder}-watching").store()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(program("leader", replace(setting, folder=f"{setting.folder}-l1")))
        stack.enter_context(program("worker", replace(setting, folder=f"{setting.folder}-w")))
        await submitted(watching, "r1", flow(*steps))
        await until(lambda: len(begun(path)) > 5)
        first.send_signal(signal.SIGSTOP)
        stack.enter_context(program("leader", replace(setting, folder=f"{setting.folder}-l2")))
        stopped_at = len(begun(path))
        await until(lambda: len(begun(path)) > stopped_at + 5)
        first.send_signal(signal.SIGCONT)
        run = await until_ended(watching, "r1")
        assert first.poll() is None  # it lives, and contends again
    events = await watching.events("r1")
    await watching.aclose()

    assert run.state is RunState.SUCCEEDED
    assert Counter((mark.what, mark.step) for mark in marks(path)) == Counter(
        (what, f"s{n}") for n in range(80) for what in ("begin", "end")
    )
    assert Counter(event.kind for event in events)[Kind.STEP_DISPATCHED] == 80


async def test_what_came_in_for_a_run_that_stood_still_for_long_is_taken_up(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "FAR", 5)
    first, second = mortal(setting, 1), mortal(setting, 2)
    await first.take_over(1)
    runner = runner_on(first, 1)
    await runner.submit("still", flow(marking("a", kind="noop"), marking("b", "a", kind="noop")))
    [task] = await first.claim("w", [], 1)
    await runner.submit("other", flow(*(marking(f"s{n}") for n in range(20))))
    await first.settled()
    await first.report(Report(task=task, worker="w", outcome=Outcome.OK))
    await first.aclose()
    async with working(setting, doing({})):
        run = await drive(second, 2, "still", flow())
    await second.aclose()

    assert run.state is RunState.SUCCEEDED
    assert run.steps["a"].epoch == 1


async def test_no_more_is_handed_out_than_twice_what_the_workers_can_have(setting: Setting) -> None:
    doer = doing({})
    store = mortal(setting, 1)
    await store.take_over(1)
    runner = runner_on(store, 1, Limits(roster=Roster()))
    await runner.submit("r1", flow(*(marking(f"s{n}", kind="noop") for n in range(60))))
    assert await handed_out(store) == 0  # nobody is there
    await runner.see([Presence(name="w1", targets=(), capacity=3)])
    await store.settled()
    assert await handed_out(store) == 6
    async with working(replace(setting, slots=3), doer), asyncio.TaskGroup() as group:
        serving = group.create_task(runner.serve())
        run = await runner.ended("r1")
        serving.cancel()
    events = await store.events("r1")
    await store.aclose()

    assert run.state is RunState.SUCCEEDED
    out, most = 0, 0
    for event in events:
        out += (event.kind is Kind.STEP_DISPATCHED) - (event.kind is Kind.STEP_SUCCEEDED)
        most = max(most, out)
    assert most == 6
    assert doer.peak <= 3


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([marking(f"s{n}", kind="noop") for n in range(200)], id="fan-out"),
        pytest.param([marking(f"s{n}", *([f"s{n - 1}"] if n else []), kind="noop") for n in range(50)], id="chain"),
    ],
)
async def test_n06_a_fan_out_and_a_chain_keep_at_most_three_messages_a_step(setting: Setting, steps: list[Step]) -> None:
    store = mortal(setting, 1)
    async with working(setting, doing({})):
        await drive(store, 1, "r1", flow(*steps))
    kept = (await store.cluster.ask(f"STREAM.INFO.{store.cluster.names.work}"))["state"]["messages"]
    await store.aclose()

    assert kept <= 3 * len(steps) + 5  # the fence, and what begins and ends the run


async def handed_out(store: NatsStore) -> int:
    """Return how many dispatches the server has."""
    names = store.cluster.names
    info = await store.cluster.ask(f"STREAM.INFO.{names.work}", {"subjects_filter": names.tasks(None)})
    return len(info["state"].get("subjects") or {})


async def test_what_an_older_leader_decides_is_refused(setting: Setting) -> None:
    old, new = mortal(setting, 1), mortal(setting, 2)
    await old.take_over(1)
    runner = runner_on(old, 1)
    await runner.submit("r1", flow(marking("a")))
    await new.take_over(2)
    with pytest.raises(Fenced, match="2 has taken over from 1"):
        await runner.ask(Request(run="r1", kind="cancel"))
    events = await new.events("r1")
    for store in (old, new):
        await store.aclose()

    assert [event.kind for event in events] == [Kind.RUN_CREATED, Kind.RUN_STARTED, Kind.STEP_DISPATCHED]
