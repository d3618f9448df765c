"""The two ends of a wrapper that runs: bytes to it, one stream of bytes from it, without a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from provisioning.errors import HostError

T = TypeVar("T")


class LinkLost(Exception):
    """The link ended, or never came up, while the server may still be working. Ask it."""


class Wire(Protocol):
    """A started wrapper."""

    async def write(self, data: bytes) -> None:
        """Send all of it, in one piece: who writes next waits. Raises LinkLost when the connection is gone."""
        ...

    def listen(self, there: Callable[[], None]) -> None:
        """Have `there` called, in the running event loop, for as long as `read` may have something to return."""
        ...

    def read(self) -> bytes | None:
        """Return a piece of what has come, of bounded size; None when there is nothing yet, no bytes when it has ended.

        This is standard output. The wrapper leaves standard error alone: the order of the two is not known here.
        """
        ...

    def aside(self) -> str:
        """Return the last words on standard error: a login shell's."""
        ...

    async def exit_code(self) -> int | None:
        """Return the wrapper's own exit status once the stream has ended; None when the link broke instead."""
        ...

    def close(self) -> None:
        """Let go of it. What the wrapper has started goes on. Closing twice is no error."""
        ...


class Shell(Protocol):
    """A way to start the wrapper on one server."""

    @property
    def server(self) -> str:
        """The server's name, for messages."""
        ...

    async def open(self, program: bytes) -> Wire:
        """Start the wrapper and send its program. Raises LinkLost when that broke off, HostError when it cannot work."""
        ...

    def refusal(self, code: int, notes: str) -> HostError:
        """Return why the wrapper did not even start: its exit status, and the last words on standard error."""
        ...


def missing_programs(server: str, code: int, notes: str) -> HostError:
    """Return the refusal of a server on which the wrapper cannot run."""
    return HostError(
        f"{server}: the wrapper did not start (exit {code}): {notes or 'no message'}",
        hint="the server needs perl and bash (on Debian and Ubuntu: perl-base), and tar and gzip for large bundles",
        server=server,
    )


async def made_in_thread(executor: Executor | None, make: Callable[[], T], discard: Callable[[T], None]) -> T:
    """Run blocking `make` in a thread. When we are cancelled meanwhile, what it makes is discarded as soon as it is there."""

    def clean_up(made: asyncio.Future[T]) -> None:
        if not made.cancelled() and made.exception() is None:
            discard(made.result())

    future = asyncio.get_running_loop().run_in_executor(executor, make)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(clean_up)
        raise
