"""The socket below a connection, as paramiko sees it."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Any

_AHEAD_BYTES = 32 * 1024


class Ears:
    """A socket, or a channel through a jump host, that reads ahead and remembers when it last heard something.

    paramiko asks for the length of a packet, then for the rest, and a socket with a time limit is polled before each: four
    system calls, after each of which its thread waits for its turn again. Here it is one. Read by one thread only.
    """

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - paramiko takes whatever behaves like a socket
        self._inner = inner
        self._ahead, self._at = b"", 0  # what was read, and how much of it was asked for
        self.send = inner.send
        self.heard_s = time.monotonic()

    def recv(self, size: int) -> bytes:
        """Return what comes. Raises TimeoutError."""
        if self._at == len(self._ahead):
            self._ahead, self._at = self._heard(max(size, _AHEAD_BYTES)), 0
        data = self._ahead[self._at : self._at + size]
        self._at += len(data)
        return data

    def settimeout(self, limit_s: float | None) -> None:
        """Limit how long `recv` and `send` wait, by the kernel's means where these are a socket's."""
        if not isinstance(self._inner, socket.socket):
            self._inner.settimeout(limit_s)
            return
        self._inner.settimeout(None)
        limit = struct.pack("ll", int(limit_s or 0), int((limit_s or 0) % 1 * 1_000_000))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._inner.setsockopt(socket.SOL_SOCKET, option, limit)

    def takes_at_once(self) -> bool:
        """Whether some kilobytes could be sent without waiting, as far as we know."""
        if not isinstance(self._inner, socket.socket) or self._inner.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._inner, select.POLLOUT)
        return [event for _, event in poll.poll(0)] == [select.POLLOUT]

    def _heard(self, size: int) -> bytes:
        try:
            data: bytes = self._inner.recv(size)
        except BlockingIOError as late:  # what the kernel says when the time is over
            raise TimeoutError from late
        self.heard_s = time.monotonic()
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._inner, name)
