"""Every store shows the same history of the same events."""

from __future__ import annotations

from typing import Any

import pytest
from support.records import AT, a_commit, a_step, a_workflow, created, event

from provisioning.adapters.memory import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.history import StepRecord
from provisioning.core.model import RunState, StepState
from provisioning.errors import NotFoundError

Store = MemoryStore | SqliteStore

WORKFLOW = a_workflow(
    a_step("cp/etcd", labels={"formula": "cp", "server": "cp-0", "taskserv": "etcd"}, kind="node"),
    a_step("cp/gate", "cp/etcd", labels={"formula": "cp", "server": "cp-0", "output": "READY"}, kind="gate"),
    a_step("app/web", "cp/gate", kind="node"),
    name="taskserv-create",
)
START = [event(Kind.STEP_DISPATCHED, "cp/etcd", attempt=1), event(Kind.STEP_STARTED, "cp/etcd", attempt=1, worker="w1")]
REJECTED = {"kind": "rejected", "message": "not today"}
BROKEN: dict[str, Any] = {"exit_code": 3, "error": {"kind": "exit", "message": "no quorum"}, "log": "logs/1"}


async def after(store: Store, *events: Event) -> dict[str, StepRecord]:
    """Run a run through events and return its steps."""
    await store.commit(a_commit(await created(store, WORKFLOW), *events))
    return {step.step: step for step in store.history.run("r1").steps}


async def test_a_new_run_shows_every_step_of_its_workflow_in_order(store: Store) -> None:
    await created(store, WORKFLOW)
    detail = store.history.run("r1")
    assert [step.step for step in detail.steps] == ["cp/etcd", "cp/gate", "app/web"]
    assert [step.state for step in detail.steps] == [StepState.PENDING] * 3
    first = detail.steps[0]
    assert (first.kind, first.formula, first.server, first.taskserv) == ("node", "cp", "cp-0", "etcd")
    summary = detail.summary
    assert (summary.workflow, summary.state, summary.trigger) == ("taskserv-create", RunState.RUNNING, "cli")
    assert (summary.created_at, summary.started_at, summary.ended_at) == (AT, AT, None)
    assert (summary.last_seq, detail.exit_code, detail.params) == (2, None, {"n": 1})


async def test_a_step_shows_its_newest_attempt_and_every_attempt_keeps_its_own_end(store: Store) -> None:
    steps = await after(
        store,
        *START,
        event(Kind.STEP_RETRY_WAIT, "cp/etcd", attempt=1, due="2026-01-01T12:00:05+00:00", **BROKEN),
        event(Kind.STEP_RETRY_DUE, "cp/etcd", attempt=1),
        event(Kind.STEP_DISPATCHED, "cp/etcd", attempt=2),
        event(Kind.STEP_STARTED, "cp/etcd", attempt=2, worker="w2"),
        event(Kind.STEP_SUCCEEDED, "cp/etcd", attempt=2, exit_code=0, log="logs/2", output={"n": 1}),
    )
    step = steps["cp/etcd"]
    assert (step.state, step.attempts, step.exit_code, step.error, step.log) == ("succeeded", 2, 0, "", "logs/2")
    assert (step.started_at, step.ended_at) == (AT, AT)
    assert [
        (attempt.attempt, attempt.worker, attempt.state.value, attempt.exit_code, attempt.error, attempt.log)
        for attempt in store.history.attempts("r1", "cp/etcd")
    ] == [(1, "w1", "failed", 3, "no quorum", "logs/1"), (2, "w2", "succeeded", 0, "", "logs/2")]


async def test_a_lost_lease_ends_the_attempt_and_the_next_epoch_is_a_row_of_its_own(store: Store) -> None:
    steps = await after(
        store,
        *START,
        event(Kind.STEP_LEASE_LOST, "cp/etcd", attempt=1, reason="runner died"),
        event(Kind.STEP_DISPATCHED, "cp/etcd", attempt=1, epoch=2),
    )
    assert steps["cp/etcd"].state is StepState.DISPATCHED
    found = store.history.attempts("r1")
    assert [(each.epoch, each.state.value) for each in found] == [(1, "interrupted"), (2, "dispatched")]
    assert found[0].error == "runner died"


async def test_what_happens_to_a_step_later_does_not_rewrite_an_attempt_that_has_ended(store: Store) -> None:
    await after(
        store,
        *START,
        event(Kind.STEP_FAILED, "cp/etcd", attempt=1, **BROKEN),
        event(Kind.RUN_FINISHED, state="failed", reason="cp/etcd failed"),
        event(Kind.RUN_REOPENED, steps=["cp/etcd"]),
        event(Kind.STEP_CANCELLED, "cp/etcd", attempt=1, reason="not started"),
    )
    assert [each.state.value for each in store.history.attempts("r1")] == ["failed"]
    assert store.history.run("r1").steps[0].state is StepState.CANCELLED


