"""What a workspace declares: servers, taskservs, formulas and the composition over them.

The records hold what the files say after defaults were filled in. `composition` has been merged into the formulas.
Everything is immutable and in declaration order, so index i here is index i in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType

from provisioning.core.frozen import dataclass
from provisioning.core.naming import NAME_PATTERN as NAME_PATTERN  # noqa: PLC0414 - those of a declaration find it here

EMPTY: Mapping[str, object] = MappingProxyType({})


class DepKind(StrEnum):
    """When a node may start, seen from the node it depends on."""

    ON_SUCCESS = "on_success"
    ALWAYS = "always"
    ON_FAILURE = "on_failure"


class Condition(StrEnum):
    """What a formula waits for in the formula it depends on."""

    HEALTHY = "healthy"  # nodes completed and gate passed
    COMPLETED = "completed"  # nodes completed, gate not awaited
    FINISHED = "finished"  # whatever the outcome


class OnError(StrEnum):
    """What the failure of a node does to its formula."""

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDep:
    """A dependency inside a formula."""

    node_id: str
    kind: DepKind = DepKind.ON_SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One taskserv to install on the formula's server."""

    id: str
    taskserv: str
    profile: str = "default"
    component: bool = False  # written with the newer key `component`; means the same
    depends_on: tuple[NodeDep, ...] = ()
    parallel: bool = False  # may run beside other nodes on the same server
    on_error: OnError = OnError.STOP
    max_retries: int = 0
    timeout_s: float | None = None
    params: Mapping[str, object] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthGate:
    """A command that must succeed on the formula's server before dependents may start."""

    check_cmd: str
    retries: int = 6  # probes, at least 1
    timeout_ms: int = 60_000  # for the whole gate, probes included
    probe_timeout_ms: int | None = None
    interval_ms: int | None = None
    expected: str | None = None  # a literal line, or `re:` and a pattern
    address: str | None = None  # "public" or "private": which address to probe over


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaDep:
    """A dependency between formulas."""

    formula_id: str
    condition: Condition = Condition.HEALTHY


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """An ordered group of nodes for one server, and its place in the composition."""

    id: str
    server: str
    nodes: tuple[Node, ...] = ()
    max_parallel: int = 4
    depends_on: tuple[FormulaDep, ...] = ()
    parallel: bool = False
    health_gate: HealthGate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dag:
    """All formulas of one infrastructure, in declaration order."""

    formulas: tuple[Formula, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """How to become root after login: `sudo -n`, or with the password behind a secret reference."""

    method: str = "sudo"
    password: str | None = None  # a secret reference such as `env:SUDO_PASSWORD`, never the password


@dataclass(frozen=True, slots=True, kw_only=True)
class SshLogin:
    """How to log in. None means: as `~/.ssh/config` says, else as OpenSSH would."""

    user: str | None = None
    port: int | None = None
    key_path: str | None = None
    proxy_jump: str | None = None
    become: Become | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One machine reached over SSH."""

    hostname: str
    address: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    ssh: SshLogin = field(default_factory=SshLogin)
    site: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def address_for(self, kind: str | None = None) -> str | None:
        """Return the address to connect to, or None when the asked kind is not declared.

        Without a kind: `address`, else `public_ip`, else `private_ip`.
        """
        if kind == "public":
            return self.public_ip
        if kind == "private":
            return self.private_ip
        return self.address or self.public_ip or self.private_ip


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamSpec:
    """A parameter that a taskserv declares."""

    type: str = "string"  # string | integer | number | boolean | list | map | secret
    default: object = None
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One folder of a taskserv: its scripts and templates."""

    name: str
    path: str  # absolute folder
    files_digest: str  # over relative names, modes and contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Taskserv:
    """A service that can be installed on a server."""

    name: str
    path: str  # absolute folder
    profiles: Mapping[str, Profile]
    version: str = ""
    description: str = ""
    operations: tuple[str, ...] = ("install",)
    idempotent: bool = False
    requires: tuple[str, ...] = ()  # capabilities
    provides: tuple[str, ...] = ()
    conflicts_with: tuple[str, ...] = ()  # names of taskservs or capabilities
    timeout_s: float | None = None
    params: Mapping[str, ParamSpec] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A folder that a team owns."""

    name: str
    path: str  # absolute folder
    default_infra: str | None = None
    params: Mapping[str, object] = field(default_factory=lambda: EMPTY)
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # name -> reference
    settings: Mapping[str, object] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infra:
    """One infrastructure of a workspace, loaded and valid in itself."""

    workspace: Workspace
    name: str
    servers: tuple[Server, ...]
    dag: Dag | None  # None: no dag file, so no ordering and no gates
    taskservs: Mapping[str, Taskserv]  # every taskserv that can be found, by name
    files: tuple[str, ...] = ()  # what was read, relative to the workspace
