"""Shells on machines that do not exist: they do what a test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field

from provisioning.adapters.memory.bell import Bell
from provisioning.adapters.memory.processes import Played
from provisioning.core.errands import Login
from provisioning.core.frozen import dataclass
from provisioning.core.outside import NOTHING, Ears, Ended
from provisioning.errors import HostError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A command that was sent."""

    login: Login
    script: str
    shell: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)


class FakeRemoteShell:
    """Fulfils `errands.RemoteShell`. Whatever nothing was said of succeeds at once.

        remote = FakeRemoteShell()
        remote.on("uptime", Played(stdout=b"up"), Played(kind="unknown", message="the link was lost"))
        remote.refuse("down.example", Unreachable("down.example: connection refused"))
        ...
        remote.sent[0].login

    What is played is for scripts that hold the text, in order, the last one for good.
    """

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.cancelled = 0
        self.closed = False
        self._scripts: dict[str, list[Played]] = {}
        self._refusals: dict[str, HostError] = {}
        self._called = Bell()

    def on(self, text: str, *played: Played) -> None:
        """Say what scripts do that hold this text."""
        self._scripts[text] = list(played)

    def refuse(self, host: str, error: HostError) -> None:
        """Let nobody in."""
        self._refusals[host] = error

    async def until_sent(self, text: str) -> Sent:
        """Wait until a script with this text has been sent, and return that."""
        while True:
            for sent in self.sent:
                if text in sent.script:
                    return sent
            await self._called.heard()

    async def run(
        self,
        login: Login,
        command: str | bytes,
        *,
        ears: Ears,
        shell: Sequence[str] = (),
        env: Mapping[str, str] = NOTHING,
        timeout_s: float | None = None,
        grace_s: float = 5.0,  # noqa: ARG002 - they end at once
        stop_signal: str = "SIGTERM",  # noqa: ARG002
    ) -> Ended:
        """See RemoteShell."""
        if login.host in self._refusals:
            raise self._refusals[login.host]
        script = command if isinstance(command, str) else command.decode("utf-8", "surrogateescape")
        self.sent.append(Sent(login=login, script=script, shell=tuple(shell), env=env))
        played = self._next(script)
        for output, data in ((ears.stdout, played.stdout), (ears.stderr, played.stderr)):
            if data:
                output(data)
        self._called.ring()
        try:
            async with asyncio.timeout(timeout_s):
                await (asyncio.Event().wait() if played.hang else asyncio.sleep(0))
        except TimeoutError:
            return Ended(kind="timeout")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Ended(kind=played.kind, code=played.code, message=played.message)

    async def close(self) -> None:
        """See RemoteShell."""
        self.closed = True

    def _next(self, script: str) -> Played:
        played = next((played for text, played in self._scripts.items() if text in script), [Played()])
        return played.pop(0) if len(played) > 1 else played[0]
