"""DAG files as packages: what the folder of one has goes in, and a DAG comes out on another machine as it was read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.package import BASE, DAGS, Member, Package, WrongPackage, pack
from provisioning.core.faults import Fault
from provisioning.core.shown import quote
from provisioning.errors import ConfigError, TooLarge
from provisioning.formats.dagu.files import read_base, read_dag
from provisioning.formats.goyaml import SIZE_LIMIT_BYTES
from provisioning.formats.source import read_bytes
from provisioning.operations.dagu.catalogue import Catalogue, Entry, is_dag_path


def package_of(catalogue: Catalogue, ref: str) -> Package:
    """Return the package of the DAG that a name or a path means.

    Raises NotFoundError, UsageError, ConfigError: for a DAG with faults, and for a folder that cannot travel.
    """
    return _package(catalogue, catalogue.find(ref))


def packed(catalogue: Catalogue, ref: str) -> tuple[DagFile, bytes]:
    """Return a DAG as another machine reads it, and its packed package. Raises as `package_of` does."""
    package = package_of(catalogue, ref)
    try:
        data = pack(package)
    except WrongPackage as error:
        raise TooLarge(f"the DAG {quote(package.name)} cannot travel: {error}") from error
    return read_package(package), data


def read_package(package: Package) -> DagFile:
    """Return the DAG of a package. Raises ConfigError with every fault."""
    data, base_data = package.data(package.file), package.data(BASE)
    base = read_base(base_data, file=BASE) if base_data is not None else None
    file = Path(package.file).name
    reading = read_dag(
        data or b"",
        file=file,
        default_type=package.default_type,
        known_dags=frozenset(package.known),
        base=base.dag if base is not None else None,
    )
    faults = (*(base.faults if base is not None else ()), *reading.faults)
    if faults or reading.dag is None:
        raise ConfigError(f"{file} is not a valid DAG", faults=faults)
    return with_package(reading.dag, package.digest)


def with_package(dag: DagFile, digest: str) -> DagFile:
    """Return the DAG with the address of its package, its documents too."""
    documents: Mapping[str, DagFile] = {name: replace(one, package=digest) for name, one in dag.documents.items()}
    return replace(dag, package=digest, documents=MappingProxyType(documents))


# ---------------------------------------------------------------- parts


def _package(catalogue: Catalogue, entry: Entry) -> Package:
    if entry.reading.dag is None:
        raise ConfigError(f"{entry.file} is not a valid DAG", faults=entry.faults)
    base, own = catalogue.places.base, entry.path.name

    def stays(name: str) -> bool:
        return "/" not in name and name != own and (is_dag_path(name) or name == (base.name if base is not None else ""))

    file = f"{DAGS}/{own}"
    data = _content(entry.path)
    members = [one for one in wiring.folder_members(entry.path.parent, stays) if one.path != file]
    members.append(Member(path=file, data=data))
    if base is not None:
        members.append(Member(path=BASE, data=_content(base)))
    return Package(
        name=entry.name,
        file=file,
        members=tuple(sorted(members, key=lambda one: one.path)),
        default_type=catalogue.default_type,
        known=tuple(sorted(name for name in catalogue.startable(entry.path.parent) if name.encode() in data)),
    )


def _content(path: Path) -> bytes:
    data = read_bytes(path, most=SIZE_LIMIT_BYTES)
    if isinstance(data, Fault):
        raise ConfigError(f"{path} {data.message}", faults=(replace(data, file=str(path)),))
    return data
