"""Pausing the schedule of a DAG and letting it go on: the flag file that Dagu uses too, and who has done it, in the store."""

from __future__ import annotations

from datetime import datetime

from provisioning.adapters.files import private_folder, store_error
from provisioning.core.schedules import Schedules
from provisioning.operations.dagu.catalogue import Entry
from provisioning.operations.dagu.places import SUSPEND_SUFFIX, Places


async def pause(places: Places, schedules: Schedules, entry: Entry, *, by: str, at: datetime) -> None:
    """Have the schedule of a DAG start, stop and restart nothing. Raises StoreError."""
    try:
        private_folder(places.suspended)
        (places.suspended / f"{entry.name}{SUSPEND_SUFFIX}").touch(mode=0o600)
    except OSError as error:
        raise store_error("writing the flag in", places.suspended, error) from error
    await schedules.pause(entry.name, by, at)


async def resume(places: Places, schedules: Schedules, entry: Entry, *, at: datetime) -> None:
    """Have the schedule of a DAG count again, from now on: what was due in between is not made up for. Raises StoreError."""
    await schedules.resume(entry.name, at)  # first: whoever finds no flag any more must not find an old mark
    try:
        for name in {entry.name, entry.path.stem}:
            (places.suspended / f"{name}{SUSPEND_SUFFIX}").unlink(missing_ok=True)
    except OSError as error:
        raise store_error("removing the flag in", places.suspended, error) from error
