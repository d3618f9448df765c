from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.dagu.statuses import (
    RunNow,
    RunStatus,
    StepEnd,
    StepNow,
    StepStatus,
    derive,
    exit_code,
    number,
    run_status,
    run_status_of,
    step_status,
)
from provisioning.core.model import RunState, StepState

LETTERS = {
    "S": StepEnd(status=StepStatus.SUCCEEDED),
    "F": StepEnd(status=StepStatus.FAILED),
    "f": StepEnd(status=StepStatus.FAILED, allowed=True),
    "A": StepEnd(status=StepStatus.ABORTED),
    "K": StepEnd(status=StepStatus.SKIPPED),
    "N": StepEnd(status=StepStatus.NOT_STARTED),
    "P": StepEnd(status=StepStatus.PARTIALLY_SUCCEEDED),
    "R": StepEnd(status=StepStatus.RUNNING),
    "T": StepEnd(status=StepStatus.RETRYING),
    "W": StepEnd(status=StepStatus.WAITING),
    "J": StepEnd(status=StepStatus.REJECTED),
}


def ends(letters: str) -> list[StepEnd]:
    return [LETTERS[one] for one in letters]


@pytest.mark.parametrize(
    ("letters", "status"),
    [
        pytest.param("SSFA", RunStatus.FAILED, id="D01 a failure in a chain"),
        pytest.param("SFSS", RunStatus.FAILED, id="D02 a failure beside others"),
        pytest.param("SfS", RunStatus.PARTIALLY_SUCCEEDED, id="D03 continue on failure"),
        pytest.param("fS", RunStatus.PARTIALLY_SUCCEEDED, id="D04 continue on an exit code"),
        pytest.param("SS", RunStatus.SUCCEEDED, id="D06 mark_success made it a success"),
        pytest.param("f", RunStatus.FAILED, id="D07 nothing succeeded"),
        pytest.param("fK", RunStatus.FAILED, id="D07 nothing succeeded, one skipped"),
        pytest.param("SKS", RunStatus.SUCCEEDED, id="D08 continue on skipped"),
        pytest.param("SKK", RunStatus.SUCCEEDED, id="D08 a skipped chain"),
        pytest.param("KK", RunStatus.SUCCEEDED, id="all skipped"),
        pytest.param("", RunStatus.SUCCEEDED, id="no steps"),
        pytest.param("SfFA", RunStatus.FAILED, id="one was not allowed to fail"),
        pytest.param("SP", RunStatus.PARTIALLY_SUCCEEDED, id="a sub-DAG in part"),
        pytest.param("P", RunStatus.PARTIALLY_SUCCEEDED, id="nothing but a sub-DAG in part"),
        pytest.param("SRF", RunStatus.RUNNING, id="one runs"),
        pytest.param("STR", RunStatus.RUNNING, id="running goes before retrying"),
        pytest.param("STJ", RunStatus.QUEUED, id="retrying goes before rejected"),
        pytest.param("SJWF", RunStatus.REJECTED, id="rejected goes before waiting"),
        pytest.param("SWF", RunStatus.WAITING, id="waiting goes before failed"),
    ],
)
def test_d01_to_d08_what_its_steps_make_of_a_run(letters: str, status: RunStatus) -> None:
    assert derive(RunNow(steps=ends(letters))) is status


@pytest.mark.parametrize(
    ("run", "status", "code"),
    [
        pytest.param(
            RunNow(steps=ends("NN"), precondition_unmet=True), RunStatus.ABORTED, 0, id="D12 preconditions do not hold"
        ),
        pytest.param(RunNow(steps=ends("NN"), precondition_error=True), RunStatus.FAILED, 1, id="D12 nobody knows"),
        pytest.param(RunNow(steps=ends("SAA"), timed_out=True), RunStatus.FAILED, 1, id="D18 it took too long"),
        pytest.param(RunNow(steps=ends("SfA"), timed_out=True), RunStatus.FAILED, 1, id="D18 not even in part"),
        pytest.param(RunNow(steps=ends("SAN"), cancelled=True), RunStatus.ABORTED, 1, id="D19 stopped"),
        pytest.param(RunNow(steps=ends("SF"), cancelled=True), RunStatus.ABORTED, 1, id="D19 stopped with a failure"),
        pytest.param(RunNow(steps=ends("SSK"), cancelled=True), RunStatus.SUCCEEDED, 0, id="D19 stopped too late"),
        pytest.param(RunNow(steps=ends("SS"), handler_failed=True), RunStatus.FAILED, 1, id="D23 a failing exit handler"),
        pytest.param(
            RunNow(steps=ends("Sf"), handler_failed=True), RunStatus.FAILED, 1, id="D23 of a run that succeeded in part"
        ),
        pytest.param(RunNow(steps=ends("NN"), init_failed=True), RunStatus.ABORTED, 1, id="D24 init failed"),
        pytest.param(RunNow(steps=ends("SfS")), RunStatus.PARTIALLY_SUCCEEDED, 0, id="D03 in part"),
        pytest.param(RunNow(steps=ends("F")), RunStatus.FAILED, 1, id="D01 failed"),
        pytest.param(RunNow(steps=ends("SJ")), RunStatus.REJECTED, 1, id="rejected"),
    ],
)
def test_d12_d18_d19_d23_ends_and_exit_codes(run: RunNow, status: RunStatus, code: int) -> None:
    assert (derive(run), exit_code(run)) == (status, code)


