"""The link to one server: starts units, runs probes, and finds out what became of a unit when the link was lost."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from provisioning.adapters.remote.frames import Frame, Verdict
from provisioning.adapters.remote.request import forget_request, probe_request, start_request, stop_request, unit_name
from provisioning.adapters.remote.session import Session, open_session
from provisioning.adapters.remote.wire import LinkLost, Shell
from provisioning.core.hosts import Bundle, Exit, Unit
from provisioning.core.ports import Output
from provisioning.errors import HostError, Unreachable

STDOUT_KEPT_BYTES = 64 * 1024
_LINK_LOST = "link_lost"
_ASK_AGAIN = frozenset({_LINK_LOST, "absent", "lost"})
_STEADY_S = 5.0  # a link that held this long starts with fresh patience when it is lost again
_STOP_PATIENCE_S = 10.0  # somebody waits for their prompt
_FORGET_S = 5.0
_PROBE_SLACK_S = 0.3  # for the server's own verdict on a short probe to arrive


@dataclass(slots=True)
class Relay:
    """Passes output on and counts it: after a lost link, that is where it goes on."""

    output: Output
    source: str = ""  # the unit it came from
    count: int = 0

    def take(self, data: bytes, source: str) -> None:
        """Pass it on."""
        self._count(source, len(data))
        self.output(data)

    def skip(self, count: int, source: str) -> None:
        """Say that so many bytes were printed faster than they could be passed on, and are not kept any more."""
        self._count(source, count)
        self.output(f"\n[{count} bytes of output were not kept by the server]\n".encode())

    def _count(self, source: str, count: int) -> None:
        if source != self.source:
            self.source, self.count = source, 0
        self.count += count


class Patience:
    """Growing waits with jitter, for so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._until_s = time.monotonic() + seconds
        self._longest_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that are left, at least one: whoever is asked gets the chance to answer."""
        return max(self._until_s - time.monotonic(), 1.0)

    async def wait(self) -> bool:
        """Wait a while, the first time not at all; False when the time is over."""
        if self._longest_s and time.monotonic() >= self._until_s:
            return False
        await asyncio.sleep(random.uniform(self._longest_s / 2, self._longest_s))  # noqa: S311 - spreads load, guards nothing
        self._longest_s = min(max(self._longest_s * 1.7, 0.2), 5.0)
        return True


class RemoteLink:
    """HostLink over any Shell.

    `patience_s` is how long a lost link is tried again before the outcome is called unknown; `stop_s` how long a unit
    may take to end once it was asked to.
    """

    def __init__(self, shell: Shell, *, patience_s: float = 30.0, stop_s: float = 20.0) -> None:
        self._shell = shell
        self._patience_s = patience_s
        self._stop_s = stop_s
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._told: dict[str, Unit] = {}  # units of which we have passed on the end, by name

    async def start(self, unit: Unit, bundle: Bundle, output: Output) -> Exit:
        """See HostLink."""
        try:
            async with asyncio.timeout(2 * unit.timeout_s + 60):  # the server's own limits come first, unless it is frozen
                return await self._run(unit, bundle, Relay(output))
        except TimeoutError:
            return await self._stop(unit)
        except asyncio.CancelledError:
            await asyncio.shield(self._stop(unit))
            raise

    async def probe(self, command: str, *, timeout_s: float, output: Output) -> Exit:
        """See HostLink. A lost link is `unknown`: a probe is not asked for again, the next one is another probe."""
        kept = bytearray()

        def show(frame: Frame) -> None:
            if frame.word == "out":
                kept.extend(frame.payload[: STDOUT_KEPT_BYTES - len(kept)])
            output(frame.payload)

        try:
            async with asyncio.timeout(max(timeout_s * 1.08, timeout_s + _PROBE_SLACK_S)):
                session = await self._current()
                verdict = await session.ask(probe_request(command, timeout_s=timeout_s), show)
        except (LinkLost, Unreachable) as lost:
            verdict = Verdict(word="unknown", text=f"the link to {self._shell.server} was lost: {lost}")
        except TimeoutError:  # the server kills it as well, as soon as it can
            verdict = Verdict(word="timeout")
        kind = verdict.word if verdict.word in {"exit", "timeout"} else "unknown"
        return Exit(kind=kind, code=verdict.code, message=verdict.text, stdout=bytes(kept))

    async def recorded(self) -> None:
        """See Hosts."""
        told, self._told = self._told, {}
        if told and self._session is not None and self._session.alive:
            with suppress(LinkLost, HostError, TimeoutError):
                async with asyncio.timeout(_FORGET_S):
                    await self._session.ask(forget_request(next(iter(told.values())), tuple(told)), lambda _frame: None)

    def close(self) -> None:
        """Let go of the wrapper. Units go on."""
        if self._opening is not None:
            self._opening.cancel()
        if self._session is not None:
            self._session.close()

    async def _current(self) -> Session:
        """Return the running wrapper, started now if there is none; who comes meanwhile shares it."""
        if self._session is not None and self._session.alive:
            return self._session
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda opened: opened.cancelled() or opened.exception())  # all may be gone
        return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        if self._session is not None:
            self._session.close()
        self._session = await open_session(self._shell)
        return self._session

    async def _run(self, unit: Unit, bundle: Bundle, relay: Relay) -> Exit:
        """Ask until there is a verdict. The bundle is sent the first time, and again only if the server lacks it."""
        verdict, adopted, _ = await self._ask(unit, bundle, relay)
        patience = Patience(self._patience_s)
        while verdict.word in _ASK_AGAIN:
            if not await patience.wait():
                return Exit(kind="unknown", message=f"no answer from {self._shell.server}: {verdict.text or verdict.word}")
            again = bundle if verdict.word == "absent" else None
            counted, held_s = relay.count, 0.0
            try:
                verdict, adopted, held_s = await self._ask(unit, again, relay, within_s=patience.left_s)
            except HostError as refused:  # something may be running: one more way not to know
                verdict = Verdict(word=_LINK_LOST if refused.retryable else "unknown", text=refused.message)
            if relay.count > counted or held_s > _STEADY_S:
                patience = Patience(self._patience_s)
        if verdict.word == "cut":
            why = f"{self._shell.server}: the bundle could not be delivered: {verdict.text}"
            raise HostError(why, server=self._shell.server)
        self._told[adopted or unit_name(unit.run, unit.attempt, unit.step)] = unit
        return _exit(verdict, adopted=bool(adopted))

    async def _ask(
        self, unit: Unit, bundle: Bundle | None, relay: Relay, *, within_s: float | None = None
    ) -> tuple[Verdict, str, float]:
        """Return the verdict, the unit that had been started before if it is of one, and for how many seconds the link held.

        Raises HostError.
        """
        own = unit_name(unit.run, unit.attempt, unit.step)
        adopted, ready_s = "", math.inf

        def hear(frame: Frame) -> None:
            nonlocal adopted
            if frame.word == "begin":
                adopted = frame.text
            elif frame.word == "out":
                relay.take(frame.payload, adopted or own)
            elif frame.word == "gap" and frame.payload.isdigit():
                relay.skip(int(frame.payload), adopted or own)

        request = start_request(unit, bundle, seen=relay.source, offset=relay.count)
        try:
            session = await self._ready(within_s)
            ready_s = time.monotonic()
            verdict = await session.ask(request, hear)
        except LinkLost as lost:
            return Verdict(word=_LINK_LOST, text=str(lost)), "", max(time.monotonic() - ready_s, 0)
        if verdict.word == "cut":
            verdict = replace(verdict, text=f"{verdict.text} {self._notes()}".strip())
        elif verdict.word == "cancelled" and adopted not in {"", own}:  # by its own runner: now it is our turn
            verdict = Verdict(word="lost", text="the unit that was followed has been cancelled")
        return verdict, adopted, time.monotonic() - ready_s

    async def _stop(self, unit: Unit) -> Exit:
        """Stop a unit and return its recorded end; unknown when the server cannot be asked."""
        patience = Patience(min(self._patience_s, _STOP_PATIENCE_S))
        reason = ""
        while await patience.wait():
            try:
                session = await self._ready(patience.left_s)
                return _exit(await session.ask(stop_request(unit, limit_s=self._stop_s), lambda _frame: None))
            except (LinkLost, HostError) as lost:
                reason = str(lost)
        return Exit(kind="unknown", message=f"could not confirm that the unit on {self._shell.server} has stopped: {reason}")

    async def _ready(self, within_s: float | None) -> Session:
        try:
            async with asyncio.timeout(within_s):
                return await self._current()
        except TimeoutError as late:
            raise LinkLost(f"{self._shell.server} did not answer in time") from late

    def _notes(self) -> str:
        return self._session.notes if self._session is not None else ""


def _exit(verdict: Verdict, *, adopted: bool = False) -> Exit:
    if verdict.word == "cancelled":
        return Exit(kind="signal", code=15, adopted=adopted, message="it was cancelled")
    if verdict.word == "fenced":
        return Exit(kind="fenced", message=f"a runner with the newer token {verdict.code} was here first")
    known = {"exit", "signal", "timeout", "refused"}
    return Exit(
        kind=verdict.word if verdict.word in known else "unknown", code=verdict.code, adopted=adopted, message=verdict.text
    )
