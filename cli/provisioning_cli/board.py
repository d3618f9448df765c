"""What is known of a run while it goes on, and how it is told: a board of lines for terminals, one line per event elsewhere.

No IO and no clock: events come with their time, and the board is asked for its lines with the time it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from provisioning.core.events import Event, Kind
from provisioning.core.model import StepState
from provisioning.formats.draw.escape import cut, visible

if TYPE_CHECKING:
    from provisioning.core.plan import Plan

STATES: Mapping[Kind, StepState] = {
    Kind.STEP_DISPATCHED: StepState.DISPATCHED,
    Kind.STEP_STARTED: StepState.RUNNING,
    Kind.STEP_SUCCEEDED: StepState.SUCCEEDED,
    Kind.STEP_UNCHANGED: StepState.UNCHANGED,
    Kind.STEP_FAILED: StepState.FAILED,
    Kind.STEP_TIMED_OUT: StepState.TIMED_OUT,
    Kind.STEP_CANCELLED: StepState.CANCELLED,
    Kind.STEP_INTERRUPTED: StepState.INTERRUPTED,
    Kind.STEP_SKIPPED: StepState.SKIPPED,
    Kind.STEP_RETRY_WAIT: StepState.RETRY_WAIT,
    Kind.STEP_REPEAT_WAIT: StepState.RETRY_WAIT,
    Kind.STEP_LEASE_LOST: StepState.READY,
    Kind.STEP_RETRY_DUE: StepState.READY,
}
"""What becomes of a step with an event."""

MARKS: Mapping[StepState, str] = {
    StepState.PENDING: "○",
    StepState.READY: "○",
    StepState.DISPATCHED: "▷",
    StepState.RUNNING: "▶",
    StepState.RETRY_WAIT: "↻",
    StepState.SUCCEEDED: "✔",
    StepState.UNCHANGED: "=",
    StepState.FAILED: "✘",
    StepState.TIMED_OUT: "✘",
    StepState.CANCELLED: "■",
    StepState.INTERRUPTED: "!",
    StepState.SKIPPED: "⊘",
}
MOODS: Mapping[Kind, str] = {
    Kind.RUN_STARTED: "",
    Kind.RUN_REOPENED: "",
    Kind.RUN_RESUMED: "",
    Kind.RUN_HALTING: "halting",
    Kind.CANCEL_REQUESTED: "stopping",
    Kind.PAUSE_REQUESTED: "pausing",
    Kind.RUN_PAUSED: "paused",
    Kind.RUN_FINISHED: "",
}
"""What becomes of a run as a whole with an event."""
ACTIVE = frozenset({StepState.DISPATCHED, StepState.RUNNING, StepState.RETRY_WAIT})
BAD = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.INTERRUPTED})


@dataclass(slots=True, kw_only=True)
class Row:
    """One step."""

    id: str
    server: str = ""
    state: StepState = StepState.PENDING
    started: datetime | None = None
    ended: datetime | None = None
    last: str = ""  # line of output
    late: bool = False

    @property
    def formula(self) -> str:
        """The part of the id before the slash; nothing where there is none."""
        return self.id.partition("/")[0] if "/" in self.id else ""

    @property
    def lively(self) -> bool:
        """Whether it is to be seen: it runs, or it failed."""
        return self.state in ACTIVE or self.state in BAD

    def seconds(self, now: datetime) -> float | None:
        """Return how long it has been running, or ran."""
        return None if self.started is None else max(0.0, ((self.ended or now) - self.started).total_seconds())


@dataclass(slots=True)
class Board:
    """All steps of a run, in the order of the plan."""

    rows: dict[str, Row] = field(default_factory=dict)
    run_id: str = ""
    mood: str = ""  # what is to be known of the run as a whole, such as that it is paused

    def expect(self, plan: Plan) -> None:
        """Take the steps of a plan."""
        for step in plan.steps:
            self.rows[step.id] = Row(id=step.id, server=step.server)

    def know(self, steps: Iterable[tuple[str, str]]) -> None:
        """Take the steps of a run, as (id, server)."""
        for id, server in steps:
            self.rows.setdefault(id, Row(id=id, server=server))

    def apply(self, event: Event) -> str:
        """Take an event; return the line that tells it, or nothing for events that only matter to machines."""
        if not event.step:
            if event.kind is Kind.RUN_REOPENED:
                self._again(event.data.get("steps"))
            self.mood = MOODS.get(event.kind, self.mood)
            return _told_of_run(event)
        row = self.rows.setdefault(event.step, Row(id=event.step))
        row.state = STATES.get(event.kind, row.state)
        row.late = row.late or event.kind is Kind.STEP_LATE
        if event.kind is Kind.STEP_STARTED:
            row.started, row.ended = event.at, None
        elif row.state not in ACTIVE:
            row.ended = event.at
        return _told_of_step(event, row)

    def _again(self, steps: object) -> None:
        for step in steps if isinstance(steps, list | tuple) else ():
            old = self.rows.get(str(step), Row(id=str(step)))
            self.rows[old.id] = Row(id=old.id, server=old.server)

    def heard(self, step: str, text: str) -> None:
        """Take output of a step: its last line that says something is kept."""
        said = [line for line in text.splitlines() if line.strip()]
        if said:
            self.rows.setdefault(step, Row(id=step)).last = visible(said[-1].strip())

    def counts(self) -> str:
        """Return how many steps are in which state, as `3 succeeded, 1 running`."""
        found = Counter(row.state for row in self.rows.values())
        return ", ".join(f"{found[state]} {state.value}" for state in StepState if found[state])

    def lines(self, now: datetime, columns: int, height: int) -> list[tuple[str, str]]:
        """Return (line, state) pairs, at most `height` of them; when not all fit, what runs and what failed comes first."""
        room = max(3, height - 2)
        chosen = self._all(room) or self._lively(room, now)
        hidden = len(self.rows) - sum(row is not None for _head, row in chosen)
        shown = [_line(head, row, now, columns) for head, row in chosen]
        more = f" ({hidden} more not shown)" if hidden else ""
        mood = f"{self.mood}: " if self.mood else ""
        return [*shown, (cut(f"{mood}{self.counts()}{more}", columns), "bold")]

    def _all(self, room: int) -> list[tuple[str, Row | None]]:
        """Return every step under the head of its formula; nothing where these are more lines than there is room for."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows.values() if len(self.rows) < room else ():
            groups.setdefault(row.formula, []).append(row)
        return list(_grouped(groups)) if len(self.rows) + len(groups) <= room else []

    def _lively(self, room: int, now: datetime) -> list[tuple[str, Row | None]]:
        """Return what runs and what failed, then what ended last, in the order of the plan."""
        lively = [row for row in self.rows.values() if row.lively]
        done = [row for row in self.rows.values() if row.ended and not row.lively] if len(lively) < room else []
        done.sort(key=lambda row: row.ended or now)
        kept = {row.id for row in [*lively, *done[len(lively) - room :]][:room]}
        return [("", row) for row in self.rows.values() if row.id in kept]


