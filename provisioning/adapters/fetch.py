"""HTTP with the standard library: a thread and one deadline per exchange, at addresses that were looked up before."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from provisioning.core.outside import Exchange, Fetched, Resolved
from provisioning.core.web import Place, place

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPResponse

T = TypeVar("T")
_PIECE_BYTES = 64 * 1024
_OVERHEAD = 8  # bytes on the line per byte of the body: chunks may be of one byte
_HEAD_BYTES = 256 * 1024
_MEMBERS = 100  # of a gzip file


class HttpFetch:
    """Fulfils `outside.Fetch`."""

    def __init__(self) -> None:
        self._tls: dict[bool, ssl.SSLContext] = {}  # reading the authorities takes longer than most exchanges

    async def resolve(self, host: str, *, timeout_s: float) -> Resolved:
        """See Fetch."""
        try:
            return await asyncio.wait_for(_in_thread(lambda: _look_up(host)), timeout_s)
        except TimeoutError:
            return Resolved(message=f"looking up {host} took longer than {timeout_s:.3g} s")

    def proxy(self, scheme: str, host: str) -> str:
        """See Fetch. Read from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case."""
        from urllib.request import getproxies_environment, proxy_bypass

        if proxy_bypass(host):
            return ""
        return getproxies_environment().get(scheme, "")

    async def exchange(self, exchange: Exchange) -> Fetched:
        """See Fetch."""
        line = _Line(exchange, self._context)
        future = _in_thread(line.run)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            line.break_off()
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            raise

    def _context(self, verify: bool) -> ssl.SSLContext:  # noqa: FBT001 - the key of a table
        import ssl

        if verify not in self._tls:
            context = ssl.create_default_context()
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._tls[verify] = context
        return self._tls[verify]


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run blocking work in a thread of its own. One that nobody waits for any more does not keep the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # it is raised where it is waited for
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _look_up(host: str, port: int = 0) -> Resolved:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        return Resolved(message=f"{host} cannot be looked up: {str(why).lower()}")
    return Resolved(addresses=tuple(dict.fromkeys(str(address[0]) for *_, address in found)))


class _TooMuch(Exception):
    """More came over the line than any body of the size that is allowed needs."""


class _Told(Exception):
    """The end of an exchange that has been put into words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.fetched = Fetched(kind=kind, message=message)


