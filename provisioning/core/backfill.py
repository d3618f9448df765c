"""Which instants of a range are run: those that no run was for, and others if somebody wants them run anew.

An instant has at most one run of each number: 0 is that of the schedule or of the first backfill, 1 that of the first time it
was run anew, and so on. The newest counts. So two backfills of one range at the same time run nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from provisioning.core.dagu.params import Given
from provisioning.core.frozen import dataclass
from provisioning.core.instants import TICK, Instants
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.scheduling import run_id
from provisioning.errors import UsageError

MOST = 1_000
SUCCEEDED = frozenset({RunState.SUCCEEDED, RunState.PARTIAL})


class Reprocess(StrEnum):
    """Which instants that have a run are run anew. A run that goes on is always left alone."""

    NONE = "none"
    FAILED = "failed"
    SUCCESSFUL = "successful"
    COMPLETED = "completed"  # both


class Action(StrEnum):
    """What becomes of an instant."""

    RUN = "run"
    AGAIN = "again"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One instant; `run_id` is the run that is started, or for SKIP the one that there is."""

    at: datetime
    run_id: str
    action: Action
    because: str = ""


class Phase(StrEnum):
    """How far a backfill is. One that is STOPPED starts nothing more."""

    GOING = "going"
    STOPPED = "stopped"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A backfill that somebody has asked for. `errors` are of runs that could not be started, by their id."""

    id: str
    name: str  # of the DAG
    actor: str
    asked_at: datetime
    items: tuple[Item, ...]
    parallel: int = 1
    given: tuple[Given, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    phase: Phase = Phase.GOING

    @property
    def wanted(self) -> tuple[Item, ...]:
        """The items that are run, in their order."""
        return tuple(item for item in self.items if item.action is not Action.SKIP)


StateOf = Callable[[str], RunState | None]
"""Run id -> how it stands; None if there is no such run. One whose process is gone has failed."""


def instants(starts: Instants, start: datetime, end: datetime, *, most: int = MOST) -> list[datetime]:
    """Return the starts at or after `start` and before `end`, oldest first. Raises UsageError for more than `most`."""
    if end <= start:
        raise UsageError("the range ends before it begins", hint="give --from and --to, the earlier first")
    found: list[datetime] = []
    for at in starts.within(start - TICK, end - TICK):
        if len(found) == most:
            raise UsageError(
                f"there are more than {most:,} starts in this range", hint="take a shorter range, or a higher --limit"
            )
        found.append(at)
    return found


def plan(
    name: str, due: Sequence[datetime], state_of: StateOf, *, reprocess: Reprocess, newest_first: bool = False
) -> tuple[Item, ...]:
    """Return what becomes of each instant of a DAG, in the order in which they are run."""
    ordered = reversed(due) if newest_first else due
    return tuple(_item(name, at, state_of, reprocess) for at in ordered)


def _item(name: str, at: datetime, state_of: StateOf, reprocess: Reprocess) -> Item:
    number, newest = 0, None
    while (state := state_of(run_id(name, at, number))) is not None:
        number, newest = number + 1, state
    if newest is None:
        return Item(at=at, run_id=run_id(name, at), action=Action.RUN)
    if _wanted(newest, reprocess):
        return Item(at=at, run_id=run_id(name, at, number), action=Action.AGAIN, because=f"it {_WORDS.get(newest, 'failed')}")
    because = f"it {_WORDS.get(newest, 'failed')}" if newest in RUN_ENDED else "it goes on"
    return Item(at=at, run_id=run_id(name, at, number - 1), action=Action.SKIP, because=because)


def _wanted(state: RunState, reprocess: Reprocess) -> bool:
    if state not in RUN_ENDED:
        return False
    kind = Reprocess.SUCCESSFUL if state in SUCCEEDED else Reprocess.FAILED
    return reprocess in {kind, Reprocess.COMPLETED}


_WORDS = {RunState.SUCCEEDED: "succeeded", RunState.PARTIAL: "succeeded in part", RunState.CANCELLED: "was stopped"}
