"""What is remembered of every DAG's schedule, and what a scheduler has to know of its runs. Also the port to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from provisioning.core.frozen import dataclass

SCHEDULE, CATCHUP, BACKFILL = "schedule", "catchup", "backfill"
"""The triggers of runs that were started for an instant: on time, late, and because somebody asked for a range."""

SCHEDULED_AT = "scheduled_at"
"""The parameter of a run, beside those of the DAG, that holds the instant that it was started for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a schedule has been looked at. Times are UTC.

    Every instant up to `cursor` is decided, except starts after `behind`, if there is one: they wait for their turn.
    """

    cursor: datetime
    behind: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is remembered of one DAG's schedule. `mark` is None until a scheduler has seen it.

    `restarting` is the instant of a restart that was begun: what went on was asked to stop, and no run took its place yet.
    """

    name: str
    mark: Mark | None = None
    paused_by: str = ""
    paused_at: datetime | None = None
    restarting: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A run that has not ended. `began_at` is when it was created, if it is still queued."""

    run_id: str
    name: str  # of its DAG
    began_at: datetime
    trigger: str = ""


class Schedules(Protocol):
    """Marks and pauses by the DAG's name, shared by all schedulers of a store. Every method raises StoreError."""

    async def kept(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        """Return what is remembered of these DAGs, or of all; nothing for those that no one has seen."""
        ...

    async def put(self, marks: Mapping[str, Mark]) -> None:
        """Keep marks, durably. A mark whose cursor is before the one that is kept changes nothing."""
        ...

    async def advance(self, names: Sequence[str], cursor: datetime) -> None:
        """Say that nothing of these was due up to `cursor`. Marks that are behind, or further, stay."""
        ...

    async def restarting(self, name: str, at: datetime | None) -> None:
        """Remember that a restart has begun, or with None that it is done."""
        ...

    async def pause(self, name: str, by: str, at: datetime) -> None:
        """Remember who has paused a schedule, and when."""
        ...

    async def resume(self, name: str, at: datetime) -> None:
        """Forget the pause. What was due while it lasted is not made up for."""
        ...

    async def going(self, names: Sequence[str]) -> list[Going]:
        """Return the Dagu runs of these DAGs that have not ended, oldest first; not those inside other runs."""
        ...

    async def succeeded_at(self, name: str) -> datetime | None:
        """Return the instant of a DAG's newest run that succeeded: the one that it was for, else when it began."""
        ...
