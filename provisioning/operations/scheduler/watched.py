"""The schedules of a folder of DAG files, read again when a file has changed. What has not changed costs one `stat` a look."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path

from provisioning.core.instants import Timing, timing_of
from provisioning.errors import ConfigError
from provisioning.operations.dagu.catalogue import Catalogue, dag_paths
from provisioning.operations.dagu.places import SUSPEND_SUFFIX, Places
from provisioning.operations.dagu.times import zone

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A DAG that has a schedule."""

    name: str
    path: Path
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    stamp: Stamp
    name: str
    timing: Timing | None  # never suspended


class Watched:
    """Look at it again and again. Of several files whose DAGs have one name the first counts."""

    def __init__(self, places: Places, local: tzinfo, *, default_type: str = "chain") -> None:
        """`local` is for schedules that name no zone."""
        self._places, self._local, self._default_type = places, local, default_type
        self._files: dict[Path, _File] = {}
        self._base: Stamp | None = None
        self._known: dict[str, Watch] = {}
        self.catalogue = self._new_catalogue()
        """The files as they were at the last look; a DAG that is loaded is read anew."""
        self.faults: dict[str, str] = {}
        """The DAGs that were read at the last look and have something wrong with them: the first fault of each."""

    def look(self) -> Mapping[str, Watch | None]:
        """Return what has changed since the last look, by name; None for a DAG that has no schedule any more.

        Raises NotFoundError, ConfigError for the folder itself.
        """
        self.faults = {}
        base = _stamp(self._places.base)
        paths = [path for path in dag_paths(self._places.dags, must_exist=self._places.named) if path != self._places.base]
        stamps = {path: stamp for path in paths if (stamp := _stamp(path)) is not None}
        old = {} if base != self._base else self._files
        if base != self._base or stamps != {path: file.stamp for path, file in self._files.items()}:
            self.catalogue = self._new_catalogue()
        self._files = {
            path: old[path] if path in old and old[path].stamp == stamp else self._read(path, stamp)
            for path, stamp in stamps.items()
        }
        self._base = base
        return self._changes()

    @property
    def watches(self) -> Mapping[str, Watch]:
        """All DAGs that have a schedule, as they were at the last look."""
        return self._known

    def _new_catalogue(self) -> Catalogue:
        return Catalogue(self._places, default_type=self._default_type)

    def _read(self, path: Path, stamp: Stamp) -> _File:
        entry = self.catalogue.read(path, path.name)
        dag, timing = entry.reading.dag, None
        if entry.faults:
            self.faults[entry.name] = entry.faults[0].message
        try:
            timing = timing_of(dag, self._local, zone) if dag is not None else None
        except ConfigError as error:
            self.faults[entry.name] = error.message
        return _File(stamp=stamp, name=entry.name, timing=timing)

    def _changes(self) -> Mapping[str, Watch | None]:
        flags, found = self._flags(), dict[str, Watch]()
        for path, file in self._files.items():
            if file.timing is not None and file.name not in found:
                found[file.name] = self._watch(path, file, file.timing, suspended=not flags.isdisjoint({file.name, path.stem}))
        gone = {name: None for name in self._known if name not in found}
        changed = {name: watch for name, watch in found.items() if self._known.get(name) is not watch}
        self._known = found
        return {**gone, **changed}

    def _watch(self, path: Path, file: _File, timing: Timing, *, suspended: bool) -> Watch:
        """Return the watch of the last look, if nothing has changed."""
        known = self._known.get(file.name)
        timing = replace(timing, suspended=suspended) if suspended else timing
        if known is not None and known.path == path and known.timing == timing:
            return known
        return Watch(name=file.name, path=path, timing=timing)

    def _flags(self) -> frozenset[str]:
        try:
            found = os.listdir(self._places.suspended)  # noqa: PTH208 -- names are enough
        except OSError:
            return frozenset()
        return frozenset(name.removesuffix(SUSPEND_SUFFIX) for name in found if name.endswith(SUSPEND_SUFFIX))


def _stamp(path: Path | None) -> Stamp | None:
    try:
        found = os.stat(path) if path is not None else None  # noqa: PTH116 -- 1,000 of them each look
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None
