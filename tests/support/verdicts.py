"""What two runs said of an installation that was disturbed, held against what the servers themselves noted.

The scripts of a trial append a line to a file on their server when they begin and when they end, each line on the disk
before they go on. That is the truth; the program's verdicts have to agree with it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BEGIN, END = "begin", "end"
GOOD = frozenset({"succeeded", "unchanged"})
NOT_BEGUN = frozenset({"cancelled", "pending", "ready", "skipped"})
NOT_DONE_CODES = frozenset({1, 5, 7})  # a step failed, a gate failed, a server could not be reached
STORED = {"succeeded": "completed", "unchanged": "completed", "failed": "failed", "interrupted": "interrupted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line that a script wrote: `begin`, or `end` with its exit code. `boot` tells a server's boots apart."""

    word: str
    step: str
    run: str
    attempt: int
    boot: str
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A disturbed run, the run after it, and the notes of each step's server in the order in which they were written.

    `first` and `second` are what `taskserv create -o json` printed; `states` what the state file said between them.
    `heals` says that every fault ended while the first run was still there to see it.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    notes: Sequence[Note]
    states: Mapping[tuple[str, str], str]
    heals: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`wrong` has a line for each wrong verdict and each broken promise; the rest is for the record."""

    wrong: tuple[str, ...]
    interrupted: int = 0  # steps of which the first run said that it does not know
    repeated: int = 0  # scripts that began again after their server's end had cut them off
    failed: int = 0  # scripts that ended with another code than 0, and were reported so
    unreached: int = 0  # steps that failed because their server could not be reached, and had not begun


def read_notes(text: str) -> list[Note]:
    """Read a server's file. A last line without its newline is one that the power took: it never was on the disk."""
    return [_note(line.split()) for line in text[: text.rfind("\n") + 1].splitlines()]


def judge(trial: Trial) -> Judged:
    """Find what is wrong with what was said, and with what was done."""
    steps = _nodes(trial.first)
    by_step = {step: [note for note in trial.notes if note.step == step] for step in {note.step for note in trial.notes}}
    wrong = [
        *_ends(trial),
        *(line for step in steps.values() for line in _said(step, by_step.get(step["id"], []), trial)),
        *_gates(trial),
        *_afterwards(trial, by_step),
        *(line for step, notes in by_step.items() for line in _done(step, notes)),
    ]
    return Judged(
        wrong=tuple(wrong),
        interrupted=sum(step["state"] == "interrupted" for step in steps.values()),
        unreached=sum(step["state"] == "failed" and step.get("exit_code") is None for step in steps.values()),
        repeated=sum(max(0, sum(note.word == BEGIN for note in notes) - 1 - _failures(notes)) for notes in by_step.values()),
        failed=sum(_failures(notes) for notes in by_step.values()),
    )


def _note(words: Sequence[str]) -> Note:
    word, step, run, attempt, boot, *code = words
    return Note(word=word, step=step, run=run, attempt=int(attempt), boot=boot, code=int(code[0]) if code else None)


def _nodes(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {step["id"]: step for step in run.get("steps", []) if step["kind"] == "node"}


def _failures(notes: Sequence[Note]) -> int:
    return sum(note.word == END and note.code != 0 for note in notes)


def _ends(trial: Trial) -> Iterator[str]:
    """The exit code agrees with the steps; a run whose faults healed ends well, or with a step that did fail."""
    code = trial.first["exit_code"]
    bad = [step for step in trial.first.get("steps", []) if step["state"] not in GOOD]
    if code == 0 and (bad or not trial.first.get("steps")):
        yield f"the first run ends with 0, but {[step['id'] for step in bad]} are not done"
    if code != 0 and code not in NOT_DONE_CODES:
        yield f"the first run ends with {code}"
    if code != 0 and trial.heals and not any(step["state"] == "failed" for step in bad):
        yield f"every fault healed, no step failed, and the first run ends with {code}"
    for step in bad:
        if step["state"] not in NOT_BEGUN and not (step.get("reason") or step.get("error")):
            yield f"{step['id']} is {step['state']}, and nobody says why"


def _said(step: Mapping[str, Any], notes: Sequence[Note], trial: Trial) -> Iterator[str]:
    """What the first run said of one step, and stored, is what its server knows."""
    own = [note for note in notes if note.run == trial.first["run_id"]]
    ends = [note.code for note in own if note.word == END]
    state, code = step["state"], step.get("exit_code")
    if state == "succeeded" and 0 not in ends:
        yield f"{step['id']} is said to have succeeded, but never did"
    elif state == "failed" and code is not None and (not ends or ends[-1] != code):
        yield f"{step['id']} is said to have ended with {code}, but ended with {ends}"
    elif state == "failed" and code is None and own:
        yield f"{step['id']} is said not to have been started, but was"
    elif state in NOT_BEGUN and own:
        yield f"{step['id']} is {state}, but was started"
    elif state not in {*NOT_BEGUN, *STORED}:
        yield f"{step['id']} is {state}"
    stored = trial.states.get((step["server"], step["taskserv"]), "pending")
    if stored != STORED.get(state, stored) or stored == "running" or (stored == "completed") != (state in GOOD):
        yield f"{step['id']} is {state}, but stored as {stored}"


def _gates(trial: Trial) -> Iterator[str]:
    for gate in trial.first.get("steps", []):
        nodes = [step for step in _nodes(trial.first).values() if step["formula"] == gate["formula"]]
        if gate["kind"] == "gate" and gate["state"] == "succeeded" and any(step["state"] not in GOOD for step in nodes):
            yield f"{gate['id']} is open, but its formula is not done"


def _afterwards(trial: Trial, by_step: Mapping[str, Sequence[Note]]) -> Iterator[str]:
    """The next run ends with 0, and does only what was left to do."""
    if trial.second["exit_code"] != 0:
        yield f"the next run ends with {trial.second['exit_code']}"
    first = _nodes(trial.first)
    for step in trial.second.get("steps", []):
        before = first.get(step["id"], {"state": ""})["state"]
        if step["state"] not in GOOD:
            yield f"{step['id']} is {step['state']} in the next run"
        if before == "succeeded" and step["state"] != "unchanged":
            yield f"{step['id']} had succeeded, and the next run does not leave it alone"
        if before == "succeeded" and any(note.run == trial.second["run_id"] for note in by_step.get(step["id"], ())):
            yield f"{step['id']} had succeeded, and was started again"
        if step["kind"] == "node" and not any(note.code == 0 for note in by_step.get(step["id"], ())):
            yield f"{step['id']} is {step['state']}, but its script never ended with 0"


def _done(step: str, notes: Sequence[Note]) -> Iterator[str]:
    """Never two at once, never again after it was done; a boot in between excuses what it has cut off."""
    last: Note | None = None
    for note in notes:
        same_boot = last is not None and last.boot == note.boot
        if note.word == BEGIN and last is not None and same_boot and last.word == BEGIN:
            yield f"{step} was started while it ran"
        if note.word == BEGIN and last is not None and same_boot and last.code == 0:
            yield f"{step} was started again after it was done"
        if note.word == END and (last is None or last.word != BEGIN or not same_boot):
            yield f"{step} ended without a begin"
        last = note
    if last is not None and last.code != 0:
        yield f"{step} has not ended with 0: {last.word} {last.code}"