class _Line(io.RawIOBase):
    """One exchange: the socket, the deadline, and how much may still come."""

    def __init__(self, exchange: Exchange, context: Callable[[bool], ssl.SSLContext]) -> None:
        self._exchange, self._context = exchange, context
        self._deadline_s = time.monotonic() + exchange.timeout_s
        self._left_bytes = exchange.max_bytes * _OVERHEAD + _HEAD_BYTES
        self._lock = threading.Lock()  # of the next two
        self._socket: socket.socket | None = None
        self._broken = False

    def run(self) -> Fetched:
        """Do it, in a thread."""
        import ssl
        from http.client import HTTPException

        exchange = self._exchange
        try:
            return self._talk()
        except _Told as told:
            return told.fetched
        except ssl.SSLError as error:
            return Fetched(kind="tls", message=_tls_failure(error, exchange.host))
        except TimeoutError:
            return Fetched(kind="timeout", message=f"no complete answer within {exchange.timeout_s:g} s")
        except (HTTPException, ValueError, _TooMuch) as error:
            why = f"{type(error).__name__} {error}".strip() if not isinstance(error, _TooMuch) else "its headers do not end"
            return Fetched(kind="protocol", message=f"the answer is not HTTP as it should be: {why[:200]}")
        except OSError as error:
            return Fetched(kind="connect", message=f"the connection failed: {(error.strerror or str(error)).lower()}")
        finally:
            self._set(None)

    def break_off(self) -> None:
        """End it from another thread: whatever waits there, waits no more."""
        with self._lock:
            self._broken = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # of the class itself: the method of TLS would forget its keys
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    # ------------------------------------------------------------ for http.client

    def sendall(self, data: bytes) -> None:
        """Send, by the deadline."""
        self._timed().sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what answers are read from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as RawIOBase has it
        """Receive, by the deadline."""
        count = self._timed().recv_into(buffer)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise _TooMuch
        return count

    def close(self) -> None:
        """Do nothing: who is done with one answer is not done with the line."""

    # ------------------------------------------------------------ connecting

    def _talk(self) -> Fetched:
        exchange = self._exchange
        if exchange.proxy:
            self._connect_to_proxy(place(exchange.proxy))
        else:
            self._connect(exchange.addresses, exchange.port)
        if exchange.scheme == "https":
            self._encrypt()
        return self._ask()

    def _connect(self, addresses: Sequence[str], port: int) -> None:
        """Connect to the first address that answers; each gets its share of the time that is left."""
        failure: OSError = OSError("there is no address")
        for index, address in enumerate(addresses):
            family, kind, protocol, _, where = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            self._set(socket.socket(family, kind, protocol))
            try:
                self._timed(len(addresses) - index).connect(where)
            except OSError as error:
                failure = error
            else:
                return
        raise failure

    def _connect_to_proxy(self, proxy: Place) -> None:
        found = _look_up(proxy.host, proxy.port)
        if found.message:
            raise _Told("dns", f"the proxy: {found.message}")
        self._connect(found.addresses, proxy.port)
        if self._exchange.scheme == "https":
            self._open_tunnel(proxy)

    def _open_tunnel(self, proxy: Place) -> None:
        from http.client import HTTPResponse

        exchange = self._exchange
        host = f"[{exchange.host}]" if ":" in exchange.host else exchange.host
        login = f"Proxy-Authorization: {_basic(proxy.userinfo)}\r\n" if proxy.userinfo else ""
        self.sendall(f"CONNECT {host}:{exchange.port} HTTP/1.1\r\nHost: {host}:{exchange.port}\r\n{login}\r\n".encode())
        response = HTTPResponse(cast("socket.socket", self), method="CONNECT")
        response.begin()
        if response.status != 200:
            raise _Told("connect", f"the proxy refuses: {response.status}")

    def _encrypt(self) -> None:
        context = self._context(self._exchange.verify)
        plain = self._timed()
        with self._lock:
            tls = context.wrap_socket(plain, server_hostname=self._exchange.host.rstrip("."), do_handshake_on_connect=False)
            self._socket = tls
        self._timed()
        tls.do_handshake()

    # ------------------------------------------------------------ talking

    def _ask(self) -> Fetched:
        from http.client import HTTPConnection

        exchange = self._exchange
        connection = HTTPConnection(exchange.host, exchange.port)
        connection.sock = self
        target = exchange.target
        at = Place(scheme=exchange.scheme, host=exchange.host, port=exchange.port, target=target)
        through = exchange.proxy and exchange.scheme == "http"
        connection.putrequest(exchange.method, at.url if through else target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", at.authority)
        if through and (userinfo := place(exchange.proxy).userinfo):
            connection.putheader("Proxy-Authorization", _basic(userinfo))
        for name, value in exchange.headers:
            connection.putheader(name, value.encode())
        connection.putheader("Connection", "close")
        if exchange.body or exchange.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(exchange.body)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who refuses a body may do so before its end
            connection.endheaders(exchange.body or None)
        return self._answer(connection.getresponse())

    def _answer(self, response: HTTPResponse) -> Fetched:
        limit = self._exchange.max_bytes
        body, complete = _taken(response, limit)
        if complete and (encoding := (response.getheader("Content-Encoding") or "").strip().lower()):
            body, complete = _decompressed(encoding, body, limit)
        return Fetched(
            kind="answer" if complete else "too_large",
            message="" if complete else f"the body is larger than {limit:,} bytes",
            status=response.status,
            reason=response.reason,
            headers=tuple(response.getheaders()),
            body=body[:limit],
        )

    # ------------------------------------------------------------ the socket

    def _set(self, new: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = new
            if self._broken and new is not None:
                raise OSError("broken off")

    def _timed(self, shares: int = 1) -> socket.socket:
        """Return the socket, with the time that is left as its limit, or one of so many shares of it."""
        left_s = self._deadline_s - time.monotonic()
        if self._socket is None or self._broken:
            raise OSError("broken off")
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s / shares)
        return self._socket


def _taken(response: HTTPResponse, limit: int) -> tuple[bytes, bool]:
    """Return the body, and whether that is all of it; what is over `limit` is left."""
    body = bytearray()
    try:
        while len(body) <= limit and (piece := response.read(min(_PIECE_BYTES, limit + 1 - len(body)))):
            body += piece
    except _TooMuch:
        return bytes(body), False
    if len(body) <= limit and response.length:
        raise _Told("protocol", f"the connection ended before the last {response.length:,} bytes of the body had come")
    return bytes(body), len(body) <= limit


def _decompressed(encoding: str, data: bytes, limit: int) -> tuple[bytes, bool]:
    """Return the body as it was meant, and whether that is all of it. An encoding that we did not ask for is left as it is."""
    import zlib

    if encoding not in ("gzip", "x-gzip", "deflate") or not data:
        return data, True
    raw = encoding == "deflate" and (data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31 != 0)
    body = bytearray()
    try:
        for _ in range(_MEMBERS):
            machine = zlib.decompressobj(-15 if raw else 47)
            body += machine.decompress(data, limit + 1 - len(body))
            data = machine.unused_data
            if len(body) > limit:
                return bytes(body), False
            if not machine.eof:
                raise _Told("protocol", "the compressed body is not complete")
            if data[:2] != b"\x1f\x8b":
                break
    except zlib.error as error:
        raise _Told("protocol", f"the compressed body is damaged: {error}") from error
    return bytes(body), True


def _tls_failure(error: ssl.SSLError, host: str) -> str:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not trusted: {error.verify_message}"
    return f"no encrypted connection to {host}: {(error.reason or str(error)).lower().replace('_', ' ')}"


def _basic(userinfo: str) -> str:
    import base64

    return f"Basic {base64.b64encode(userinfo.encode()).decode()}"
