"""What a store has to tell about the engine that uses it: conflicts, outcomes that come too late, timers that fire late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from provisioning.core.ports import Commit, Report, Timer
from provisioning.core.run import ACTIVE, Run
from provisioning.errors import Fenced, StaleRevision


class Counts:
    """`conflicts` by kind: stale, where somebody else has committed first, or fenced, where somebody else drives the run."""

    def __init__(self) -> None:
        self.stale_outcomes = 0
        self.conflicts: Counter[str] = Counter({"stale": 0, "fenced": 0})
        self.alone: Callable[[str], bool] = lambda _run_id: False  # whether it goes on here, and no other run waits for it
        self.on_lag: list[Callable[[float], None]] = []  # called with the seconds by which a timer was late
        self.lost: set[str] = set()  # the runs that go on here, and whose journals somebody else has written to
        self.on_lost: list[Callable[[str, StaleRevision], None]] = []  # called with the id of each, once

    def lagged(self, late_s: float) -> None:
        """A timer has fired."""
        for tell in self.on_lag:
            tell(late_s)

    def lose(self, run_id: str, error: StaleRevision) -> None:
        """Somebody else has written to the journal of a run."""
        self.lost.add(run_id)
        for tell in self.on_lost:
            tell(run_id, error)


class Counted(Protocol):
    """What is counted of a store."""

    async def commit(self, commit: Commit) -> int: ...  # noqa: D102
    async def reports(self) -> list[Report]: ...  # noqa: D102
    async def due(self) -> list[Timer]: ...  # noqa: D102


class Counting:
    """A store that counts. Everything that is not counted goes straight to it."""

    def __init__(
        self, store: Counted, counts: Counts, runs: Callable[[], Mapping[str, Run]], now: Callable[[], datetime]
    ) -> None:
        """`runs` are those that are driven now."""
        self._store, self._counts, self._runs, self._now = store, counts, runs, now

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the store has
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> int:
        """See `Journal`. Of a run that goes on and is lost nothing is recorded: that must not stop the others."""
        last_seq = commit.expected_seq + len(commit.events)
        if commit.run in self._counts.lost:
            return last_seq
        try:
            return await self._store.commit(commit)
        except StaleRevision as error:
            self._counts.conflicts["stale"] += 1
            if not self._counts.alone(commit.run):
                raise
            self._counts.lose(commit.run, error)
            return last_seq
        except Fenced:
            self._counts.conflicts["fenced"] += 1
            raise

    async def reports(self) -> Sequence[Report]:
        """See `Tasks`."""
        found = await self._store.reports()
        runs = self._runs()
        self._counts.stale_outcomes += sum(one.outcome is not None and _is_stale(runs.get(one.task.run), one) for one in found)
        return found

    async def due(self) -> Sequence[Timer]:
        """See `Timers`."""
        found = await self._store.due()
        now = self._now()
        for timer in found:
            self._counts.lagged(max(0.0, (now - timer.due).total_seconds()))
        return found


def _is_stale(run: Run | None, report: Report) -> bool:
    """Whether an outcome is of an attempt that does not count any more."""
    task = report.task
    step = run.steps.get(task.step) if run is not None else None
    return step is None or step.state not in ACTIVE or (step.attempt, step.epoch) != (task.attempt, task.epoch)
