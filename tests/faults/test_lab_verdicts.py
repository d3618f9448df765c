"""The judge of the lab's fault trials: it lets pass what is right, and finds every kind of wrong verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support.verdicts import Note, Trial, judge, read_notes

FIRST, SECOND = "run-1", "run-2"


def step(name: str, state: str, **more: Any) -> dict[str, Any]:
    formula, _, taskserv = name.partition("/")
    kind = "gate" if taskserv == "gate" else "node"
    labels = {"formula": formula, "server": formula, "taskserv": taskserv}
    return {"id": name, "kind": kind, "state": state, **labels, **({} if state == "succeeded" else {"error": "why"}), **more}


def run(name: str, code: int, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": name, "exit_code": code, "steps": list(steps)}


def notes(*lines: str) -> list[Note]:
    """`begin`, `end 0`, ... of step a/one in the first run and boot; `2:` is the second run, `!` another boot."""
    return [noted(line) for line in lines]


def noted(line: str) -> Note:
    words = line.replace("2:", "").replace("!", "").split()
    code = int(words[1]) if len(words) > 1 else None
    boot = "other" if "!" in line else "boot"
    return Note(word=words[0], step="a/one", run=SECOND if "2:" in line else FIRST, attempt=1, boot=boot, code=code)


def trial(
    state: str,
    said: Sequence[str],
    *,
    code: int = 0,
    then: str = "unchanged",
    heals: bool = True,
    stored: str = "",
    **more: Any,
) -> Trial:
    """One server, one step: what the first run said of it, what it noted, what the second run did."""
    usual = {"succeeded": "completed", "failed": "failed", "interrupted": "interrupted"}.get(state, "pending")
    return Trial(
        first=run(FIRST, code, step("a/one", state, **more)),
        second=run(SECOND, 0, step("a/one", then)),
        notes=notes(*said),
        states={("a", "one"): stored or usual},
        heals=heals,
    )


RIGHT = {
    "done once": trial("succeeded", ["begin", "end 0"]),
    "cut off by a boot, and repeated in the same run": trial("succeeded", ["begin", "begin !", "end 0 !"]),
    "a record that the power took": trial("succeeded", ["begin", "end 0", "begin !", "end 0 !"]),
    "unknown, then adopted": trial("interrupted", ["begin", "end 0"], code=7, then="succeeded", heals=False),
    "unknown, then repeated": trial(
        "interrupted", ["begin", "2: begin !", "2: end 0 !"], code=7, then="succeeded", heals=False
    ),
    "never reached": trial("failed", ["2: begin", "2: end 0"], code=7, then="succeeded", heals=False),
    "a script that failed": trial(
        "failed", ["begin", "end 100", "2: begin", "2: end 0"], code=1, then="succeeded", exit_code=100
    ),
    "blocked": trial("skipped", ["2: begin", "2: end 0"], code=1, then="succeeded", heals=False),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_passes(case: str) -> None:
    assert judge(RIGHT[case]).wrong == ()


WRONG = {
    "said to have succeeded, but never did": trial("succeeded", ["begin", "end 3", "2: begin", "2: end 0"]),
    "said to have ended with 1, but ended with [0]": trial("failed", ["begin", "end 0"], code=1, then="succeeded", exit_code=1),
    "said to have ended with 1, but ended with []": trial(
        "failed", ["begin", "2: begin !", "2: end 0 !"], code=1, then="succeeded", exit_code=1
    ),
    "said not to have been started, but was": trial(
        "failed", ["begin", "2: begin !", "2: end 0 !"], code=7, then="succeeded", heals=False
    ),
    "is skipped, but was started": trial("skipped", ["begin", "end 0"], code=1, then="succeeded", heals=False),
    "is timed_out": trial("timed_out", ["begin", "2: begin !", "2: end 0 !"], code=1, then="succeeded", heals=False),
    "is interrupted, but stored as failed": trial(
        "interrupted", ["begin", "end 0"], code=7, then="succeeded", heals=False, stored="failed"
    ),
    "is interrupted, but stored as running": trial(
        "interrupted", ["begin", "end 0"], code=7, then="succeeded", heals=False, stored="running"
    ),
    "is skipped, but stored as completed": trial(
        "skipped", ["2: begin", "2: end 0"], code=1, then="succeeded", heals=False, stored="completed"
    ),
    "was started while it ran": trial("succeeded", ["begin", "begin", "end 0"]),
    "was started again after it was done": trial("succeeded", ["begin", "end 0", "begin", "end 0"]),
    "had succeeded, and was started again": trial("succeeded", ["begin", "end 0", "2: begin !", "2: end 0 !"]),
    "had succeeded, and the next run does not leave it alone": trial("succeeded", ["begin", "end 0"], then="succeeded"),
    "ended without a begin": trial("succeeded", ["end 0"]),
    "has not ended with 0": trial("succeeded", ["begin", "end 0", "begin !"]),
    "is interrupted in the next run": trial("interrupted", ["begin", "end 0"], code=7, then="interrupted", heals=False),
    "its script never ended with 0": trial("interrupted", ["begin"], code=7, then="succeeded", heals=False),
    "every fault healed, no step failed, and the first run ends with 7": trial(
        "interrupted", ["begin", "end 0"], code=7, then="succeeded"
    ),
    "the first run ends with 0, but": trial("interrupted", ["begin", "end 0"], then="succeeded"),
    "the first run ends with 3": trial("interrupted", ["begin", "end 0"], code=3, then="succeeded", heals=False),
    "and nobody says why": trial("interrupted", ["begin", "end 0"], code=7, then="succeeded", heals=False, error=""),
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_found(line: str) -> None:
    assert any(line in found for found in judge(WRONG[line]).wrong), judge(WRONG[line]).wrong


def test_a_next_run_that_fails_is_found() -> None:
    one = trial("succeeded", ["begin", "end 0"])
    two = Trial(first=one.first, second={**one.second, "exit_code": 5}, notes=one.notes, states=one.states, heals=True)

    assert "the next run ends with 5" in judge(two).wrong


def test_a_gate_that_opened_before_its_formula_was_done_is_found() -> None:
    first = run(FIRST, 7, step("a/one", "interrupted"), step("a/gate", "succeeded"))
    second = run(SECOND, 0, step("a/one", "succeeded"), step("a/gate", "succeeded"))
    states = {("a", "one"): "interrupted"}

    found = judge(Trial(first=first, second=second, notes=notes("begin", "end 0"), states=states, heals=False))

    assert found.wrong == ("a/gate is open, but its formula is not done",)


def test_a_run_that_was_refused_before_it_began_has_said_nothing_wrong() -> None:
    second = run(SECOND, 0, step("a/one", "succeeded"))

    found = judge(Trial(first=run("", 7), second=second, notes=notes("2: begin", "2: end 0"), states={}, heals=False))

    assert found.wrong == ()


def test_it_counts_what_it_saw() -> None:
    found = judge(trial("interrupted", ["begin", "end 100", "2: begin", "2: begin !", "2: end 0 !"], code=7, heals=False))

    assert (found.interrupted, found.repeated, found.failed) == (1, 1, 1)


def test_a_half_written_line_was_never_on_the_disk() -> None:
    whole = "begin a/one run-1 1 boot\nend a/one run-1 1 boot 0\n"

    assert read_notes(whole + "begin a/one ru") == read_notes(whole) == notes("begin", "end 0")
    assert read_notes("") == []
