"""The DAG files of a server: each is read once, and again when it, base.yaml or the names beside it have changed.

A list of 1,000 files costs one look at the folder, not 1,000 files read.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.errors import NotFoundError
from provisioning.formats.goyaml import SIZE_LIMIT_BYTES
from provisioning.formats.source import read_bytes
from provisioning.operations.dagu.catalogue import Catalogue, Entry
from provisioning.operations.dagu.checking import Checked, check_entries
from provisioning.operations.dagu.places import SUSPEND_SUFFIX, Places
from provisioning.operations.dagu.times import local_zone, next_start
from provisioning.settings import Settings

Mark = tuple[int, ...]  # of a file: changes when the file does


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """One file, and when it starts next, in UTC."""

    entry: Entry
    next_start: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of the list. `next` is where it goes on."""

    dags: Sequence[Shelved]
    total: int
    labels: Sequence[str]
    next: str = ""


class Library:
    """Safe from any thread."""

    def __init__(self, places: Places, settings: Settings) -> None:
        self.places = places
        self._default_type = settings.dagu.default_type
        self._read: dict[Path, tuple[Mark, Entry]] = {}
        self._world: tuple[object, ...] = ()
        self._catalogue = self.fresh()
        self._busy = threading.Lock()

    def fresh(self) -> Catalogue:
        """Return a catalogue that looks at the folder anew."""
        return Catalogue(self.places, default_type=self._default_type)

    # ------------------------------------------------------------ lists

    def page(self, *, q: str = "", label: str = "", after: str = "", limit: int = 100, suspended: bool | None = None) -> Page:
        """Return the files whose name or description has `q` in it and that have the label; `after` is a file name."""
        entries = self.entries()
        labels = sorted({text for entry in entries for text in _labels(entry)})
        found = [entry for entry in entries if _has(entry, q.lower(), label.lower())]
        found = [entry for entry in found if suspended in (None, entry.suspended)]
        rest = [entry for entry in found if entry.path.name > after]
        now, local = wiring.clock().now(), local_zone()
        dags = [_shelved(entry, now, local) for entry in rest[:limit]]
        return Page(dags=dags, total=len(found), labels=labels, next=rest[limit - 1].path.name if len(rest) > limit else "")

    def entries(self) -> list[Entry]:
        """Return every file, read or remembered. Raises ConfigError for a folder that cannot be read."""
        with self._busy:
            try:
                self._look()
                paths = self._catalogue.paths
            except NotFoundError:
                return []
            self._read = {path: self._one(path) for path in paths}
            return [self._with_flag(entry) for _mark, entry in self._read.values()]

    # ------------------------------------------------------------ one

    def find(self, name: str) -> Shelved:
        """Return the file of a DAG, broken or not. Raises NotFoundError, UsageError for several."""
        return _shelved(self.fresh().find(name), wiring.clock().now(), local_zone())

    def load(self, name: str) -> DagFile:
        """Return a DAG. Raises NotFoundError, UsageError, ConfigError with every fault."""
        return self.fresh().load(name)

    async def loaded(self, name: str) -> DagFile:
        """Return a DAG, read in another thread. Raises as `load`."""
        return await asyncio.to_thread(self.load, name)

    def source(self, entry: Entry) -> str:
        """Return the text of a file. Raises NotFoundError for one that cannot be read."""
        data = read_bytes(entry.path, most=SIZE_LIMIT_BYTES)
        if not isinstance(data, bytes):
            raise NotFoundError(data.message)
        return data.decode("utf-8", "replace")

    def check(self, name: str) -> Checked:
        """Return what there is to say of a file. Raises NotFoundError."""
        return check_entries([self.find(name).entry], wiring.clock().now(), local_zone())[0]

    # ------------------------------------------------------------ parts

    def _look(self) -> None:
        """Look at the folder; forget everything where what all files depend on has changed."""
        self._catalogue = self.fresh()
        base = self.places.base
        world = (self._catalogue.names(), _mark(base) if base is not None else None)
        if world != self._world:
            self._world, self._read = world, {}
        self._flags = _flags(self.places.suspended)

    def _one(self, path: Path) -> tuple[Mark, Entry]:
        mark = _mark(path)
        known = self._read.get(path)
        if known is not None and known[0] == mark and mark:
            return known
        return mark, self._catalogue.read(path, path.name)

    def _with_flag(self, entry: Entry) -> Entry:
        suspended = not {entry.name, entry.path.stem}.isdisjoint(self._flags)
        return entry if suspended == entry.suspended else replace(entry, suspended=suspended)


def _shelved(entry: Entry, now: datetime, local: object) -> Shelved:
    dag = entry.reading.dag
    at = next_start(dag, now, local) if dag is not None and not entry.suspended else None  # type: ignore[arg-type]
    return Shelved(entry=entry, next_start=at)


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _flags(folder: Path) -> frozenset[str]:
    try:
        return frozenset(name.removesuffix(SUSPEND_SUFFIX) for name in os.listdir(folder) if name.endswith(SUSPEND_SUFFIX))  # noqa: PTH208
    except OSError:
        return frozenset()


def _labels(entry: Entry) -> list[str]:
    dag = entry.reading.dag
    return [f"{key}={value}" if value else key for key, value in dag.labels.items()] if dag is not None else []


def _has(entry: Entry, q: str, label: str) -> bool:
    dag = entry.reading.dag
    texts = (entry.name, entry.path.name, dag.description if dag is not None else "")
    if q and not any(q in text.lower() for text in texts):
        return False
    key, sign, value = label.partition("=")
    own = dag.labels if dag is not None else {}
    return not label or (key in own and (not sign or own[key].lower() == value))