def _grouped(groups: Mapping[str, list[Row]]) -> Iterator[tuple[str, Row | None]]:
    for formula, rows in groups.items():
        servers = ", ".join(dict.fromkeys(visible(row.server) for row in rows if row.server))
        if formula:
            yield f"{visible(formula)}  {servers}".rstrip(), None
        for row in rows:
            yield "", row


def _line(head: str, row: Row | None, now: datetime, columns: int) -> tuple[str, str]:
    if row is None:
        return cut(head, columns), "bold"
    seconds = row.seconds(now)
    took = "" if seconds is None else duration(seconds)
    last = "  ".join(["late"] * row.late + [row.last] * bool(row.lively and row.last))
    text = f"  {MARKS[row.state]} {visible(row.id):<28} {row.state.value:<11} {took:>8}  {last}"
    return cut(text.rstrip(), columns), row.state.value


def duration(seconds: float) -> str:
    """Return a length of time for people: `0.4 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _told_of_run(event: Event) -> str:
    words = {
        Kind.RUN_STARTED: f"run {visible(event.run)} started",
        Kind.RUN_HALTING: "halting: nothing new starts",
        Kind.CANCEL_REQUESTED: "cancel requested: stopping what runs",
        Kind.PAUSE_REQUESTED: "pausing: what runs may finish",
        Kind.RUN_PAUSED: "paused",
        Kind.RUN_RESUMED: "resumed",
        Kind.RUN_REOPENED: f"run {visible(event.run)} goes on",
        Kind.GATE_OPENED: f"{event.data.get('kind', 'gate')} {visible(str(event.data.get('name', '')))} is open",
        Kind.RUN_LATE: f"run {visible(event.run)} is late{_overdue(event.data)}",
        Kind.RUN_FINISHED: f"run {event.data.get('state', 'finished')}",
    }
    text = words.get(event.kind, "")
    reason = event.data.get("reason") if event.kind in {Kind.RUN_HALTING, Kind.CANCEL_REQUESTED} else None
    return f"{text} ({visible(str(reason))})" if text and reason else text


def _told_of_step(event: Event, row: Row) -> str:
    seconds = row.seconds(event.at)
    took = f" after {duration(seconds)}" if seconds is not None else ""
    match event.kind:
        case Kind.STEP_STARTED:
            text = "started" if event.attempt < 2 else f"started, attempt {event.attempt}"
        case Kind.STEP_SUCCEEDED:
            text = f"succeeded in {duration(seconds or 0.0)}"
        case Kind.STEP_UNCHANGED:
            text = "unchanged"
        case Kind.STEP_FAILED | Kind.STEP_TIMED_OUT | Kind.STEP_INTERRUPTED | Kind.STEP_CANCELLED:
            text = f"{row.state.value.replace('_', ' ')}{took}{_why(event.data)}"
        case Kind.STEP_SKIPPED:
            text = f"skipped{_why(event.data)}"
        case Kind.STEP_RETRY_WAIT | Kind.STEP_REPEAT_WAIT:
            ended, then = ("failed", "tried again") if event.kind is Kind.STEP_RETRY_WAIT else ("ended", "repeated")
            text = f"{ended}{took}{_why(event.data)}, will be {then}"
        case Kind.STEP_LATE:
            text = f"is late{_overdue(event.data)}"
        case Kind.STEP_ADDED:
            text = "added"
        case Kind.STEP_LEASE_LOST:
            text = f"lost its worker{_why(event.data)}"
        case _:
            return ""
    return f"{visible(event.step)}  {text}"


def _overdue(data: Mapping[str, object]) -> str:
    sla_s = data.get("sla_s")
    return f": it should have ended within {duration(sla_s)}" if isinstance(sla_s, int | float) else ""


def _why(data: Mapping[str, object]) -> str:
    error = data.get("error")
    facts: Iterable[object] = (
        f"exit code {data['exit_code']}" if data.get("exit_code") else None,
        error.get("message") if isinstance(error, Mapping) else error,
        data.get("reason"),
    )
    said = [visible(str(fact)) for fact in facts if fact]
    return f": {'; '.join(dict.fromkeys(said))}" if said else ""
