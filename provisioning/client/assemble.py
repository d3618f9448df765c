"""Puts an embedded client together: which store, which lease, which actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from provisioning import wiring
from provisioning.client.embedded import EmbeddedClient
from provisioning.client.engine import Options, Parts
from provisioning.client.outfit import Bare, OfWorkspace
from provisioning.engine.actions import Action
from provisioning.engine.runner import Runner
from provisioning.settings import Settings, load


def assemble(folder: Path | None, options: Options, *, execute: bool) -> EmbeddedClient:
    """Return a client on a folder, or on memory. Raises ConfigError for wrong settings."""
    folder = folder.absolute() if folder is not None else None  # logs are found from everywhere
    settings = _settings(folder)
    if not options.alert_at:
        options = replace(options, alert_at=settings.dead_letters.alert_at)
    if folder is None:
        return _in_memory(options)
    store = wiring.open_store(folder)
    parts = Parts(
        store=store,
        lease=wiring.workspace_lock(folder),
        clock=wiring.clock(),
        logs=wiring.log_store(folder, settings),
        bell=wiring.bell(),
        actions=_actions(options),
        outfit=OfWorkspace(folder) if _is_workspace(folder) else Bare(),
    )
    return EmbeddedClient(parts, options, execute=execute, actor=wiring.identity(), close=store.close)


def _settings(folder: Path | None) -> Settings:
    if folder is None or not _is_workspace(folder):
        return load()
    from provisioning.formats.workspace import load_workspace

    return load(workspace=load_workspace(folder).settings)


def _in_memory(options: Options) -> EmbeddedClient:
    from provisioning.adapters.memory.lease import MemoryLease
    from provisioning.adapters.memory.logs import MemoryLogs
    from provisioning.adapters.memory.store import MemoryStore

    clock = wiring.clock()
    parts = Parts(
        store=MemoryStore(clock),
        lease=MemoryLease(),
        clock=clock,
        logs=MemoryLogs(),
        bell=wiring.bell(),
        actions=_actions(options),
        outfit=Bare(),
    )
    return EmbeddedClient(parts, options, execute=True, actor=wiring.identity(), close=lambda: None)


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
