from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.health import (
    GRACE_S,
    GateTimes,
    Move,
    Next,
    Probed,
    gate_times,
    matches,
    next_move,
    pattern_fault,
    wait_s,
)
from provisioning.errors import ConfigError

Answer = Callable[[float, float], tuple[float, bool]]
"""(start, timeout) -> (seconds it took, healthy)"""


def healthy_from(at_s: float, took_s: float = 0.0) -> Answer:
    return lambda start_s, timeout_s: (min(took_s, timeout_s), start_s >= at_s and took_s <= timeout_s)


def never(took_s: float = 0.0) -> Answer:
    return healthy_from(float("inf"), took_s)


def hanging(_start_s: float, timeout_s: float) -> tuple[float, bool]:
    return timeout_s, False


def drive(times: GateTimes, answer: Answer) -> tuple[Move, list[Probed], float]:
    """Play a gate on a fake clock; return the last move, the probes and the seconds it took."""
    now_s, probed = 0.0, list[Probed]()
    for _ in range(1000):
        move = next_move(times, probed, now_s)
        if move.next is Next.WAIT:
            assert move.seconds > 0
            now_s += move.seconds
        elif move.next is Next.PROBE:
            took_s, healthy = answer(now_s, move.seconds)
            probed.append(Probed(started_s=now_s, ended_s=now_s + took_s, healthy=healthy))
            now_s += took_s
        else:
            return move, probed, now_s
    raise AssertionError("the gate never ends")


@pytest.mark.parametrize(
    ("times", "starts"),
    [
        pytest.param(gate_times(), [0, 10, 25, 47.5, 60], id="6 in 60 s, the defaults"),
        pytest.param(gate_times(retries=10, timeout_ms=180_000), [0, 10, 25, 47.5, 81.25, 131.875, 180], id="10 in 180 s"),
        pytest.param(gate_times(retries=5, timeout_ms=5_000), [0, 1, 2.5, 4.75, 5], id="5 in 5 s"),
        pytest.param(gate_times(retries=1, timeout_ms=60_000), [0], id="one probe"),
        pytest.param(gate_times(retries=3, timeout_ms=60_000, interval_ms=100), [0, 0.1, 0.25], id="probes run out first"),
        pytest.param(
            gate_times(retries=9, timeout_ms=4_000, interval_ms=3_000), [0, 3, 4], id="the wait is cut at the deadline"
        ),
        pytest.param(gate_times(retries=4, timeout_ms=1_000, interval_ms=0), [0, 0, 0, 0], id="no waits"),
    ],
)
def test_a_gate_that_stays_shut_is_probed_at(times: GateTimes, starts: list[float]) -> None:
    last, probed, took_s = drive(times, never())
    assert [probe.started_s for probe in probed] == pytest.approx(starts)
    assert last.next is Next.FAILED
    assert took_s == pytest.approx(starts[-1])


def test_a_healthy_gate_costs_one_probe_and_no_wait() -> None:
    last, probed, took_s = drive(gate_times(), healthy_from(0, took_s=0.2))
    assert (last.next, len(probed), took_s) == (Next.OPEN, 1, 0.2)


@pytest.mark.parametrize("retries", [2, 5, 20])
def test_a_service_that_becomes_healthy_just_before_the_deadline_passes(retries: int) -> None:
    times = gate_times(retries=retries, timeout_ms=8_000, interval_ms=4_000 if retries > 2 else 8_000)
    assert drive(times, healthy_from(7.9))[0].next is Next.OPEN


def test_five_probes_in_eight_seconds_see_what_is_healthy_after_six() -> None:
    assert drive(gate_times(retries=5, timeout_ms=8_000), healthy_from(6))[0].next is Next.OPEN


def test_a_probe_gets_a_third_of_the_deadline_unless_told() -> None:
    assert next_move(gate_times(timeout_ms=60_000), [], 0.0) == Move(next=Next.PROBE, seconds=20)
    assert next_move(gate_times(timeout_ms=60_000, probe_timeout_ms=500), [], 0.0) == Move(next=Next.PROBE, seconds=0.5)


def test_a_probe_never_gets_more_than_the_time_left() -> None:
    times = gate_times(timeout_ms=60_000, probe_timeout_ms=90_000)
    assert next_move(times, [], 0.0).seconds == 60
    failed = Probed(started_s=0, ended_s=10, healthy=False)
    assert next_move(times, [failed], 40.0).seconds == 20


def test_a_hung_probe_is_cut_and_the_gate_ends_at_its_deadline() -> None:
    last, probed, took_s = drive(gate_times(retries=100, timeout_ms=10_000, probe_timeout_ms=60_000), hanging)
    assert (last, len(probed), took_s) == (Move(next=Next.FAILED, reason="deadline of 10 s passed"), 1, 10)