async def test_skipped_steps_say_why(store: Store) -> None:
    reason = "blocked: needs cp/etcd, which failed"
    steps = await after(store, event(Kind.STEP_SKIPPED, "app/web", because="cp/etcd", reason=reason, blocked=True))
    assert (steps["app/web"].reason, steps["app/web"].because) == (reason, "cp/etcd")
    assert store.history.attempts("r1") == []


@pytest.mark.parametrize(
    ("step", "error_kind", "state", "exit_code"),
    [
        pytest.param("cp/etcd", "exit", "failed", 1, id="a step failed"),
        pytest.param("cp/gate", "gate", "failed", 5, id="a gate did not open"),
        pytest.param("cp/gate", "unreachable", "failed", 7, id="a gate's server could not be reached"),
        pytest.param("cp/etcd", "login_refused", "failed", 7, id="a server refused login"),
        pytest.param("cp/etcd", "exit", "cancelled", 130, id="the operator stopped it"),
        pytest.param("cp/etcd", "exit", "partial", 1, id="part of it failed"),
        pytest.param("cp/etcd", "exit", "succeeded", 0, id="the failure was allowed"),
    ],
)
async def test_the_exit_code_of_a_run_says_what_stopped_it(
    store: Store, step: str, error_kind: str, state: str, exit_code: int
) -> None:
    await after(
        store,
        event(Kind.STEP_DISPATCHED, step, attempt=1),
        event(Kind.STEP_FAILED, step, attempt=1, error={"kind": error_kind, "message": "broken"}),
        event(Kind.RUN_FINISHED, state=state, reason=f"{step} failed"),
    )
    detail = store.history.run("last")
    assert detail.exit_code == exit_code == store.history.list_runs()[0].exit_code
    assert [each.step for each in detail.failed] == [step]


async def test_a_reopened_run_is_open_again(store: Store) -> None:
    await after(
        store,
        *START,
        event(Kind.STEP_FAILED, "cp/etcd", attempt=1, **BROKEN),
        event(Kind.RUN_FINISHED, state="failed", reason="cp/etcd failed"),
        event(Kind.RUN_REOPENED, steps=["cp/etcd"]),
    )
    detail = store.history.run("r1")
    assert (detail.summary.state, detail.summary.ended_at, detail.exit_code) == (RunState.RUNNING, None, None)
    assert (detail.steps[0].state, detail.steps[0].error, detail.steps[0].attempts) == (StepState.PENDING, "", 1)


async def test_outputs_are_shown_by_their_declared_name_and_read_by_step(store: Store) -> None:
    await after(
        store,
        event(Kind.STEP_SUCCEEDED, "cp/etcd", attempt=1, output={"port": 2379}),
        event(Kind.STEP_SUCCEEDED, "cp/gate", attempt=1, output="yes"),
        event(Kind.STEP_SUCCEEDED, "app/web", attempt=1),
    )
    assert store.history.run("r1").outputs == {"cp/etcd": {"port": 2379}, "READY": "yes"}
    assert store.history.outputs("r1") == {"cp/etcd": {"port": 2379}, "cp/gate": "yes"}


async def test_outputs_of_a_step_that_has_several_are_those_of_the_run_in_the_order_of_the_steps(store: Store) -> None:
    every = {"output": "*"}
    steps = (a_step("a", labels=every), a_step("b", labels={"output": "ROWS"}), a_step("c", labels=every), a_step("d"))
    seq = await created(store, a_workflow(*steps, a_step("e", labels=every), a_step("f", labels=every)))
    several: dict[str, object] = {"ROWS": "1", "DAY": "Monday"}
    outputs: list[tuple[str, object]] = [
        ("d", {"outputs": {"NO": "name"}}),
        ("c", {"outputs": {"DAY": "Tuesday"}, "more": 1}),
        ("b", "2"),
        ("a", {"outputs": several}),
        ("e", "no object"),
        ("f", {"outputs": None}),
    ]
    events = [event(Kind.STEP_SUCCEEDED, step, attempt=1, output=output) for step, output in outputs]
    await store.commit(a_commit(seq, *events))
    assert store.history.run("r1").outputs == {"ROWS": "2", "DAY": "Tuesday", "d": {"outputs": {"NO": "name"}}}
    assert store.history.output("r1", "a") == {"outputs": several}


