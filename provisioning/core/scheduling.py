"""What a scheduler does about one DAG when it looks at it: start, stop, restart, or drop a start, and why.

An instant is on time for a minute; after that it was missed. Missed starts count as far back as the DAG's catch-up window
reaches, without one not at all; missed stops and restarts never do. A start that counts is made at once, waits, or is dropped:

- overlap `skip`: it is dropped while a run goes on. Starts that were missed have their turn one after another: each when the
  one before it has ended; where that takes more than a minute, the others are dropped.
- `latest`: it waits while a run goes on; a later one takes its place.
- `all`: one that is on time is made, whatever goes on; those that were missed one after another, before those that follow.

The same look always decides the same, and a run's id follows from its instant: any number of schedulers may look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from provisioning.core.dagu.declared import Overlap
from provisioning.core.frozen import dataclass
from provisioning.core.instants import TICK, Instants, Timing
from provisioning.core.naming import id_from
from provisioning.core.schedules import CATCHUP, SCHEDULE, Going, Mark

ON_TIME = timedelta(minutes=1)
PATIENCE = timedelta(minutes=1)
AGAIN = timedelta(seconds=2)
"""How long until the next look at starts that wait for the end of a run."""
MOST = 1_000
"""Missed starts that are made up for at most: the newest ones."""


class What(StrEnum):
    """What is done. RESTART is stopping and starting; DROP is not starting."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing to do, in the order of the decision. A DROP is of all starts from `at` to `until`, which have one reason."""

    what: What
    at: datetime  # the instant that it is for
    trigger: str = SCHEDULE
    reason: str = ""
    runs: tuple[str, ...] = ()  # what STOP and RESTART end
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a decision is based on. `going` are the DAG's runs that have not ended.

    `succeeded_at` is the instant of the newest that succeeded; it matters with `skip_if_successful`.
    """

    mark: Mark
    going: Sequence[Going] = ()
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done, what is to be kept when that is done, and when to look again; None: never."""

    acts: tuple[Act, ...]
    mark: Mark
    look_at: datetime | None


def run_id(name: str, at: datetime, number: int = 0, *, kind: str = "dagu") -> str:
    """Return the id of the run of a DAG for an instant: a UUID, the same wherever it is asked for.

    `kind` is the source of the workflow; `number` counts the times that an instant was run anew.
    """
    parts = [name, kind, at.astimezone(UTC).isoformat(), *([str(number)] if number else [])]
    return id_from(*parts)


def decide(timing: Timing, known: Known, now: datetime, *, most: int = MOST) -> Decision:
    """Return what to do about everything that has come due since `known.mark`. The cost grows with what is started only."""
    look = _Look(timing=timing, mark=known.mark, now=now, most=most, going=list(known.going), succeeded_at=known.succeeded_at)
    behind = None
    if timing.suspended:
        look.suspend()
    else:
        look.stop()
        look.restart()
        behind = look.start()
    mark = Mark(cursor=max(known.mark.cursor, now), behind=behind)
    return Decision(acts=tuple(look.acts), mark=mark, look_at=_look_at(timing, mark, now))


def _look_at(timing: Timing, mark: Mark, now: datetime) -> datetime | None:
    following = timing.next(mark.cursor)
    if mark.behind is None:
        return following
    return now + AGAIN if following is None else min(now + AGAIN, following)


