"""What the engine needs of servers: what is sent there, what runs there and how it ended, and the links that lead there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.ports import Output

if TYPE_CHECKING:  # loading a run needs neither servers nor their states
    from provisioning.core.declare import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A named, journalled piece of work on a server (design T3). Its id is (lineage, run, step, attempt)."""

    lineage: str
    run: str
    step: str
    attempt: int
    server: str
    taskserv: str
    formula: str = ""
    profile: str = "default"
    operation: str = "install"
    digest: str = ""  # of the bundle: an open unit with the same digest and operation may be adopted
    token: int = 0  # fencing token: lower ones are refused
    timeout_s: float = 1800.0
    idempotent: bool = False  # a claim without result may run again
    fresh: bool = False  # asked for anew: the success of an attempt that `resumes` does not name is not taken for it
    resumes: tuple[str, int, str] | None = None  # (run, attempt, step) of an interrupted attempt to ask for first
    upload_only: bool = False
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)  # name -> value


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How something on a server ended.

    `kind`: exit (see `code`), signal (`code` is its number), timeout, fenced (a higher token was there first),
    refused (claim exists without result and must not be repeated), unknown (link lost: ask again), not_running.
    """

    kind: str
    code: int = 0
    adopted: bool = False  # the result of an attempt that had been started before
    message: str = ""
    stdout: bytes = b""  # probes only: the first 64 KiB

    @property
    def ok(self) -> bool:
        """Whether it ran and ended with 0."""
        return self.kind == "exit" and self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What is sent to a server: a reproducible tar.gz, and files that hold secrets apart from it."""

    data: bytes = field(repr=False)
    digest: str = ""
    entry: str = ""  # the script to run, relative to the bundle
    files: tuple[tuple[str, bool, bytes], ...] = field(default=(), repr=False)  # name, executable, content; none: see `data`
    secret_data: bytes = field(default=b"", repr=False)  # tar.gz of rendered files with secret values; goes to tmpfs only


class HostLink(Protocol):
    """One live connection to one server, shared by every step and probe of the run."""

    async def start(self, unit: Unit, bundle: Bundle, output: Output) -> Exit:
        """Deliver the bundle, run it as a named unit, relay its output, return how it ended.

        Where the unit, or an open one of the same workspace, server and taskserv, exists already, it is adopted.
        A lost link is `Exit(kind="unknown")` after the adapter's own attempts to reconnect and ask have failed.
        Raises HostError when no connection could be made at all. Cancelling stops the unit and waits until it is gone.
        """
        ...

    async def probe(self, command: str, *, timeout_s: float, output: Output) -> Exit:
        """Run a shell command with no claim and nothing kept; after `timeout_s` it is killed on the server too."""
        ...


class Hosts(Protocol):
    """Connections to servers, one each, opened when first needed."""

    async def link(self, server: Server, *, address: str | None = None) -> HostLink:
        """Return the live connection. `address` is None, "public" or "private". Raises HostError."""
        ...

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """Open connections in parallel; return for each hostname its error or None."""
        ...

    async def recorded(self) -> None:
        """Say that every end of a unit that was passed on has been recorded: servers may forget what it printed."""
        ...

    async def close(self) -> None:
        """Close all connections. Work that runs on servers goes on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """Everything a bundle is made from."""

    profile_path: str
    taskserv: str
    profile: str
    operation: str
    formula: str
    server: Mapping[str, object]  # what templates see
    params: Mapping[str, object]
    workspace: Mapping[str, object]
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # name -> reference


class Bundles(Protocol):
    """Renders and packs taskservs."""

    async def build(self, request: BundleRequest) -> tuple[Bundle, Mapping[str, str]]:
        """Return the bundle and the secret values it used, by name, so that output can be masked. Raises ConfigError."""
        ...
