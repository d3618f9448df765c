"""`provisioning queue`: what is ready or waits for its turn, in all runs that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli.clustered import ClusterGroup, Runs
from provisioning_cli.context import App, pass_app

if TYPE_CHECKING:
    from provisioning.operations.steering import Queued


@click.group(cls=ClusterGroup)
def queue() -> None:
    """Steps that are ready, handed out, or wait for a retry or a slot, and runs that wait for others."""


@queue.command("list")
@pass_app
def list_(app: App) -> None:
    """List what waits and why, the oldest first."""
    from provisioning.operations import steering
    from provisioning_cli import output

    runs = Runs(app)
    found = steering.queue(runs.folder, runs.reach)
    columns = ["run", "step", "state", "since", "why"]
    app.emit(
        {"queue": [_document(one) for one in found]},
        lambda: output.table([_row(one) for one in found], columns, empty="nothing waits", spare=["since"]),
    )
    if found and not runs.reach.driven(runs.folder):
        app.say("no process drives these runs now: they go on when one does")


def _document(one: Queued) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "run_id": one.run_id,
        "workflow": one.workflow,
        **({"step": one.step} if one.step else {}),
        "state": one.state,
        "since": iso(one.since),
        "blockers": [{"kind": each.kind, "name": each.name, "reason": each.reason} for each in one.reasons],
    }


def _row(one: Queued) -> dict[str, object]:
    from provisioning_cli import plans

    return {
        "run": one.run_id,
        "step": one.step or "(all)",
        "state": one.state,
        "since": plans.local(one.since),
        "why": "; ".join(each.reason for each in one.reasons),
    }
