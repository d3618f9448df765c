"""One connection to NATS: made when it is first needed, in the event loop that needs it, and closed with that loop."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from provisioning.adapters.nats.closing import closed, closed_with_loop, dropped, heed_cancellation
from provisioning.adapters.nats.credentials import from_credentials, from_seed
from provisioning.adapters.nats.heeding import heeded
from provisioning.adapters.nats.names import Names, checked_namespace
from provisioning.adapters.nats.probing import check_server
from provisioning.adapters.nats.wire import (
    NOT_FOUND_MESSAGE,
    NOT_FOUND_STREAM,
    Message,
    NoAnswer,
    NobodyAnswers,
    Refused,
    Stored,
)
from provisioning.core.frozen import dataclass
from provisioning.errors import ClusterUnreachable, ConfigError, ProvisioningError, StoreError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

RECONNECT_WAIT_S = 0.25
PING_S = 10  # two unanswered ones are a lost link
_DENIED = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)
HINT = "start the server, or correct the URL: `--nats`, the setting nats.url or PROVISIONING_NATS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the servers are, and who we are to them. Users and passwords may be in the URLs as well."""

    urls: tuple[str, ...]
    namespace: str = "prov"
    shard: int = 0
    replicas: int = 1  # of streams that we make
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    credentials: Path | None = None  # a .creds file: JWT and nkey
    nkey: Path | None = None  # a file with a seed
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    monitor: str = ""  # URL of a server's monitoring port: where we may not ask the servers themselves
    inbox: str = "_INBOX"  # begins the subjects of answers: where each user may hear only its own
    any_sync: bool = False  # also servers that acknowledge before they sync
    timeout_s: float = 5.0  # of a connection, and of each answer
    patience_s: float = 30.0  # how long what was begun waits for a lost connection


