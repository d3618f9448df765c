from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.dagu.again import Failure, Retrying, Round, repeats, retrying, wait_s
from provisioning.core.dagu.conditions import MET, Judgement
from provisioning.core.dagu.declared import RepeatMode

WHILE, UNTIL = RepeatMode.WHILE, RepeatMode.UNTIL
UNMET = Judgement(met=False)


def tries_made(codes: list[int], limit: int, only: tuple[int, ...] = ()) -> tuple[int, Retrying]:
    """Try as long as it goes on, each try ending with the next of `codes`; return how often, and why no more."""
    for made, code in enumerate(codes, 1):
        what = retrying(Failure(tries=made, exit_code=code), limit=limit, exit_codes=only)
        if what is not Retrying.AGAIN:
            return made, what
    return len(codes), Retrying.AGAIN


def test_d13_a_limit_of_two_means_three_tries() -> None:
    assert tries_made([1] * 9, limit=2) == (3, Retrying.OVER)


def test_d14_each_try_but_the_last_is_followed_by_another() -> None:
    assert tries_made([1, 1], limit=2) == (2, Retrying.AGAIN)


def test_d16_an_exit_code_that_is_not_listed_ends_it_at_once() -> None:
    assert tries_made([42, 1], limit=3, only=(42,)) == (2, Retrying.FILTERED)
    assert tries_made([42, 42, 42, 42], limit=3, only=(42,)) == (4, Retrying.OVER)
    assert tries_made([1], limit=0, only=(42,)) == (1, Retrying.OVER)


def test_d17_a_timeout_is_not_tried_again() -> None:
    assert retrying(Failure(tries=1, exit_code=124, timed_out=True), limit=5) is Retrying.OVER


def test_d19_nothing_is_tried_again_in_a_run_that_is_stopped() -> None:
    assert retrying(Failure(tries=1, exit_code=1, stopping=True), limit=5) is Retrying.OVER


def test_d22_waits_grow_and_are_capped() -> None:
    assert [wait_s(3, times) for times in range(3)] == [3, 3, 3]
    assert [wait_s(1, times, backoff=2, longest_s=5) for times in range(5)] == [1, 2, 4, 5, 5]


@given(st.floats(0, 1e9), st.integers(0, 100_000), st.floats(1.01, 100), st.none() | st.floats(0, 1e6))
def test_a_wait_is_always_a_number_that_can_be_waited_for(
    interval: float, times: int, backoff: float, longest: float | None
) -> None:
    assert 0 <= wait_s(interval, times, backoff=backoff, longest_s=longest) <= 365 * 86_400


def rounds_made(codes: list[int], mode: RepeatMode, limit: int | None = None, only: tuple[int, ...] = ()) -> int:
    """Do a step as often as it is repeated, each round ending with the next of `codes`."""
    for made, code in enumerate(codes, 1):
        if not repeats(Round(rounds=made, succeeded=code == 0, exit_code=code), mode, limit=limit, exit_codes=only):
            return made
    raise AssertionError("it never ends")


def test_d20_a_limit_of_three_means_three_rounds() -> None:
    assert rounds_made([0] * 9, WHILE, limit=3) == 3


def test_d20_without_a_condition_it_goes_on_while_it_succeeds() -> None:
    assert rounds_made([0, 0, 1, 0], WHILE) == 3
    assert rounds_made([1, 1, 0, 1], UNTIL) == 3


def test_d21_until_an_exit_code() -> None:
    assert rounds_made([1, 2, 0, 1], UNTIL, only=(0,)) == 3
    assert rounds_made([1, 42, 0], UNTIL, only=(42,)) == 2


def test_d21_while_an_exit_code() -> None:
    assert rounds_made([1, 1, 0, 1], WHILE, only=(1,)) == 3


@pytest.mark.parametrize("mode", RepeatMode)
@pytest.mark.parametrize("condition", [MET, UNMET, None])
def test_d21_the_limit_beats_every_condition(mode: RepeatMode, condition: Judgement | None) -> None:
    ended = Round(rounds=3, succeeded=True, exit_code=0, condition=condition)
    assert not repeats(ended, mode, limit=3, exit_codes=(0,))


@pytest.mark.parametrize(
    ("mode", "condition", "again"), [(WHILE, MET, True), (WHILE, UNMET, False), (UNTIL, MET, False), (UNTIL, UNMET, True)]
)
@pytest.mark.parametrize("code", [0, 1])
def test_d21_a_condition_decides_whatever_became_of_the_round(
    *, mode: RepeatMode, condition: Judgement, again: bool, code: int
) -> None:
    ended = Round(rounds=1, succeeded=code == 0, exit_code=code, condition=condition)
    assert repeats(ended, mode, exit_codes=(0,)) is again


@pytest.mark.parametrize("mode", RepeatMode)
def test_a_condition_that_nobody_can_judge_ends_the_repetition(mode: RepeatMode) -> None:
    ended = Round(rounds=1, succeeded=True, condition=Judgement(met=False, error="broken"))
    assert not repeats(ended, mode)


@pytest.mark.parametrize("mode", RepeatMode)
def test_a_stop_ends_the_repetition(mode: RepeatMode) -> None:
    assert not repeats(Round(rounds=1, succeeded=mode is WHILE, stopping=True), mode)
