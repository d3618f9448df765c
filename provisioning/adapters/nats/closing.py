"""Ends of connections: nats-py leaves sockets, and tasks that were cancelled, behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client

ENDS_WITHIN_S = 0.25  # a task that was cancelled


def dropped(client: Client) -> None:
    """Close the socket of an attempt to connect that failed: nats-py opens the next one and forgets it."""
    if client._transport is not None:
        client._transport.close()  # type: ignore[no-untyped-call]


async def closed(client: Client) -> None:
    """Close a connection, and what an attempt to make it again has opened meanwhile."""
    try:
        await client.close()
        await _end_attempts(client)
    except Exception as error:  # a connection that is gone cannot be closed well, and nothing depends on it
        logging.getLogger("nats").debug("closing: %s", error)


async def _end_attempts(client: Client) -> None:
    attempts = client._reconnection_task
    if attempts is not None and attempts is not asyncio.current_task():
        attempts.cancel()
        await asyncio.wait([attempts], timeout=ENDS_WITHIN_S)
        dropped(client)


def heed_cancellation() -> None:
    """Raise CancelledError in a task that was cancelled and goes on.

    nats-py tells us of each attempt to reconnect that failed; where `asyncio.wait_for` swallowed a cancellation in it, as it
    may before Python 3.12, it would try for ever, and so keep the event loop from ending.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def closed_with_loop(client: Client) -> AsyncIterator[None]:
    """Close the connection when its event loop ends, whoever forgot to: a loop closes the generators it has begun."""
    try:
        yield
    finally:
        await closed(client)
