"""A socket on loopback whose connections are served by a thread each."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """Listens until `close`. `serve` gets each connection, and closes it."""

    def __init__(self, serve: Callable[[socket.socket], None], *, backlog: int = 16) -> None:
        self._serve_one = serve
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()
