"""Puts a client together: which store, which lease, which actions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.client.client import Client
from provisioning.client.engine import Options, Parts
from provisioning.client.node import Duty, Node, parts_of
from provisioning.client.outfit import Bare, OfWorkspace
from provisioning.engine.actions import Action
from provisioning.engine.runner import Runner
from provisioning.errors import UsageError
from provisioning.settings import Settings, load

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access


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


def assemble_on_cluster(options: Options, settings: Settings, *, execute: bool) -> Client:
    """Return a client of the cluster of the settings. With `execute` this process works for it, and may decide for it."""
    access = clusters.access(settings)
    if access is None:
        raise UsageError("no cluster is named", hint="give its URL, or the setting nats.url")
    return Client(_on_cluster(access, settings, options, execute=execute), options, execute=False, actor=wiring.identity())


@asynccontextmanager
async def _on_cluster(access: Access, settings: Settings, options: Options, *, execute: bool) -> AsyncIterator[Parts]:
    async with AsyncExitStack() as stack:
        joined = await clusters.join(access)
        stack.push_async_callback(joined.aclose)
        await joined.store.replica.caught_up()
        logs = clusters.logs(joined, settings)
        await logs.start()
        stack.push_async_callback(logs.aclose)
        if execute:
            duty = Duty(name=options.worker, slots=options.slots, targets=options.targets)
            await stack.enter_async_context(Node(joined, duty, settings, options))
        yield parts_of(joined, logs)


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
