"""HTTP that is encrypted, goes through a proxy, or both; servers that impersonate."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest
from support.web import OK, Web, asked, exchange_with, self_signed, serving

from provisioning.adapters.fetch import HttpFetch


async def test_a_certificate_that_nobody_vouches_for_is_refused_unless_that_is_allowed(tmp_path: Path) -> None:
    with serving(OK + b"\r\nhi", tls=self_signed(tmp_path)) as web:
        refused = await HttpFetch().exchange(exchange_with(web, scheme="https"))
        allowed = await HttpFetch().exchange(exchange_with(web, scheme="https", verify=False))

    assert (refused.kind, refused.message) == ("tls", "the certificate of web.example is not trusted: self-signed certificate")
    assert (allowed.kind, allowed.body, len(web.requests)) == ("answer", b"hi", 1)


async def test_a_certificate_is_for_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OK + b"\r\nhi", tls=self_signed(tmp_path)) as web:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        right = await HttpFetch().exchange(exchange_with(web, scheme="https"))
        wrong = await HttpFetch().exchange(exchange_with(web, scheme="https", host="other.example"))

    assert (right.kind, wrong.kind) == ("answer", "tls")
    assert "other.example" in wrong.message


async def test_a_server_without_encryption_is_said_to_have_none() -> None:
    assert (await asked(OK + b"\r\nhi", scheme="https")).kind == "tls"


async def test_a_handshake_that_drips_is_given_up() -> None:
    class Slow(Web):
        def _answer(self, plain: socket.socket) -> None:
            with plain:
                threading.Event().wait(20)

    web = Slow(b"")
    try:
        assert (await HttpFetch().exchange(exchange_with(web, scheme="https", timeout_s=0.3))).kind == "timeout"
    finally:
        web.close()


# ---------------------------------------------------------------- proxies


async def test_a_proxy_is_given_the_whole_url_and_its_own_credentials() -> None:
    with serving(OK + b"\r\nhi") as proxy:
        url = f"http://me:secret@127.0.0.1:{proxy.port}"
        await HttpFetch().exchange(exchange_with(proxy, port=80, addresses=(), proxy=url))

    assert proxy.requests[0].splitlines()[:3] == [
        b"GET http://web.example/x HTTP/1.1",
        b"Host: web.example",
        b"Proxy-Authorization: Basic bWU6c2VjcmV0",
    ]


async def test_encryption_goes_through_a_proxy_to_its_end(tmp_path: Path) -> None:
    with serving(OK + b"\r\nhi", tls=self_signed(tmp_path)) as web:

        def tunnel(client: socket.socket, _request: bytes) -> None:
            with socket.create_connection(("127.0.0.1", web.port)) as there:
                client.sendall(OK + b"\r\n")
                threading.Thread(target=_pipe, args=(there, client), daemon=True).start()
                _pipe(client, there)

        with serving(tunnel) as proxy:
            fetched = await HttpFetch().exchange(
                exchange_with(web, scheme="https", addresses=(), proxy=f"http://127.0.0.1:{proxy.port}", verify=False)
            )

    assert fetched.body == b"hi"
    assert proxy.requests[0].startswith(f"CONNECT web.example:{web.port} HTTP/1.1\r\nHost: web.example:{web.port}\r\n".encode())


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


async def test_a_proxy_that_refuses_is_named() -> None:
    fetched = await asked(b"HTTP/1.1 407 No\r\n\r\n")
    with serving(b"HTTP/1.1 407 No\r\n\r\n") as proxy:
        tunnel = await HttpFetch().exchange(exchange_with(proxy, scheme="https", proxy=f"http://127.0.0.1:{proxy.port}"))

    assert fetched.status == 407
    assert (tunnel.kind, tunnel.message) == ("connect", "the proxy refuses: 407")


def test_proxies_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inner.example")

    assert HttpFetch().proxy("https", "a.example") == "http://proxy.example:3128"
    assert HttpFetch().proxy("https", "inner.example") == ""
