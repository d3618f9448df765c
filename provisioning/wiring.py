"""The only place that picks adapters. Every function imports what it picks when it is called: start-up stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.adapters.lock import RunLock, WorkspaceLock
    from provisioning.adapters.memory.bell import Bell
    from provisioning.adapters.nats.connect import Cluster
    from provisioning.adapters.nats.definitions import Answers, DefinitionService
    from provisioning.adapters.packages import PackageFolder
    from provisioning.adapters.slots import Slots
    from provisioning.adapters.sqlite.pages import RunPages
    from provisioning.adapters.sqlite.people import SqlitePeople
    from provisioning.adapters.sqlite.store import SqliteStore
    from provisioning.adapters.ssh.connect import SshOptions
    from provisioning.adapters.ssh.hosts import SshHosts
    from provisioning.adapters.statefile import StateFile
    from provisioning.core.dagu.definitions import Coordinator, Packages
    from provisioning.core.dagu.functions import Function
    from provisioning.core.dagu.package import Member
    from provisioning.core.dagu.placing import Here
    from provisioning.core.declare import Infra, Server
    from provisioning.core.errands import Filters, Mailer, RemoteShell
    from provisioning.core.hosts import Hosts
    from provisioning.core.ports import Clock, LogStore
    from provisioning.engine.actions import Action
    from provisioning.engine.actions.dagu.runs import Definitions, Runs
    from provisioning.engine.actions.dagu.tools import Readers, Tools
    from provisioning.settings import Settings

HIDDEN = ".provisioning"


def clock() -> Clock:
    """Return the machine's clock."""
    from provisioning.adapters.clock import SystemClock

    return SystemClock()


def identity() -> str:
    """Return who we are, as user@host."""
    import getpass
    import os
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def new_run_id() -> str:
    """Return a UUID of version 7: it sorts by time, and its first digits are enough to name a run."""
    import secrets
    import time

    value = (int(time.time() * 1000) << 80) | (0x7 << 76) | (secrets.randbits(12) << 64) | (0b10 << 62) | secrets.randbits(62)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def state_file(folder: Path) -> StateFile:
    """Return the state file of a workspace."""
    from provisioning.adapters.sqlite.serials import StateSerials
    from provisioning.adapters.statefile import StateFile

    return StateFile(folder / HIDDEN / "state.json", serials=StateSerials(folder / HIDDEN / "history.db"))


def workspace_lock(folder: Path) -> WorkspaceLock:
    """Return the lock of a workspace."""
    from provisioning.adapters.lock import WorkspaceLock

    return WorkspaceLock(folder)


def run_lock(folder: Path, run_id: str) -> RunLock:
    """Return the lock of one run of a folder in which several processes drive a run each. Raises UsageError."""
    from provisioning.adapters.files import run_name
    from provisioning.adapters.lock import RunLock

    return RunLock(folder / HIDDEN / "runs" / f"{run_name(run_id)}.lock")


def slots(folder: Path, queue: str, size: int) -> Slots:
    """Return the slots of a queue, shared by all processes that run something of a folder. Raises UsageError."""
    from provisioning.adapters.slots import Slots

    return Slots(folder / HIDDEN / "queues", queue, size)


def open_store(folder: Path) -> SqliteStore:
    """Open the journal and history of a workspace."""
    from provisioning.adapters.sqlite.store import SqliteStore

    return SqliteStore(folder / HIDDEN / "history.db", clock())


def run_pages(folder: Path) -> RunPages:
    """Return what reads pages of runs out of a folder's history."""
    from provisioning.adapters.sqlite.pages import RunPages

    return RunPages(folder / HIDDEN / "history.db")


def people_store(folder: Path) -> SqlitePeople:
    """Return the users, tokens and audit log of a server whose data are in a folder."""
    from provisioning.adapters.sqlite.people import SqlitePeople

    return SqlitePeople(folder / HIDDEN / "server.db")


def has_history(folder: Path) -> bool:
    """Whether anything ever ran in a folder."""
    import os

    return os.path.exists(folder / HIDDEN / "history.db")  # noqa: PTH110 -- never raises, however long the name is


