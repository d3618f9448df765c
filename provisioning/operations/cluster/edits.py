"""What the cluster says of a workspace's states, shown and edited by hand. The state file of this machine follows."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.adapters.editlog import EditLog
from provisioning.core.resources import Actor, ResourceBook
from provisioning.core.stateedit import Edited, Mark
from provisioning.errors import ConfigError
from provisioning.formats.workspace import load_workspace
from provisioning.operations.cluster.catching import caught_up
from provisioning.operations.cluster.turning import Note, Turning, copy_states
from provisioning.operations.session import run_blocking
from provisioning.operations.states import edit_record

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access
    from provisioning.clusters import Joined

HINT = "try again when that has ended; `provisioning run cancel RUN` stops a run"
Change = Callable[[ResourceBook, Mark], Edited]


def edit_state(folder: Path, access: Access, mark: Mark, change: Change, note: Note) -> Edited:
    """Read, change and write the states that the cluster has; nothing is written when nothing changes.

    Raises LockedError while somebody works on the workspace, ConfigError where only this machine has states, StateFileError,
    StoreError, and what `change` raises.
    """
    return run_blocking(_edit(folder, access, mark, change, note))


def read_state(folder: Path, access: Access) -> ResourceBook:
    """Return the states that the cluster has; an empty book where it has none. Raises as `edit_state`."""
    return run_blocking(_read(folder, access))


def holder(folder: Path, access: Access) -> str:
    """Return who works on the workspace on the cluster; nothing where nobody does. Raises StoreError."""
    return run_blocking(_holder(folder, access))


async def _edit(folder: Path, access: Access, mark: Mark, change: Change, note: Note) -> Edited:
    async with _turning(folder, access, mark.actor) as turning:
        joined, name = turning.joined, turning.workspace
        mine = await turning.take(f"edit-{uuid.uuid4().hex}", note, wait=False)
        try:
            edited = change(await _book(folder, turning, mark.actor), mark)
            if not edited.changed:
                return edited
            saved = await clusters.resources(joined, name).save(edited.book)
        finally:
            await clusters.turns(joined).give_back(name, mine)
        EditLog(folder).append(edit_record(mark, host, taskserv) for host, taskserv in edited.changed)
        await copy_states(joined, name, folder, saved, note)
        return Edited(book=saved, changed=edited.changed)


async def _read(folder: Path, access: Access) -> ResourceBook:
    async with _turning(folder, access, Actor()) as turning:
        return await _book(folder, turning, Actor(identity=turning.actor))


async def _holder(folder: Path, access: Access) -> str:
    async with _turning(folder, access, Actor()) as turning:
        return await turning.holder()


async def _book(folder: Path, turning: Turning, actor: Actor) -> ResourceBook:
    """Return the states with all that has come of ended runs."""
    resources = clusters.resources(turning.joined, turning.workspace)
    if await resources.found() is not None:
        return await caught_up(turning.joined.store, resources, turning.workspace, actor)
    if wiring.state_file(folder).path.exists():
        raise ConfigError(
            f"the cluster has no states of workspace {turning.workspace}, but this machine has",
            hint="`provisioning state push` brings them there, once; `--nats off` means those of this machine",
        )
    return await resources.load()


@asynccontextmanager
async def _turning(folder: Path, access: Access, actor: Actor) -> AsyncIterator[Turning]:
    name = load_workspace(folder).name
    joined: Joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        yield Turning(joined=joined, workspace=name, actor=actor.identity or wiring.identity(), hint=HINT)
    finally:
        await joined.aclose()
