"""The public events of a cluster: what happened, for other programs, as CloudEvents 1.0. Pure.

They carry ids and words of ours, never what people or programs wrote: no parameters, outputs, messages or reasons.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.core.events import Event, Kind
from provisioning.core.frozen import dataclass
from provisioning.core.model import RunState

NO_WORKSPACE = "default"
"""Stands for the workspace of a run that belongs to none."""
_STATES = frozenset(state.value for state in RunState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run comes from: the name of its workspace, "" for none, and that of its workflow."""

    workspace: str
    workflow: str


def event_id(event: Event) -> str:
    """Return the position in the journal: no two events have the same, and one event has no other."""
    return f"{event.run}:{event.seq}"


def envelope(event: Event, origin: Origin) -> Mapping[str, object]:
    """Return the event as others get it."""
    workspace = origin.workspace or NO_WORKSPACE
    return {
        "specversion": "1.0",
        "id": event_id(event),
        "source": f"/provisioning/{workspace}",
        "type": f"prov.workflow.{event.kind.value}",
        "subject": f"{event.run}/{event.step}" if event.step else event.run,
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {"workspace": workspace, "workflow": origin.workflow, "run": event.run, "seq": event.seq, **_ids(event)},
    }


def _ids(event: Event) -> Mapping[str, object]:
    of_step = {"step": event.step} if event.step else {}
    of_attempt = {"attempt": event.attempt, "epoch": event.epoch} if event.attempt else {}
    state = event.data.get("state") if event.kind in {Kind.RUN_FINISHED, Kind.RUN_FINISHING} else None
    return {**of_step, **of_attempt, **({"state": str(state)} if state in _STATES else {})}
