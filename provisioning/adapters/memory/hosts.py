"""Servers that do what a script says, and remember what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.bell import Bell
from provisioning.core.declare import Server
from provisioning.core.frozen import dataclass
from provisioning.core.hosts import Bundle, Exit, Unit
from provisioning.core.ports import Clock, Output
from provisioning.errors import HostError

T = TypeVar("T")
PROBE_OUTPUT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a unit or probe does: print, take its time, end. `error` is raised instead of an exit; `hang` never ends."""

    kind: str = "exit"  # see ports.Exit
    code: int = 0
    output: bytes = b""
    seconds: float = 0.0
    hang: bool = False
    error: Exception | None = None
    message: str = ""


OK = Answer()


@dataclass(slots=True, kw_only=True)
class Call:
    """Something that was asked of a server. Times are of the clock the hosts were given."""

    what: str  # link | start | probe
    server: str
    name: str = ""  # taskserv, or the probe's command
    started_s: float = 0.0
    ended_s: float | None = None  # None: still running
    unit: Unit | None = None
    bundle: Bundle | None = None
    address: str | None = None
    exit: Exit | None = None
    error: Exception | None = None
    cancelled: bool = False


class FakeHosts:
    """Fulfils `hosts.Hosts`. Whatever has no script succeeds at once.

        hosts = FakeHosts(clock)
        hosts.on_start("etcd", Answer(code=1, output=b"no quorum\\n"), Answer(), server="db-0")  # fails once, then works
        hosts.on_probe("kubectl get --raw=/readyz", Answer(code=1), Answer(code=1), Answer())
        hosts.on_link("cp-0", Unreachable("no route"), None)  # refuses the first connection
        ...
        hosts.started  # [("db-0", "etcd"), ...] in order

    Answers are used in order, the last one for good. A unit that ran to its end before is adopted, never run again.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.calls: list[Call] = []
        self.closed = False
        self.times_recorded = 0
        self._starts: dict[tuple[str | None, str], list[Answer]] = {}
        self._probes: dict[tuple[str | None, str], list[Answer]] = {}
        self._refusals: dict[str, list[HostError | None]] = {}
        self._links: dict[tuple[str, str | None], FakeLink] = {}
        self._results: dict[tuple[str, str, str, int], Exit] = {}
        self._tokens: dict[tuple[str, str], int] = {}
        self._running: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._changed = Bell()

    # ------------------------------------------------------------ scripting

    def on_start(self, taskserv: str, *answers: Answer, server: str | None = None) -> None:
        """Say how the units of a taskserv end, on one server or on every one without a script of its own."""
        self._starts[(server, taskserv)] = list(answers)

    def on_probe(self, command: str, *answers: Answer, server: str | None = None) -> None:
        """Say how probes with exactly this command end."""
        self._probes[(server, command)] = list(answers)

    def on_link(self, server: str, *errors: HostError | None) -> None:
        """Say how connecting goes: an error, or None for success."""
        self._refusals[server] = list(errors)

    # ------------------------------------------------------------ looking

    @property
    def started(self) -> list[tuple[str, str]]:
        """The units that ran or run, as (server, taskserv), in order. Adopted ones did not run again."""
        return [(call.server, call.name) for call in self.calls if call.what == "start" and not _adopted(call)]

    @property
    def probed(self) -> list[tuple[str, str]]:
        """The probes, as (server, command), in order."""
        return [(call.server, call.name) for call in self.calls if call.what == "probe"]

    @property
    def peak(self) -> int:
        """The most units that ever ran at once."""
        return self._peaks.get("", 0)

    def peak_on(self, server: str) -> int:
        """The most units that ever ran at once on one server."""
        return self._peaks.get(server, 0)

    async def until_running(self, server: str, taskserv: str) -> None:
        """Wait until such a unit runs."""
        while not any(
            (call.server, call.name, call.ended_s) == (server, taskserv, None) for call in self.calls if call.what == "start"
        ):
            await self._changed.heard()

    # ------------------------------------------------------------ Hosts

    async def link(self, server: Server, *, address: str | None = None) -> FakeLink:
        """Return the one connection to a server and address. Raises what `on_link` said."""
        key = (server.hostname, address)
        if key not in self._links:
            call = Call(what="link", server=server.hostname, address=address, started_s=self.clock.monotonic_s())
            self.calls.append(call)
            call.ended_s, call.error = call.started_s, _next(self._refusals.get(server.hostname, []))
            if call.error is not None:
                raise call.error
            self._links[key] = FakeLink(self, server.hostname, address)
        return self._links[key]

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """Connect to all; return each hostname's error or None."""
        found: dict[str, Exception | None] = {}
        for server in servers:
            try:
                await self.link(server)
                found[server.hostname] = None
            except HostError as error:
                found[server.hostname] = error
        return found

    async def recorded(self) -> None:
        """Count it."""
        self.times_recorded += 1

    async def close(self) -> None:
        """Forget all connections."""
        self.closed = True
        self._links.clear()

    # ------------------------------------------------------------ for links

    async def run(self, call: Call, output: Output, limit_s: float) -> Exit:
        """Play the script of a unit or probe and record it."""
        scripts = self._starts if call.what == "start" else self._probes
        own, shared = scripts.get((call.server, call.name), []), scripts.get((None, call.name), [])
        call.started_s = self.clock.monotonic_s()
        self.calls.append(call)
        if call.what == "start":
            self._count(call.server, +1)
        self._changed.ring()
        try:
            call.exit = await self._play(_next(own or shared) or OK, output, limit_s)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except Exception as error:
            call.error = error
            raise
        finally:
            call.ended_s = self.clock.monotonic_s()
            if call.what == "start":
                self._count(call.server, -1)
        return call.exit

    def settled(self, unit: Unit) -> Exit | None:
        """Return how a unit ends without running: adopted because it has a result, or fenced by a higher token."""
        names = [(unit.server, unit.run, unit.step, unit.attempt)]
        if unit.resumes is not None:
            run, attempt, step = unit.resumes
            names.append((unit.server, run, step, attempt))
        done = next((self._results[name] for name in names if name in self._results), None)
        if done is not None:
            return replace(done, adopted=True)
        holder = self._tokens.get((unit.server, unit.taskserv), 0)
        if unit.token < holder:
            return Exit(kind="fenced", message=f"token {unit.token} is older than {holder}")
        self._tokens[(unit.server, unit.taskserv)] = unit.token
        return None

    def record(self, unit: Unit, exit: Exit) -> None:
        """Keep a unit's result, so that asking again finds it. An unknown one has none."""
        if exit.kind != "unknown":
            self._results[(unit.server, unit.run, unit.step, unit.attempt)] = exit

    async def _play(self, answer: Answer, output: Output, limit_s: float) -> Exit:
        if answer.output:
            output(answer.output)
        if answer.hang or answer.seconds > limit_s:
            await self.clock.sleep(limit_s)
            return Exit(kind="timeout")
        if answer.seconds:
            await self.clock.sleep(answer.seconds)
        if answer.error is not None:
            raise answer.error
        return Exit(kind=answer.kind, code=answer.code, message=answer.message, stdout=answer.output[:PROBE_OUTPUT_BYTES])

    def _count(self, server: str, change: int) -> None:
        for name in ("", server):
            self._running[name] = self._running.get(name, 0) + change
            self._peaks[name] = max(self._peaks.get(name, 0), self._running[name])


