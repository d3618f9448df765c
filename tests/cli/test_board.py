"""The board of a run that goes on: states, times, and lines that fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from support.calls import START
from support.cost import counted

from provisioning.core.events import Event, Kind
from provisioning.core.model import StepState
from provisioning.formats.draw.escape import width
from provisioning_cli.board import Board, duration


def event(
    kind: Kind, step: str = "cp/kubernetes", seconds: float = 0, attempt: int = 1, data: Mapping[str, object] | None = None
) -> Event:
    return Event(run="r", kind=kind, at=START + timedelta(seconds=seconds), step=step, attempt=attempt, data=data or {})


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        (Kind.STEP_SUCCEEDED, {}, "succeeded in 3.2 s"),
        (
            Kind.STEP_FAILED,
            {"exit_code": 7, "error": {"kind": "exit", "message": "no such package"}},
            "failed after 3.2 s: exit code 7; no such package",
        ),
        (Kind.STEP_TIMED_OUT, {"error": {"kind": "timeout", "message": "stopped"}}, "timed out after 3.2 s: stopped"),
        (Kind.STEP_INTERRUPTED, {"reason": "link lost"}, "interrupted after 3.2 s: link lost"),
        (Kind.STEP_RETRY_WAIT, {"exit_code": 1}, "failed after 3.2 s: exit code 1, will be tried again"),
        (Kind.STEP_REPEAT_WAIT, {}, "ended after 3.2 s, will be repeated"),
        (Kind.STEP_LATE, {"sla_s": 2}, "is late: it should have ended within 2.0 s"),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else "",
)
def test_an_event_is_told_in_one_line(kind: Kind, data: Mapping[str, object], told: str) -> None:
    board = Board()
    assert board.apply(event(Kind.STEP_STARTED)) == "cp/kubernetes  started"
    assert board.apply(event(kind, seconds=3.2, data=data)) == f"cp/kubernetes  {told}"


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        (Kind.PAUSE_REQUESTED, {}, "pausing: what runs may finish"),
        (Kind.GATE_OPENED, {"kind": "signal", "name": "go"}, "signal go is open"),
        (Kind.RUN_LATE, {"sla_s": 90}, "run r is late: it should have ended within 1 min 30 s"),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else "",
)
def test_what_happens_to_the_run_is_told(kind: Kind, data: Mapping[str, object], told: str) -> None:
    assert Board().apply(event(kind, step="", data=data)) == told


def test_what_the_run_as_a_whole_does_stands_before_the_counts() -> None:
    board = Board()
    board.know([("a", "")])
    last = []
    for kind in (Kind.RUN_STARTED, Kind.PAUSE_REQUESTED, Kind.RUN_PAUSED, Kind.RUN_RESUMED, Kind.CANCEL_REQUESTED):
        board.apply(event(kind, step=""))
        last.append(board.lines(START, 80, 20)[-1][0])

    assert last == ["1 pending", "pausing: 1 pending", "paused: 1 pending", "1 pending", "stopping: 1 pending"]


def test_a_late_step_is_marked_until_it_runs_again() -> None:
    board = Board()
    board.apply(event(Kind.STEP_STARTED))
    board.apply(event(Kind.STEP_LATE, seconds=2, data={"sla_s": 1}))
    assert "late" in board.lines(START, 80, 20)[1][0]
    board.apply(event(Kind.RUN_REOPENED, step="", data={"steps": ["cp/kubernetes"]}))
    assert board.rows["cp/kubernetes"].state is StepState.PENDING
    assert "late" not in board.lines(START, 80, 20)[1][0]


def test_steps_that_are_of_no_formula_stand_without_a_head() -> None:
    board = Board()
    board.know([("fetch", ""), ("load", "")])
    assert [line.split()[1] for line, state in board.lines(START, 80, 20) if state != "bold"] == ["fetch", "load"]
    assert len(board.lines(START, 80, 20)) == 3


def test_what_only_machines_want_to_know_is_not_told() -> None:
    assert Board().apply(event(Kind.STEP_DISPATCHED)) == ""
    assert Board().apply(event(Kind.RUN_CREATED, step="")) == ""


def test_a_hostile_step_name_stays_one_plain_line() -> None:
    told = Board().apply(event(Kind.STEP_STARTED, step="a\n\x1b[2J/b"))
    assert "\n" not in told
    assert "\x1b" not in told


def test_lines_are_grouped_by_formula_with_the_counts_below() -> None:
    board = Board()
    board.apply(event(Kind.STEP_STARTED, "base/os"))
    board.apply(event(Kind.STEP_SUCCEEDED, "base/os", seconds=2))
    board.apply(event(Kind.STEP_STARTED, "cp/kubernetes", seconds=2))
    board.heard("cp/kubernetes", "pulling\n  image 3 of 9\n\n")
    lines = [text for text, _ in board.lines(START + timedelta(seconds=5), 100, 40)]
    assert lines == [
        "base",
        "  ✔ base/os                      succeeded      2.0 s",
        "cp",
        "  ▶ cp/kubernetes                running        3.0 s  image 3 of 9",
        "1 running, 1 succeeded",
    ]


def test_a_retried_step_is_measured_anew() -> None:
    board = Board()
    board.apply(event(Kind.STEP_STARTED))
    board.apply(event(Kind.STEP_RETRY_WAIT, seconds=9))
    assert board.apply(event(Kind.STEP_STARTED, seconds=10, attempt=2)) == "cp/kubernetes  started, attempt 2"
    assert board.apply(event(Kind.STEP_SUCCEEDED, seconds=11, attempt=2)) == "cp/kubernetes  succeeded in 1.0 s"


@pytest.mark.parametrize(("columns", "height"), [(20, 5), (80, 10), (200, 24)])
def test_a_thousand_steps_fit_the_terminal_and_what_is_going_on_stays_visible(columns: int, height: int) -> None:
    board = Board()
    for number in range(1000):
        board.apply(event(Kind.STEP_STARTED, f"f{number}/n"))
        if number != 500:
            board.apply(event(Kind.STEP_SUCCEEDED, f"f{number}/n", seconds=1))
    lines = board.lines(START, columns, height)
    assert len(lines) <= height
    assert all(width(text) <= columns for text, _ in lines)
    assert any("f500/n" in text for text, _ in lines)
    assert "1 running, 999 succeeded"[: columns - 1] in lines[-1][0]


def test_drawing_twice_the_steps_costs_at_most_twice_as_much() -> None:
    def cost_of(steps: int) -> int:
        board = Board()
        for number in range(steps):
            board.apply(event(Kind.STEP_STARTED, f"f{number}/n"))
            if number % 20:
                board.apply(event(Kind.STEP_SUCCEEDED, f"f{number}/n", seconds=number))
        with counted() as cost:
            board.lines(START, 120, 50)
        return cost.lines

    assert cost_of(2000) < 2.2 * cost_of(1000)


def test_more_running_steps_than_lines_still_fit() -> None:
    board = Board()
    for number in range(64):
        board.apply(event(Kind.STEP_STARTED, f"f{number}/n"))
    assert len(board.lines(START, 80, 12)) <= 12


def test_every_state_has_a_mark() -> None:
    board = Board()
    board.apply(event(Kind.STEP_STARTED))
    for state in StepState:
        board.rows["cp/kubernetes"].state = state
        assert board.lines(START, 80, 24)[1][1] == state.value


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (200.4, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_for_people(seconds: float, told: str) -> None:
    assert duration(seconds) == told
