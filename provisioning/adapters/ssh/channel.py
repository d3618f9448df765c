"""The wrapper on a channel of a connection: started, fed, and read without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import field
from typing import TYPE_CHECKING

from provisioning.adapters.remote.program import HELLO, SUDO_PROMPT
from provisioning.adapters.remote.wire import LinkLost, made_in_thread
from provisioning.adapters.ssh.connect import Connection, quietly
from provisioning.core.frozen import dataclass
from provisioning.errors import BecomeRefused

if TYPE_CHECKING:
    from paramiko import Channel

_PIECE_BYTES = 64 * 1024
_AT_ONCE_BYTES = 16 * 1024  # less than any socket that can be written to has room for
_ASIDE_BYTES = 2048
_REFUSED_S = 0.05
_OPEN_S = 15.0
_EXIT_S = 2.0  # a channel that has ended normally has its exit status already


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """The command that starts the wrapper, and what sudo wants to hear first."""

    command: str
    as_root: bool = False
    password: str | None = field(default=None, repr=False)


class Bell:
    """What paramiko sets when there is something to read, from its own thread: rings in the event loop.

    Not the descriptor that a channel offers for the same: that one is rung by two streams without a lock, and now and then
    it does not ring.
    """

    def __init__(self, there: Callable[[], None]) -> None:
        self._loop, self._there = asyncio.get_running_loop(), there
        self._silent = self._rung = False

    def set(self) -> None:
        """There is something. Said again before somebody has looked, it wakes nobody: that costs a system call."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._call)

    def clear(self) -> None:
        """There is nothing any more. The next reader finds that out."""

    def ring(self) -> None:
        """Look again, soon."""
        self._loop.call_soon(self._call)

    def silence(self) -> None:
        """Ring no more."""
        self._silent = True

    def _call(self) -> None:
        self._rung = False  # before looking: what comes from here on is announced anew
        if not self._silent:
            self._there()


