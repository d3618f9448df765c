"""A key-value store: one line asks, one line answers. Every change is in a file before it is acknowledged."""

from __future__ import annotations

import os
import socketserver
import sys
import threading
from pathlib import Path

from demo_service import warm


class Store:
    """The data, and the file it is read from at the start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._data: dict[str, str] = {}
        self._file = path.open("a+", encoding="utf-8")
        self._file.seek(0)
        for line in self._file:
            key, _, value = line.rstrip("\n").partition(" ")
            self._data[key] = value

    def command(self, verb: str, key: str, value: str) -> str:
        """Do what one line asks."""
        with self._lock:
            if verb == "PING":
                return "PONG"
            if verb == "GET":
                return self._data.get(key, "")
            if verb == "SET":
                return self._put(key, value)
            if verb == "INCR":
                return self._put(key, str(int(self._data.get(key) or 0) + 1))
        return f"ERROR no command {verb}"

    def _put(self, key: str, value: str) -> str:
        self._file.write(f"{key} {value}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._data[key] = value
        return value


class Server(socketserver.ThreadingTCPServer):
    """Listens on loopback."""

    allow_reuse_address = True
    daemon_threads = True


def main(port: int, data: str, warm_up_s: float) -> None:
    """Serve until killed."""
    store = Store(Path(data))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                verb, key, value, *_ = [*line.decode().rstrip("\n").split(" ", 2), "", ""]
                reply = store.command(verb, key, value) if warm(warm_up_s) else "LOADING"
                self.wfile.write(f"{reply}\n".encode())

    Server(("127.0.0.1", port), Handler).serve_forever()


main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
