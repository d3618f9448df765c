"""The link to one server: starts units, runs probes, and finds out what became of a unit when the link was lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from provisioning.adapters.remote.answer import Answer, Verdict
from provisioning.adapters.remote.request import Request, probe_request, start_request, stop_request
from provisioning.adapters.remote.wire import LinkLost, Shell, Wire, listen
from provisioning.core.ports import Bundle, Exit, Output, Unit
from provisioning.errors import HostError

STDOUT_KEPT_BYTES = 64 * 1024


@dataclass(slots=True)
class Relay:
    """Passes output on and counts it: after a lost link, that is where it goes on."""

    output: Output
    count: int = 0

    def take(self, data: bytes) -> None:
        """Pass it on."""
        self.count += len(data)
        self.output(data)


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
            async with asyncio.timeout(timeout_s + 5), self._opened(request) as wire:
                await listen(wire, answer, show)
                verdict = answer.verdict or self._broken(answer, wire)
        except LinkLost as lost:
            return Exit(kind="unknown", message=f"the link to {self._shell.server} was lost: {lost}", stdout=bytes(kept))
        except TimeoutError:
            verdict = Verdict(word="timeout")
        kind = "exit" if verdict.word == "exit" else "timeout" if verdict.word == "timeout" else "unknown"
        return Exit(kind=kind, code=verdict.code, message=verdict.text, stdout=bytes(kept))

    async def _run(self, unit: Unit, bundle: Bundle, relay: Relay) -> Exit:
        """Ask until there is a verdict. The bundle is sent the first time, and again only if the server lacks it."""
        verdict, adopted, reason = await self._ask(unit, bundle, relay, first=True)
        waits, counted = self._waits(), relay.count
        while verdict is None or verdict.word in {"absent", "lost"}:
            if (pause := next(waits, None)) is None:
                return Exit(kind="unknown", message=f"no answer from {self._shell.server}: {reason}")
            await asyncio.sleep(pause)
            absent = verdict is not None and verdict.word == "absent"
            verdict, adopted, reason = await self._ask(unit, bundle if absent else None, relay, first=False)
            if relay.count > counted:
                waits, counted = self._waits(), relay.count
        if verdict.word == "cut":
            raise HostError(f"{self._shell.server}: the bundle could not be delivered: {reason}", server=self._shell.server)
        return _exit(verdict, adopted=adopted)

    async def _ask(self, unit: Unit, bundle: Bundle | None, relay: Relay, *, first: bool) -> tuple[Verdict | None, bool, str]:
        """Return the verdict, whether it is an adopted unit's, and words for people. No verdict: the link was lost.

        Only the first time does a HostError say that nothing has been started; later it is one more way not to know.
        """
        request = start_request(unit, bundle, offset=relay.count, sweep=not self._swept)
        answer = Answer(request.nonce)
        try:
            async with self._opened(request) as wire:
                await listen(wire, answer, lambda _errors, data: relay.take(data))
                verdict = answer.verdict or self._broken(answer, wire)
        except LinkLost as lost:
            return None, False, str(lost)
        except HostError as refused:
            if first:
                raise
            return None, False, refused.message
        self._swept = True
        return verdict, answer.adopted or not first, f"{verdict.text or verdict.word} {answer.notes}".strip()

    def _waits(self) -> Iterator[float]:
        """Yield growing waits with jitter until `patience_s` is over."""
        until = time.monotonic() + self._patience_s
        longest = 0.2
        while time.monotonic() < until:
            yield random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, guards nothing
            longest = min(longest * 1.7, 5.0)

    async def _stop(self, unit: Unit) -> Exit:
        """Stop a unit and return its recorded end; unknown when the server cannot be asked."""
        reason = "no answer"
        for pause in self._waits():
            request = stop_request(unit, limit_s=self._stop_s)
            answer = Answer(request.nonce)
            try:
                async with self._opened(request) as wire:
                    await listen(wire, answer, lambda _errors, _data: None)
                    return _exit(answer.verdict or self._broken(answer, wire))
            except (LinkLost, HostError) as lost:
                reason = str(lost)
            await asyncio.sleep(pause)
        return Exit(kind="unknown", message=f"could not confirm that the unit on {self._shell.server} has stopped: {reason}")

    @asynccontextmanager
    async def _opened(self, request: Request) -> AsyncIterator[Wire]:
        wire = await self._shell.open(request)
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
