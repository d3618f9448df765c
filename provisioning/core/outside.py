"""What actions need from the outside besides servers: programs on this machine, and answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.ports import Output

NOTHING: Mapping[str, str] = MappingProxyType({})

# ---------------------------------------------------------------- programs


@dataclass(frozen=True, slots=True)
class Content:
    """Stands among the words of a program for the path of a private file with this content, removed when it has ended."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something to run, in a session and process group of its own."""

    words: Sequence[str | Content]  # the program, found on the PATH it is given, and its arguments
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING, repr=False)  # added to ours
    clean_env: bool = False  # `env` is all there is
    cwd: str = ""  # "" is ours
    stdin: bytes = field(default=b"", repr=False)
    grace_s: float = 5.0  # between asking it to end and killing it
    stop_signal: str = "SIGTERM"  # how it is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    kind: str  # exit | signal | missing (there is no such program) | start (it could not be started)
    code: int = 0  # exit code, or signal
    message: str = ""  # of missing and start: why, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Who hears what a program says while it runs. `note` is for what we have to say of it ourselves."""

    stdout: Output
    stderr: Output
    note: Callable[[str], None] = lambda _text: None


class Processes(Protocol):
    """Runs programs on this machine."""

    async def run(self, program: Program, ears: Ears) -> Ended:
        """Run it to its end: not to that of what it leaves running, whatever that holds open.

        Cancelling asks all its processes to end, kills them after `grace_s`, and returns when they are gone.
        """
        ...


# ---------------------------------------------------------------- files


class Appending(Protocol):
    """A file that grows at its end."""

    def write(self, data: bytes) -> None:
        """Append. Raises StoreError."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Disk(Protocol):
    """Files on this machine that belong to somebody else: we read them, add to them, and make folders for them."""

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return what is in a file; None when there is no such file. Raises StoreError, also for more than the limit."""
        ...

    def append_to(self, path: str) -> Appending:
        """Open a file for adding to it; make it, and the folders above it, when missing. Raises StoreError."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it, unless it is there. Raises StoreError."""
        ...


# ---------------------------------------------------------------- http


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The addresses of a host, best first; or none, and why."""

    addresses: Sequence[str] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request to one server, whose answer is taken as it is: redirects are the caller's business."""

    method: str
    scheme: str  # http | https
    host: str  # what certificate and `Host` are about
    port: int
    target: str  # path and query, as they are sent
    addresses: Sequence[str]  # of the host: no other one is connected to
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout_s: float = 30.0  # for all of it
    max_bytes: int = 1024 * 1024  # of the body, as it comes and after decompression
    verify: bool = True  # the server's certificate
    proxy: str = field(default="", repr=False)  # URL of one to go through; `addresses` is not used then


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of an exchange. `too_large` has status, headers and the beginning of the body, too."""

    kind: str  # answer | too_large | connect | timeout | tls | dns (of the proxy) | protocol
    message: str = ""  # of all but answer: why, for people
    status: int = 0
    reason: str = ""
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)  # decompressed

    def header(self, name: str) -> str:
        """Return the first header of that name, in any case; nothing when there is none."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")


class Fetch(Protocol):
    """Speaks HTTP."""

    async def resolve(self, host: str, *, timeout_s: float) -> Resolved:
        """Look a name up, once."""
        ...

    def proxy(self, scheme: str, host: str) -> str:
        """Return the URL of the proxy that the environment names for such a request; nothing when it names none."""
        ...

    async def exchange(self, exchange: Exchange) -> Fetched:
        """Send a request and take the answer. Cancelling closes the connection, and returns when it is closed."""
        ...
