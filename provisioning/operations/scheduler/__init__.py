"""Starts, stops and restarts DAGs when their schedules say so. Any number of schedulers may look at one store.

`Scheduler(...)` takes ports; `scheduler_of` gives it a folder of DAG files and a store. `await scheduler.run()` looks for ever.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Protocol

from provisioning import wiring
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.times import local_zone
from provisioning.operations.scheduler.loop import Alive, Scheduler
from provisioning.operations.scheduler.ports import Observer, Runs
from provisioning.operations.scheduler.watched import Watch, Watched

if TYPE_CHECKING:
    from provisioning.core.ports import Clock
    from provisioning.core.schedules import Schedules


class Scheduling(Protocol):
    """A store that remembers schedules."""

    @property
    def schedules(self) -> Schedules:
        """What is remembered of them."""
        ...


def scheduler_of(
    places: Places,
    store: Scheduling,
    runs: Runs,
    *,
    default_type: str = "chain",
    observer: Observer | None = None,
    clock: Clock | None = None,
    local: tzinfo | None = None,
    alive: Alive | None = None,
) -> Scheduler:
    """Return a scheduler of the DAG files in `places`; `store` is that of `places.data`, and the caller closes it.

    `alive` says whether an open run has somebody who drives it; without it, that is a process of this machine.
    """
    return Scheduler(
        watched=Watched(places, local or local_zone(), default_type=default_type),
        schedules=store.schedules,
        runs=runs,
        alive=alive or (lambda run: wiring.run_lock(places.data, run).holder() is not None),
        clock=clock or wiring.clock(),
        observer=observer,
    )


__all__ = ["Observer", "Runs", "Scheduler", "Watch", "Watched", "scheduler_of"]