@dataclass(slots=True, kw_only=True)
class _Look:
    timing: Timing
    mark: Mark
    now: datetime
    most: int
    going: list[Going]
    succeeded_at: datetime | None
    acts: list[Act] = field(default_factory=list)
    restarted_at: datetime | None = None

    # ------------------------------------------------------------ stop and restart

    def suspend(self) -> None:
        since = self.mark.behind or self.mark.cursor
        first = self.timing.starts.next(since)
        if first is not None and first <= self.now:
            self._drop(first, self.now, "it is suspended")

    def stop(self) -> None:
        at = self._on_time(self.timing.stops)
        begun = self._begun(at)
        if at is not None and begun:
            self.acts.append(Act(what=What.STOP, at=at, runs=tuple(one.run_id for one in begun)))
            self.going = [one for one in self.going if one not in begun]

    def restart(self) -> None:
        at = self.restarted_at = self._on_time(self.timing.restarts)
        if at is not None:
            begun = self._begun(at)
            self.acts.append(Act(what=What.RESTART, at=at, runs=tuple(one.run_id for one in begun)))
            self.going = [one for one in self.going if one not in begun]
            self.going.append(Going(run_id="", name="", began_at=self.now, trigger=SCHEDULE))

    def _on_time(self, instants: Instants) -> datetime | None:
        """Return the newest of them that has come since the last look and is on time."""
        found = list(instants.within(max(self.mark.cursor, self.now - ON_TIME - TICK), self.now))
        return found[-1] if found else None

    def _begun(self, at: datetime | None) -> list[Going]:
        """Return the runs that went on at an instant. A later one stays: a second scheduler may have begun it."""
        return [one for one in self.going if at is not None and one.began_at <= at]

    # ------------------------------------------------------------ start

    def start(self) -> datetime | None:
        """Decide about starts; return what they are behind, if some wait."""
        due = [at for at in self._due() if at != self.restarted_at]
        if not due:
            return None
        match self.timing.overlap:
            case Overlap.SKIP:
                return self._skip(due)
            case Overlap.LATEST:
                return self._latest(due)
            case Overlap.ALL:
                return self._all(due)

    def _due(self) -> list[datetime]:
        """Return the starts that count, oldest first. Once one was missed for good, nothing waits from before it."""
        starts, cursor = self.timing.starts, self.mark.cursor
        reach = max(ON_TIME, timedelta(seconds=self.timing.catchup_window_s))
        fresh = starts.newest(max(cursor, self.now - reach - TICK), self.now, self.most) if self.now > cursor else []
        owed = starts.newest(self.mark.behind, cursor, self.most) if self.mark.behind is not None else []
        first = starts.next(cursor)
        if first is None or first > self.now or (fresh and fresh[0] == first):
            return owed + fresh
        full = len(fresh) == self.most
        why = f"more than {self.most:,} were missed" if full else self._missed
        self._drop(owed[0] if owed else first, fresh[0] - TICK if fresh else self.now, why)
        return fresh

    @property
    def _missed(self) -> str:
        return "it was missed" + ("" if self.timing.catchup_window_s else ", and there is no catch-up")

    def _skip(self, due: list[datetime]) -> datetime | None:
        if self.going:
            if self._begun_late():
                return due[0] - TICK
            self._drop(due[0], due[-1], f"run {self.going[0].run_id} goes on" if self.going[0].run_id else "it is restarted")
            return None
        return self._one(due)

    def _begun_late(self) -> bool:
        """Whether what goes on is the start before, that was missed as well, and has not had its minute yet."""
        return all(one.trigger == CATCHUP and one.began_at > self.now - PATIENCE for one in self.going)

    def _latest(self, due: list[datetime]) -> datetime | None:
        if len(due) > 1:
            self._drop(due[0], due[-2], "a later one is due")
        if self._is_done(due[-1]):
            return None
        if self.going:
            return due[-1] - TICK
        self._begin(due[-1])
        return None

    def _all(self, due: list[datetime]) -> datetime | None:
        if self._is_on_time(due[0]):
            for at in due:
                if not self._is_done(at):
                    self._begin(at)
            return None
        return due[0] - TICK if self.going else self._one(due)

    def _one(self, due: list[datetime]) -> datetime | None:
        """Start the first that is wanted; return what the others are behind."""
        for number, at in enumerate(due, start=1):
            if not self._is_done(at):
                self._begin(at)
                return at if number < len(due) else None
        return None

    def _is_done(self, at: datetime) -> bool:
        """Whether a run since the start before has succeeded already, and that is enough; then it is dropped."""
        since = self.succeeded_at
        if not self.timing.skip_if_successful or since is None or since >= at:
            return False
        done = self.timing.starts.next(since - TICK) == at
        if done:
            self._drop(at, at, "a run has succeeded since the start before")
        return done

    def _begin(self, at: datetime) -> None:
        self.acts.append(Act(what=What.START, at=at, trigger=SCHEDULE if self._is_on_time(at) else CATCHUP))

    def _is_on_time(self, at: datetime) -> bool:
        return self.now - at <= ON_TIME

    def _drop(self, first: datetime, last: datetime, reason: str) -> None:
        self.acts.append(Act(what=What.DROP, at=first, until=last, reason=reason))
