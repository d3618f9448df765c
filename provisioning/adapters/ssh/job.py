"""One command on a channel: started, heard on both streams at once without a thread, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from provisioning.adapters.ssh.channel import Bell
from provisioning.adapters.ssh.connect import Connection, quietly
from provisioning.adapters.ssh.script import COMMAND, Errand, Heard
from provisioning.core.outside import Ears, Ended
from provisioning.core.text import plain_text
from provisioning.errors import HostError, Unreachable

if TYPE_CHECKING:
    from paramiko import Channel

_READY_S = 60.0  # for a login shell to begin
_EXIT_S = 2.0  # a channel that has ended normally has its exit status already
_PIECE_BYTES = 64 * 1024


class Job:
    """A command on its way. `over` is how it ended, or what an ear raised; `fate` is why nobody can say that it is gone."""

    def __init__(
        self, errand: Errand, host: str, connection: Connection, channel: Channel, ears: Ears, threads: Executor
    ) -> None:
        self.errand, self.host, self.ears = errand, host, ears
        self.over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.over.add_done_callback(lambda over: over.cancelled() or over.exception())  # who asked may be gone
        self.group = 0  # on that machine; 0 until it has begun
        self.fate = ""
        self._connection, self._channel, self._threads = connection, channel, threads
        self._out, self._err = Heard(errand, ears.stdout), Heard(errand, ears.stderr)
        self._begun = asyncio.Event()  # or it will never
        self._bell = Bell(self._take)
        self._starting: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin it. Raises HostError when it has surely not begun, or is silent for too long."""
        for buffer in (self._channel.in_buffer, self._channel.in_stderr_buffer):
            buffer.set_event(self._bell)  # type: ignore[arg-type] # it needs set and clear
        self._starting = asyncio.get_running_loop().run_in_executor(self._threads, self._send)
        self._starting.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        await asyncio.shield(self._starting)
        self._bell.ring()
        try:
            async with asyncio.timeout(_READY_S):
                await self._begun.wait()
        except TimeoutError as late:
            why = f"{self.host}: the login works, but no shell answered within {_READY_S:g} s"
            raise Unreachable(why, server=self.host) from late

    async def known(self) -> bool:
        """Wait until it is known whether there is something to stop; return that."""
        if self._starting is None:
            return False
        await asyncio.wait([self._starting])
        if self._starting.cancelled() or self._starting.exception() is not None:
            return False
        self._bell.ring()
        await self._begun.wait()
        ended = self.over.done() and self.over.exception() is None and self.over.result().kind == "exit"
        return self.group > 0 and not ended

    def close(self) -> None:
        """Let go of it. What it has left running goes on."""
        self._bell.silence()
        if self._closing is not None:
            self._closing.cancel()
        quietly(self._channel.close)

    def _send(self) -> None:
        """Blocking. What is sent in part is never run."""
        from paramiko import SSHException

        try:
            self._channel.exec_command(COMMAND)
            self._channel.sendall(self.errand.program())
            self._channel.shutdown_write()
        except (SSHException, EOFError, OSError) as wrong:
            if not self._connection.alive:
                raise Unreachable(f"{self.host}: the connection ended before the command was sent", server=self.host) from wrong
            if not self._channel.closed:  # else the login shell has gone already, and what it said is the answer
                raise HostError(f"{self.host} runs no commands: {wrong}", server=self.host) from wrong

    def _take(self) -> None:
        """Take a piece of what there is. Called by the event loop until nothing is left."""
        if self.over.done() and self._begun.is_set():
            return
        channel = self._channel
        ended = channel.eof_received or channel.closed  # asked before the rest: what came until then is still taken
        try:
            moved = [
                _pass_on(self._out, channel.recv_ready, channel.recv),
                _pass_on(self._err, channel.recv_stderr_ready, channel.recv_stderr),
            ]
        except Exception as wrong:  # of an ear; we still have to learn what there is to stop
            self._out.mute()
            self._err.mute()
            self._over(wrong)
            moved = [True]
        if self._err.begun is not None and not self.group:
            self.group = int(self._err.begun)
            self._begun.set()
        if self._out.ended is not None and self._err.ended is not None:
            self._end(Ended(kind="exit", code=int(self._err.ended)))
        elif any(moved):
            self._bell.ring()
        elif ended and self._closing is None:
            self._closing = asyncio.create_task(self._explain())

    def _end(self, how: Ended | Exception) -> None:
        self._over(how)
        self._begun.set()

    def _over(self, how: Ended | Exception) -> None:
        if self.over.done():
            return
        if isinstance(how, Ended):
            self.over.set_result(how)
        else:
            self.over.set_exception(how)

    async def _explain(self) -> None:
        """Say why the streams ended without a word of ours."""
        patience_s = _EXIT_S if self._connection.alive else 0
        there = await asyncio.get_running_loop().run_in_executor(self._threads, self._channel.status_event.wait, patience_s)
        code = self._channel.exit_status if there and self._connection.alive else -1
        try:
            self._out.finish()
            self._err.finish()
        except Exception as wrong:
            self._end(wrong)
            return
        self._end(self._without_a_word(code))

    def _without_a_word(self, code: int) -> Ended:
        if not self._connection.alive:
            lost = f"the link to {self.host} was lost, and whether the command still runs there is not known"
            return Ended(kind="unknown", message=lost)
        if self._err.begun is not None:
            return Ended(kind="unknown", message=f"the shell on {self.host} was killed, and how the command ended is not known")
        said = plain_text(self._err.before or self._out.before).strip().splitlines()
        why = f" (exit code {code})" if code >= 0 else ""
        return Ended(kind="start", message=f"{self.host} starts no shell{why}: {said[-1] if said else 'no message'}")


def _pass_on(heard: Heard, ready: Callable[[], bool], receive: Callable[[int], bytes]) -> bool:
    """Pass a piece on; return whether there was one."""
    if not ready():
        return False
    heard.feed(receive(_PIECE_BYTES))
    return True
