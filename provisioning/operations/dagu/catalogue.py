"""The DAG files of a folder: found by file name, by the name that they give themselves, or by path. One that is broken hides
no other.

Only the folder itself is looked at, not what is below it. Reading takes time and memory linear in the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from provisioning.core.check_faults import NAME_RULE
from provisioning.core.dagu.declared import DagFile
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.naming import NAME_PATTERN
from provisioning.core.shown import quote
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError, NotFoundError, UsageError
from provisioning.formats.dagu.files import Reading, read_base, read_dag
from provisioning.formats.goyaml import SIZE_LIMIT_BYTES
from provisioning.formats.source import read_bytes
from provisioning.operations.dagu.places import SUSPEND_SUFFIX, Places

SUFFIXES = (".yaml", ".yml")
_is_name = re.compile(NAME_PATTERN).match


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file and what it says; with faults it has no DAG."""

    path: Path
    file: str  # as messages show it
    reading: Reading
    suspended: bool = False

    @property
    def name(self) -> str:
        """The DAG's name: the stem of its file where it says none, or cannot be read."""
        return self.reading.dag.name if self.reading.dag is not None else self.path.stem

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with it."""
        return self.reading.faults


class Catalogue:
    """The DAG files that can be found. The folder is looked at once, when it is first needed."""

    def __init__(self, places: Places, *, default_type: str = "chain") -> None:
        self.places = places
        self.default_type = default_type
        self._paths: tuple[Path, ...] | None = None
        self._base: Reading | None = None
        self._flags: frozenset[str] | None = None
        self._known: dict[Path, frozenset[str]] = {}  # folder of a file -> what its steps may start

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the folder, in the order of their names. Raises NotFoundError, ConfigError."""
        if self._paths is None:
            base = self.places.base
            found = [path for path in dag_paths(self.places.dags, must_exist=self.places.named) if path != base]
            self._paths = tuple(found)
        return self._paths

    def names(self) -> tuple[str, ...]:
        """Return the names of the files, without reading them: what can be said for a DAG. Raises as `paths`."""
        return tuple(dict.fromkeys(path.stem for path in self.paths if is_dag_name(path.stem)))

    def known_names(self) -> Sequence[str]:
        """Return `names`, none where the folder is not there or cannot be read."""
        return self.names() if self._known_paths() else ()

    def entries(self, shown_in: str = "") -> Iterator[Entry]:
        """Yield every file of the folder, the broken ones too; messages name files in the folder `shown_in`.

        Raises NotFoundError, ConfigError for the folder itself.
        """
        for path in self.paths:
            yield self.read(path, os.path.join(shown_in, path.name))  # noqa: PTH118 -- keeps `./`

    def find(self, ref: str) -> Entry:
        """Return the file that a name or a path means, broken or not. Raises NotFoundError, UsageError.

        A path begins in the current folder, or, where there is no such file, in that of the DAG files.
        """
        if not is_dag_path(ref):
            return self.below(ref) if "/" in ref else self._named(ref)
        path = Path(os.path.expanduser(ref))  # noqa: PTH111 -- never raises
        return self.read(path.absolute(), ref) if os.path.lexists(path) else self.below(ref)

    def below(self, ref: str) -> Entry:
        """Return the file of this path in the folder of the DAG files, with or without its ending.

        Raises NotFoundError, UsageError for what is neither a name nor a path.
        """
        wanted = [ref] if is_dag_path(ref) else [f"{ref}{suffix}" for suffix in SUFFIXES]
        if not all(map(is_dag_name, ref.split("/"))):
            if not is_dag_path(ref):
                raise _no_name(ref)
            wanted = []
        for path in (self.places.dags / name for name in wanted):
            if os.path.isfile(path) and path.parent.resolve().is_relative_to(self.places.dags.resolve()):  # noqa: PTH113 -- never raises
                return self.read(path, ref)
        raise NotFoundError(f"no file {ref} in {self.places.dags}", hint=self._near(Path(ref).stem, self.known_names()))

    def load(self, ref: str) -> DagFile:
        """Return the DAG that a name or a path means. Raises NotFoundError, UsageError, ConfigError with every fault."""
        entry = self.find(ref)
        dag = entry.reading.dag
        if dag is None:
            raise ConfigError(f"{entry.file} is not a valid DAG", faults=entry.faults)
        where = str(entry.path)
        documents = {name: replace(one, file=where) for name, one in dag.documents.items()}
        return replace(dag, file=where, documents=MappingProxyType(documents))

    def read(self, path: Path, shown: str) -> Entry:
        """Read one file; `shown` is how messages name it. Never raises for what the file is or says."""
        return self._entry(path, shown, read_bytes(path, most=SIZE_LIMIT_BYTES))

    # ------------------------------------------------------------ parts

    def _entry(self, path: Path, shown: str, data: bytes | Fault) -> Entry:
        base = self._base_reading()
        if isinstance(data, Fault):
            reading = Reading(faults=(replace(data, file=shown),))
        else:
            reading = read_dag(
                data, file=shown, default_type=self.default_type, known_dags=self.startable(path.parent), base=base.dag
            )
        faults = (*base.faults, *reading.faults)
        faults += () if faults else _zone_faults(reading.documents, shown)
        if faults:
            reading = replace(reading, dag=None, documents=(), faults=faults)
        name = reading.dag.name if reading.dag is not None else path.stem
        return Entry(path=path, file=shown, reading=reading, suspended=not {name, path.stem}.isdisjoint(self._suspended()))

    def startable(self, folder: Path) -> frozenset[str]:
        """Return the names of the DAGs that a file in a folder may start: those of the catalogue, and of its own folder."""
        if folder not in self._known:
            beside = _listed(folder) if folder != self.places.dags else []
            stems = (Path(name).stem for name in beside if is_dag_path(name))
            self._known[folder] = frozenset([*self.known_names(), *filter(is_dag_name, stems)])
        return self._known[folder]

    def _base_reading(self) -> Reading:
        if self._base is None:
            self._base = _read_base(self.places.base)
        return self._base

    def _suspended(self) -> frozenset[str]:
        """Return the names of DAGs that a flag file suspends."""
        if self._flags is None:
            found = _listed(self.places.suspended)
            self._flags = frozenset(name.removesuffix(SUSPEND_SUFFIX) for name in found if name.endswith(SUSPEND_SUFFIX))
        return self._flags

    def _known_paths(self) -> tuple[Path, ...]:
        try:
            return self.paths
        except (NotFoundError, ConfigError):  # a file given by its path needs no folder
            return ()

    def _named(self, name: str) -> Entry:
        if not is_dag_name(name):
            raise _no_name(name)
        found = [path for path in self.paths if path.stem == name]
        entries = [self.read(path, path.name) for path in found] or list(self._calling_themselves(name))
        if len(entries) > 1:
            files = ", ".join(str(entry.path) for entry in entries)
            raise UsageError(f"several files are meant by {quote(name)}: {files}", hint="give the path of one")
        if not entries:
            raise NotFoundError(f"no DAG {quote(name)} in {self.places.dags}", hint=self._near(name, self.names()))
        return entries[0]

    def _calling_themselves(self, name: str) -> Iterator[Entry]:
        """Yield the files whose `name` it is. Only those are read that have the word in them."""
        word = name.encode()
        for path in self.paths:
            data = read_bytes(path, most=SIZE_LIMIT_BYTES)
            if isinstance(data, bytes) and word in data:
                entry = self._entry(path, path.name, data)
                if entry.name == name:
                    yield entry

    def _near(self, name: str, known: Sequence[str]) -> str:
        near = nearest(name, known)
        if near:
            return f"did you mean {near}?"
        return f"`dag list` shows the DAGs of {self.places.dags}" if known else f"there are no DAG files in {self.places.dags}"


