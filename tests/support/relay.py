"""A relay in a process of its own. Frozen, it is a network through which nothing comes, and nobody is told.

python relay.py PORT: listens on a port of its own, which it prints, and passes on to PORT, both on loopback.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PROGRAM = """
import asyncio, sys
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def take(reader, writer):
    try:
        there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, back), pump(there, writer))
async def main():
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Relay:
    """What passes everything on, as long as it is not cut."""

    port: int
    process: subprocess.Popen[str]

    def cut(self, *, off: bool) -> None:
        """Let nothing through, or everything again."""
        self.process.send_signal(signal.SIGSTOP if off else signal.SIGCONT)


@contextlib.contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """Have a relay to a port."""
    words = [sys.executable, "-c", PROGRAM, str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Relay(int(process.stdout.readline()), process)
        finally:
            process.kill()
