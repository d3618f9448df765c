"""Circuit breakers: after failures in a row a step is refused without being tried, until a probe shows that it works again.

Closed lets everything pass. The failure that makes it `failures` in a row opens it; open refuses until `cooldown_s` have passed
since the last failure. Then at most `probes` attempts at once may find out: one success closes it, one failure opens it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from provisioning.core.model import Breaker
from provisioning.core.ports import Outcome, Report
from provisioning.core.run import ACTIVE, Run

CIRCUIT_OPEN = "circuit_open"
"""The error kind of an attempt that a breaker refused."""
_FAILED = {Outcome.FAILED, Outcome.TIMED_OUT}


@dataclass(slots=True)
class Circuit:
    """The state of one breaker."""

    failures: int = 0  # in a row
    open_until: datetime | None = None  # None: closed
    probing: int = 0  # attempts that were let through since then and have not ended


@dataclass(slots=True)
class Breakers:
    """All breakers of a process, by name."""

    circuits: dict[str, Circuit] = field(default_factory=dict)

    def refuses(self, breaker: Breaker, now: datetime) -> str:
        """Return why an attempt may not be made, or "" and count it."""
        circuit = self.circuits.setdefault(breaker.name, Circuit())
        if circuit.open_until is None:
            return ""
        if now < circuit.open_until:
            left_s = (circuit.open_until - now).total_seconds()
            return f"circuit {breaker.name} is open after {circuit.failures} failures; it may be tried again in {left_s:.0f} s"
        if circuit.probing >= breaker.probes:
            return f"circuit {breaker.name} is being probed by another attempt"
        circuit.probing += 1
        return ""

    def release(self, breaker: Breaker) -> None:
        """Take back what `refuses` has counted: the attempt is not made."""
        circuit = self.circuits[breaker.name]
        circuit.probing = max(0, circuit.probing - 1)

    def hear(self, run: Run, report: Report, now: datetime) -> None:
        """Learn how an attempt ended. Refused attempts and those that nobody began tell nothing."""
        step = run.steps.get(report.task.step)
        current = step is not None and step.state in ACTIVE and step.epoch == report.task.epoch
        if step is None or step.spec.breaker is None or not current or report.outcome is None:
            return
        circuit = self.circuits.setdefault(step.spec.breaker.name, Circuit())
        circuit.probing = max(0, circuit.probing - 1)
        if report.outcome is Outcome.OK:
            circuit.failures, circuit.open_until = 0, None
        elif report.outcome in _FAILED:
            circuit.failures += 1
            if circuit.open_until is not None or circuit.failures >= step.spec.breaker.failures:
                circuit.open_until = now + timedelta(seconds=step.spec.breaker.cooldown_s)
                circuit.probing = 0