class FakeLink:
    """Fulfils `hosts.HostLink`; made by `FakeHosts.link`."""

    def __init__(self, hosts: FakeHosts, server: str, address: str | None) -> None:
        self._hosts = hosts
        self._server = server
        self._address = address

    async def start(self, unit: Unit, bundle: Bundle, output: Output) -> Exit:
        """Play the taskserv's script. Cancelling ends the unit."""
        call = Call(what="start", server=self._server, name=unit.taskserv, unit=unit, bundle=bundle, address=self._address)
        done = self._hosts.settled(unit)
        if done is not None:
            call.started_s = call.ended_s = self._hosts.clock.monotonic_s()
            call.exit = done
            self._hosts.calls.append(call)
            return done
        result = replace(await self._hosts.run(call, output, unit.timeout_s), stdout=b"")
        self._hosts.record(unit, result)
        return result

    async def probe(self, command: str, *, timeout_s: float, output: Output) -> Exit:
        """Play the command's script."""
        call = Call(what="probe", server=self._server, name=command, address=self._address)
        return await self._hosts.run(call, output, timeout_s)


def _next(answers: list[T]) -> T | None:
    if not answers:
        return None
    return answers.pop(0) if len(answers) > 1 else answers[0]


def _adopted(call: Call) -> bool:
    return call.exit is not None and (call.exit.adopted or call.exit.kind == "fenced")
