"""Picks the adapters of a cluster, as `wiring` does those of one machine. Nothing of NATS is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from provisioning import userfile
from provisioning.core.declare import Infra
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError, NotFoundError, UsageError
from provisioning.wiring import HIDDEN, actions, clock, declared_secrets, hosts, identity, known_hosts

if TYPE_CHECKING:
    from provisioning.adapters.nats.chunks import Chunk
    from provisioning.adapters.nats.connect import Access, Cluster
    from provisioning.adapters.nats.fences import Fences
    from provisioning.adapters.nats.lease import NatsLease
    from provisioning.adapters.nats.logcollector import LogCollector
    from provisioning.adapters.nats.logs import NatsLogs
    from provisioning.adapters.nats.presence import Beat, Workers
    from provisioning.adapters.nats.resources import NatsResources
    from provisioning.adapters.nats.runlogs import RunLogs
    from provisioning.adapters.nats.server import TrialServer
    from provisioning.adapters.nats.store import NatsStore
    from provisioning.adapters.nats.turns import Turns
    from provisioning.adapters.sites import PackedSite, SiteFolder
    from provisioning.core.declare import Server
    from provisioning.core.hosts import Hosts
    from provisioning.core.presence import Presence
    from provisioning.engine.actions import Action
    from provisioning.settings import NatsSettings, Settings

SCHEMES = ("nats://", "tls://", "ws://", "wss://")
EXTRA = "pip install 'provisioning[cluster]'"
OFF = "off"
"""As a URL: none, whatever the settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A connection to a cluster, and the folder with this machine's copy of its history and logs. `aclose` it."""

    cluster: Cluster
    store: NatsStore
    folder: Path

    async def aclose(self) -> None:
        """Stop following the history and close the connection."""
        await self.store.aclose()


def is_url(text: str) -> bool:
    """Whether a text says where a cluster is."""
    return text.startswith(SCHEMES)


def access(settings: Settings, base: Path | None = None) -> Access | None:
    """Return how the cluster of the settings is reached, None where they name none. Relative paths start at `base`.

    Raises ConfigError for wrong settings, UsageError where the extra is not installed.
    """
    nats = settings.nats
    if nats.url in {"", OFF}:
        return None
    from provisioning.adapters.nats.connect import Access

    _installed()
    path = _paths(base or Path.cwd())
    secret = _secrets(base or Path.cwd())
    return Access(
        urls=_urls(nats.url),
        namespace=nats.namespace,
        inbox=nats.inbox,
        replicas=nats.replicas,
        user=nats.user,
        password=secret("nats.password", nats.password),
        token=secret("nats.token", nats.token),
        credentials=path(nats.credentials),
        nkey=path(nats.nkey),
        ca=path(nats.ca),
        certificate=path(nats.certificate),
        key=path(nats.key),
        monitor=nats.monitor,
        any_sync=nats.any_sync,
    )


async def join(access: Access) -> Joined:
    """Connect, and find this machine's copy of the history: one folder for each cluster and namespace that there ever was.

    Raises ClusterUnreachable, ConfigError, StoreError.
    """
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.store import NatsStore
    from provisioning.adapters.nats.streams import blob_stream, ensure, work_stream

    cluster = Cluster(access)
    try:
        info = await ensure(cluster, work_stream(cluster))
        await ensure(cluster, blob_stream(cluster))
        folder = replica_folder(access, info)
        return Joined(cluster=cluster, store=NatsStore(cluster, folder / HIDDEN, clock()), folder=folder)
    except BaseException:
        await cluster.close()
        raise


def replica_folder(access: Access, stream: Mapping[str, Any]) -> Path:
    """Return where this user keeps the copy of a cluster's history: another folder for a stream that others made anew."""
    from provisioning.adapters.nats.replicarows import REBUILT_FROM, mark_of

    before = (stream.get("config", {}).get("metadata") or {}).get(REBUILT_FROM)
    return _replicas() / f"{access.namespace}-{int(before or mark_of(stream)):x}"


async def rebuild(access: Access, folder: Path | None = None) -> tuple[int, Path]:
    """Make the stream of a cluster that lost its data anew from a copy of its history, the newest if no folder is named.

    Return how many runs there are again, and the folder. Raises NotFoundError, StoreError for a stream that is not empty.
    """
    from provisioning.adapters.nats.blobs import Blobs
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.rebuilding import rebuild
    from provisioning.adapters.nats.replica import Replica

    copies = [folder] if folder is not None else sorted(_replicas().glob(f"{access.namespace}-*"), key=_written)
    found = [one for one in copies if _history(one).is_file()]
    if not found:
        where = folder or f"{_replicas()} for namespace {access.namespace}"
        raise NotFoundError(f"there is no copy of a history in {where}", hint="run it on a machine that decided")
    cluster = Cluster(access)
    replica = Replica(cluster, Blobs(cluster), _history(found[-1]))
    try:
        return await rebuild(cluster, replica), found[-1]
    finally:
        await replica.close()
        await cluster.close()


