"""Resource states: what the state file says of one taskserv on one server. Records and pure transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from provisioning.core.frozen import dataclass
from provisioning.core.layered import Layered

STATE_VERSION = 1
LOG_LIMIT = 20  # entries kept per resource
WORKSPACE = "workspace"
"""The setting of a step on servers that says, in a cluster, whose fencing numbers count for it."""


class ResourceState(StrEnum):
    """The states a resource can be in."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did it: `identity` (user@host) through `source` (cli, api, schedule)."""

    identity: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of a resource's own history. `ts` is UTC, ISO 8601."""

    ts: str
    event: str
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One taskserv on one server. Times are UTC, ISO 8601; None is not known."""

    state: ResourceState
    operation: str = ""
    profile: str = ""
    digest: str = ""
    run_id: str = ""
    step: str = ""
    attempt: int = 0
    started_at: str | None = None
    ended_at: str | None = None
    blocker: str | None = None
    actor: Actor = field(default_factory=Actor)
    log: tuple[LogEntry, ...] = ()

    def logged(self, entry: LogEntry, **changes: Any) -> Resource:  # noqa: ANN401 - as `replace`
        """Return the resource, changed, with `entry` at the end of its log, the oldest entries dropped past `LOG_LIMIT`."""
        return replace(self, log=(*self.log, entry)[-LOG_LIMIT:], **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceBook:
    """The whole state file. Hosts and names are opaque keys."""

    lineage: str  # UUID given at the first write; a file of another lineage is not ours
    version: int = STATE_VERSION
    serial: int = 0  # grows by one with every write
    run: str = ""  # the run whose events were folded in last, and up to which one
    seq: int = 0
    newest: str = ""  # of all runs whose events were folded in, the one that was created last: `run` may be older, reopened
    servers: Mapping[str, Mapping[str, Resource]] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, server: str, taskserv: str) -> Resource | None:
        """Return the resource, or None when nothing was ever recorded."""
        return self.servers.get(server, {}).get(taskserv)

    def put(self, changes: Mapping[tuple[str, str], Resource | None]) -> ResourceBook:
        """Return a book with `changes` by (server, taskserv) applied; None forgets. The serial is the writer's to raise."""
        by_server: dict[str, dict[str, Resource | None]] = {}
        for (server, taskserv), resource in changes.items():
            by_server.setdefault(server, {})[taskserv] = resource
        kept = {
            server: Layered.over(self.servers.get(server, {})).updated(resources) for server, resources in by_server.items()
        }
        servers = Layered.over(self.servers).updated({server: resources or None for server, resources in kept.items()})
        return replace(self, servers=servers)
