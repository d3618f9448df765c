"""`dag-engine scheduler`: starts DAGs when they are due, until it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, places

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioning.core.scheduling import Act
    from provisioning.operations.scheduler import Observer


@click.command(cls=DagRunsCommand)
@pass_app
def scheduler(app: App) -> None:
    """Start, stop and restart DAGs when their schedules say so, until SIGTERM or Ctrl-C.

    What it has started goes on when it ends. Any number of them may run: each instant is started once. With --nats the workers
    of a cluster run what is due.
    """
    import asyncio

    from provisioning import clusters
    from provisioning.operations.scheduler.serving import serve
    from provisioning.settings import load
    from provisioning_cli.clustered import flags

    found, settings = places(app), load(flags=flags(app))
    access = clusters.access(settings)
    where = f" on {clusters.shown_urls(access)}" if access is not None else ""
    said = f"scheduling the DAGs of {found.dags}{where}; SIGTERM or Ctrl-C ends it, and what it has started goes on"
    if access is not None:
        from provisioning.operations.cluster import scheduling

        asyncio.run(scheduling.serve(access, found, settings, _observer(app), lambda: app.say(said)))
    else:
        asyncio.run(serve(found, settings, _observer(app), lambda: app.say(said)))


def _observer(app: App) -> Observer:
    from provisioning.operations.scheduler import Observer

    class Printed(Observer):
        """A line for each thing that is done; with JSON an object."""

        def on_act(self, name: str, act: Act, run_id: str) -> None:
            _print(app, _document(name, act, run_id), lambda: _line(name, act, run_id))

        def on_failure(self, name: str, message: str) -> None:
            _print(app, {"name": name, "error": message}, lambda: f"{name}: {message}" if name else message)

    return Printed()


def _print(app: App, document: dict[str, object], line: Callable[[], str]) -> None:
    import json
    import sys

    from provisioning_cli import output

    if app.json:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
    else:
        app.say(output.cell(line()))


def _document(name: str, act: Act, run_id: str) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "name": name,
        "what": act.what.value,
        "at": iso(act.at),
        "until": iso(act.until),
        "trigger": act.trigger,
        "run_id": run_id or None,
        "stopped": list(act.runs),
        "reason": act.reason,
    }


def _line(name: str, act: Act, run_id: str) -> str:
    at = f"{act.at:%Y-%m-%dT%H:%MZ}"
    match act.what.value:
        case "start":
            return f"{name}: started for {at} ({act.trigger}) as run {run_id}"
        case "stop":
            return f"{name}: stopped at {at}: run {', '.join(act.runs)}"
        case "restart":
            return f"{name}: restarted for {at} as run {run_id}"
    several = act.until is not None and act.until > act.at
    return f"{name}: not started for {at}{f' to {act.until:%Y-%m-%dT%H:%MZ}' if several else ''}: {act.reason}"
