"""A31: which states a step goes through, and which not: every event on every state."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.simulate import step, workflow

from provisioning.core.events import Event, Kind
from provisioning.core.folding import apply
from provisioning.core.model import STEP_ENDED, StepState
from provisioning.core.run import Run, new_run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
P, R, D, U, W = StepState.PENDING, StepState.READY, StepState.DISPATCHED, StepState.RUNNING, StepState.RETRY_WAIT
LEGAL: dict[Kind, tuple[set[StepState], StepState]] = {
    Kind.STEP_DISPATCHED: ({R}, D),
    Kind.STEP_STARTED: ({D}, U),
    Kind.STEP_SUCCEEDED: ({D, U, W}, StepState.SUCCEEDED),
    Kind.STEP_UNCHANGED: ({P, R}, StepState.UNCHANGED),
    Kind.STEP_FAILED: ({P, R, D, U, W}, StepState.FAILED),
    Kind.STEP_TIMED_OUT: ({D, U}, StepState.TIMED_OUT),
    Kind.STEP_CANCELLED: ({P, R, D, U, W}, StepState.CANCELLED),
    Kind.STEP_INTERRUPTED: ({P, R, D, U, W}, StepState.INTERRUPTED),
    Kind.STEP_SKIPPED: ({P, R, D, U, W}, StepState.SKIPPED),
    Kind.STEP_RETRY_WAIT: ({R, D, U}, W),
    Kind.STEP_REPEAT_WAIT: ({D, U}, W),
    Kind.STEP_RETRY_DUE: ({W}, R),
    Kind.STEP_LEASE_LOST: ({D, U}, R),
}


def in_state(state: StepState) -> Run:
    """A run whose only step is in this state."""
    run = new_run("r1", workflow(step("a")))
    run.move(run.steps["a"], state)
    if state in STEP_ENDED:
        run.unended -= 1
    run.steps["a"].attempt = run.steps["a"].epoch = 1
    return run


@pytest.mark.parametrize("kind", LEGAL)
@pytest.mark.parametrize("state", StepState)
def test_a31_exactly_the_legal_changes_happen(state: StepState, kind: Kind) -> None:
    run = in_state(state)
    attempt = 2 if kind is Kind.STEP_DISPATCHED else 1
    apply(run, Event(run="r1", kind=kind, at=NOW, seq=1, step="a", attempt=attempt, epoch=attempt))
    sources, target = LEGAL[kind]

    assert run.steps["a"].state is (target if state in sources else state)
    assert run.counts[run.steps["a"].state] == 1
    assert sum(run.counts.values()) == 1
    assert run.unended == (run.steps["a"].state not in STEP_ENDED)


@pytest.mark.parametrize("kind", LEGAL)
@pytest.mark.parametrize("state", sorted(STEP_ENDED))
def test_a31_what_has_ended_stays_as_it_is(state: StepState, kind: Kind) -> None:
    run = in_state(state)
    apply(run, Event(run="r1", kind=kind, at=NOW, seq=1, step="a", attempt=1, epoch=1))

    assert run.steps["a"].state is state


def test_a31_there_is_a_line_for_every_event_of_a_step_that_changes_its_state() -> None:
    told = {kind for kind in Kind if kind.value.startswith("step_")}
    assert told - {Kind.STEP_ADDED, Kind.STEP_LATE} == set(LEGAL)