class ChannelWire:
    """One exec."""

    def __init__(self, connection: Connection, channel: Channel, threads: Executor) -> None:
        self._connection, self._channel, self._threads = connection, channel, threads
        self._turn = asyncio.Lock()
        self._aside = b""
        self._bell: Bell | None = None
        self._early = b""  # what came while we waited for sudo

    def begin(self, program: bytes, way_in: WayIn, sudo_s: float) -> None:
        """Send the program, once we are who we have to be. Blocking. Raises LinkLost, BecomeRefused."""
        if way_in.password is not None:
            self._channel.sendall(way_in.password.encode() + b"\n")
        if way_in.as_root:
            self._await_hello(way_in, sudo_s)
        self._send(program)

    async def write(self, data: bytes) -> None:
        """See Wire."""
        async with self._turn:
            if self._goes_at_once(len(data)):  # a thread would cost more than what it does
                self._send(data)
            else:
                await made_in_thread(self._threads, lambda: self._send(data), lambda _: None)

    def _goes_at_once(self, size: int) -> bool:
        """Whether nothing would have to be waited for: the server's window, new keys, room in the socket."""
        if size > _AT_ONCE_BYTES or size > self._channel.out_window_size:
            return False
        return self._connection.transport.clear_to_send.is_set() and self._connection.ears.takes_at_once()

    def _send(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except OSError as wrong:
            if not self._connection.alive:
                raise LinkLost(str(wrong) or "the connection ended") from wrong
            # The wrapper has stopped reading: why is in what it says.

    def listen(self, there: Callable[[], None]) -> None:
        """See Wire."""
        self._bell = Bell(there)
        self._channel.in_buffer.set_event(self._bell)  # type: ignore[arg-type] # it needs set and clear
        self._bell.ring()  # what came during login is not announced again

    def read(self) -> bytes | None:
        """See Wire."""
        early, self._early = self._early, b""
        data = early or self._piece()
        over = self._channel.eof_received or self._channel.closed
        if data and self._bell is not None and (early or len(data) == _PIECE_BYTES or over):
            self._bell.ring()  # there may be more, or the end, of which we have been told already
        return data

    def _piece(self) -> bytes | None:
        while self._channel.recv_stderr_ready():  # a login script's; its window must not fill up
            self._aside = (self._aside + self._channel.recv_stderr(_PIECE_BYTES))[-_ASIDE_BYTES:]
        ended = self._channel.eof_received or self._channel.closed
        if self._channel.recv_ready():
            return self._channel.recv(_PIECE_BYTES)
        return b"" if ended else None

    def aside(self) -> str:
        """See Wire."""
        return self._aside.decode("utf-8", "replace")

    async def exit_code(self) -> int | None:
        """See Wire."""
        patience_s = _EXIT_S if self._connection.alive else 0
        if not await asyncio.get_running_loop().run_in_executor(self._threads, self._channel.status_event.wait, patience_s):
            return None
        code = self._channel.recv_exit_status()
        return code if code >= 0 else None

    def close(self) -> None:
        """See Wire."""
        if self._bell is not None:
            self._bell.silence()
        quietly(self._channel.close)

    def _await_hello(self, way_in: WayIn, sudo_s: float) -> None:
        """Wait until sudo has let us in; a second prompt means that the password was wrong.

        After a wrong password the server says nothing for two seconds or more. Silence of `sudo_s` is taken for that,
        unless the server is slow in everything.
        """
        name = self._connection.target.name
        heard = b""
        self._channel.settimeout(sudo_s)
        while HELLO not in heard:
            try:
                piece = self._channel.recv(_PIECE_BYTES)
            except TimeoutError as late:
                if self._server_is_slow():
                    continue
                what = "the password" if way_in.password is not None else "us"
                why = f"{name}: sudo refused {what}, or took more than {sudo_s:g} s to check it"
                raise BecomeRefused(why, server=name) from late
            heard += piece
            if not piece:
                if not self._connection.alive:
                    raise LinkLost("the connection ended during sudo")
                heard = heard or self._channel.recv_stderr(_ASIDE_BYTES)  # a login shell that lets nobody in
                raise BecomeRefused(
                    f"{name}: sudo refused: {_last_line(heard)}",
                    hint="allow the login to use sudo without a password, or set ssh.become.password",
                    server=name,
                )
            if heard.count(SUDO_PROMPT.encode()) > 1:
                raise BecomeRefused(f"{name}: sudo refused the password", server=name)
        self._early = heard
        self._channel.settimeout(None)

    def _server_is_slow(self) -> bool:
        """Whether a command that does nothing takes long as well. Raises SSHException."""
        channel = new_session(self._connection)
        try:
            channel.exec_command("true")
            return not channel.status_event.wait(0.15)
        finally:
            quietly(channel.close)


def open_channel(
    connection: Connection, threads: Executor, program: bytes, way_in: WayIn, *, sudo_s: float = 1.5
) -> ChannelWire:
    """Start the wrapper. Blocking. Raises LinkLost, BecomeRefused."""
    from paramiko import SSHException

    try:
        channel = new_session(connection)
    except (SSHException, EOFError, OSError) as wrong:
        raise LinkLost(str(wrong) or "the connection ended") from wrong
    wire = ChannelWire(connection, channel, threads)
    try:
        channel.exec_command(way_in.command)
        wire.begin(program, way_in, sudo_s)
    except (SSHException, EOFError, OSError) as wrong:
        wire.close()
        raise LinkLost(str(wrong) or "the connection ended") from wrong
    except BaseException:
        wire.close()
        raise
    return wire


def new_session(connection: Connection) -> Channel:
    """Open a session. A busy server counts those we have closed a moment longer than we do: refusals are tried again."""
    from paramiko import ChannelException

    until = time.monotonic() + _OPEN_S
    while True:
        try:
            return connection.transport.open_session(timeout=_OPEN_S)
        except ChannelException:
            if time.monotonic() > until:
                raise
            time.sleep(_REFUSED_S)


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].removeprefix(SUDO_PROMPT).strip() if lines else "no message"
