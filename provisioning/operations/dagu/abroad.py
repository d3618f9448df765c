"""Dagu runs on several machines: what a worker needs for them, and how one is sent off."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.definitions import Coordinator, Packages
from provisioning.core.dagu.doing import Text
from provisioning.core.dagu.params import Given, by_name, resolve
from provisioning.core.dagu.patterns import finds
from provisioning.core.dagu.placing import Here, Mode, WrongSelector, started_by_hand
from provisioning.core.dagu.text import Scope, expand
from provisioning.core.model import Fallback, Placement
from provisioning.engine.actions.dagu.loading import Loading
from provisioning.engine.actions.dagu.runs import Definitions
from provisioning.engine.actions.dagu.tools import Tools
from provisioning.errors import ConfigError, TooLarge
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import functions_in
from provisioning.operations.dagu.fetching import Fetching, Kept, Travelling
from provisioning.operations.dagu.packing import packed
from provisioning.operations.dagu.params import declared
from provisioning.operations.dagu.sources import Laid, LaidOut
from provisioning.settings import DaguSettings

# ---------------------------------------------------------------- a worker


def definitions(
    worker: str, laid: Laid, packages: Packages, *, catalogue: Catalogue | None, coordinator: Coordinator | None
) -> Definitions:
    """Return where a worker finds other DAGs: in its own folder, if it has one, then at the coordinator, if there is one."""
    local = Travelling(catalogue, laid, packages) if catalogue is not None else None
    elsewhere = Fetching(coordinator, laid, packages, caller=worker) if coordinator is not None else None
    return Loading(local, elsewhere)


def abroad(tools: Tools, laid: Laid, packages: Packages) -> Tools:
    """Return the tools of a worker that lays out the files which come with runs."""
    return replace(tools, sources=LaidOut(laid, packages), functions_in=functions_in)


def here(worker: str, settings: DaguSettings) -> Here:
    """Return what the worker is to the runs that its steps start."""
    return Here(worker=worker, mode=Mode(settings.default_execution_mode), if_gone=Fallback(settings.worker_gone))


# ---------------------------------------------------------------- sending one off


async def pack_off(catalogue: Catalogue, ref: str, run: str, kept: Kept, packages: Packages) -> DagFile:
    """Return the DAG that a name or a path means, for a run; its package is where every worker can get at it.

    Raises NotFoundError, UsageError, ConfigError, TooLarge, StoreError.
    """
    try:
        dag, data = await asyncio.to_thread(packed, catalogue, ref)
    except TooLarge as error:
        raise TooLarge(f"{ref} is too large to travel: {error.message}", hint=error.hint) from error
    await asyncio.to_thread(kept.put, data)
    await packages.put(run, data)
    return dag


def placement(dag: DagFile, given: Sequence[Given], environment: Mapping[str, str]) -> Placement:
    """Return where a run goes that somebody starts. Raises ConfigError for a selector that no worker can match.

    References in it may be to parameters, to `env` of the DAG and to the environment; commands are not run for it.
    """
    scope = Scope(variables={**environment, **_own(dag, given)})
    try:
        return started_by_hand(dag, lambda text: expand(text.raw, scope))
    except WrongSelector as error:
        raise ConfigError(f"worker_selector of {dag.name}: {error}") from error


def _own(dag: DagFile, given: Sequence[Given]) -> Mapping[str, str]:
    """Return the parameters by name, and the variables of the DAG, as they are written where they need a command."""
    known = [replace(one, required=False) for one in declared(dag)]
    values = resolve(known, [_raw(one.default) for one in known], given, finds).values
    found = dict(by_name(values)) | {one.name: one.value for one in given if one.name}
    for variable in dag.env:
        found[variable.name] = expand(variable.value.raw, Scope(variables=found))
    return found


def _raw(text: Text | None) -> str | None:
    return text.raw if text is not None else None
