"""A wrapper that runs: many requests at a time over one stream each way."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import count

from provisioning.adapters.remote.frames import Frame, FrameReader, Verdict, frame_bytes, verdict_of
from provisioning.adapters.remote.program import HELLO, program_bytes
from provisioning.adapters.remote.request import Request
from provisioning.adapters.remote.wire import LinkLost, Shell, Wire
from provisioning.errors import HostError, Unreachable

_READY_S = 20.0  # for becoming root and for the wrapper's start
_PIECE_BYTES = 256 * 1024

Listener = Callable[[Frame], None]


async def open_session(shell: Shell) -> Session:
    """Start a wrapper and wait until it answers. Raises LinkLost, HostError."""
    nonce = secrets.token_hex(16)
    session = Session(shell, await shell.open(program_bytes(nonce)), nonce)
    session.listen()
    try:
        await session.ready()
    except BaseException:
        session.close()
        raise
    return session


class Session:
    """One running wrapper. Used by one event loop."""

    def __init__(self, shell: Shell, wire: Wire, nonce: str) -> None:
        self._shell, self._wire = shell, wire
        self._reader = FrameReader(nonce)
        self._ids = count(1)
        self._listeners: dict[int, Listener] = {}
        self._verdicts: dict[int, asyncio.Future[Verdict]] = {}
        self._archives: dict[int, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self._ended: Exception | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether requests can be sent, as far as we know."""
        return not self._ended and self._ending is None

    @property
    def notes(self) -> str:
        """The last words that came before the wrapper's own, one line: a login shell's, sudo's, perl's."""
        before = self._reader.before.replace(HELLO, b"").decode("utf-8", "replace")
        lines = (self._wire.aside() + "\n" + before).splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def listen(self) -> None:
        """Begin to take what comes."""
        self._wire.listen(self._take)

    async def ready(self) -> None:
        """Wait for the wrapper's first word. Raises what ended it before, Unreachable after some seconds of nothing."""
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except TimeoutError as late:
            server, words = self._shell.server, self.notes or "no message"
            why = f"{server}: the login works, but nothing answered within {_READY_S:g} s: {words}"
            raise Unreachable(why, server=server) from late
        if self._ended is not None:
            raise self._ended

    async def ask(self, request: Request, listener: Listener) -> Verdict:
        """Send a request, pass its frames on, return its verdict. Raises LinkLost, HostError.

        When we are cancelled, or the listener raises, the wrapper is told that nobody listens any more.
        """
        async with self._numbered(listener) as id:
            self._archives[id] = request.archive
            await self._wire.write(frame_bytes(request.verb, id, request.payload))
            return await self._verdicts[id]

    def close(self) -> None:
        """End it. Units on the server go on."""
        self._wire.close()
        self._fail(LinkLost("the connection has been closed"))

    @asynccontextmanager
    async def _numbered(self, listener: Listener) -> AsyncIterator[int]:
        if self._ended is not None:
            raise self._ended
        id = next(self._ids)
        self._listeners[id], self._verdicts[id] = listener, asyncio.get_running_loop().create_future()
        try:
            yield id
        finally:
            del self._listeners[id]
            self._archives.pop(id, None)
            verdict = self._verdicts.pop(id)
            if (verdict.cancelled() or not verdict.done()) and self.alive:
                self._background(self._wire.write(frame_bytes("cancel", id)))

    def _send_archive(self, id: int) -> None:
        """Send what the server has asked for, piece by piece: other requests find their way between."""

        async def send() -> None:
            archive = self._archives.pop(id, b"")
            for at in range(0, len(archive), _PIECE_BYTES):
                await self._wire.write(frame_bytes("data", id, archive[at : at + _PIECE_BYTES]))

        self._background(send())

    def _background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a link that is lost is told to those who wait for verdicts

    def _take(self) -> None:
        """Take a piece of what there is. Called by the event loop until nothing is left: a flood keeps nobody else waiting."""
        data = self._wire.read()
        if data is None:
            return
        if not data:
            self._ending = self._ending or asyncio.create_task(self._end())
            return
        try:
            self._hear(data)
        except HostError as nonsense:
            self._fail(nonsense)
            self.close()

    def _hear(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if frame.word == "end":
                verdict = self._verdicts.get(frame.id)
                if verdict is not None and not verdict.done():
                    verdict.set_result(verdict_of(frame.text))
            elif frame.word == "want":
                self._send_archive(frame.id)
            elif frame.id in self._listeners:
                self._tell(frame)
        if self._reader.ready:
            self._ready.set()

    def _tell(self, frame: Frame) -> None:
        try:
            self._listeners[frame.id](frame)
        except Exception as wrong:
            verdict = self._verdicts[frame.id]
            if not verdict.done():
                verdict.set_exception(wrong)

    async def _end(self) -> None:
        """Find out why the stream has ended, and tell everyone who waits."""
        code = await self._wire.exit_code()
        started = self._reader.ready or HELLO in self._reader.before
        if code is None or started:
            self._fail(LinkLost(self.notes or "the channel ended without a result"))
        else:
            self._fail(self._shell.refusal(code, self.notes))
        self._wire.close()

    def _fail(self, why: Exception) -> None:
        self._ended = self._ended or why
        self._ready.set()
        for verdict in self._verdicts.values():
            if not verdict.done():
                verdict.set_exception(self._ended)
