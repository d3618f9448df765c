"""The link to one server: starts units, runs probes, and finds out what became of a unit when the link was lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from provisioning.adapters.remote.answer import Answer, Verdict
from provisioning.adapters.remote.request import Request, probe_request, start_request, stop_request, unit_name
from provisioning.adapters.remote.wire import LinkLost, Shell, Wire, listen
from provisioning.core.ports import Bundle, Exit, Output, Unit
from provisioning.errors import HostError, Unreachable

STDOUT_KEPT_BYTES = 64 * 1024
_LINK_LOST = "link_lost"
_ASK_AGAIN = frozenset({_LINK_LOST, "absent", "lost"})
_STEADY_S = 5.0  # a link that held this long starts with fresh patience when it is lost again
_STOP_PATIENCE_S = 10.0  # somebody waits for their prompt


@dataclass(slots=True)
class Relay:
    """Passes output on and counts it: after a lost link, that is where it goes on."""

    output: Output
    source: str = ""  # the unit it came from
    count: int = 0

    def take(self, data: bytes, source: str) -> None:
        """Pass it on."""
        if source != self.source:
            self.source, self.count = source, 0
        self.count += len(data)
        self.output(data)


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
        self._swept = False

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

        def show(from_errors: bool, data: bytes) -> None:  # noqa: FBT001 - the shape of `listen`'s callback
            if not from_errors:
                kept.extend(data[: STDOUT_KEPT_BYTES - len(kept)])
            output(data)

        request = probe_request(command, timeout_s=timeout_s)
        answer = Answer(request.nonce, framed_errors=True)
        try:
            async with asyncio.timeout(timeout_s * 1.05 + 0.5), self._opened(request) as wire:
                await listen(wire, answer, show)
                verdict = answer.verdict or self._broken(answer, wire)
        except (LinkLost, Unreachable) as lost:
            verdict = Verdict(word="unknown", text=f"the link to {self._shell.server} was lost: {lost}")
        except TimeoutError:  # the server kills it as well, as soon as it can
            verdict = Verdict(word="timeout")
        kind = verdict.word if verdict.word in {"exit", "timeout"} else "unknown"
        return Exit(kind=kind, code=verdict.code, message=verdict.text, stdout=bytes(kept))

    async def _run(self, unit: Unit, bundle: Bundle, relay: Relay) -> Exit:
        """Ask until there is a verdict. The bundle is sent the first time, and again only if the server lacks it."""
        verdict, adopted = await self._ask(unit, bundle, relay)
        patience = Patience(self._patience_s)
        while verdict.word in _ASK_AGAIN:
            if not await patience.wait():
                return Exit(kind="unknown", message=f"no answer from {self._shell.server}: {verdict.text or verdict.word}")
            again = bundle if verdict.word == "absent" else None
            counted, asked_s = relay.count, time.monotonic()
            try:
                verdict, adopted = await self._ask(unit, again, relay, within_s=patience.left_s)
            except HostError as refused:  # something may be running: one more way not to know
                verdict = Verdict(word=_LINK_LOST if refused.retryable else "unknown", text=refused.message)
            if relay.count > counted or time.monotonic() - asked_s > _STEADY_S:
                patience = Patience(self._patience_s)
        if verdict.word == "cut":
            why = f"{self._shell.server}: the bundle could not be delivered: {verdict.text}"
            raise HostError(why, server=self._shell.server)
        return _exit(verdict, adopted=adopted)

    async def _ask(
        self, unit: Unit, bundle: Bundle | None, relay: Relay, *, within_s: float | None = None
    ) -> tuple[Verdict, bool]:
        """Return the verdict, and whether it is of a unit that had been started before. Raises HostError."""
        own = unit_name(unit.run, unit.attempt, unit.step)
        request = start_request(unit, bundle, seen=relay.source, offset=relay.count, sweep=not self._swept)
        answer = Answer(request.nonce)
        try:
            async with self._opened(request, within_s=within_s) as wire:
                await listen(wire, answer, lambda _errors, data: relay.take(data, answer.adopted or own))
                verdict = answer.verdict or self._broken(answer, wire)
        except LinkLost as lost:
            return Verdict(word=_LINK_LOST, text=str(lost)), False
        self._swept = True
        if verdict.word == "cut":
            verdict = replace(verdict, text=f"{verdict.text} {answer.notes}".strip())
        elif verdict.word == "cancelled" and answer.adopted not in {"", own}:  # by its own runner: now it is our turn
            verdict = Verdict(word="lost", text="the unit that was followed has been cancelled")
        return verdict, bool(answer.adopted)

    async def _stop(self, unit: Unit) -> Exit:
        """Stop a unit and return its recorded end; unknown when the server cannot be asked."""
        patience = Patience(min(self._patience_s, _STOP_PATIENCE_S))
        reason = ""
        while await patience.wait():
            request = stop_request(unit, limit_s=self._stop_s)
            answer = Answer(request.nonce)
            try:
                async with self._opened(request, within_s=patience.left_s) as wire:
                    await listen(wire, answer, lambda _errors, _data: None)
                    return _exit(answer.verdict or self._broken(answer, wire))
            except (LinkLost, HostError) as lost:
                reason = str(lost)
        return Exit(kind="unknown", message=f"could not confirm that the unit on {self._shell.server} has stopped: {reason}")

    @asynccontextmanager
    async def _opened(self, request: Request, *, within_s: float | None = None) -> AsyncIterator[Wire]:
        try:
            async with asyncio.timeout(within_s):
                wire = await self._shell.open(request)
        except TimeoutError as late:
            raise LinkLost(f"{self._shell.server} did not answer in time") from late
        try:
            yield wire
        finally:
            wire.close()

    def _broken(self, answer: Answer, wire: Wire) -> Verdict:
        """Say why the streams ended without a verdict. Raises LinkLost, or HostError when asking again cannot help."""
        code = wire.exit_code()
        if code is None or answer.said_hello:
            raise LinkLost(answer.notes or "the channel ended without a result")
        raise self._shell.refusal(code, answer.notes)


def _exit(verdict: Verdict, *, adopted: bool = False) -> Exit:
    if verdict.word == "cancelled":
        return Exit(kind="signal", code=15, adopted=adopted, message="it was cancelled")
    if verdict.word == "fenced":
        return Exit(kind="fenced", message=f"a runner with the newer token {verdict.code} was here first")
    known = {"exit", "signal", "timeout", "refused"}
    return Exit(
        kind=verdict.word if verdict.word in known else "unknown", code=verdict.code, adopted=adopted, message=verdict.text
    )
