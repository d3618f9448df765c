"""What is due is done by a cluster's workers, once, whoever looks at the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioning import clusters
from provisioning.adapters.nats.connect import Access
from provisioning.client import connect
from provisioning.core.model import RunState
from provisioning.core.scheduling import run_id
from provisioning.errors import ExistsError
from provisioning.operations.cluster.scheduling import Scheduled
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.places import find_places
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler.backfilling import states
from provisioning.settings import Settings

DAG = 'schedule: "0 * * * *"\nsteps:\n  - name: one\n    command: echo "at $DAG_SCHEDULED_AT"\n    output: SAID\n'
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_an_instant_that_two_schedulers_start_is_one_run_of_the_workers(tmp_path: Path, nats_access: Access) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.yaml").write_text(DAG, "utf-8")
    places = find_places(dags=str(tmp_path / "dags"))
    dag = Catalogue(places).load("etl")
    asked = Start(run_id=run_id("etl", AT), trigger="schedule", scheduled_at=AT)
    one, other = await clusters.join(nats_access), await clusters.join(nats_access)
    try:
        url, nats = nats_access.urls[0], {"namespace": nats_access.namespace}
        async with connect(url, nats=nats, execute=True, slots=4):
            first, second = Scheduled(one, places, Settings()), Scheduled(other, places, Settings())
            await first.start(dag, asked)
            with pytest.raises(ExistsError):
                await second.start(dag, asked)
            assert await second.ended(asked.run_id) is RunState.SUCCEEDED
            assert one.store.history.run(asked.run_id).outputs["SAID"] == "at 2026-03-01T12:00:00Z"
            await first.stop([asked.run_id], "me")  # it has ended: nothing to do
    finally:
        await one.aclose()
        await other.aclose()


async def test_a_run_that_goes_on_is_not_taken_for_lost_by_a_backfill(tmp_path: Path, nats_access: Access) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.yaml").write_text(DAG, "utf-8")
    places = find_places(dags=str(tmp_path / "dags"))
    joined = await clusters.join(nats_access)
    try:
        asked = Start(run_id=run_id("etl", AT), trigger="schedule", scheduled_at=AT)
        await Scheduled(joined, places, Settings()).start(Catalogue(places).load("etl"), asked)
        assert states(joined.store.history, joined.folder)(asked.run_id) is RunState.QUEUED
    finally:
        await joined.aclose()
