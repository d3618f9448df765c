"""What one input leads to: the events, and what else the commit that holds them has to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from provisioning.core.events import NO_DATA, Event, Kind
from provisioning.core.folding import apply
from provisioning.core.ports import Task, Timer
from provisioning.core.run import Run, StepRun


@dataclass(slots=True)
class Decision:
    """What one input leads to: events already folded into `run`, and what else the commit has to hold."""

    run: Run
    now: datetime
    actor: str = ""
    events: list[Event] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)

    def emit(self, kind: Kind, step: StepRun | None = None, data: Mapping[str, object] = NO_DATA) -> None:
        """Record an event of the run or of a step's current attempt, and fold it in."""
        self.record(
            Event(
                run=self.run.id,
                kind=kind,
                at=self.now,
                seq=self.run.seq + 1,
                step=step.spec.id if step else "",
                attempt=step.attempt if step else 0,
                epoch=step.epoch if step else 0,
                actor=self.actor,
                data=data,
            )
        )

    def record(self, event: Event) -> None:
        """Take an event and fold it in."""
        apply(self.run, event)
        self.events.append(event)
