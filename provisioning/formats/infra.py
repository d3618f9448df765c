"""Load one infrastructure of a workspace: its servers, its DAG, and every fault in both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.core.check_faults import name_faults
from provisioning.core.declare import Dag, Infra, Server, Taskserv, Workspace
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import listed, quote
from provisioning.core.suggest import Suggester
from provisioning.errors import ConfigError, NotFoundError, UsageError
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.nickel import NickelLimits
from provisioning.formats.serverdoc import read_servers
from provisioning.formats.source import Source, finish, has_errors, read_sources
from provisioning.formats.workspace import WORKSPACE_FILE

ROOT_INFRA = "default"
"""The name of the one infra whose files stand at the workspace root, unless `default_infra` names it."""
_STEMS = ("servers", "dag")
_SUFFIXES = (".ncl", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """An infra as far as it could be read. `infra` is None where a fault is an error."""

    infra: Infra | None
    faults: tuple[Fault, ...] = ()


def list_infras(workspace: Workspace) -> tuple[str, ...]:
    """Return the names of the infras that have a servers or dag file, sorted."""
    root = Path(workspace.path)
    names = sorted(folder.name for folder in _folders(root / "infra") if _files(folder))
    return tuple(names) or ((_root_name(workspace),) if _files(root) else ())


def choose_infra(workspace: Workspace, infra: str | None = None) -> str:
    """Return the infra that is meant: the named one, else the default, else the only one.

    Raises NotFoundError for a name that no infra has, UsageError where several could be meant, ConfigError where the
    workspace's default does not exist or there is none at all.
    """
    names = list_infras(workspace)
    known = {*names, *(folder.name for folder in _folders(Path(workspace.path) / "infra"))}
    if infra is not None:
        if infra in known:
            return infra
        hint = Suggester(names).hint(infra) or (f"infras are {listed(names)}" if names else "it has none")
        raise NotFoundError(f"workspace {quote(workspace.name)} has no infra {quote(infra)}", hint=hint)
    if workspace.default_infra is not None:
        return _default(workspace, workspace.default_infra, known)
    if len(names) > 1:
        message = f"workspace {quote(workspace.name)} has several infras: {listed(names)}"
        raise UsageError(message, hint=f"name one with --infra, or set default_infra in {WORKSPACE_FILE}")
    if not names:
        message = "found no servers file, expected infra/NAME/servers.json or infra/NAME/servers.ncl"
        raise _invalid(f"workspace {quote(workspace.name)} has no infra", [Fault(code="missing_file", message=message)])
    return names[0]


def infra_folder(workspace: Workspace, infra: str) -> Path:
    """Return the folder that holds an infra's files: its own, or the workspace root where they stand there."""
    root = Path(workspace.path)
    own = root / "infra" / infra
    return own if own.is_dir() else root


def inspect_infra(
    workspace: Workspace, infra: str | None, catalogue: Mapping[str, Taskserv], *, limits: NickelLimits | None = None
) -> Inspected:
    """Read an infra and find every fault in it. Raises only as `choose_infra` does, never for what files contain.

    `catalogue` is asked only for the taskservs that the DAG uses; where it has `faults`, those are passed on.
    """
    name = choose_infra(workspace, infra)
    root, folder = Path(workspace.path), infra_folder(workspace, name)
    faults = [*name_faults(name, "the infra's folder", ""), *_two_places(workspace, folder)]
    paths, missing = _pick(folder, root)
    faults += missing
    sources = dict(zip(paths, read_sources(list(paths.values()), root=root, limits=limits), strict=True))
    servers, known = _servers(sources.get("servers"), faults)
    dag = _dag(sources.get("dag"), known, catalogue, workspace, faults)
    faults += getattr(catalogue, "faults", ())
    if has_errors(faults):
        return Inspected(infra=None, faults=tuple(faults))
    files = tuple(str(path.relative_to(root)) for path in paths.values())
    loaded = Infra(workspace=workspace, name=name, servers=servers, dag=dag, taskservs=catalogue, files=files)
    return Inspected(infra=loaded, faults=tuple(faults))


def load_infra(
    workspace: Workspace, infra: str | None, catalogue: Mapping[str, Taskserv], *, limits: NickelLimits | None = None
) -> Infra:
    """Load an infra. Raises ConfigError with every fault if one is an error, and as `choose_infra` does."""
    inspected = inspect_infra(workspace, infra, catalogue, limits=limits)
    if inspected.infra is None:
        raise _invalid(f"infra {quote(choose_infra(workspace, infra))} is not valid", inspected.faults)
    return inspected.infra


def _invalid(what: str, faults: Iterable[Fault]) -> ConfigError:
    every = tuple(faults)
    count = "1 fault" if len(every) == 1 else f"{len(every):,} faults"
    return ConfigError(f"{what}: {count}", faults=every)


def _default(workspace: Workspace, name: str, known: set[str]) -> str:
    if name in known:
        return name
    message = f"default_infra is {quote(name)}, which is no folder in infra/"
    fault = Fault(code="unknown_infra", message=message, file=WORKSPACE_FILE, path="$.default_infra")
    raise _invalid(f"workspace {quote(workspace.name)} has no such default infra", [fault])


def _root_name(workspace: Workspace) -> str:
    return workspace.default_infra or ROOT_INFRA


def _folders(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return []


def _files(folder: Path) -> list[Path]:
    """Return the servers and dag files of a folder, links to nothing included."""
    candidates = (folder / f"{stem}{suffix}" for stem in _STEMS for suffix in _SUFFIXES)
    return [path for path in candidates if os.path.lexists(path)]


def _two_places(workspace: Workspace, folder: Path) -> list[Fault]:
    root = Path(workspace.path)
    if folder == root or not (stray := _files(root)):
        return []
    message = f"found {stray[0].name} at the workspace root beside infra/{folder.name}, expected one place for infras"
    return [Fault(code="two_sources", message=message, file=stray[0].name, hint=f"move it to infra/{folder.name}")]


def _pick(folder: Path, root: Path) -> tuple[dict[str, Path], list[Fault]]:
    """Return the file of each stem, and the faults of missing files and of two for one stem."""
    picked: dict[str, Path] = {}
    faults = []
    for path in _files(folder):
        if path.stem in picked:
            message = f"found {picked[path.stem].name} and {path.name} side by side, expected one of them"
            file = str(path.relative_to(root))
            faults.append(Fault(code="two_sources", message=message, file=file, hint="delete the one that is out of date"))
        picked.setdefault(path.stem, path)
    if "servers" not in picked:
        file = str((folder / "servers.json").relative_to(root))
        hint = "write servers.json or servers.ncl"
        faults.append(Fault(code="missing_file", message="found no servers file, expected one", file=file, hint=hint))
    return picked, faults


def _servers(source: Source | None, faults: list[Fault]) -> tuple[tuple[Server, ...], dict[str, Server] | None]:
    """Return the servers, and by name those that the DAG may use; None where their file could not be read."""
    if source is None or not source.usable:
        faults += source.faults if source else ()
        return (), None
    document = read_servers(source.value)
    faults += finish(source, document.faults)
    return document.servers, {server.hostname: server for server in reversed(document.servers) if server.hostname}


def _dag(
    source: Source | None,
    servers: dict[str, Server] | None,
    catalogue: Mapping[str, Taskserv],
    workspace: Workspace,
    faults: list[Fault],
) -> Dag | None:
    if source is None or not source.usable:
        faults += source.faults if source else ()
        return None
    document = read_dag(source.value, servers=servers, taskservs=catalogue, shared_params=workspace.params)
    faults += finish(source, document.faults)
    return document.dag
