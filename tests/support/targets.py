"""What a health check may meet on the other side of a port: nothing, a byte now and then, bytes without end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(slots=True)
class Target:
    """Listens on loopback. `calls` are the seconds for which each caller has stayed, in the order in which they went."""

    says: bytes  # as often as it can; nothing: nothing is ever said
    pause_s: float
    calls: list[float] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        """Take callers until closed."""
        while not self.over.is_set():
            try:
                caller = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._talk, args=(caller, time.monotonic()), daemon=True).start()

    def _talk(self, caller: socket.socket, came_s: float) -> None:
        with caller, suppress(OSError):
            while not self.over.is_set() and self._stays(caller):
                if self.says:
                    caller.sendall(self.says)
        self.calls.append(time.monotonic() - came_s)

    def _stays(self, caller: socket.socket) -> bool:
        caller.settimeout(self.pause_s)
        try:
            return caller.recv(4096) != b""
        except TimeoutError:
            caller.settimeout(5)
            return True


@contextmanager
def target(says: bytes = b"", pause_s: float = 0.02) -> Iterator[Target]:
    """Have such a target until the block ends."""
    made = Target(says, pause_s)
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    threading.Thread(target=made.serve, args=(listener,), daemon=True).start()
    try:
        yield made
    finally:
        made.over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
