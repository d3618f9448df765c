"""Definitions over NATS: workers ask, and everybody who has a folder of DAGs answers.

A question goes to `NAMESPACE.say.definitions.WORKER`, so a server's permissions say in whose name a connection may ask. Nobody
stores anything. An answer is a message with what is said, and as many more as the package has parts; several may answer, and
their messages come mixed: each carries who sent it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import text
from provisioning.adapters.nats.wire import Message
from provisioning.codec import CodecError, decode, encode
from provisioning.core.dagu.definitions import HAVING, Answer, Status, Wanted, best, is_question
from provisioning.core.dagu.package import TRAVELS_MOST
from provisioning.errors import ClusterUnreachable, DefinitionError, NoCoordinator, ProvisioningError, StoreError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SUBJECT = "definitions"
PART_BYTES = 256 * 1024
QUESTION_MOST = 64 * 1024  # bytes
AT_ONCE = 4  # questions that are answered at the same time
TIMEOUT_S, PATIENCE_S = 10.0, 0.5
BY, PART, PARTS = "Prov-By", "Prov-Part", "Prov-Parts"
HINT = "start a server or scheduler with a folder of DAGs on this cluster, and see that this login may ask it"


class Answers(Protocol):
    """Whoever knows the answers."""

    async def answer(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """Return an answer, and the package where it was found. Never raises."""
        ...


# ---------------------------------------------------------------- asking


@dataclass(slots=True)
class _Coming:
    """What has come of one answer."""

    answer: Answer | None = None
    parts: int = 0
    got: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    @property
    def whole(self) -> bool:
        return self.answer is not None and len(self.got) == self.parts

    def data(self) -> bytes:
        return b"".join(self.got[number] for number in sorted(self.got))


class NatsCoordinator:
    """Fulfils `Coordinator`: asks all at once, and takes the first who has it."""

    def __init__(self, cluster: Cluster, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S) -> None:
        """An answer has come within `timeout_s`, or its next part has; after one that has it not, others have `patience_s`."""
        self._cluster, self._timeout_s, self._patience_s = cluster, timeout_s, patience_s

    async def ask(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """See Coordinator. Raises ClusterUnreachable as well."""
        if not is_question(wanted):
            raise DefinitionError(f"the DAG '{wanted.name}' cannot be asked for: it is no name")
        async with self._answers() as (inbox, heard):
            subject = self._cluster.names.signal(SUBJECT, wanted.caller)
            await self._cluster.send(Message(subject=subject, body=encode(wanted)), reply=inbox)
            return await self._gathered(wanted, heard)

    @asynccontextmanager
    async def _answers(self) -> AsyncIterator[tuple[str, asyncio.Queue[Msg]]]:
        """Listen for answers."""
        client = await self._cluster.client()
        inbox = client.new_inbox()
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        try:
            subscription = await client.subscribe(inbox, cb=heard.put, pending_msgs_limit=0, pending_bytes_limit=0)
        except Exception as error:
            raise ClusterUnreachable(f"the connection to NATS does not work: {error or type(error).__name__}") from error
        try:
            yield inbox, heard
        finally:
            with suppress(Exception):  # the connection may be gone, and the subscription with it
                await subscription.unsubscribe()

    async def _gathered(self, wanted: Wanted, heard: asyncio.Queue[Msg]) -> tuple[Answer, bytes]:
        coming: dict[str, _Coming] = {}
        while True:
            ended = [one.answer for one in coming.values() if one.answer is not None and one.whole]
            begun = any(not one.whole for one in coming.values())
            try:
                async with asyncio.timeout(self._patience_s if ended and not begun else self._timeout_s):
                    message = await heard.get()
            except TimeoutError:
                return self._without(wanted, ended, begun=begun), b""
            if (message.headers or {}).get("Status") == "503":
                raise NoCoordinator(f"nobody is there who has definitions: the DAG {wanted.name} was asked for", hint=HINT)
            one = _take(coming, message)
            if one is not None and one.whole and one.answer is not None and one.answer.status in HAVING:
                return one.answer, one.data()

    def _without(self, wanted: Wanted, ended: list[Answer], *, begun: bool) -> Answer:
        """Return what is to be said where nobody has it. Raises NoCoordinator."""
        answer = best(ended)
        if answer is None or begun:
            what = "an answer broke off" if begun else "nobody has answered"
            message = f"{what} within {self._timeout_s:g} s: the DAG {wanted.name} was asked for"
            raise NoCoordinator(message, hint=HINT)
        return answer


def _take(coming: dict[str, _Coming], message: Msg) -> _Coming | None:
    """Take one message of an answer; None for one that is nothing of the kind."""
    headers = message.headers or {}
    by = headers.get(BY, "")
    number = headers.get(PART, "")
    if not by:
        return None
    one = coming.setdefault(by, _Coming())
    if not number:
        try:
            one.answer, one.parts = decode(message.data, Answer), int(headers.get(PARTS, "0"))
        except (CodecError, ValueError):
            del coming[by]
            return None
        return one
    one.size += len(message.data)
    if one.size > TRAVELS_MOST or not number.isdecimal():
        raise DefinitionError(f"an answer of {one.answer.by if one.answer else by} is larger than may travel")
    one.got[int(number)] = message.data
    return one


# ---------------------------------------------------------------- answering


class DefinitionService:
    """Answers the questions of a namespace while it is served."""

    def __init__(self, cluster: Cluster, answers: Answers, *, told: Callable[[str], None] = lambda _line: None) -> None:
        """`told` hears of answers that could not be sent."""
        self._cluster, self._answers, self._told = cluster, answers, told
        self._name = secrets.token_hex(8)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._busy: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()

    async def serve(self) -> None:
        """Answer until cancelled. Raises ClusterUnreachable when there is no connection to begin with."""
        try:
            while True:
                client = await self._cluster.client()
                subject = self._cluster.names.signal(SUBJECT) + ".*"
                try:
                    await client.subscribe(subject, cb=self._hear)
                    await client.flush()
                except Exception as error:
                    raise StoreError(f"nats: questions for definitions cannot be heard: {error}", hint=HINT) from error
                self.ready.set()
                while not client.is_closed:  # noqa: ASYNC110 - nothing tells; a link that is lost and back keeps it open
                    await asyncio.sleep(1.0)
        finally:
            for task in self._busy:
                task.cancel()

    async def _hear(self, message: Msg) -> None:
        if message.reply:
            task = asyncio.create_task(self._reply(message))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _reply(self, message: Msg) -> None:
        async with self._turns:
            answer, data = await self._answered(message)
            try:
                await self._send(message.reply, answer, data)
            except ProvisioningError as error:  # whoever asked asks again
                self._told(f"the answer to a question for the DAG {answer.name} could not be sent: {error.message}")

    async def _answered(self, message: Msg) -> tuple[Answer, bytes]:
        """Return the answer. In whose name a question is asked is what its subject says: that is what a login permits."""
        caller = text(message.subject.rpartition(".")[2])
        try:
            wanted = decode(message.data[:QUESTION_MOST], Wanted, strict=False)
        except CodecError as error:
            return Answer(status=Status.REFUSED, name="", error=f"this is no question: {error}"), b""
        if caller is None or wanted.caller != caller:
            return Answer(status=Status.REFUSED, name=wanted.name, error="it was asked in somebody else's name"), b""
        return await self._answers.answer(wanted)

    async def _send(self, reply: str, answer: Answer, data: bytes) -> None:
        client = await self._cluster.client()
        size = min(PART_BYTES, max(4096, client.max_payload - 4096))
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        head = {BY: self._name, PARTS: str(len(parts))}
        await self._cluster.send(Message(subject=reply, body=encode(answer), headers=head))
        for number, part in enumerate(parts):
            await self._cluster.send(Message(subject=reply, body=part, headers={BY: self._name, PART: str(number)}))