@pytest.mark.parametrize(
    ("step", "status"),
    [
        pytest.param(StepNow(state=StepState.PENDING), "not_started", id="pending"),
        pytest.param(StepNow(state=StepState.READY), "not_started", id="ready"),
        pytest.param(StepNow(state=StepState.DISPATCHED), "running", id="dispatched"),
        pytest.param(StepNow(state=StepState.RUNNING, begun=True), "running", id="running"),
        pytest.param(StepNow(state=StepState.RETRY_WAIT, begun=True), "retrying", id="waits for another try"),
        pytest.param(StepNow(state=StepState.RETRY_WAIT, begun=True, repeating=True), "running", id="waits for its next round"),
        pytest.param(StepNow(state=StepState.SUCCEEDED), "succeeded", id="succeeded"),
        pytest.param(StepNow(state=StepState.UNCHANGED), "succeeded", id="unchanged"),
        pytest.param(StepNow(state=StepState.SUCCEEDED, partial=True), "partially_succeeded", id="its sub-DAG in part"),
        pytest.param(StepNow(state=StepState.FAILED), "failed", id="failed"),
        pytest.param(StepNow(state=StepState.FAILED, forgiven=True), "succeeded", id="D06 mark_success"),
        pytest.param(StepNow(state=StepState.TIMED_OUT), "failed", id="D17 timed out"),
        pytest.param(StepNow(state=StepState.INTERRUPTED), "failed", id="nobody knows its end"),
        pytest.param(StepNow(state=StepState.SKIPPED), "skipped", id="D08 a condition"),
        pytest.param(StepNow(state=StepState.SKIPPED, blocked=True), "aborted", id="D01 what it needs failed"),
        pytest.param(StepNow(state=StepState.CANCELLED, begun=True), "aborted", id="D19 it ran"),
        pytest.param(StepNow(state=StepState.CANCELLED), "not_started", id="D19 it had not started"),
        pytest.param(StepNow(state=StepState.CANCELLED, run_ended=True), "aborted", id="D18 the time of the run was over"),
        pytest.param(StepNow(state=StepState.PENDING, waiting=True), "waiting", id="waits for a person"),
        pytest.param(StepNow(state=StepState.SUCCEEDED, waiting=True), "waiting", id="has run, waits for a person"),
        pytest.param(StepNow(state=StepState.CANCELLED, waiting=True), "not_started", id="waits no more"),
        pytest.param(StepNow(state=StepState.FAILED, rejected=True), "rejected", id="rejected"),
    ],
)
def test_what_a_step_is_called(step: StepNow, status: str) -> None:
    assert step_status(step).value == status


def test_every_state_of_ours_has_a_word_of_dagu() -> None:
    for state, begun, blocked in product(StepState, [True, False], [True, False]):
        assert isinstance(step_status(StepNow(state=state, begun=begun, blocked=blocked)), StepStatus)
    for run in RunState:
        assert isinstance(run_status(run, RunNow(steps=ends("S"))), RunStatus)


@pytest.mark.parametrize(
    ("state", "letters", "status"),
    [
        (RunState.CREATED, "N", RunStatus.NOT_STARTED),
        (RunState.QUEUED, "N", RunStatus.QUEUED),
        (RunState.RUNNING, "SN", RunStatus.RUNNING),
        (RunState.RUNNING, "SW", RunStatus.WAITING),
        (RunState.RUNNING, "RW", RunStatus.RUNNING),
        (RunState.RUNNING, "TN", RunStatus.RUNNING),
        (RunState.PAUSED, "N", RunStatus.RUNNING),
        (RunState.FINISHING, "S", RunStatus.RUNNING),
        (RunState.PARTIAL, "Sf", RunStatus.PARTIALLY_SUCCEEDED),
        (RunState.FAILED, "SF", RunStatus.FAILED),
    ],
)
def test_what_one_of_our_runs_is_called(state: RunState, letters: str, status: RunStatus) -> None:
    assert run_status(state, RunNow(steps=ends(letters))) is status


def test_numbers_are_those_that_are_stored() -> None:
    assert [number(one) for one in RunStatus] == list(range(9))
    assert [number(one) for one in StepStatus] == list(range(10))
    assert (number(RunStatus.SUCCEEDED), number(RunStatus.QUEUED), number(StepStatus.SKIPPED)) == (4, 5, 5)


OLD = ["not started", "running", "failed", "canceled", "finished", "queued", "partial success", "waiting", "rejected"]


@pytest.mark.parametrize(("status", "old"), list(zip(RunStatus, OLD, strict=True)))
def test_words_of_both_vocabularies_are_understood(status: RunStatus, old: str) -> None:
    assert {run_status_of(word) for word in (status.value, old, f" {status.value.upper()} ")} == {status}


def test_other_words_are_not() -> None:
    assert [run_status_of(word) for word in ("", "done", "skipped")] == [None, None, None]


@given(st.text(alphabet="SFfAKNP", max_size=8))
def test_a_failure_that_was_not_allowed_is_never_hidden(letters: str) -> None:
    status = derive(RunNow(steps=ends(letters)))
    assert (status is RunStatus.SUCCEEDED) is not any(one in letters for one in "FfP")
    assert status is RunStatus.FAILED or "F" not in letters
