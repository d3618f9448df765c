"""The verbs of `provisioning run` that reach a run in another process: watch, pause, resume, signal, approve, continue, ..."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.clustered import ClusterCommand, Runs
from provisioning_cli.context import App, me, pass_app

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.core.model import GateKind
    from provisioning.operations.steering import Asked

RUN = click.argument("run_ref", metavar="RUN", shell_complete=complete.runs)
SHOWN_RUN = click.argument("run_ref", metavar="[RUN]", default="last", shell_complete=complete.runs)
PAYLOAD = click.option("--payload", metavar="JSON", help="What it brings along; text needs its quotes.")


@click.command(cls=ClusterCommand)
@SHOWN_RUN
@pass_app
def watch(app: App, run_ref: str) -> None:
    """Follow a run until it ends, and exit as it does. Ctrl-C stops the watching, not the run."""
    from provisioning.operations.records import find_run
    from provisioning_cli import following

    runs = Runs(app)
    following.watch(app, runs, find_run(runs.folder, run_ref))


@click.command(cls=ClusterCommand)
@RUN
@pass_app
def cancel(app: App, run_ref: str) -> None:
    """Stop a run from another terminal: what runs is stopped and recorded."""
    from provisioning.operations import steering

    runs = Runs(app)
    _told(app, steering.cancel(runs.folder, run_ref, me().identity, runs.reach), "cancel", "to stop")


@click.command(cls=ClusterCommand)
@RUN
@pass_app
def pause(app: App, run_ref: str) -> None:
    """Let what runs finish and start nothing new, until `resume`."""
    from provisioning.operations import steering

    runs = Runs(app)
    _told(app, steering.pause(runs.folder, run_ref, me().identity, runs.reach), "pause", "to pause")


@click.command(cls=ClusterCommand)
@RUN
@pass_app
def resume(app: App, run_ref: str) -> None:
    """Go on after a pause."""
    from provisioning.operations import steering

    runs = Runs(app)
    _told(app, steering.resume(runs.folder, run_ref, me().identity, runs.reach), "resume", "to go on")


@click.command(cls=ClusterCommand)
@RUN
@click.argument("name")
@PAYLOAD
@pass_app
def signal(app: App, run_ref: str, name: str, payload: str | None) -> None:
    """Deliver the signal NAME to the steps that wait for it. The first delivery counts."""
    from provisioning.core.model import GateKind

    _opened(app, run_ref, GateKind.SIGNAL, name, payload)


@click.command(cls=ClusterCommand)
@RUN
@click.argument("name")
@PAYLOAD
@pass_app
def approve(app: App, run_ref: str, name: str, payload: str | None) -> None:
    """Give the approval NAME that steps wait for."""
    from provisioning.core.model import GateKind

    _opened(app, run_ref, GateKind.APPROVAL, name, payload)


@click.command("continue", cls=ClusterCommand)
@RUN
@click.option("--step", metavar="ID", default="", help="Only this step; all that are stopped if nothing is said.")
@pass_app
def continue_(app: App, run_ref: str, step: str) -> None:
    """Go on from the breakpoints where the run is stopped."""
    from provisioning.operations import steering
    from provisioning.operations.records import find_run
    from provisioning_cli.results import refuse_unknown

    runs = Runs(app)
    if step:
        refuse_unknown(find_run(runs.folder, run_ref), step)
    _told(app, steering.go_on(runs.folder, run_ref, step, me().identity, runs.reach), "continue", "to go on")


@click.command(cls=ClusterCommand)
@RUN
@click.option("--force", is_flag=True, help="Cancel it first if it has not ended.")
@pass_app
def delete(app: App, run_ref: str, force: bool) -> None:
    """Remove a run with its logs for good."""
    from provisioning.operations import steering

    runs = Runs(app)
    run_id = steering.delete(runs.folder, run_ref, me().identity, force=force, reach=runs.reach)
    app.emit({"run_id": run_id, "deleted": True}, lambda: f"run {run_id} is deleted\n")


VERBS = (watch, cancel, pause, resume, signal, approve, continue_, delete)


def _told(app: App, asked: Asked, request: str, words: str) -> None:
    app.emit({"run_id": asked.run_id, "requested": request}, lambda: f"asked run {asked.run_id} {words}\n")
    if not asked.driven:
        app.say(f"no process drives run {asked.run_id} now: it is done when one does")


def _opened(app: App, run_ref: str, kind: GateKind, name: str, payload: str | None) -> None:
    from provisioning.operations import steering

    runs = Runs(app)
    asked = steering.open_gate(runs.folder, run_ref, kind, name, me().identity, _parsed(payload), runs.reach)
    _told(app, asked, "signal" if kind == "signal" else "approve", f"to take {kind.value} {name}")
    _say_if_unknown(app, runs.folder, asked.run_id, kind, name)


def _say_if_unknown(app: App, folder: Path, run_id: str, kind: GateKind, name: str) -> None:
    """A step that waits for it may be added later, so this is no error."""
    from provisioning.operations import steering

    run = steering.folded(folder, run_id)
    known = steering.awaited(run, kind)
    if name not in known and (kind.value, name) not in run.opened:
        waits = f"they wait for {', '.join(known)}" if known else "they wait for none"
        app.say(f"no step of run {run_id} waits for {kind.value} {name} yet; {waits}")


def _parsed(payload: str | None) -> object:
    from provisioning.errors import UsageError

    if payload is None:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        hint = f"for text, write {json.dumps(payload, ensure_ascii=False)}, in quotes for the shell"
        raise UsageError(f"--payload is not JSON: {error}", hint=hint) from error
