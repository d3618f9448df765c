"""What the demo's services share: a small HTTP server and two clients. Standard library only, Python 3.9 or newer."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, str]
BORN_S = time.monotonic()


def serve(port: int, answer: Callable[[str, str, str], Answer]) -> None:
    """Answer HTTP requests on loopback for ever; `answer` gets method, path and body."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            try:
                status, text = answer(self.command, self.path, body)
            except OSError as error:
                status, text = 503, f"a service behind this one does not answer: {error}"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"{text}\n".encode())

        do_GET = do_POST = respond  # noqa: N815 -- the names are the base class's

        def log_message(self, *_: object) -> None:
            """Keep the log for errors."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def ask(port: int, method: str, path: str, body: str = "") -> Answer:
    """Ask another service over HTTP. Raises OSError when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body.encode())
        response = connection.getresponse()
        return response.status, response.read().decode().strip()
    except http.client.HTTPException as error:
        raise ConnectionError(f"port {port} broke off: {error}") from error
    finally:
        connection.close()


def kv(port: int, *words: str) -> str:
    """Ask the key-value store. Raises OSError when it does not answer, or still loads."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\n").encode())
        line = connection.makefile().readline().rstrip("\n")
    if line == "LOADING":
        raise ConnectionError("the key-value store is loading")
    return line


def warm(warm_up_s: float) -> bool:
    """Whether this process is older than `warm_up_s`."""
    return time.monotonic() - BORN_S >= warm_up_s