def _replicas() -> Path:
    return userfile.state_folder() / "clusters"


def _history(folder: Path) -> Path:
    return folder / HIDDEN / "history.db"


def _written(folder: Path) -> int:
    """Return how much a copy has: an empty one may be newer, because somebody has looked at the empty stream."""
    from contextlib import closing

    from provisioning.adapters.sqlite.history import SqliteHistory

    if not _history(folder).is_file():
        return -1
    with closing(SqliteHistory(_history(folder))) as history:
        newest = history.list_runs(1)
        return int(newest[0].created_at.timestamp()) if newest else 0


def is_replica(folder: Path) -> bool:
    """Whether a folder has the copy of a cluster's history."""
    return folder.parent == _replicas()


def lease(joined: Joined) -> NatsLease:
    """Return the right to decide for the cluster's runs."""
    from provisioning.adapters.nats.lease import NatsLease

    return NatsLease(joined.cluster, identity())


def logs(joined: Joined, settings: Settings) -> NatsLogs:
    """Return where steps that run here keep their logs: they leave this machine. `start` and `aclose` it."""
    from provisioning.adapters.logs import TAIL_BYTES
    from provisioning.adapters.nats.logs import NatsLogs

    head = max(settings.log.max_bytes - TAIL_BYTES, settings.log.max_bytes // 2)
    return NatsLogs(joined.cluster, head_bytes=head, tail_bytes=settings.log.max_bytes - head)


def trial_server(folder: Path, port: int) -> TrialServer:
    """Return a server for trials, whose data stay in a folder. Raises UsageError where the extra is not installed."""
    _installed()
    from provisioning.adapters.nats.server import TrialServer

    return TrialServer(folder, port)


def shown_urls(access: Access) -> str:
    """Return where a cluster is, without passwords."""
    return ",".join(
        f"{scheme}{mark}{rest.rpartition('@')[2]}" for scheme, mark, rest in (u.rpartition("://") for u in access.urls)
    )


def worker_name() -> str:
    """Return what a worker is called that has no name: as its machine and process, so that no two are called the same."""
    import os
    import socket

    return f"{socket.gethostname().partition('.')[0] or 'worker'}-{os.getpid()}"


def beat(joined: Joined) -> Beat:
    """Return what says of a worker that it is there."""
    from provisioning.adapters.nats.presence import Beat

    return Beat(joined.cluster, clock())


def workers(joined: Joined, changed: Callable[[], None]) -> Workers:
    """Return what knows the workers that there are; `changed` is called when one says something."""
    from provisioning.adapters.nats.presence import Workers

    return Workers(joined.cluster, changed=changed)


async def workers_of(joined: Joined) -> tuple[Presence, ...]:
    """Return the workers that there are now, by name. Raises StoreError."""
    from provisioning.adapters.nats.presence import list_workers

    return await list_workers(joined.cluster)


async def present(joined: Joined) -> tuple[Presence, ...] | None:
    """Return the workers that are there and take tasks, by name; None where this login may not know them."""
    from provisioning.core.presence import fresh
    from provisioning.errors import StoreError

    try:
        return fresh(await workers_of(joined), clock().now())
    except StoreError:
        return None


async def list_workers(access: Access) -> tuple[Presence, ...]:
    """Return the workers that there are now, by name. Raises StoreError, ConfigError."""
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.presence import list_workers

    cluster = Cluster(access)
    try:
        return await list_workers(cluster)
    finally:
        await cluster.close()


def resources(joined: Joined, workspace: str) -> NatsResources:
    """Return the resource states of a workspace."""
    from provisioning.adapters.nats.resources import NatsResources

    return NatsResources(joined.cluster, workspace)


def fences(cluster: Cluster) -> Fences:
    """Return the fencing numbers of what is done on servers."""
    from provisioning.adapters.nats.fences import Fences

    return Fences(cluster)


def turns(joined: Joined) -> Turns:
    """Return whose turn it is to work on a workspace."""
    from provisioning.adapters.nats.turns import Turns

    return Turns(joined.cluster)


def run_logs(joined: Joined, run: str, heard: Callable[[Chunk], None] = lambda _chunk: None) -> RunLogs:
    """Return what brings the logs of a run here."""
    from provisioning.adapters.nats.runlogs import RunLogs

    return RunLogs(joined.cluster, joined.folder / HIDDEN / "logs", run, heard)


async def delete_logs(joined: Joined, run: str) -> None:
    """Remove the logs of a run: from the cluster, and those that were brought here."""
    from provisioning.adapters.logs import FileLogs
    from provisioning.adapters.nats.logs import log_stream, logs_of, stream_name
    from provisioning.adapters.nats.streams import ensure

    await ensure(joined.cluster, log_stream(joined.cluster))
    await joined.cluster.purge(stream_name(joined.cluster), logs_of(joined.cluster, run))
    FileLogs(joined.folder / HIDDEN / "logs").delete(run)


def log_name(step: str) -> str:
    """Return how the names of a step's logs begin, up to the first dot."""
    from provisioning.adapters.files import slug

    return slug(step)


def pack_site(infra: Infra, profiles: Collection[tuple[str, str]], lineage: str, folder: Path) -> tuple[str, bytes]:
    """Return what travels of a workspace, after its address. Raises ConfigError for what is too large."""
    from provisioning.adapters import sites

    trusted = known_hosts(folder)
    data = sites.pack(infra, profiles, lineage=lineage, known_hosts=trusted.read_bytes() if trusted.is_file() else b"")
    return sites.address(data), data


def collector(joined: Joined) -> LogCollector:
    """Return what brings the logs of the whole cluster to this machine's copy of its history."""
    from provisioning.adapters.nats.logcollector import LogCollector

    return LogCollector(joined.cluster, joined.folder / HIDDEN / "logs")


# ---------------------------------------------------------------- workspaces at workers


def site_folder(folder: Path) -> SiteFolder:
    """Return where a worker keeps the packages of workspaces."""
    from provisioning.adapters.sites import SiteFolder

    return SiteFolder(folder)


def hosts_of_sites(home: Path) -> Callable[[Sequence[Path], Sequence[Server], Settings], Hosts]:
    """Return what makes the connections to the servers of a package; relative paths of passwords begin at `home`."""

    def connect(known_hosts: Sequence[Path], servers: Sequence[Server], settings: Settings) -> Hosts:
        return hosts(home, servers, settings, known=known_hosts)

    return connect


def site_actions(site: PackedSite, links: Hosts, home: Path) -> Mapping[str, Action]:
    """Return what a worker can do with a package."""
    infra = Infra(workspace=site.workspace, name="", servers=site.servers, dag=None, taskservs=site.taskservs)
    return actions(infra, home, links, lineage=site.lineage, token=0)


def readable_secrets(site: PackedSite, home: Path) -> Mapping[str, str]:
    """Return the values of the secrets that a package names, as far as they can be read here, by a name for each."""
    infra = Infra(workspace=site.workspace, name="", servers=site.servers, dag=None, taskservs=site.taskservs)
    return {f"declared {number}": value for number, value in enumerate(declared_secrets(infra, home))}


# ---------------------------------------------------------------- parts


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = next((url for url in urls if not (is_url(url) and _names_a_host(url))), None)
    if wrong is not None or not urls:
        shown = (wrong or text).rpartition("@")[2]  # not the password
        hint = "for example nats://10.0.0.1:4222; several have commas between them"
        raise ConfigError(f"nats.url: '{shown}' is no URL of a NATS server", hint=hint)
    return urls


def _names_a_host(url: str) -> bool:
    with suppress(ValueError):  # a port that is none, half a bracket
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    return False


def _paths(base: Path) -> Callable[[str], Path | None]:
    return lambda text: base / Path(text).expanduser() if text else None


def _secrets(base: Path) -> Callable[[str, str], str]:
    from provisioning.adapters.secrets import ReferenceSecrets

    def resolve(name: str, reference: str) -> str:
        try:
            return ReferenceSecrets(base).resolve(reference) if reference else ""
        except ConfigError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint) from error

    return resolve


def _installed() -> None:
    from importlib.util import find_spec

    if find_spec("nats") is None:
        raise UsageError("clusters need nats-py, which is not installed", hint=EXTRA)


def overridden(settings: Settings, nats: Mapping[str, object]) -> Settings:
    """Return settings with others of the group `nats`, by their name in it. Raises ConfigError."""
    from dataclasses import replace

    from provisioning.settings import resolve

    try:
        given: NatsSettings = resolve(flags={f"nats.{name}": value for name, value in nats.items()}, environment={}).nats
    except ConfigError as error:  # a program shows its message alone
        said = "; ".join(fault.message for fault in error.faults) or error.message
        hint = next((fault.hint for fault in error.faults if fault.hint), error.hint)
        raise ConfigError(said, hint=hint, faults=error.faults) from error
    return replace(settings, nats=replace(settings.nats, **{name: getattr(given, name) for name in nats}))
