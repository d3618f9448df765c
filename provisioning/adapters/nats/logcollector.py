"""Brings the logs of a cluster to the files of this machine, where commands, API and pages look for them.

Every chunk knows its place, so a collector that was killed reads a little again and nothing is doubled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from provisioning.adapters.files import PRIVATE_FILE, private_folder, replace_file, short_lock, store_error, write_all
from provisioning.adapters.nats.chunks import Chunk
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.logs import all_logs, chunk_of, log_stream, logs_of, stream_name
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.streams import ensure
from provisioning.adapters.nats.wire import Stored
from provisioning.codec import CodecError, decode, encode
from provisioning.core.frozen import dataclass
from provisioning.errors import LockedError, ProvisioningError, StoreError

LOG = logging.getLogger("provisioning")
PLACE = ".collected"
LOCK = ".collected.lock"
SAVE_S = 1.0
AGAIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a collector has come: up to and with `seq`, of the stream that was made at `created`."""

    created: str = ""
    seq: int = 0


class LogCollector:
    """Writes every log of a cluster below `folder`, as `FileLogs` would."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._place = Place()
        self._saved = Place()
        self._saving: asyncio.TimerHandle | None = None
        self._more = asyncio.Condition()

    @property
    def position(self) -> int:
        """Up to which sequence of the stream of logs everything is in the files, also after a crash."""
        return self._saved.seq

    async def serve(self) -> None:
        """Collect until cancelled; where the disk or the server refuses, again from there after a while."""
        while True:
            try:
                await self._collect()
            except StoreError as error:
                LOG.warning("logs are not collected now: %s", error)
                await asyncio.sleep(AGAIN_S)

    async def _collect(self) -> None:
        info = await ensure(self._cluster, log_stream(self._cluster))
        await self._begin(str(info.get("created", "")))
        reading = Reading(self._cluster, stream_name(self._cluster), [all_logs(self._cluster)], self._place.seq + 1)
        try:
            while True:
                await self._take(await reading.next())
        finally:
            await reading.close()
            if self._saving is not None:
                self._saving.cancel()
            self._save_soon()

    async def caught_up(self, run: str) -> None:
        """Wait until everything that was stored of the logs of a run before now is in the files. `serve` has to be running."""
        newest = await self._cluster.last(stream_name(self._cluster), logs_of(self._cluster, run))
        async with self._more:
            await self._more.wait_for(lambda: newest is None or self._place.seq >= newest.seq)

    # ------------------------------------------------------------ parts

    async def _begin(self, created: str) -> None:
        private_folder(self._folder)
        found = _read_place(self._folder / PLACE)
        async with self._more:
            self._place = self._saved = found if found.created == created else Place(created=created)
            self._more.notify_all()

    async def _take(self, messages: list[Stored]) -> None:
        await asyncio.to_thread(self._write, messages)
        async with self._more:
            self._place = Place(created=self._place.created, seq=messages[-1].seq)
            self._more.notify_all()
        if self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(SAVE_S, self._save_soon)

    def _write(self, messages: Iterable[Stored]) -> None:
        by_path: dict[str, list[Chunk]] = {}
        for stored in messages:
            try:
                chunk = chunk_of(stored)
                by_path.setdefault(chunk.path, []).append(chunk)
            except (ValueError, ProvisioningError) as error:
                LOG.warning("message %d of the logs was left out: %s", stored.seq, error)
        for path, chunks in by_path.items():
            write_chunks(self._folder / path, chunks)

    def _save_soon(self) -> None:
        self._saving = None
        try:
            self._save()
        except (StoreError, LockedError) as error:  # what is not known to be here stays in the stream
            LOG.warning("%s", error)

    def _save(self) -> None:
        if self._place == self._saved:
            return
        write_place(self._folder, self._place)
        self._saved = self._place


def remove_unknown(folder: Path, known: Callable[[str], bool], before_s: float) -> list[str]:
    """Remove the logs of runs that are not `known` and were not written to since `before_s` (Unix time); return their ids.

    That is what a run leaves that was deleted elsewhere.
    """
    gone = [entry for entry in folder.iterdir() if entry.is_dir() and not known(entry.name)] if folder.is_dir() else []
    removed = [entry for entry in gone if max(one.stat().st_mtime for one in (entry, *entry.iterdir())) < before_s]
    for entry in removed:
        shutil.rmtree(entry, ignore_errors=True)
    return sorted(entry.name for entry in removed)


def write_chunks(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write chunks of one log at their places. Raises StoreError."""
    try:
        private_folder(path.parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            for chunk in chunks:
                os.lseek(fd, chunk.at, os.SEEK_SET)
                write_all(fd, chunk.data)
        finally:
            os.close(fd)
    except OSError as error:
        raise store_error("writing the log", path, error) from error


def write_place(folder: Path, place: Place) -> None:
    """Write how far a collector has come. Processes of one machine keep the same files. Raises StoreError, LockedError."""
    try:
        with short_lock(folder / LOCK):
            replace_file(folder / PLACE, encode(asdict(place)))
    except OSError as error:
        raise store_error("writing", folder / PLACE, error) from error


def _read_place(path: Path) -> Place:
    """Return it, or the beginning: to collect everything again does no harm."""
    with suppress(OSError, CodecError):
        return decode(path.read_bytes(), Place)
    return Place()
