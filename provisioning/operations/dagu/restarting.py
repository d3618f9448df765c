"""Stops what goes on of a DAG, so that it can be started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.history import RunDetail, RunSummary
from provisioning.operations.dagu import records
from provisioning.operations.steering import HERE, Reach


def stop_for_restart(
    data: Path, dag: DagFile, actor: str, say: Callable[[str], None], reach: Reach = HERE
) -> tuple[Given, ...]:
    """Stop a DAG's runs that go on, wait as long as it wants, and return the parameters of its newest run.

    Raises WaitTimeout for a run that does not end.
    """
    alive = [one for one in records.going_on(data, name=dag.name) if not records.is_lost(data, one)]
    newest = alive[0] if alive else records.newest(data, dag.name)
    for one in alive:
        say(f"stopping run {one.run_id}")
        records.stop(data, name=None, run_id=one.run_id, actor=actor, reach=reach)
    if alive and dag.restart_wait_s:
        asyncio.run(wiring.clock().sleep(dag.restart_wait_s))
    return _given(data, newest)


def last_given(data: Path, name: str) -> tuple[Given, ...]:
    """Return the parameters of a DAG's newest run; none if it never ran."""
    return _given(data, records.newest(data, name))


def _given(data: Path, run: RunSummary | None) -> tuple[Given, ...]:
    if run is None:
        return ()
    with records.opened(data) as store:
        return given_of(store.history.run(run.run_id))


def given_of(detail: RunDetail) -> tuple[Given, ...]:
    """Return the parameters that a run was started with."""
    given = detail.params.get("params")
    return tuple(Given(name=str(name), value=str(value)) for name, value in given) if isinstance(given, list) else ()