@pytest.mark.parametrize(
    ("ended", "mark"),
    [
        (event(Kind.STEP_SUCCEEDED, "cp/etcd", attempt=1, stdout="said\n", stderr="warned\n"), ""),
        (event(Kind.STEP_SUCCEEDED, "cp/etcd", attempt=1, stdout="said\n", stderr="warned\n", partial=True), "partial"),
        (event(Kind.STEP_FAILED, "cp/etcd", attempt=1, stdout="said\n", stderr="warned\n", passes=True), "allowed"),
        (event(Kind.STEP_FAILED, "cp/etcd", attempt=1, stdout="said\n", stderr="warned\n", error=REJECTED), "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_step_keeps_what_it_printed_and_what_its_end_is_worth_until_it_is_run_again(
    store: Store, ended: Event, mark: str
) -> None:
    step = (await after(store, *START, ended))["cp/etcd"]
    assert (step.mark, step.stdout, step.stderr) == (mark, "said\n", "warned\n")
    seq = store.history.summary("r1").last_seq
    await store.commit(a_commit(seq, event(Kind.RUN_REOPENED, steps=["cp/etcd"])))
    step = store.history.step("r1", "cp/etcd")
    assert (step.mark, step.stdout, step.stderr) == ("", "", "")


async def test_a_step_added_later_is_shown_last(store: Store) -> None:
    steps = await after(
        store,
        event(Kind.STEP_ADDED, spec=a_step("late", "app/web", kind="node")),
        event(Kind.STEP_DISPATCHED, "late", attempt=1),
    )
    assert list(steps)[-1] == "late"
    assert (steps["late"].kind, steps["late"].state) == ("node", "dispatched")


async def test_the_document_of_a_run_has_the_promised_keys(store: Store) -> None:
    await after(
        store,
        *START,
        event(Kind.STEP_FAILED, "cp/etcd", attempt=1, **BROKEN),
        event(Kind.RUN_FINISHED, state="failed", reason="cp/etcd failed"),
    )
    document = store.history.run("r1").document()
    assert {key: document[key] for key in ("run_id", "workflow", "status", "exit_code", "started_at", "outputs")} == {
        "run_id": "r1",
        "workflow": "taskserv-create",
        "status": "failed",
        "exit_code": 1,
        "started_at": "2026-01-01T12:00:00.000Z",
        "outputs": {},
    }
    steps = document["steps"]
    assert isinstance(steps, list)
    assert steps[0] == {
        "id": "cp/etcd",
        "formula": "cp",
        "server": "cp-0",
        "taskserv": "etcd",
        "kind": "node",
        "state": "failed",
        "error_kind": "exit",
        "error": "no quorum",
        "attempts": 1,
        "exit_code": 3,
        "started_at": "2026-01-01T12:00:00.000Z",
        "ended_at": "2026-01-01T12:00:00.000Z",
        "log": "logs/1",
    }
    assert steps[2] == {
        "id": "app/web",
        "kind": "node",
        "state": "pending",
        "attempts": 0,
        "started_at": None,
        "ended_at": None,
        "log": "",
    }


async def test_runs_are_listed_newest_first_and_can_be_narrowed_and_paged(store: Store) -> None:
    for number in range(5):
        await created(store, a_workflow(name="even" if number % 2 == 0 else "odd"), run=f"run-{number}")
    await store.commit(a_commit(2, event(Kind.RUN_FINISHED, run="run-1", state="failed", reason=""), run="run-1"))
    history = store.history
    assert [run.run_id for run in history.list_runs()] == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    assert [run.run_id for run in history.list_runs(2)] == ["run-4", "run-3"]
    assert [run.run_id for run in history.list_runs(2, before="run-3")] == ["run-2", "run-1"]
    assert [run.run_id for run in history.list_runs(state="failed")] == ["run-1"]
    assert [run.run_id for run in history.list_runs(workflow="odd")] == ["run-3", "run-1"]
    assert history.list_runs(before="nobody") == []


async def test_a_run_is_found_by_id_unique_prefix_or_as_the_last(store: Store) -> None:
    for run in ("0192-aa", "0192-ab", "0193", "0193-long"):
        await created(store, run=run)
    assert store.history.run("0192-ab").run_id == "0192-ab"
    assert store.history.run("0193").run_id == "0193"
    assert store.history.run("0193-").run_id == "0193-long"
    assert store.history.run("last").run_id == "0193-long"


@pytest.mark.parametrize(
    ("ref", "message", "hint"),
    [
        ("0192-", "could be", "for example"),
        ("0192-aX", "there is no run '0192-aX'", "did you mean 0192-a"),
        ("zzz", "there is no run 'zzz'", "run list"),
        ("", "there is no run ''", "run list"),
        ("%", "there is no run '%'", "run list"),
    ],
)
async def test_a_run_that_is_not_there_or_not_one_is_refused_with_advice(
    store: Store, ref: str, message: str, hint: str
) -> None:
    for run in ("0192-aa", "0192-ab"):
        await created(store, run=run)
    with pytest.raises(NotFoundError, match=message) as refused:
        store.history.run(ref)
    assert hint in refused.value.hint


def test_an_empty_history_has_no_runs(store: Store) -> None:
    assert store.history.list_runs() == []
    assert store.history.attempts("r1") == []
    assert store.history.outputs("r1") == {}
    with pytest.raises(NotFoundError):
        store.history.run("last")
