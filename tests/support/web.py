"""Servers on loopback that say what a test wants, byte by byte, and remember what they were asked."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.listening import Listener

from provisioning.adapters.fetch import HttpFetch
from provisioning.core.outside import Exchange, Fetched

Answering = Callable[[socket.socket, bytes], None]
OK = b"HTTP/1.1 200 OK\r\n"


class Web:
    """Answers each connection in a thread of its own, and closes it."""

    def __init__(self, answering: Answering | bytes, *, tls: ssl.SSLContext | None = None, backlog: int = 16) -> None:
        self.requests: list[bytes] = []
        self.gone = threading.Event()  # a client has left before its answer was complete
        self._answering, self._tls = answering, tls
        self._listener = Listener(self._answer, backlog=backlog)
        self.port = self._listener.port

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _answer(self, plain: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as client:
                request = _request(client)
                self.requests.append(request)
                if isinstance(self._answering, bytes):
                    client.sendall(self._answering)
                else:
                    self._answering(client, request)
        except OSError:
            self.gone.set()


def _request(client: socket.socket) -> bytes:
    """Return a request, its body too."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        data += piece
        if not piece or data.startswith(b"\x16\x03"):  # of TLS, where none is spoken
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(answering: Answering | bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve for as long as the block takes."""
    web = Web(answering, tls=tls)
    try:
        yield web
    finally:
        web.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return what a server with a certificate of its own making needs. The certificate is in `folder`."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", "/CN=web.example", "-addext", "subjectAltName=DNS:web.example"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def exchange_with(web: Web, **more: Any) -> Exchange:
    facts = {
        "method": "GET",
        "scheme": "http",
        "host": "web.example",
        "port": web.port,
        "target": "/x",
        "addresses": ("127.0.0.1",),
    }
    return Exchange(**{**facts, **more})


async def asked(answering: Answering | bytes, **more: Any) -> Fetched:
    """Return what becomes of one request to a server that answers like this."""
    with serving(answering) as web:
        return await HttpFetch().exchange(exchange_with(web, **more))
