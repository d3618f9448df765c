"""Serves the API until the process is asked to end: runs that go on then stay open, and the next server takes them up."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass

import uvicorn

from provisioning import clusters, wiring
from provisioning.api.app import make_app
from provisioning.api.patience import Patience, tune
from provisioning.api.sites import is_loopback
from provisioning.errors import ProvisioningError, StoreError, UsageError
from provisioning.operations.dagu.places import Places
from provisioning.operations.hosting.cluster import hosted_on
from provisioning.operations.hosting.host import Host, hosted
from provisioning.operations.people import People, open_people
from provisioning.settings import Settings

GRACE_S = 5  # for answers that are being written when the server ends
CONNECTIONS_MOST = 2000
TIDY_S = 3600.0
_log = logging.getLogger("provisioning.server")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the server listens and what it asks of who comes. `names` are further names that it may be called by."""

    host: str = "127.0.0.1"
    port: int = 8090
    certificate: str = ""
    key: str = ""
    authentication: bool = True
    names: Collection[str] = ()
    scheduler: bool = False

    def check(self) -> None:
        """Refuse to be reached by others without authentication and TLS. Raises UsageError."""
        if bool(self.certificate) != bool(self.key):
            raise UsageError("--tls-cert and --tls-key go together")
        if is_loopback(self.host):
            return
        if not self.authentication:
            raise UsageError(f"--no-auth would let anybody who reaches {self.host} run programs", hint="listen on 127.0.0.1")
        if not self.certificate:
            hint = "give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy"
            raise UsageError(f"passwords would travel to {self.host} in the clear", hint=hint)


class _Server(uvicorn.Server):
    """One whose signals are ours: the engine has to stop in order, too."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def serve(places: Places, settings: Settings, listen: Listen, say: Say) -> None:
    """Serve until SIGINT or SIGTERM; with the setting nats.url, the runs of a cluster.

    Raises UsageError for an address that cannot be had, StoreError, and ClusterUnreachable, ConfigError of a cluster.
    """
    listen.check()
    _check_certificate(listen)
    bound = _bound(listen)
    people = open_people(wiring.people_store(places.data))
    try:
        async with _host(places, settings, scheduler=listen.scheduler) as host:
            tidying = asyncio.create_task(_tidy(people))
            try:
                await _until_asked(host, people, listen, bound, say)
            finally:
                tidying.cancel()
                await asyncio.wait([tidying])
            if host.failure is not None:
                raise _told(host.failure)
    finally:
        people.close()
        bound.close()


def _host(places: Places, settings: Settings, *, scheduler: bool) -> AbstractAsyncContextManager[Host]:
    access = clusters.access(settings)
    if access is None:
        return hosted(places, settings, scheduler=scheduler)
    return hosted_on(access, places, settings, scheduler=scheduler)


async def _until_asked(host: Host, people: People, listen: Listen, bound: socket.socket, say: Say) -> None:
    app = make_app(host, people, authentication=listen.authentication, names=listen.names)
    server = _Server(
        uvicorn.Config(
            app,
            http=Patience,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            limit_concurrency=CONNECTIONS_MOST,
            ssl_certfile=listen.certificate or None,
            ssl_keyfile=listen.key or None,
        )
    )
    _announce(people, listen, bound, say)
    for line in host.about():
        say(line)
    with _stopping(server, host):
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        failing = asyncio.create_task(host.failed.wait())
        await asyncio.wait({serving, failing}, return_when=asyncio.FIRST_COMPLETED)
        failing.cancel()
        server.should_exit = True
        await serving


async def _tidy(people: People) -> None:
    """Forget what is old of people: at once, and every hour until cancelled. Where that fails, it is tried an hour later."""
    while True:
        try:
            await asyncio.to_thread(people.tidy)
        except StoreError as error:
            _log.warning("users and audit log: %s", error.message)
        await asyncio.sleep(TIDY_S)


@contextmanager
def _stopping(server: uvicorn.Server, host: Host) -> Iterator[None]:
    """SIGINT and SIGTERM end the server, the second one at once."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        host.feeds.end("the server stops")

    with suppress(ValueError, RuntimeError):  # only the main thread may
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        with suppress(ValueError, RuntimeError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _announce(people: People, listen: Listen, bound: socket.socket, say: Say) -> None:
    shown = f"[{listen.host}]" if ":" in listen.host else listen.host
    url = f"{'https' if listen.certificate else 'http'}://{shown}:{bound.getsockname()[1]}"
    say(f"listening on {url}")
    if not listen.authentication:
        say("authentication is off: whoever can use this machine is an admin")
    elif people.empty():
        say(f"nobody may log in yet: open {url}/setup and give this token: {people.setup_token()}")


def _check_certificate(listen: Listen) -> None:
    """Find out before anybody is told where the server is. Raises UsageError."""
    if not listen.certificate:
        return
    try:  # without a passphrase nobody is asked for one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listen.certificate, listen.key, password=lambda: "")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot use the certificate {listen.certificate} with the key {listen.key}: {reason}",
            hint="both are PEM files; the key has no passphrase",
        ) from error


def _bound(listen: Listen) -> socket.socket:
    try:
        family = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((listen.host, listen.port), family=family, backlog=512)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot listen on {listen.host} port {listen.port}: {reason}", hint="choose another --port"
        ) from error
    tune(bound)
    return bound


def _told(failure: BaseException) -> ProvisioningError:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure if isinstance(failure, ProvisioningError) else StoreError(f"the engine stopped: {failure}")
