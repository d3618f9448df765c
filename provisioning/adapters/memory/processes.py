"""Programs that do what a script says, and remember how they were called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from provisioning.adapters.memory.bell import Bell
from provisioning.core.frozen import dataclass
from provisioning.core.outside import Content, Ears, Ended, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a program does: print, and end. `hang` never ends."""

    code: int = 0
    kind: str = "exit"  # see outside.Ended
    message: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    hang: bool = False


@dataclass(slots=True, kw_only=True)
class Ran:
    """A call of a program: `words` with the content of its private files in their places."""

    program: Program
    words: Sequence[str]
    cancelled: bool = False


class FakeProcesses:
    """Fulfils `outside.Processes`. Whatever has no script succeeds at once.

        processes = FakeProcesses()
        processes.on("docker run", Played(code=125, stderr=b"no daemon"), Played())  # fails once, then works
        ...
        processes.ran[0].words

    A script is for the programs whose words, joined by spaces, begin with its text; the longest such text counts. Played
    parts are used in order, the last one for good.
    """

    def __init__(self) -> None:
        self.ran: list[Ran] = []
        self._scripts: dict[str, list[Played]] = {}
        self._called = Bell()

    def on(self, beginning: str, *played: Played) -> None:
        """Say what the programs do whose words begin like this."""
        self._scripts[beginning] = list(played)

    async def until_ran(self, beginning: str) -> Ran:
        """Wait until such a program has been called, and return the call."""
        while True:
            for call in self.ran:
                if " ".join(call.words).startswith(beginning):
                    return call
            await self._called.heard()

    async def run(self, program: Program, ears: Ears) -> Ended:
        """See Processes."""
        words = [word.data.decode() if isinstance(word, Content) else word for word in program.words]
        call = Ran(program=program, words=words)
        self.ran.append(call)
        played = self._next(" ".join(words))
        for output, data in ((ears.stdout, played.stdout), (ears.stderr, played.stderr)):
            if data:
                output(data)
        self._called.ring()
        try:
            await (asyncio.Event().wait() if played.hang else asyncio.sleep(0))
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        return Ended(kind=played.kind, code=played.code, message=played.message)

    def _next(self, line: str) -> Played:
        fitting = [beginning for beginning in self._scripts if line.startswith(beginning)]
        if not fitting:
            return Played()
        script = self._scripts[max(fitting, key=len)]
        return script.pop(0) if len(script) > 1 else script[0]