class Cluster:
    """Fulfils nothing itself: the ports are made of it. Every method raises StoreError, ClusterUnreachable or ConfigError."""

    def __init__(self, access: Access) -> None:
        checked_namespace(access.namespace)
        self.access = access
        self.names = Names(namespace=access.namespace, shard=access.shard)
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._guard: AsyncIterator[None] | None = None
        self._up = asyncio.Event()
        self._said = ""
        self._denied: set[str] = set()  # subjects, as nats-py tells them: in lower case
        self._refused = asyncio.Event()
        self.reconnected: set[Callable[[], None]] = set()  # called when a lost connection is there again
        self.prepare: Callable[[], Awaitable[None]] | None = None  # called after each first connection of a loop

    # ------------------------------------------------------------ the connection

    async def client(self) -> Client:
        """Return the connection of this event loop. Raises ClusterUnreachable, ConfigError."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._client, self._loop, self._opening, self._up = None, loop, asyncio.Lock(), asyncio.Event()
        if self._client is not None and not self._client.is_closed:
            return self._client
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._client = await heeded(self._open())
            return self._client

    async def close(self) -> None:
        """Close the connection. The next call makes another one."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await closed(client)

    async def connected(self, within_s: float) -> bool:
        """Wait for a connection that was lost; say whether it is there."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    client = await self.client()
                    if client.is_connected:
                        return True
                    self._up.clear()
                    await self._up.wait()
        except (TimeoutError, ClusterUnreachable):
            return False

    # ------------------------------------------------------------ calls

    async def send(self, message: Message, reply: str = "") -> None:
        """Publish without waiting. Raises ClusterUnreachable when there is no connection now."""
        client = await self.client()
        try:
            await heeded(client.publish(message.subject, message.body, reply=reply, headers=dict(message.headers) or None))
        except Exception as error:
            await asyncio.sleep(0)  # as below
            raise self._error(error, message.subject) from error

    async def request(self, message: Message, timeout_s: float | None = None) -> Msg:
        """Publish and wait for one answer."""
        client = await self.client()
        try:
            return await heeded(
                client.request(
                    message.subject,
                    message.body,
                    timeout=timeout_s or self.access.timeout_s,
                    headers=dict(message.headers) or None,
                )
            )
        except Exception as error:
            await asyncio.sleep(0)  # who asks again at once must not keep the connection from being made meanwhile
            raise self._error(error, message.subject) from error

    async def publish(self, message: Message, timeout_s: float | None = None) -> int:
        """Store a message; return its sequence in the stream. Raises Refused."""
        return int(_answer(await self.request(message, timeout_s)).get("seq", 0))

    async def ask(self, what: str, body: Mapping[str, object] = MappingProxyType({})) -> dict[str, Any]:
        """Ask JetStream's API, `what` without its prefix. Raises Refused."""
        return _answer(await self.request(Message(subject=f"$JS.API.{what}", body=json.dumps(body).encode() if body else b"")))

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Return the newest message of a subject, which may have wildcards; None when there is none.

        The stream's leader answers, so what was acknowledged before is seen.
        """
        return await self._get(stream, {"last_by_subj": subject})

    async def there(self, stream: str, subject: str) -> Stored:
        """Return the newest message of a subject that is known to have one.

        Any server that has the stream answers, so permissions can be for this subject alone; one that is behind is asked again.
        """
        while True:
            answer = await self.request(Message(subject=f"$JS.API.DIRECT.GET.{stream}.{subject}"))
            headers = answer.headers or {}
            if "Status" not in headers:
                return Stored(subject=subject, seq=int(headers["Nats-Sequence"]), body=answer.data, headers=headers)
            await asyncio.sleep(RECONNECT_WAIT_S)

    async def first_from(self, stream: str, seq: int, subject: str) -> Stored | None:
        """Return the oldest message of a subject with at least this sequence; None when there is none."""
        return await self._get(stream, {"seq": seq, "next_by_subj": subject})

    async def purge(self, stream: str, subject: str) -> int:
        """Remove every message of a subject, which may have wildcards; return how many."""
        return int((await self.ask(f"STREAM.PURGE.{stream}", {"filter": subject})).get("purged", 0))

    async def purge_before(self, stream: str, subject: str, seq: int) -> None:
        """Remove the messages of a subject with a lower sequence."""
        await self.ask(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": seq})

    # ------------------------------------------------------------ parts

    async def _get(self, stream: str, which: Mapping[str, object]) -> Stored | None:
        try:
            found = (await self.ask(f"STREAM.MSG.GET.{stream}", which))["message"]
        except Refused as error:
            if error.number in {NOT_FOUND_MESSAGE, NOT_FOUND_STREAM}:
                return None
            raise
        return Stored(
            subject=found["subject"],
            seq=found["seq"],
            body=base64.b64decode(found.get("data", "")),
            headers=headers_of(base64.b64decode(found.get("hdrs", ""))),
        )

    async def _open(self) -> Client:
        from provisioning.adapters.nats.sealed import new_client

        client = new_client(self.access)
        try:
            await self._connect(client)
            self._up.set()
            await check_server(client, self.access)
            self._guard = closed_with_loop(client)
            await anext(self._guard)
            self._client = client
            if self.prepare is not None:
                await self.prepare()
        except BaseException:
            self._client = None
            await closed(client)
            raise
        return client

    async def _connect(self, client: Client) -> None:
        """Try until it works, the server refuses who we are, or the time is over."""
        self._said, self._refused = "", asyncio.Event()
        connecting = asyncio.create_task(self._connected(client))
        refused = asyncio.create_task(self._refused.wait())
        try:
            await asyncio.wait({connecting, refused}, timeout=self.access.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            self._judge(connecting)
        except Exception as error:
            await closed(client)
            raise self._error(error, "") from error
        finally:
            for task in (connecting, refused):
                task.cancel()
            await asyncio.gather(connecting, refused, return_exceptions=True)

    def _judge(self, connecting: asyncio.Task[None]) -> None:
        """Raise what kept the connection from coming about."""
        if not connecting.done():
            raise self._refusal()
        connecting.result()

    async def _connected(self, client: Client) -> None:
        await client.connect(
            list(self.access.urls),
            name="provisioning",
            error_cb=partial(self._heard, client),
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]
            connect_timeout=self.access.timeout_s,  # type: ignore[arg-type]
            ping_interval=PING_S,
            max_outstanding_pings=2,
            inbox_prefix=self.access.inbox.encode(),
            pending_size=0,  # what cannot be sent now is not sent behind our back later
            **_identity(client, self.access),
        )

    async def _heard(self, client: Client, error: Exception) -> None:
        if not client.is_connected:
            dropped(client)
        self._said = str(error) or type(error).__name__
        denied = _DENIED.search(self._said)
        if denied is not None:
            self._denied.add(denied[1].lower())
        elif "authorization" in self._said.lower() or "authentication" in self._said.lower():
            self._refused.set()
        heed_cancellation()

    async def _lost(self) -> None:
        """Have whoever waits for an answer hear at once that it will not come: nats-py would let them wait for their time."""
        self._up.clear()
        waiting = getattr(self._client, "_resp_map", {})
        for answer in list(waiting.values()):
            if not answer.done():
                answer.set_exception(ClusterUnreachable("the connection was lost", hint=HINT))

    async def _back(self) -> None:
        self._up.set()
        for hear in list(self.reconnected):
            hear()

    def _refusal(self) -> ProvisioningError:
        """Return why no connection came about: nats-py tries again and again, and tells each failure."""
        said = self._said.lower()
        if self._refused.is_set():
            return self._login_refused()
        if "tls" in said or "certificate" in said or "ssl" in said:
            hint = "check nats.ca, nats.certificate and nats.key, and `tls` in the server's configuration"
            return ConfigError(f"nats: {self._where()}: {self._said}", hint=hint)
        return ClusterUnreachable(f"no NATS server answers at {self._where()}: {self._said or 'no answer'}", hint=HINT)

    def _login_refused(self) -> ConfigError:
        return ConfigError(
            f"nats: {self._where()} refused the login",
            hint="check nats.user and nats.password, or those in the URL, nats.token, nats.credentials or nats.nkey",
        )

    def _where(self) -> str:
        return ", ".join(_without_password(url) for url in self.access.urls)

    def _error(self, error: Exception, subject: str) -> ProvisioningError:
        from nats import errors

        if isinstance(error, ProvisioningError):
            return error
        if isinstance(error, errors.AuthorizationError) or "authorization" in str(error).lower():
            return self._login_refused()
        if isinstance(error, errors.NoRespondersError):
            return NobodyAnswers(
                f"nats: nobody answers at {subject}",
                hint="is JetStream enabled for this account, the stream there, and are we permitted to use it?",
            )
        if subject.lower() in self._denied:
            return StoreError(
                f"nats: this account may not publish to {subject}",
                hint="docs/how-to/cluster.md says what each role needs",
            )
        if isinstance(error, errors.MaxPayloadError):
            return StoreError(f"nats: a message to {subject} is longer than the server takes", hint="raise its max_payload")
        lost = isinstance(error, errors.OutboundBufferLimitError)  # what nats-py says of whatever it cannot send at once
        kind = NoAnswer if subject and isinstance(error, errors.TimeoutError) else ClusterUnreachable
        return kind(
            f"there is no connection to {self._where()} now"
            if lost
            else f"the connection to {self._where()} does not work: {error or type(error).__name__}",
            hint="it is made again by itself; check the server if that does not happen",
        )


def headers_of(raw: bytes) -> dict[str, str]:
    """Return the headers in a block as the server stores it."""
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _answer(message: Msg) -> dict[str, Any]:
    try:
        answer = json.loads(message.data)
    except ValueError as error:
        raise StoreError("nats: an answer that is not JSON") from error
    problem = answer.get("error")
    if problem:
        number = int(problem.get("err_code", problem.get("code", 0)))
        raise Refused(f"nats: {problem.get('description', 'refused')}", number=number)
    return dict(answer)


def _identity(client: Client, access: Access) -> dict[str, Any]:
    """Return nats-py's options for who we are. Raises ConfigError."""
    said: dict[str, Any] = {"user": access.user, "password": access.password, "token": access.token}
    said = {name: value for name, value in said.items() if value}
    if access.ca or access.certificate:
        said["tls"] = _tls(access)
    if access.credentials or access.nkey:
        signer = from_credentials(access.credentials) if access.credentials else from_seed(access.nkey or Path())
        client._public_nkey = signer.public  # nats-py has no other way to be told, but with a package of its own
        said |= {"user": "-", "signature_cb": signer.sign}  # without a user it would not sign
        if signer.jwt:
            said["user_jwt_cb"] = lambda: bytearray(signer.jwt.encode())
    return said


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(access.ca) if access.ca else None)
        if access.certificate is not None:
            context.load_cert_chain(access.certificate, access.key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"nats: the certificates cannot be used: {error}", hint="check the settings of nats") from error
    return context


def _without_password(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]