def test_probing_counts_against_the_deadline_as_waiting_does() -> None:
    last, probed, took_s = drive(gate_times(retries=6, timeout_ms=60_000), hanging)
    assert [probe.started_s for probe in probed] == [0, 30, 60]  # 20 s each, waits of 10 and 15, the second cut
    assert took_s == 60 + GRACE_S
    assert last.next is Next.FAILED


def test_a_probe_that_was_running_at_the_deadline_was_the_last_one() -> None:
    times = gate_times(timeout_ms=10_000)
    running = Probed(started_s=8, ended_s=10.001, healthy=False)
    assert next_move(times, [running], 10.001).next is Next.FAILED


def test_success_counts_even_when_it_comes_within_the_last_probes_grace() -> None:
    late = Probed(started_s=10, ended_s=10.7, healthy=True)
    assert next_move(gate_times(timeout_ms=10_000), [late], 10.7).next is Next.OPEN


def test_waking_too_early_leads_to_a_shorter_wait() -> None:
    failed = Probed(started_s=0, ended_s=1, healthy=False)
    assert next_move(gate_times(), [failed], 4.0) == Move(next=Next.WAIT, seconds=7)


def test_a_failed_gate_says_which_limit_it_met() -> None:
    assert drive(gate_times(retries=2, interval_ms=10), never())[0].reason == "2 of 2 probes failed"
    assert drive(gate_times(), never())[0].reason == "deadline of 60 s passed"


def test_waits_do_not_overflow_however_many_probes_are_allowed() -> None:
    assert wait_s(gate_times(retries=10**6, interval_ms=1), 10**6) > 0


@given(
    retries=st.integers(1, 50),
    timeout_ms=st.integers(1, 300_000),
    probe_timeout_ms=st.none() | st.integers(1, 300_000),
    interval_ms=st.none() | st.integers(1, 60_000),
    took_s=st.floats(0, 30),
    healthy_s=st.floats(0, 400),
)
def test_every_gate_ends_in_time_with_no_more_probes_than_allowed(
    retries: int, timeout_ms: int, probe_timeout_ms: int | None, interval_ms: int | None, took_s: float, healthy_s: float
) -> None:
    times = gate_times(retries=retries, timeout_ms=timeout_ms, probe_timeout_ms=probe_timeout_ms, interval_ms=interval_ms)
    last, probed, spent_s = drive(times, healthy_from(healthy_s, took_s))
    assert 1 <= len(probed) <= retries
    assert probed[0].started_s == 0
    assert spent_s <= times.deadline_s + GRACE_S + 1e-6
    assert (last.next is Next.OPEN) == probed[-1].healthy


@pytest.mark.parametrize(
    "limits", [{"retries": 0}, {"retries": -1}, {"timeout_ms": 0}, {"probe_timeout_ms": 0}, {"interval_ms": -1}], ids=str
)
def test_limits_out_of_bounds_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        gate_times(**limits)


@pytest.mark.parametrize(
    ("expected", "stdout", "fits"),
    [
        pytest.param(None, "anything", True, id="nothing expected"),
        pytest.param("ok", "ok\n", True, id="the line"),
        pytest.param("ok", "starting\n  ok \r\nmore\n", True, id="one line of several, blanks aside"),
        pytest.param("ok", "not ok\n", False, id="a part of a line is no line"),
        pytest.param("ok", "OK\n", False, id="case counts"),
        pytest.param("ok", "", False, id="no output"),
        pytest.param("o.", "ok", False, id="a literal is no pattern"),
        pytest.param("re:^Ready: [3-9]$", "a\nReady: 3\nb", True, id="pattern, at lines"),
        pytest.param("re: Ready", "not yet", False, id="pattern not found"),
        pytest.param("re:healthy", "it is healthy now", True, id="pattern inside a line"),
        pytest.param("re:a\nb", "a\r\nb", True, id="pattern over two lines"),
    ],
)
def test_expected_output(expected: str | None, stdout: str, *, fits: bool) -> None:
    assert matches(expected, stdout) is fits


def test_an_expected_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected pattern"):
        matches("re:(", "x")


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(\w*)*\d", "(.*)*x", "a*a*a*a*a*b", "(?:a?){40}a{40}b"])
def test_no_pattern_takes_longer_than_its_output_is_long(pattern: str) -> None:
    took_s = []
    for _ in range(3):
        began_s = time.process_time()
        assert not matches(f"re:{pattern}", "!" + "a" * 65_000 + "!")
        took_s.append(time.process_time() - began_s)
    assert min(took_s) < 0.05


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "a{1,9999}", "(a{900}){900}", "\x1b[31m[", "[[:no:]]"])
def test_what_re2_does_not_know_is_no_pattern_and_its_reason_is_one_line(pattern: str) -> None:
    reason = pattern_fault(f"re:{pattern}")
    assert reason.startswith("not a regular expression of RE2 (")
    assert reason.isprintable()


@pytest.mark.timeout(10)
def test_a_pattern_that_is_quadratic_on_long_lines_stays_fast() -> None:
    assert not matches("re:a.*b.*c", "a" * 5_000_000)
