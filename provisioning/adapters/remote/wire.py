"""One request under way: its two output streams are waited for without a thread and read as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from provisioning.adapters.remote.answer import Answer
from provisioning.adapters.remote.request import Request
from provisioning.errors import HostError

T = TypeVar("T")

Chunk = tuple[bool, bytes]
"""Whether it came from standard error, and bytes; no bytes say that this stream has ended."""


class LinkLost(Exception):
    """The link ended, or never came up, while the server may still be working. Ask it."""


class Wire(Protocol):
    """A started wrapper. Used by one coroutine."""

    def watched(self) -> list[int]:
        """Return file descriptors that are readable when `read` has something to return; fewer once streams have ended."""
        ...

    def read(self) -> list[Chunk]:
        """Return what there is, in pieces of bounded size, without waiting."""
        ...

    def exit_code(self) -> int | None:
        """Return the wrapper's own exit status once both streams have ended; None when the link broke instead."""
        ...

    def close(self) -> None:
        """Let go of it. The wrapper may still be running. Closing twice is no error."""
        ...


class Shell(Protocol):
    """A way to start the wrapper on one server."""

    @property
    def server(self) -> str:
        """The server's name, for messages."""
        ...

    async def open(self, request: Request) -> Wire:
        """Start the wrapper and send the request. Raises LinkLost when that broke off, HostError when it cannot work."""
        ...

    def refusal(self, code: int, notes: str) -> HostError:
        """Return why the wrapper did not even start: its exit status, and the last words on standard error."""
        ...


def missing_programs(server: str, code: int, notes: str) -> HostError:
    """Return the refusal of a server on which the wrapper cannot run."""
    return HostError(
        f"{server}: the wrapper did not start (exit {code}): {notes or 'no message'}",
        hint="the server needs bash, tar, gzip, flock and coreutils",
        server=server,
    )


async def listen(wire: Wire, answer: Answer, output: Callable[[bool, bytes], None]) -> None:
    """Feed the answer until it is complete or both streams have ended; `output` gets (from standard error, bytes)."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    watched = set(wire.watched())
    for descriptor in watched:
        loop.add_reader(descriptor, readable.set)
    try:
        open_streams = {False, True}
        while answer.verdict is None and open_streams:
            open_streams -= _feed(wire.read(), answer, output)
            for descriptor in watched - set(wire.watched()):  # an ended stream is readable for ever
                loop.remove_reader(descriptor)
            if answer.verdict is None and open_streams:
                await readable.wait()  # one server's flood does not keep the others waiting: this yields to the loop
                readable.clear()
    finally:
        for descriptor in watched:
            loop.remove_reader(descriptor)


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


def _feed(chunks: Iterable[Chunk], answer: Answer, output: Callable[[bool, bytes], None]) -> set[bool]:
    ended = set()
    for from_errors, data in chunks:
        if not data:
            ended.add(from_errors)
        shown = answer.feed_err(data) if from_errors else answer.feed_out(data)
        if shown:
            output(from_errors, shown)
    return ended
