"""The server as a process of its own: TLS, where it may listen, large bodies, streams that are cut."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from support.dagengine import LONG_S, Engine
from support.outside import Outside, outside
from support.served import PASSWORD

from provisioning.api.gate import BODY_BYTES
from provisioning.core.access import Role

pytestmark = pytest.mark.slow
MIB = 1024 * 1024
LARGE_BYTES = 10 * MIB
UI = Path(__file__).parents[2] / "provisioning" / "api" / "ui" / "index.html"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = Engine(tmp_path_factory.mktemp("outside"))
    engine.dag("hello", "steps: [{name: one, command: 'echo said'}]")
    return engine


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Outside]:
    with outside(engine) as server:
        yield server


@pytest.fixture(scope="module")
def secure(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Return a server with a certificate of its own making, on all addresses."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    trusted = ssl.create_default_context(cafile=certificate)
    words = ("--host", "0.0.0.0", "--tls-cert", str(certificate), "--tls-key", str(key))
    with outside(engine, *words, trusted=trusted) as server:
        yield server


def test_with_a_certificate_everything_is_encrypted_and_the_cookie_never_travels_otherwise(secure: Outside) -> None:
    assert secure.ask("GET", "/api/v1/me").json["role"] == "admin"
    origin = f"https://localhost:{secure.port}"
    answer = secure.ask("POST", "/api/v1/login", None, {"name": "viewer", "password": PASSWORD}, Origin=origin)
    cookie = SimpleCookie(answer.headers["set-cookie"])["provisioning_session"]
    assert (answer.status, cookie["secure"], cookie["httponly"], cookie["samesite"].lower()) == (200, True, True, "strict")
    plain = secure.raw()
    plain.sendall(f"GET /health HTTP/1.1\r\nHost: localhost:{secure.port}\r\n\r\n".encode())
    try:
        assert b"HTTP/1.1 200" not in plain.recv(1000)
    except ConnectionError:
        pass
    finally:
        plain.close()


def test_old_versions_of_tls_are_refused(secure: Outside) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with secure.raw() as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "in the clear"),
        (("--host", "::"), "in the clear"),
        (("--host", "0.0.0.0", "--no-auth"), "--no-auth would let anybody"),
        (("--host", "0.0.0.0", "--no-auth", "--tls-cert", "x", "--tls-key", "y"), "--no-auth would let anybody"),
        (("--tls-cert", "x"), "go together"),
        (("--tls-cert", "nothing.pem", "--tls-key", "nothing.key"), "nothing.pem"),
    ],
)
def test_where_it_may_not_listen_it_does_not_start(engine: Engine, words: tuple[str, ...], said: str) -> None:
    ended = engine("server", "--port", "0", *words)
    assert ended.code != 0
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "listening" not in ended.err


def test_ten_megabytes_are_refused_before_they_are_kept(server: Outside) -> None:
    server.ask("GET", "/api/v1/me")
    before_kib = server.memory_kib()
    for _ in range(5):
        for head in (f"Content-Length: {LARGE_BYTES}", "Transfer-Encoding: chunked"):
            assert b" 413 " in _sent(server, head), head
    assert server.memory_kib() - before_kib < 8 * 1024
    assert server.ask("GET", "/api/v1/me").status == 200


def _sent(server: Outside, head: str) -> bytes:
    """Send ten megabytes to somebody who has not asked for them; return what was answered."""
    made = server.raw()
    token = server.tokens[Role.ADMIN]
    lines = f"POST /api/v1/dags/hello/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    made.sendall(f"{lines}Content-Type: application/json\r\n{head}\r\n\r\n".encode())
    piece = b" " * 65536
    framed = piece if "Length" in head else b"%x\r\n%b\r\n" % (len(piece), piece)
    answer = b""
    try:
        for _ in range(LARGE_BYTES // len(piece)):
            made.sendall(framed)
        answer = made.recv(4096)
    except ConnectionError:
        answer = _rest(made)
    finally:
        made.close()
    return answer


def _rest(made: socket.socket) -> bytes:
    """Return what had come before the other side closed the connection."""
    try:
        return made.recv(4096)
    except ConnectionError:
        return b" 413 closed"


def test_large_heads_and_wrong_requests_are_answered_and_nobody_else_notices(server: Outside) -> None:
    for sent in (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        with server.raw() as made:
            made.sendall(sent)
            assert re.match(rb"HTTP/1.1 4\d\d|$", _rest(made)), sent[:40]
    assert server.ask("GET", "/health", None).status == 200


@pytest.mark.skipif(not UI.is_file(), reason="the web UI is not built (make ui, with Node)")
def test_pages_hold_no_script_and_no_style_of_their_own(server: Outside) -> None:
    answer = server.ask("GET", "/", None)
    text, policy = answer.body.decode(), answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["script-src"], rules["style-src"]) == ("'none'", "'self'", "'self'")
    assert (rules["base-uri"], rules["frame-ancestors"], rules["connect-src"]) == ("'none'", "'none'", "'self'")
    assert not re.search(r"unsafe|\*|http:", policy)


def test_streams_are_cut_when_what_opened_them_counts_no_more(server: Outside) -> None:
    viewers = server.ask("POST", "/api/v1/tokens", Role.OPERATOR, {"role": "viewer"}).json
    origin = f"http://127.0.0.1:{server.port}"
    login = server.ask("POST", "/api/v1/login", None, {"name": "viewer", "password": PASSWORD}, Origin=origin)
    cookie = login.headers["set-cookie"].partition(";")[0]
    server.ask("POST", "/api/v1/users", Role.ADMIN, {"name": "eve", "password": PASSWORD, "role": "operator"})
    eve = server.ask("POST", "/api/v1/login", None, {"name": "eve", "password": PASSWORD}, Origin=origin)
    theirs = eve.headers["set-cookie"].partition(";")[0]
    shown = (f"Authorization: Bearer {viewers['token']}", f"Cookie: {cookie}", f"Cookie: {theirs}")
    streams = [_opened(server, one) for one in shown]
    assert server.ask("DELETE", f"/api/v1/tokens/{viewers['id']}").status == 200
    assert server.ask("POST", "/api/v1/logout", None, Cookie=cookie, Origin=origin).status == 200
    assert server.ask("DELETE", "/api/v1/users/eve").status == 200
    for made in streams:
        said, end_s = b"", time.monotonic() + LONG_S
        while b"event: dropped" not in said and time.monotonic() < end_s:
            said += made.recv(4096)
        assert b"you may not look any more" in said
        made.close()


def _opened(server: Outside, credentials: str) -> socket.socket:
    made = server.raw()
    head = f"GET /api/v1/events/stream?topics=runs,dags HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{credentials}\r\n\r\n"
    made.sendall(head.encode())
    said = b""
    while b"event: changed" not in said:
        said += made.recv(4096)
        assert b" 401 " not in said
    return made


def test_what_is_no_http_gets_the_documented_plain_text_and_no_connection(server: Outside) -> None:
    with server.raw() as made:
        made.sendall(b"this is no request\r\n\r\n")
        head, _, body = b"".join(iter(lambda: made.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: text/plain" in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b"Invalid HTTP request received."


def test_a_body_of_the_size_that_is_allowed_is_taken(server: Outside) -> None:
    text = json.dumps({"params": {"A": "x" * (BODY_BYTES - 1000)}})
    made = server.raw()
    token = server.tokens[Role.ADMIN]
    head = f"POST /api/v1/dags/hello/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    made.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
    assert re.match(rb"HTTP/1.1 (202|4(00|22)) ", made.recv(100))
    made.close()
