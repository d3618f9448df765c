"""This machine as a server: the same wrapper, in a child process instead of over a connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import IO, cast

from provisioning.adapters.remote.link import RemoteLink
from provisioning.adapters.remote.program import COMMAND
from provisioning.adapters.remote.wire import Wire, made_in_thread, missing_programs
from provisioning.errors import HostError

_PIECE_BYTES = 256 * 1024


class LocalShell:
    """Starts the wrapper as a child. `environment` is what it sees; units live in its PROVISIONING_HOME."""

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)

    @property
    def server(self) -> str:
        """The server's name, for messages."""
        return "this machine"

    async def open(self, program: bytes) -> Wire:
        """See Shell."""
        wire = await made_in_thread(None, self._launch, LocalWire.close)
        await wire.write(program)
        return wire

    def refusal(self, code: int, notes: str) -> HostError:
        """See Shell."""
        return missing_programs(self.server, code, notes)

    def _launch(self) -> LocalWire:
        # A session of its own: an interrupt typed at our terminal is ours to handle, the unit's end is asked for.
        return LocalWire(
            subprocess.Popen(
                ["sh", "-c", COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env=self._environment,
                start_new_session=True,
            )
        )


class LocalWire:
    """The pipes of a child."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._output = cast("IO[bytes]", child.stdout)
        os.set_blocking(self._output.fileno(), False)

    async def write(self, data: bytes) -> None:
        """See Wire. A wrapper that stops reading has ended; why is in what it says."""
        async with self._turn:
            await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        stdin, left = cast("IO[bytes]", self._child.stdin), memoryview(data)
        with contextlib.suppress(BrokenPipeError, ValueError):
            while left:
                left = left[stdin.write(left) :]

    def listen(self, there: Callable[[], None]) -> None:
        """See Wire."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._output.fileno(), there)

    def read(self) -> bytes | None:
        """See Wire."""
        try:
            data = os.read(self._output.fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return None
        if not data:  # an ended stream is readable for ever
            self._unlisten()
        return data

    def aside(self) -> str:
        """See Wire. There is one stream."""
        return ""

    async def exit_code(self) -> int | None:
        """See Wire. A killed wrapper is a broken link."""
        try:
            code = await asyncio.to_thread(self._child.wait, timeout=1)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else None

    def close(self) -> None:
        """See Wire."""
        self._unlisten()
        cast("IO[bytes]", self._child.stdin).close()
        self._output.close()
        if self._child.poll() is None:
            threading.Thread(target=self._child.wait, daemon=True).start()  # without input it ends by itself

    def _unlisten(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._output.fileno())
        self._loop = None


def local_link(*, environment: Mapping[str, str] | None = None) -> RemoteLink:
    """Return a HostLink to this machine."""
    return RemoteLink(LocalShell(environment=environment))
