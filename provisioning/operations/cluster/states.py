"""The state file of a workspace and its states on NATS: the one taken from the other, as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.adapters.editlog import EditLog
from provisioning.core.frozen import dataclass
from provisioning.core.resources import Actor, ResourceBook
from provisioning.errors import NotFoundError
from provisioning.formats.workspace import load_workspace
from provisioning.operations.session import run_blocking

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What came of it. `changed` are the resources (server, taskserv) that are recorded otherwise than before."""

    workspace: str
    lineage: str
    serial: int
    changed: tuple[tuple[str, str], ...] = ()
    written: bool = False


def pull(folder: Path, access: Access, actor: Actor, *, force: bool) -> Moved:
    """Have the state file say what NATS says. Raises NotFoundError where that says nothing.

    Raises StateFileError when the file is not an older one of the same lineage, unless `force`; LockedError, StoreError.
    """
    name = load_workspace(folder).name
    lock, file = wiring.workspace_lock(folder), wiring.state_file(folder)
    book, highest = run_blocking(_found(access, name))
    if book is None:
        message = f"nothing is recorded of workspace {name} on NATS"
        raise NotFoundError(message, hint="`provisioning state push` brings the state file there")
    lock.acquire_sync()
    try:
        lock.exceed_sync(highest)
        before = file.load_sync() if file.path.exists() and not force else ResourceBook(lineage="")
        written = file.adopt_sync(book, force=force)
    finally:
        lock.release_sync()
    moved = _moved(name, before, book, written=written)
    EditLog(folder).append(_records("pull", actor, moved.changed))
    return moved


def push(folder: Path, access: Access, *, force: bool) -> Moved:
    """Have NATS say what the state file says. Raises NotFoundError where there is no file.

    Raises StateFileError when what NATS says is not older, or of another lineage, unless `force`; LockedError, StoreError.
    """
    name = load_workspace(folder).name
    lock, file = wiring.workspace_lock(folder), wiring.state_file(folder)
    if not file.path.exists():
        raise NotFoundError(f"there is no state file {file.path}", hint="`provisioning state pull` takes what is on NATS")
    lock.acquire_sync()
    try:
        return run_blocking(_put(access, name, file.load_sync(), lock.given_sync(), force=force))
    finally:
        lock.release_sync()


async def _found(access: Access, workspace: str) -> tuple[ResourceBook | None, int]:
    """Return the states, and a number that no fencing number given up to now is above."""
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.resources import NatsResources

    cluster = Cluster(access)
    try:
        return await NatsResources(cluster, workspace).found(), await clusters.fences(cluster).highest(workspace)
    finally:
        await cluster.close()


async def _put(access: Access, workspace: str, book: ResourceBook, begun: int, *, force: bool) -> Moved:
    """`begun` is the highest fencing number that was given here: what the cluster does from now on is newer."""
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.resources import NatsResources

    cluster = Cluster(access)
    try:
        resources = NatsResources(cluster, workspace)
        before = None if force else await resources.found()
        written = await resources.put(book, force=force)
        await clusters.fences(cluster).exceed(workspace, begun)
        return _moved(workspace, before or ResourceBook(lineage=""), book, written=written)
    finally:
        await cluster.close()


def _moved(workspace: str, before: ResourceBook, after: ResourceBook, *, written: bool) -> Moved:
    changed = tuple(sorted(key for key in {*_keys(before), *_keys(after)} if before.get(*key) != after.get(*key)))
    return Moved(workspace=workspace, lineage=after.lineage, serial=after.serial, changed=changed, written=written)


def _keys(book: ResourceBook) -> Iterable[tuple[str, str]]:
    return ((server, taskserv) for server, taskservs in book.servers.items() for taskserv in taskservs)


def _records(event: str, actor: Actor, changed: Iterable[tuple[str, str]]) -> Iterable[dict[str, object]]:
    ts = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {"ts": ts, "event": event, "source": actor.source, "actor": actor.identity}
    return ({**said, "server": server, "taskserv": taskserv} for server, taskserv in changed)
