"""A worker from its start to its end, as a process: what it says, and what signals do."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from provisioning import clusters, userfile
from provisioning.client.engine import Options
from provisioning.client.node import Duty, Node
from provisioning.core.frozen import dataclass
from provisioning.errors import UsageError
from provisioning.settings import Settings

HARD_EXIT = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A server of our own that is wanted beside the worker."""

    folder: Path | None = None  # None: below the user's state folder
    port: int = 4222


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a worker says when it has begun."""

    url: str
    namespace: str
    duty: Duty


async def work(
    settings: Settings,
    base: Path | None,
    duty: Duty,
    *,
    drain_s: float,
    trial: Trial | None,
    ready: Callable[[Ready], None],
    say: Callable[[str], None],
    options: Options,
) -> bool:
    """Work until SIGTERM or Ctrl-C, then let what runs end, for at most `drain_s`; return whether all of it has.

    Of the `options`, `pools` and `runs` count, while this process decides.

    Raises UsageError, ConfigError, StoreError.
    """
    async with _served(settings, trial) as found:
        access = clusters.access(found, base)
        if access is None:
            raise UsageError("no cluster is named", hint="give --nats URL, or --with-server for a trial on this machine")
        joined = await clusters.join(access)
        joined.cluster.reconnected.add(lambda: say(f"{clusters.shown_urls(access)} answers again"))
        try:
            alert_at = settings.dead_letters.alert_at
            whole = replace(options, slots=duty.slots, worker=duty.name, alert_at=alert_at)
            async with Node(joined, duty, found, whole) as node:
                ready(Ready(url=clusters.shown_urls(access), namespace=access.namespace, duty=duty))
                return await _until_ended(node, drain_s, say)
        finally:
            await joined.aclose()


async def _until_ended(node: Node, drain_s: float, say: Callable[[str], None]) -> bool:
    asked = asyncio.Event()
    with _signals(asked):
        ending = asyncio.create_task(asked.wait())
        broken = asyncio.create_task(node.done())
        await asyncio.wait([ending, broken], return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
        ending.cancel()
        if broken.done() and not broken.cancelled():
            broken.result()
        say(f"taking nothing new; {_steps(node.busy)} may end within {drain_s:g} s; the same again leaves at once")
        node.drain()
        ended = await node.done(drain_s)
        if not ended:
            say(f"the time is over: {_steps(node.busy)} stopped, others begin again")
        return ended


def _steps(count: int) -> str:
    return f"{count} {'step' if count == 1 else 'steps'}"


@contextmanager
def _signals(asked: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT ask for an end; the second one leaves at once. SIGHUP is left alone: a worker has no terminal."""

    def ask() -> None:
        if asked.is_set():
            os._exit(HARD_EXIT)
        asked.set()

    loop = asyncio.get_running_loop()
    with suppress(ValueError, RuntimeError):  # only the main thread may
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
    yield  # until the process ends: what comes while it stops must not kill it half-way


@asynccontextmanager
async def _served(settings: Settings, trial: Trial | None) -> AsyncIterator[Settings]:
    """Have a server of our own at work, if one is wanted; yield the settings that lead to it."""
    if trial is None:
        yield settings
        return
    server = clusters.trial_server(trial.folder or userfile.state_folder() / "nats", trial.port)
    await server.start()
    try:
        yield replace(settings, nats=replace(settings.nats, url=server.url))
    finally:
        await server.stop()
