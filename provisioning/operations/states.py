"""Edits of the state file by hand, each under the workspace's lock and each recorded with who made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from provisioning import wiring
from provisioning.adapters.editlog import EditLog
from provisioning.codec import CodecError, parse
from provisioning.core.resources import Actor, ResourceBook
from provisioning.core.statedoc import import_document
from provisioning.core.stateedit import Edited, Mark
from provisioning.engine.recorder import Recorder
from provisioning.errors import ConfigError, NotFoundError
from provisioning.operations.catchup import catch_up
from provisioning.operations.session import run_blocking

SIZE_LIMIT = 64 * 1024 * 1024  # bytes of a file to import


def edit_state(folder: Path, event: str, change: Callable[[ResourceBook, Mark], Edited], actor: Actor) -> Edited:
    """Read, change and write the state file; nothing is written when nothing changes.

    Raises LockedError while a runner holds the workspace, StateFileError, StoreError, and what `change` raises.
    """
    lock, file = wiring.workspace_lock(folder), wiring.state_file(folder)
    mark = mark_now(event, actor)
    if not wiring.has_history(folder) and not file.path.exists():  # a name that nothing has leaves no trace
        change(ResourceBook(lineage=""), mark)
    token = lock.acquire_sync()
    try:
        if wiring.has_history(folder):
            run_blocking(_catch_up(folder, actor, token))
        edited = change(file.load_sync(), mark)
        if not edited.changed:
            return edited
        saved = file.save_sync(edited.book)
        EditLog(folder).append(edit_record(mark, host, name) for host, name in edited.changed)
        return Edited(book=saved, changed=edited.changed)
    finally:
        lock.release_sync()


async def _catch_up(folder: Path, actor: Actor, token: int) -> None:
    """Let the states know what a killed runner had done, or the next run would write that over the edit."""
    clock, store = wiring.clock(), wiring.open_store(folder)
    recorder = Recorder(wiring.state_file(folder), clock, actor)
    try:
        await recorder.load()
        await catch_up(store, recorder, clock, token, lambda _note: None)
    finally:
        store.close()


def mark_now(event: str, actor: Actor) -> Mark:
    """Return who makes an edit now."""
    return Mark(event=event, ts=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), actor=actor)


def edit_record(mark: Mark, server: str, taskserv: str) -> dict[str, object]:
    """Return what the log of edits says of one resource."""
    return {
        "ts": mark.ts,
        "server": server,
        "taskserv": taskserv,
        "event": mark.event,
        "source": mark.actor.source,
        "actor": mark.actor.identity,
    }


def read_edits(folder: Path) -> list[dict[str, object]]:
    """Return all edits made by hand (ts, server, taskserv, event, source, actor), oldest first. Raises StoreError."""
    return EditLog(folder).read()


def read_foreign_state(path: Path) -> ResourceBook:
    """Read the state file of another workspace or tool. Raises NotFoundError, ConfigError with every fault."""
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise ConfigError(f"{path} is larger than {SIZE_LIMIT // 1024 // 1024} MiB")
        return import_document(parse(path.read_bytes()))
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {path}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except CodecError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
