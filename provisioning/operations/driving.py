"""Drives one run to its end in this process, and stops it when somebody asks the process to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress

from provisioning.core.run import Run
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Worker
from provisioning.errors import ProvisioningError
from provisioning.operations.audience import Audience

HARD_EXIT = 130


async def drive(
    runner: Runner,
    worker: Worker,
    audience: Audience,
    run_id: str,
    start: Awaitable[Run],
    interrupt: Callable[[], Coroutine[None, None, None]],
) -> None:
    """Start a run and serve it until it has ended. Raises what stopped us, after stopping what runs."""

    def abort() -> None:
        audience.on_abort()
        os._exit(HARD_EXIT)

    try:
        with stop_signals(interrupt, abort):
            async with asyncio.TaskGroup() as group:
                serving = [group.create_task(runner.serve()), group.create_task(worker.serve())]
                await start
                audience.on_run(run_id)
                await runner.ended(run_id)
                for task in serving:
                    task.cancel()
    except BaseExceptionGroup as group_error:
        raise _first(group_error) from None


@contextmanager
def stop_signals(interrupt: Callable[[], Coroutine[None, None, None]], abort: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a stop; the second one leaves at once. The journal says what was open."""
    loop = asyncio.get_running_loop()
    asked: list[asyncio.Task[None]] = []

    def ask() -> None:
        if asked:
            abort()
        asked.append(loop.create_task(interrupt()))

    # Only the main thread may handle signals: inside a server, its own handlers stand.
    with suppress(ValueError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        with suppress(ValueError, RuntimeError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that stopped the group: one of ours if there is one."""
    flat: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        error = rest.pop()
        if isinstance(error, BaseExceptionGroup):
            rest.extend(error.exceptions)
        else:
            flat.append(error)
    return next((error for error in flat if isinstance(error, ProvisioningError)), flat[0])
