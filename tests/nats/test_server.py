"""The server of a cluster: it starts, shows, steers and removes runs that the cluster's workers do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.logcollector import LogCollector
from provisioning.adapters.nats.wire import Stored
from provisioning.client import connect
from provisioning.core.dagu.report import RunReport
from provisioning.errors import NotFoundError
from provisioning.operations.dagu.logs import read_logs
from provisioning.operations.dagu.places import find_places
from provisioning.operations.dagu.running import Start
from provisioning.operations.hosting.cluster import ClusterHost, hosted_on
from provisioning.operations.hosting.host import Host
from provisioning.settings import Settings

HELLO = "params: WHO=world\nsteps:\n  - name: hello\n    command: echo hello $WHO\n"
SLOW = "steps:\n  - name: slow\n    command: sleep 60\n"
FAILS = 'steps:\n  - name: bad\n    command: test -e "{mark}"\n'
DUE = 'schedule: "0 1 * * *"\nsteps:\n  - name: one\n    command: "true"\n'
PATIENCE_S = 60


@asynccontextmanager
async def served(folder: Path, access: Access) -> AsyncIterator[Host]:
    """A server of the cluster, and a worker elsewhere."""
    dags = folder / "dags"
    dags.mkdir()
    texts = {"hello": HELLO, "slow": SLOW, "fails": FAILS.format(mark=folder / "mark"), "due": DUE}
    for name, text in texts.items():
        (dags / f"{name}.yaml").write_text(text, "utf-8")
    url, nats = access.urls[0], {"namespace": access.namespace}
    async with (
        connect(url, nats=nats, execute=True, slots=4),
        hosted_on(access, find_places(dags=str(dags)), Settings()) as host,
    ):
        yield host


async def begun(host: Host, name: str) -> str:
    dag = await host.library.loaded(name)
    return await host.start_dag(dag, Start(trigger="api", actor="ann"))


async def ended(host: Host, run_id: str, status: str) -> RunReport:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await asyncio.to_thread(host.reading.run, run_id)
            if found.detail.summary.ended_at is not None and found.status == status:
                assert found.report is not None
                return found.report
            await asyncio.sleep(0.05)


async def logged(host: Host, run_id: str, step: str) -> str:
    """Return what a step has printed, once it has come."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if printed := [one.text for one in read_logs(host.places.data, run_id, [step]) if one.text]:
            return printed[0]
        await asyncio.sleep(0.05)
    return ""


async def test_a_run_is_started_shown_with_its_log_and_removed(tmp_path: Path, nats_access: Access) -> None:
    async with served(tmp_path, nats_access) as host:
        run_id = await begun(host, "hello")
        report = await ended(host, run_id, "succeeded")
        assert (report.detail.summary.actor, host.failure) == ("ann", None)
        assert await logged(host, run_id, "hello") == "hello world\n"
        await host.delete(run_id)
        with pytest.raises(NotFoundError):
            host.reading.run(run_id)


async def test_a_run_is_stopped_at_its_worker(tmp_path: Path, nats_access: Access) -> None:
    async with served(tmp_path, nats_access) as host:
        run_id = await begun(host, "slow")
        found = await asyncio.to_thread(host.reading.run, run_id)
        assert not found.lost
        await host.cancel(run_id, "ann")
        await ended(host, run_id, "aborted")


async def test_a_run_that_failed_is_done_again(tmp_path: Path, nats_access: Access) -> None:
    async with served(tmp_path, nats_access) as host:
        run_id = await begun(host, "fails")
        await ended(host, run_id, "failed")
        (tmp_path / "mark").touch()
        await host.retry(run_id, "ann")
        await ended(host, run_id, "succeeded")


async def test_a_schedule_is_paused_for_the_whole_cluster(tmp_path: Path, nats_access: Access) -> None:
    async with served(tmp_path, nats_access) as host:
        assert isinstance(host, ClusterHost)
        await host.suspend("due", "ann", suspended=True)
        (one,) = await host.schedules()
        assert (one.kept.paused_by, one.entry.suspended) == ("ann", True)
        assert (await host.joined.store.schedules.kept())["due"].paused_by == "ann"


async def test_a_log_of_a_step_that_has_ended_is_shown_once_all_of_it_is_here(
    tmp_path: Path, nats_access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, write = threading.Event(), LogCollector._write

    def late(self: LogCollector, messages: Iterable[Stored]) -> None:
        assert may_write.wait(PATIENCE_S)
        write(self, messages)

    monkeypatch.setattr(LogCollector, "_write", late)
    async with served(tmp_path, nats_access) as host:
        run_id = await begun(host, "hello")
        await ended(host, run_id, "succeeded")
        asked = asyncio.create_task(asyncio.to_thread(host.logs.of_step, run_id, "hello", "stdout"))
        await asyncio.wait([asked], timeout=0.5)
        waits = not asked.done()
        may_write.set()
        log = await asked
        assert waits
        assert (log.complete, b"".join(log.chunks(0, log.size))) == (True, b"hello world\n")
