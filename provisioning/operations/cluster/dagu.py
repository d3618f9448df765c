"""Dagu files in a cluster: what a worker can do with them, who answers for them, and how a run of one is started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning import userfile, wiring
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.frozen import dataclass
from provisioning.engine.actions import Action
from provisioning.operations.dagu import abroad
from provisioning.operations.dagu.answering import Answering, readers_of
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import functions_of, readers
from provisioning.operations.dagu.places import find_places
from provisioning.operations.dagu.queues import limits_of
from provisioning.operations.dagu.running import Start, check_params

if TYPE_CHECKING:
    from provisioning.adapters.nats.definitions import DefinitionService
    from provisioning.clusters import Joined
    from provisioning.engine.actions.dagu.runs import Runs
    from provisioning.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWorker:
    """The actions of Dagu files at one worker. `close` them when it ends."""

    actions: Mapping[str, Action]
    close: Callable[[], Awaitable[None]]


def at_worker(
    joined: Joined, worker: str, runs: Runs, settings: Settings, home: Path, catalogue: Catalogue | None = None
) -> AtWorker:
    """Return what a worker can do. `catalogue` is its own folder of DAGs, if it has one; secrets in files are below `home`."""
    laid, packages = wiring.package_folder(userfile.cache_folder() / "dagu" / worker), wiring.packages(joined.cluster)
    tools = wiring.dagu_tools(home, settings, lambda: functions_of(catalogue.places) if catalogue else {}, readers())
    found = abroad.definitions(worker, laid, packages, catalogue=catalogue, coordinator=wiring.coordinator(joined.cluster))
    actions = wiring.dagu_actions(abroad.abroad(tools, laid, packages), runs, found, abroad.here(worker, settings.dagu))

    async def close() -> None:
        if tools.remote.made is not None:
            await tools.remote.made.close()

    return AtWorker(actions=actions, close=close)


def catalogue_at(dags: Path, settings: Settings) -> Catalogue:
    """Return the DAG files of a folder, as they are now."""
    return Catalogue(find_places(dags=str(dags), settings=settings.dagu), default_type=settings.dagu.default_type)


def service_of(joined: Joined, dags: Path, settings: Settings, by: str) -> DefinitionService:
    """Return what answers workers' questions for definitions from a folder, while it is served. Raises ConfigError."""
    answering = Answering(lambda: catalogue_at(dags, settings), rules=readers_of(settings.dagu.readers), by=by)
    return wiring.definition_service(joined.cluster, answering)


async def send_off(joined: Joined, catalogue: Catalogue, ref: str, asked: Start, runs: Runs, settings: Settings) -> str:
    """Start a run of the DAG that a name or a path means, and return its id: the cluster's workers do it, in its turn.

    Raises NotFoundError, UsageError, ConfigError, TooLarge, StoreError, StaleRevision for a run id that is taken.
    """
    import os

    kept, packages = wiring.package_folder(userfile.cache_folder() / "dagu"), wiring.packages(joined.cluster)
    run_id = asked.run_id or wiring.new_run_id()
    dag = asked.otherwise.changed(await abroad.pack_off(catalogue, ref, run_id, kept, packages))
    check_params(dag, asked.given)
    at = abroad.placement(dag, asked.given, os.environ)
    flow = compile_dag(dag, at=at, if_gone=abroad.here("", settings.dagu).if_gone)
    policy = replace(flow.policy, queues=limits_of(dag, settings))
    flow = replace(flow, labels={**flow.labels, **asked.labels}, policy=policy)
    await runs.submit(run_id, flow, trigger=asked.trigger, actor=asked.actor, params=asked.params())
    return run_id
