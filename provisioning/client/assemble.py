"""Puts a client together: which store, which lease, which actions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from provisioning import wiring
from provisioning.client.client import Client
from provisioning.client.engine import Options, Parts
from provisioning.client.outfit import Bare, OfWorkspace
from provisioning.engine.actions import Action
from provisioning.engine.runner import Runner
from provisioning.settings import Settings, load


def assemble(folder: Path | None, options: Options, *, execute: bool) -> Client:
    """Return a client on a folder, or on memory. Raises ConfigError for wrong settings."""
    folder = folder.absolute() if folder is not None else None  # logs are found from everywhere
    settings = _settings(folder)
    if not options.alert_at:
        options = replace(options, alert_at=settings.dead_letters.alert_at)
    opening = _in_memory(options) if folder is None else _in_folder(folder, settings, options)
    return Client(opening, options, execute=execute or folder is None, actor=wiring.identity())


@asynccontextmanager
async def _in_folder(folder: Path, settings: Settings, options: Options) -> AsyncIterator[Parts]:
    store = wiring.open_store(folder)
    try:
        yield Parts(
            store=store,
            lease=wiring.workspace_lock(folder),
            clock=wiring.clock(),
            logs=wiring.log_store(folder, settings),
            bell=wiring.bell(),
            actions=_actions(options),
            outfit=OfWorkspace(folder) if _is_workspace(folder) else Bare(),
        )
    finally:
        store.close()


def _settings(folder: Path | None) -> Settings:
    if folder is None or not _is_workspace(folder):
        return load()
    from provisioning.formats.workspace import load_workspace

    return load(workspace=load_workspace(folder).settings)


@asynccontextmanager
async def _in_memory(options: Options) -> AsyncIterator[Parts]:
    from provisioning.adapters.memory.lease import MemoryLease
    from provisioning.adapters.memory.logs import MemoryLogs
    from provisioning.adapters.memory.store import MemoryStore

    clock = wiring.clock()
    yield Parts(
        store=MemoryStore(clock),
        lease=MemoryLease(),
        clock=clock,
        logs=MemoryLogs(),
        bell=wiring.bell(),
        actions=_actions(options),
        outfit=Bare(),
    )


def _actions(options: Options) -> Callable[[Runner], Mapping[str, Action]]:
    from provisioning.builder.running import Functions
    from provisioning.engine.actions.python import PythonAction
    from provisioning.engine.actions.workflow import WorkflowAction

    def make(runner: Runner) -> Mapping[str, Action]:
        return {
            "python": PythonAction(Functions(), options.worker),
            "workflow": WorkflowAction(runner),
            **wiring.local_actions(),
        }

    return make


def _is_workspace(folder: Path | None) -> bool:
    return folder is not None and (folder / "workspace.toml").exists()
