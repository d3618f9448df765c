"""Calls of nats-py that may be cancelled.

While it flushes, nats-py 2.16 swallows the cancellation of whoever waits: the task goes on as if nothing had been, and whoever
cancelled it waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heeded(call: Awaitable[T]) -> T:
    """Wait for a call; raise CancelledError when the task was cancelled meanwhile, whatever became of the call."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await call
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