def _no_name(ref: str) -> UsageError:
    message = f"found the DAG {quote(ref)}, expected {NAME_RULE}"
    return UsageError(message, hint="give a DAG's name, or a path that ends in .yaml or .yml")


def _zone_faults(dags: Sequence[DagFile], shown: str) -> tuple[Fault, ...]:
    """Return what is wrong with the time zones of schedules. Most files that are run by hand have none."""
    if not any(dag.schedule.start or dag.schedule.stop or dag.schedule.restart for dag in dags):
        return ()
    from provisioning.operations.dagu.times import zone_faults

    return zone_faults(dags, shown)


def is_dag_name(name: str) -> bool:
    """Whether it may be a DAG's name: it is safe as a part of a path."""
    return _is_name(name) is not None


def is_dag_path(ref: str) -> bool:
    """Whether a path of a DAG file is meant, and not a name."""
    return ref.endswith(SUFFIXES)


def dag_paths(folder: Path, *, must_exist: bool = True) -> list[Path]:
    """Return the DAG files of a folder, in the order of their names. Raises NotFoundError, ConfigError.

    Files that begin with a dot are not meant: editors leave them.
    """
    try:
        with os.scandir(folder) as found:
            wanted = [one.name for one in found if is_dag_path(one.name) and not one.name.startswith(".") and not one.is_dir()]
    except FileNotFoundError:
        if must_exist:
            raise NotFoundError(f"there is no folder {folder}", hint="say where the DAG files are with --dags DIR") from None
        return []
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"the folder {folder} cannot be read: {reason.lower()}") from error
    return [folder / name for name in sorted(wanted)]


def every_fault(entries: Iterable[Entry]) -> tuple[Fault, ...]:
    """Return the faults of several files, each once: those of base.yaml are in all of them."""
    return tuple(dict.fromkeys(fault for entry in entries for fault in entry.faults))


def _read_base(path: Path | None) -> Reading:
    if path is None:
        return Reading()
    data = read_bytes(path, most=SIZE_LIMIT_BYTES)
    return Reading(faults=(replace(data, file=str(path)),)) if isinstance(data, Fault) else read_base(data, file=str(path))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 -- names are enough
    except (OSError, ValueError):
        return []
