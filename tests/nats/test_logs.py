"""Logs of a cluster: capped where they are written, seen elsewhere within a moment, whole after every crash."""

from __future__ import annotations

import asyncio
import os
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from support.natsservers import running

from provisioning.adapters.logs import FileLogs
from provisioning.adapters.nats import logcollector
from provisioning.adapters.nats.chunks import Chunk
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.logcollector import LogCollector, Place, remove_unknown, write_chunks, write_place
from provisioning.adapters.nats.logs import NatsLogs, chunk_message, log_stream, stream_name
from provisioning.adapters.nats.streams import ensure

MB = 1024 * 1024
LINE = b"x" * 1023 + b"\n"


@asynccontextmanager
async def worker(access: Access) -> AsyncIterator[NatsLogs]:
    cluster = Cluster(access)
    logs = NatsLogs(cluster)
    await logs.start()
    try:
        yield logs
    finally:
        await logs.aclose()
        await cluster.close()


@asynccontextmanager
async def collecting(access: Access, folder: Path) -> AsyncIterator[LogCollector]:
    cluster = Cluster(access)
    collector = LogCollector(cluster, folder)
    serving = asyncio.create_task(collector.serve())
    try:
        yield collector
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await cluster.close()


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> float:
    """Wait; return how many seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def found(folder: Path, step: str = "s", attempt: int = 1) -> Path:
    return Path(FileLogs(folder).find("r1", step, attempt) or "/nonexistent")


async def test_a_hundred_megabytes_are_capped_before_they_leave_and_memory_stays_flat(
    nats_access: Access, tmp_path: Path
) -> None:
    async with worker(nats_access) as logs, collecting(nats_access, tmp_path) as collector:
        tracemalloc.start()
        log = logs.open("r1", "s", 1)
        for number in range(100 * 1024):
            log.write(LINE)
            if number % 64 == 0:
                await asyncio.sleep(0)
        log.close()
        await logs.flushed()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await collector.caught_up("r1")
        stored = await Cluster.ask(logs._cluster, f"STREAM.INFO.{stream_name(logs._cluster)}")
        assert found(tmp_path).stat().st_size == pytest.approx(10 * MB, abs=100)
        assert stored["state"]["bytes"] < 11 * MB
        assert peak < 40 * MB  # of what waits to be sent, on both sides; the output was 100 MB


async def test_what_a_step_prints_is_seen_elsewhere_while_it_runs(nats_access: Access, tmp_path: Path) -> None:
    async with worker(nats_access) as logs, collecting(nats_access, tmp_path):
        log = logs.open("r1", "s", 1)
        log.write(b"begins\n")
        first_s = await until(lambda: found(tmp_path).exists() and found(tmp_path).read_bytes() == b"begins\n")
        log.write(b"goes on\n")
        second_s = await until(lambda: found(tmp_path).read_bytes() == b"begins\ngoes on\n")
        log.close()
    assert min(first_s, second_s) < 1.0


async def test_the_streams_of_an_attempt_and_of_the_next_are_files_of_their_own(nats_access: Access, tmp_path: Path) -> None:
    async with worker(nats_access) as logs, collecting(nats_access, tmp_path) as collector:
        for attempt in (1, 2):
            out, err = (logs.open("r1", "cp/etcd ü", attempt, kind=kind) for kind in ("out", "err"))
            out.write(f"out {attempt}".encode())
            err.write(f"err {attempt}".encode())
            out.close()
            err.close()
        logs.open("r1", "silent", 1).close()
        await logs.flushed()
        await collector.caught_up("r1")
        for attempt in (1, 2):
            out_path = found(tmp_path, "cp/etcd ü", attempt)
            assert (out_path.read_bytes(), out_path.with_suffix(".err").read_bytes()) == (
                f"out {attempt}".encode(),
                f"err {attempt}".encode(),
            )
            assert out_path.stat().st_mode & 0o777 == 0o600
        assert found(tmp_path, "silent").read_bytes() == b""


@pytest.mark.parametrize("seed", range(3))
async def test_a_collector_killed_in_mid_log_loses_nothing_and_doubles_nothing(
    nats_access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    written = bytearray()
    async with worker(nats_access) as logs:
        log = logs.open("r1", "s", 1)
        for _ in range(6):
            async with collecting(nats_access, tmp_path) as collector:
                for _ in range(dice.randrange(1, 5)):
                    piece = dice.randbytes(dice.randrange(1, 200_000))
                    written += piece
                    log.write(piece)
                    await asyncio.sleep(dice.random() * 0.05)
                if dice.random() < 0.5:
                    monkeypatch.setattr(collector, "_save", lambda: None)  # killed before it could say how far it had come
        log.close()
        await logs.flushed()
        async with collecting(nats_access, tmp_path) as collector:
            await collector.caught_up("r1")
    assert found(tmp_path).read_bytes() == bytes(written)


async def test_a_server_that_is_killed_costs_no_output(tmp_path: Path) -> None:
    with running() as server:
        access = Access(urls=(server.url,), timeout_s=2.0)
        async with worker(access) as logs, collecting(access, tmp_path) as collector:
            log = logs.open("r1", "s", 1)
            log.write(b"before\n")
            await until(lambda: found(tmp_path).exists())
            server.kill()
            log.write(b"while nobody listens\n")
            log.flush()
            await asyncio.sleep(0.3)
            server.start()
            log.write(b"after\n")
            log.close()
            await logs.flushed()
            await collector.caught_up("r1")
            assert found(tmp_path).read_bytes() == b"before\nwhile nobody listens\nafter\n"


async def test_a_disk_that_refuses_costs_no_output_once_it_takes_it_again(
    nats_access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logcollector, "AGAIN_S", 0.1)
    (tmp_path / "r1").write_bytes(b"in the way")
    async with worker(nats_access) as logs, collecting(nats_access, tmp_path):
        log = logs.open("r1", "s", 1)
        log.write(b"printed\n")
        log.close()
        await logs.flushed()
        await asyncio.sleep(0.3)
        (tmp_path / "r1").unlink()
        await until(lambda: found(tmp_path).exists() and found(tmp_path).read_bytes() == b"printed\n")


async def test_what_no_worker_of_ours_sends_is_left_out_and_the_rest_goes_on(nats_access: Access, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    async with worker(nats_access) as logs, collecting(nats_access, folder) as collector:
        cluster = logs._cluster
        await ensure(cluster, log_stream(cluster))
        for run, name, at in (("r1", "../../../evil.1.a.log", 0), ("..", "s.1.a.log", 0), ("r1", "s.1.a.log", 1 << 40)):
            good = chunk_message(cluster, Chunk(run="r1", name="s.1.a.log", at=0, data=b"x"))
            headers = {**good.headers, "Log-Run": run, "Log-Name": name, "Log-At": str(at)}
            await cluster.publish(type(good)(subject=good.subject, body=b"evil", headers=headers))
        log = logs.open("r1", "s", 1)
        log.write(b"good")
        log.close()
        await logs.flushed()
        await collector.caught_up("r1")
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".collected"]
        assert [path.read_bytes() for path in files] == [b"good"]


async def test_a_deleted_run_leaves_no_chunks(nats_access: Access) -> None:
    async with worker(nats_access) as logs:
        for run in ("r1", "r1-2"):
            log = logs.open(run, "s", 1)
            log.write(b"x")
            log.close()
        await logs.flushed()
        logs.delete("r1")
        await asyncio.gather(*logs._errands)
        info = await logs._cluster.ask(f"STREAM.INFO.{stream_name(logs._cluster)}", {"subjects_filter": ">"})
        assert [subject for subject in info["state"]["subjects"] if ".r1." in subject] == []
        assert info["state"]["messages"] == 1


def test_logs_of_runs_that_are_known_no_more_are_removed_when_nobody_writes_them(tmp_path: Path) -> None:
    for run in ("known", "gone", "arrives"):
        write_chunks(tmp_path / run / "s-1.1.a.log", [Chunk(run=run, name="s-1.1.a.log", at=0, data=b"x")])
    now = time.time()
    for path in (tmp_path / "gone", tmp_path / "gone" / "s-1.1.a.log", tmp_path / "known" / "s-1.1.a.log"):
        os.utime(path, (now - 7200, now - 7200))
    assert remove_unknown(tmp_path, lambda run: run == "known", now - 3600) == ["gone"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["arrives", "known"]
    assert remove_unknown(tmp_path / "nowhere", lambda _run: False, now) == []


def test_processes_that_keep_the_same_files_say_how_far_they_are_without_a_quarrel(tmp_path: Path) -> None:
    places = [Place(created="now", seq=seq) for seq in range(200)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(partial(write_place, tmp_path), places))
    assert sorted(one.name for one in tmp_path.iterdir()) == [".collected", ".collected.lock"]
