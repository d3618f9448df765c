"""Waits for a health gate: probes on the server until the gate opens or has failed. `core.health` says what is next."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from provisioning.core.health import GateTimes, Move, Next, Probed, gate_times, matches, next_move
from provisioning.core.hosts import Exit, Hosts
from provisioning.core.ports import Outcome, Task
from provisioning.core.text import plain_text
from provisioning.engine.actions import Context, Result, Traits
from provisioning.engine.actions.taskserv import Site
from provisioning.errors import Unreachable

SPREAD = 0.5  # of the first wait: gates that fail together probe again up to that much later, each at its own time
SHOWN_COMMAND = 200  # characters of a gate's command in a message


@dataclass(slots=True)
class _Watch:
    """What is known of the gate so far. Times are seconds since it started."""

    began_s: float
    probed: list[Probed] = field(default_factory=list)
    said: str = ""  # why the last probe did not succeed
    reached: bool = False  # whether any probe got through to the server
    last_output: str = ""


class ProbeAction:
    """The action `probe`. Its settings are written by `core.compile`."""

    traits = Traits(own_time=True)

    def __init__(self, site: Site, hosts: Hosts) -> None:
        self._site, self._hosts = site, hosts

    async def run(self, task: Task, context: Context) -> Result:
        """Probe until the gate opens, its probes are used up, or its deadline has passed."""
        settings = task.action.settings
        times = gate_times(
            retries=_int(settings, "retries", 6),
            timeout_ms=_int(settings, "timeout_ms", 60_000),
            probe_timeout_ms=_optional_int(settings, "probe_timeout_ms"),
            interval_ms=_optional_int(settings, "interval_ms"),
        )
        watch = _Watch(began_s=context.clock.monotonic_s())
        while True:
            elapsed_s = context.clock.monotonic_s() - watch.began_s
            move = next_move(times, watch.probed, elapsed_s)
            if move.next is Next.PROBE:
                await self._probe(settings, move.seconds, watch, context)
            elif move.next is Next.WAIT:
                seconds = _spread(move.seconds, task, times, watch, elapsed_s)
                context.note(f"probe {len(watch.probed)} of {times.retries}: {watch.said}; next in {seconds:.1f} s")
                await context.clock.sleep(seconds)
            else:
                return _verdict(move, str(settings["check_cmd"]), times, watch, elapsed_s)

    async def _probe(self, settings: Mapping[str, object], timeout_s: float, watch: _Watch, context: Context) -> None:
        clock = context.clock
        started_s = clock.monotonic_s() - watch.began_s
        try:
            server = self._site.server(str(settings["server"]))
            address = settings.get("address")
            link = await self._hosts.link(server, address=str(address) if address else None)
            exit = await link.probe(str(settings["check_cmd"]), timeout_s=timeout_s, output=context.write)
            healthy = self._judge(exit, settings, timeout_s, watch)
        except Unreachable as error:
            healthy, watch.said = False, error.message
        ended_s = clock.monotonic_s() - watch.began_s
        watch.probed.append(Probed(started_s=started_s, ended_s=ended_s, healthy=healthy))

    def _judge(self, exit: Exit, settings: Mapping[str, object], timeout_s: float, watch: _Watch) -> bool:
        expected = settings.get("expected")
        stdout = plain_text(exit.stdout)
        watch.last_output = stdout.strip()[-2000:]
        watch.reached = watch.reached or exit.kind != "unknown"
        watch.said = {
            "exit": f"exit code {exit.code}",
            "signal": f"killed by signal {exit.code}",
            "timeout": f"no answer within {timeout_s:g} s",
            "unknown": f"the connection was lost: {exit.message}",
        }.get(exit.kind, exit.kind)
        if exit.ok and not matches(str(expected) if expected is not None else None, stdout):
            watch.said = f"exit code 0, but its output does not match {expected!r}"
            return False
        return exit.ok


def _spread(seconds: float, task: Task, times: GateTimes, watch: _Watch, elapsed_s: float) -> float:
    """Return the wait, the first one made longer by a share that is the gate's own, the deadline never passed for it."""
    if len(watch.probed) > 1:
        return seconds
    share = zlib.crc32(f"{task.run} {task.step}".encode("utf-8", "surrogatepass")) / 2**32
    return max(seconds, min(seconds * (1 + SPREAD * share), times.deadline_s - elapsed_s))


def _verdict(move: Move, command: str, times: GateTimes, watch: _Watch, elapsed_s: float) -> Result:
    """Report the true number of probes and seconds, and the last output."""
    count = len(watch.probed)
    output = {"probes": count, "seconds": round(elapsed_s, 3), "last_output": watch.last_output}
    if move.next is Next.OPEN:
        return Result(outcome=Outcome.OK, exit_code=0, output=output)
    shown = command if len(command) <= SHOWN_COMMAND else command[:SHOWN_COMMAND] + "..."
    limit = "" if count >= times.retries else f" after {count} probe{'s' if count != 1 else ''} of at most {times.retries}"
    ended = f"{move.reason}{limit}, in {elapsed_s:.1f} s"
    message = f"the gate did not open: {ended}; the last one: {watch.said}; command: {' '.join(shown.split())}"
    kind = "gate" if watch.reached else "unreachable"
    return Result(outcome=Outcome.FAILED, error_kind=kind, error=message, output=output)


def _int(settings: Mapping[str, object], name: str, default: int) -> int:
    value = _optional_int(settings, name)
    return default if value is None else value


def _optional_int(settings: Mapping[str, object], name: str) -> int | None:
    value = settings.get(name)
    return value if isinstance(value, int) else None
