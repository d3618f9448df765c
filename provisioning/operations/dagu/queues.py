"""Which limits a run has to wait for: the slots of its queue, and how many runs of its DAG may go on at once.

Slots are shared by all processes of the machine that have the same data folder; one that dies frees its own. In a cluster the
run says itself what limits it, and whoever decides starts it in its turn: see `core.admission`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.errors import ConfigError
from provisioning.settings import Settings


class _Slots(Protocol):
    def try_take(self) -> bool: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One limit. What has been taken is given back with `release`, or when the process ends."""

    slots: _Slots
    reason: str
    pool: str = ""  # what the slot is of, for those who count

    def try_take(self) -> bool:
        """Take a slot; whether we have one now."""
        return self.slots.try_take()

    def release(self) -> None:
        """Give the slot back. Giving back what is not held is no error."""
        self.slots.release()


def turns_of(dag: DagFile, data: Path, settings: Settings) -> Sequence[Turn]:
    """Return the limits of a DAG's runs; none where nothing limits them. Raises ConfigError for a wrong setting."""
    reasons = {
        f"queue {dag.queue}": f"queue {dag.queue} has no free slot",
        f"dag {dag.name}": f"{dag.max_active_runs} runs of {dag.name} are going on already",
    }
    limits = limits_of(dag, settings).items()
    return [Turn(slots=wiring.slots(data, name, size), pool=name, reason=reasons[name]) for name, size in limits]


def limits_of(dag: DagFile, settings: Settings) -> Mapping[str, int]:
    """Return what limits a DAG's runs, by name: slots of its queue, runs of the DAG. Raises ConfigError for a wrong setting."""
    found: dict[str, int] = {}
    if dag.queue:
        found[f"queue {dag.queue}"] = queue_sizes(settings.dagu.queues).get(dag.queue, 1)
    if "max_active_runs" in dag.given and dag.max_active_runs > 0:
        found[f"dag {dag.name}"] = dag.max_active_runs
    return found


def queue_sizes(text: str) -> Mapping[str, int]:
    """Return the slots of queues from the setting `dagu.queues`, such as `etl=2 mail=1`. Raises ConfigError."""
    sizes: dict[str, int] = {}
    for word in text.replace(",", " ").split():
        name, mark, size = word.partition("=")
        if not (name and mark and size.isdecimal() and 0 < int(size) < 100_000):
            raise ConfigError(f"dagu.queues: found {quote(word)}, expected NAME=SLOTS", hint='for example "etl=2 mail=1"')
        sizes[name] = int(size)
    return sizes
