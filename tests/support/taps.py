"""A relay in front of an SSH server that counts what a client says once it could say something secret."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NEWKEYS = 21  # the last message that is sent in the clear


@dataclass(slots=True)
class Tap:
    """`secret` is how many encrypted bytes clients have sent: all that a login is made of is among them.

    With `cut_after`, a connection is reset once so many bytes have gone to the server; `cuts` says for how many
    connections that still holds.
    """

    address: str
    server_port: int
    port: int = 0
    secret: int = 0
    connections: int = 0
    cut_after: int | None = None
    cuts: int = 0
    sockets: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Take callers until closed."""
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                self.connections += 1
                server = socket.create_connection((self.address, self.server_port))
                self.sockets += [client, server]
                threading.Thread(target=self._upward, args=(client, server), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _upward(self, client: socket.socket, server: socket.socket) -> None:
        listening, sent = Plain(), 0
        cutting = self.cuts > 0
        self.cuts -= cutting
        with suppress(OSError):
            while data := client.recv(65536):
                self.secret += listening.encrypted(data)
                if cutting and self.cut_after is not None and sent + len(data) >= self.cut_after:
                    server.sendall(data[: self.cut_after - sent])
                    break
                server.sendall(data)
                sent += len(data)
        for one in (client, server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Plain:
    """Reads the clear part of what one client sends."""

    def __init__(self) -> None:
        self._held = b""
        self._greeted = self._over = False

    def encrypted(self, data: bytes) -> int:
        """Return how many of these bytes come after the client's last clear message."""
        if self._over:
            return len(data)
        self._held += data
        if not self._greeted and b"\n" in self._held:
            self._greeted, self._held = True, self._held.partition(b"\n")[2]
        while self._greeted and len(self._held) >= 6:
            size = 4 + int.from_bytes(self._held[:4], "big")
            if len(self._held) < size:
                break
            kind, self._held = self._held[5], self._held[size:]
            if kind == NEWKEYS:
                self._over = True
                return len(self._held)
        return 0


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tapped(address: str, port: int) -> Iterator[Tap]:
    """Have a relay to a server until the block ends."""
    tap = Tap(address, port)
    listener = socket.create_server(("127.0.0.1", 0))
    tap.port = listener.getsockname()[1]
    threading.Thread(target=tap.serve, args=(listener,), daemon=True).start()
    try:
        yield tap
    finally:
        for one in (listener, *tap.sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
