"""Connections of clients that do not send what they have begun, or do not take what they asked for, are closed."""

from __future__ import annotations

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 20.0  # for the whole of a request
TAKEN_MS = 30_000  # how long sent bytes may stay without an answer of the other machine, or its window closed


class Patience(H11Protocol):
    """uvicorn's own waits for ever for a request whose first byte is there; each such connection is one that others lack."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Begin to count when the client owes a request or the rest of one; stop when it is there."""
        if not self._owes():
            self._forget()
        elif self._limit is None:
            self._limit = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _owes(self) -> bool:
        state = self.conn.their_state
        return state is h11.SEND_BODY or (state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0])))

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def tune(bound: socket.socket) -> None:
    """Set what all connections of a listening socket inherit."""
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no answer waits 40 ms for an ACK
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKEN_MS)