def log_store(folder: Path, settings: Settings) -> LogStore:
    """Return where the attempts of a workspace's runs keep their logs."""
    from provisioning.adapters.logs import TAIL_BYTES, FileLogs

    head = max(settings.log.max_bytes - TAIL_BYTES, settings.log.max_bytes // 2)
    return FileLogs(folder / HIDDEN / "logs", head_bytes=head, tail_bytes=settings.log.max_bytes - head)


def find_log(folder: Path, run: str, step: str, attempt: int) -> str:
    """Return the path of an attempt's log, also while the attempt goes on; nothing when there is none."""
    from provisioning.adapters.logs import FileLogs

    return FileLogs(folder / HIDDEN / "logs").find(run, step, attempt)


def place_logs(folder: Path, run_id: str, parent: Path) -> None:
    """Have the logs of a run below another folder. Raises StoreError."""
    from provisioning.adapters.logs import FileLogs

    FileLogs(folder / HIDDEN / "logs").place(run_id, parent)


def last_lines(log: str, count: int = 10) -> list[str]:
    """Return the last lines of an attempt's log; none when it is not there."""
    from provisioning.adapters.logs import read_log
    from provisioning.errors import ProvisioningError

    try:
        return read_log(Path(log), lines=count).splitlines() if log else []
    except ProvisioningError:
        return []


def known_hosts(folder: Path) -> Path:
    """Return the workspace's own file of trusted host keys, read beside the user's."""
    return folder / HIDDEN / "known_hosts"


def hosts(folder: Path, servers: Sequence[Server], settings: Settings, known: Sequence[Path] = ()) -> SshHosts:
    """Return the connections to the servers of a workspace. `servers` are those that `proxy_jump` may name.

    `known` are files of trusted host keys, instead of the workspace's own.
    """
    from provisioning.adapters.secrets import ReferenceSecrets
    from provisioning.adapters.ssh.hosts import SshHosts

    return SshHosts(
        servers=servers,
        known_hosts=tuple(known) or (known_hosts(folder),),
        secrets=ReferenceSecrets(folder),
        options=_ssh_options(settings),
    )


def load_ahead() -> None:
    """Import in the background what work on servers needs, while whoever is about to begin it waits for a disk."""
    import threading
    from contextlib import suppress

    def load() -> None:
        with suppress(ImportError):  # whoever needs it says so
            from provisioning.adapters import bundle  # noqa: F401
            from provisioning.adapters.ssh.lean import load_paramiko

            load_paramiko()

    threading.Thread(target=load, name="load-ahead", daemon=True).start()


def _ssh_options(settings: Settings) -> SshOptions:
    from provisioning.adapters.ssh.connect import SshOptions

    limit = settings.ssh.connect_timeout_s
    return SshOptions(
        tries=settings.ssh.connect_attempts,
        dead_after_s=settings.ssh.dead_after_s,
        patience_s=settings.ssh.reconnect_s,
        connect_s=limit,
        greeting_s=limit,
        login_s=limit + 5,
    )


def declared_secrets(infra: Infra, folder: Path) -> Sequence[str]:
    """Return the values of all secrets that a workspace and its servers name, as far as they can be read."""
    from provisioning.adapters.secrets import ReferenceSecrets

    becomes = (server.ssh.become for server in infra.servers)
    passwords = (become.password for become in becomes if become is not None and become.password is not None)
    return ReferenceSecrets(folder).readable({*infra.workspace.secrets.values(), *passwords})


def actions(infra: Infra, folder: Path, links: Hosts, *, lineage: str, token: int) -> Mapping[str, Action]:
    """Return what the worker can do."""
    from provisioning.adapters.bundle import TarBundles
    from provisioning.adapters.secrets import ReferenceSecrets
    from provisioning.engine.actions.probe import ProbeAction
    from provisioning.engine.actions.taskserv import Site, TaskservAction

    site = Site(
        workspace=infra.workspace,
        servers={server.hostname: server for server in infra.servers},
        taskservs=infra.taskservs,
        lineage=lineage,
        token=token,
    )
    bundles = TarBundles(ReferenceSecrets(folder))
    return {"taskserv": TaskservAction(site, bundles, links), "probe": ProbeAction(site, links)}


def local_actions() -> Mapping[str, Action]:
    """Return what a worker can do without any server: commands, requests, containers."""
    from provisioning.adapters.fetch import HttpFetch
    from provisioning.adapters.processes import LocalProcesses
    from provisioning.engine.actions.docker import DockerAction
    from provisioning.engine.actions.http import HttpAction
    from provisioning.engine.actions.shell import ShellAction

    processes = LocalProcesses()
    return {"shell": ShellAction(processes), "http": HttpAction(HttpFetch()), "docker": DockerAction(processes)}


def bell() -> Bell:
    """Return something that wakes who waits for it."""
    from provisioning.adapters.memory.bell import Bell

    return Bell()


def mailer() -> Mailer:
    """Return what sends mail."""
    from provisioning.adapters.mail import SmtpMailer

    return SmtpMailer()


def filters() -> Filters:
    """Return what runs jq programs."""
    from provisioning.adapters.jq import JqFilters

    return JqFilters()


def remote_shell(settings: Settings, *, known_hosts: Sequence[Path] = ()) -> RemoteShell:
    """Return what runs commands on other machines. `known_hosts` are files of host keys besides OpenSSH's own."""
    from provisioning.adapters.ssh.shell import SshRemoteShell

    return SshRemoteShell(known_hosts=known_hosts, options=_ssh_options(settings))


def dagu_tools(dags: Path, settings: Settings, functions: Callable[[], Mapping[str, Function]], readers: Readers) -> Tools:
    """Return what the steps of Dagu files need from the outside. What few of them need is made when it is needed."""
    import os

    from provisioning.adapters.disk import LocalDisk
    from provisioning.adapters.processes import LocalProcesses
    from provisioning.adapters.secrets import ReferenceSecrets
    from provisioning.engine.actions.dagu.tools import OnDemand, Tools

    processes = LocalProcesses()
    return Tools(
        processes=processes,
        disk=LocalDisk(),
        secrets=ReferenceSecrets(dags),
        mailer=OnDemand(mailer),
        filters=OnDemand(filters),
        remote=OnDemand(lambda: remote_shell(settings)),
        http=OnDemand(lambda: local_actions()["http"]),
        docker=OnDemand(lambda: local_actions()["docker"]),
        environment=lambda: dict(os.environ),
        functions=functions,
        readers=readers,
    )


def folder_members(folder: Path, skipped: Callable[[str], bool]) -> Sequence[Member]:
    """Return the files of a folder of DAGs that travel with one of them; see `adapters.packages`. Raises ConfigError."""
    from provisioning.adapters import packages

    return packages.folder_members(folder, skipped)


def package_folder(folder: Path) -> PackageFolder:
    """Return where a worker keeps packages, and has their files laid out for runs."""
    from provisioning.adapters.packages import PackageFolder

    return PackageFolder(folder / HIDDEN / "packages")


def definition_service(cluster: Cluster, answers: Answers) -> DefinitionService:
    """Return what answers workers' questions for definitions while it is served; `answers` knows them."""
    from provisioning.adapters.nats.definitions import DefinitionService

    return DefinitionService(cluster, answers)


def coordinator(cluster: Cluster) -> Coordinator:
    """Return what a worker asks for definitions that it lacks."""
    from provisioning.adapters.nats.definitions import NatsCoordinator

    return NatsCoordinator(cluster)


def packages(cluster: Cluster) -> Packages:
    """Return where the packages of runs are, for every worker."""
    from provisioning.adapters.nats.packages import NatsPackages

    return NatsPackages(cluster)


def dagu_actions(tools: Tools, runs: Runs, definitions: Definitions, here: Here | None = None) -> Mapping[str, Action]:
    """Return the actions of Dagu files, of a worker whose runner is `runs`; `here` is that worker, where there are several."""
    from provisioning.engine.actions.dagu.kinds import kinds

    return kinds(tools, runs, definitions, here)


def end_leftovers(run_id: str, grace_s: float) -> Coroutine[None, None, Sequence[object]]:
    """End what a dead engine has left running for a run; see `adapters.leftovers`."""
    from provisioning.adapters import leftovers

    return leftovers.end_leftovers(run_id, grace_s)
