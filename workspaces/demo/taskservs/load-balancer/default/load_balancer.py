"""Passes connections on to the backends in turn, leaving out those that are not healthy. Its status has a port of its own."""

from __future__ import annotations

import itertools
import shutil
import socket
import sys
import threading
import time

from demo_service import Answer, ask, serve

PORT, STATUS = int(sys.argv[1]), int(sys.argv[2])
BACKENDS = [int(port) for port in sys.argv[3:]]
UP: dict[int, bool] = dict.fromkeys(BACKENDS, False)
TURN = itertools.count()


def watch() -> None:
    """Keep `UP` true."""
    while True:
        for port in BACKENDS:
            try:
                UP[port] = ask(port, "GET", "/healthz")[0] == 200
            except OSError:
                UP[port] = False
        time.sleep(0.2)


def pass_on(client: socket.socket) -> None:
    """Connect a client with a backend until one of them has enough."""
    healthy = [port for port in BACKENDS if UP[port]]
    with client:
        if not healthy:
            client.sendall(b"HTTP/1.0 503 Service Unavailable\r\n\r\nno backend is up\n")
            return
        with socket.create_connection(("127.0.0.1", healthy[next(TURN) % len(healthy)])) as backend:
            threading.Thread(target=copy, args=(client, backend), daemon=True).start()
            copy(backend, client)


def copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until the source ends, and pass the end on."""
    try:
        with source.makefile("rb", buffering=0) as reader, sink.makefile("wb", buffering=0) as writer:
            shutil.copyfileobj(reader, writer)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side went away: so does the other


def status(_method: str, _path: str, _body: str) -> Answer:
    """Say how many backends are up."""
    up = sum(UP.values())
    return (200 if up else 503), f"{up} of {len(BACKENDS)} backends are up"


threading.Thread(target=watch, daemon=True).start()
threading.Thread(target=serve, args=(STATUS, status), daemon=True).start()
with socket.create_server(("127.0.0.1", PORT)) as listener:
    while True:
        threading.Thread(target=pass_on, args=(listener.accept()[0],), daemon=True).start()
