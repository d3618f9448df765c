"""`provisioning worker`: processes that run the steps of a cluster, and decide for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli.clustered import ClusterCommand
from provisioning_cli.context import App, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from provisioning.client.working import Ready, Trial
    from provisioning.core.presence import Presence

EVERY = "*"
"""As a target: all that there are."""


@click.group(cls=Group)
def worker() -> None:
    """Workers of a cluster: start one here, list those that there are."""


@worker.command(cls=ClusterCommand)
@click.option("--target", "targets", multiple=True, metavar="T", help="A target or site, beside none; `*`: all; repeatable.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="A label that steps may select; repeatable.")
@click.option("--slots", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="Steps at once.")
@click.option("--import", "modules", multiple=True, metavar="MODULE", help="A module that registers tasks; repeatable.")
@click.option(
    "--dags",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Its own DAG files; others get from it what they lack.",
)
@click.option("--name", metavar="NAME", help="What it is called; its machine and process if nothing is said.")
@click.option("--pool", "pools", multiple=True, metavar="NAME=N", help="Slots of a pool that all runs share; repeatable.")
@click.option("--max-runs", type=click.IntRange(min=0), default=0, metavar="N", help="Runs at once, the others are queued.")
@click.option("--no-scheduler", is_flag=True, help="Only run steps; leave deciding to other workers.")
@click.option(
    "--drain", "drain_s", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="S", help="What runs may take."
)
@click.option("--with-server", is_flag=True, help="Also start a NATS server on this machine: for trials.")
@click.option("--port", type=click.IntRange(0, 65_535), default=4222, show_default=True, help="Of that server; 0: any.")
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Where that server keeps its data.")
@pass_app
def start(
    app: App,
    *,
    targets: tuple[str, ...],
    labels: tuple[str, ...],
    slots: int,
    modules: tuple[str, ...],
    dags: Path | None,
    name: str | None,
    pools: tuple[str, ...],
    max_runs: int,
    no_scheduler: bool,
    drain_s: float,
    with_server: bool,
    port: int,
    data: Path | None,
) -> None:
    """Run steps for a cluster until SIGTERM or Ctrl-C; then end what runs, and leave. The same again leaves at once.

    Relative paths of secrets begin in the workspace of -w, else in the current folder.
    """
    from provisioning import clusters
    from provisioning.client.engine import Options
    from provisioning.client.node import Duty
    from provisioning.client.working import work
    from provisioning.operations.session import run_blocking
    from provisioning_cli.clustered import settings
    from provisioning_cli.following import import_modules

    import_modules(Path.cwd(), modules)
    if dags is not None and not dags.is_dir():  # it may be mounted later
        app.say(f"there is no folder {dags} now: until there is, its DAGs cannot be read")
    found, folder = settings(app)
    home = folder if app.asked("workspace") is not None and folder is not None else Path.cwd()
    duty = Duty(
        name=_checked_name(name) if name is not None else clusters.worker_name(),
        slots=slots,
        targets=None if EVERY in targets else _targets(targets),
        labels=_labels(labels),
        decides=not no_scheduler,
        home=home,
        dags=dags.absolute() if dags is not None else None,
    )
    working = work(
        found,
        folder,
        duty,
        drain_s=drain_s,
        trial=_trial(with_server=with_server, folder=data, port=port, url="nats" in app.given),
        ready=lambda said: _tell(app, said),
        say=app.say,
        options=Options(pools=_pools(pools), runs=max_runs),
    )
    run_blocking(working)


@worker.command("list", cls=ClusterCommand)
@pass_app
def list_(app: App) -> None:
    """List the workers of a cluster, as they said it themselves in the last seconds."""
    from provisioning import clusters
    from provisioning.operations.session import run_blocking
    from provisioning_cli import output
    from provisioning_cli.clustered import required

    found = run_blocking(clusters.list_workers(required(app)))
    columns = ["worker", "targets", "labels", "slots", "draining", "version", "since"]
    app.emit(
        {"workers": [_presence(one) for one in found]},
        lambda: output.table([_row(one) for one in found], columns, empty="no workers", spare=["version", "labels", "since"]),
    )


@worker.command(cls=ClusterCommand)
@click.option("--from", "folder", metavar="DIR", type=click.Path(path_type=Path), help="The copy; the newest if not said.")
@pass_app
def rebuild(app: App, folder: Path | None) -> None:
    """Write the history of a cluster that lost all its data into it again, from the copy that this machine has.

    End all workers first. What had been asked or reported and not yet decided is lost; what was going on goes on.
    """
    from provisioning import clusters
    from provisioning.operations.session import run_blocking
    from provisioning_cli import output
    from provisioning_cli.clustered import required

    runs, used = run_blocking(clusters.rebuild(required(app), folder))
    app.emit({"runs": runs, "from": str(used)}, lambda: f"{output.count(runs, 'run')} from {used}\n")


def _presence(one: Presence) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "name": one.name,
        "targets": None if one.targets is None else list(one.targets),
        "labels": dict(one.labels),
        "capacity": one.capacity,
        "in_use": one.in_use,
        "draining": one.draining,
        "version": one.version,
        "since": iso(one.since),
        "at": iso(one.at),
    }


def _row(one: Presence) -> dict[str, object]:
    from provisioning_cli import plans

    return {
        "worker": one.name,
        "targets": "all" if one.targets is None else list(one.targets),
        "labels": [f"{name}={value}" for name, value in one.labels.items()],
        "slots": f"{one.in_use} of {one.capacity}",
        "draining": "yes" if one.draining else "",
        "version": one.version,
        "since": plans.local(one.since),
    }


def _trial(*, with_server: bool, folder: Path | None, port: int, url: bool) -> Trial | None:
    from provisioning.client.working import Trial
    from provisioning.errors import UsageError

    if with_server and url:
        raise UsageError("--with-server and --nats are two clusters", hint="give one of them")
    if folder is not None and not with_server:
        raise UsageError("--data goes with --with-server", hint="a cluster keeps its data itself")
    return Trial(folder=folder, port=port) if with_server else None


def _tell(app: App, ready: Ready) -> None:
    """Say that the worker is there: as a line of JSON on stdout for programs, else as messages."""
    from provisioning_cli import output

    duty = ready.duty
    if app.json:
        output.write(output.to_json_line(_document(ready)))
        return
    targets = "all" if duty.targets is None else ", ".join(["any worker's", *duty.targets])
    app.say(f"cluster {ready.url}, namespace {ready.namespace}")
    app.say(f"worker {duty.name} is ready: {output.count(duty.slots, 'slot')}, targets {targets}{_labelled(duty.labels)}")
    app.say("it decides for the cluster whenever no other worker does" if duty.decides else "it only runs steps")
    app.say("SIGTERM or Ctrl-C lets what runs end; the same again leaves at once")


def _document(ready: Ready) -> dict[str, object]:
    duty = ready.duty
    return {
        "name": duty.name,
        "url": ready.url,
        "namespace": ready.namespace,
        "targets": None if duty.targets is None else list(duty.targets),
        "labels": dict(duty.labels),
        "slots": duty.slots,
        "decides": duty.decides,
    }


def _labelled(labels: Mapping[str, str]) -> str:
    return ", labels " + ", ".join(f"{name}={value}" for name, value in labels.items()) if labels else ""


def _targets(words: Sequence[str]) -> tuple[str, ...]:
    from provisioning.errors import UsageError

    if any(not word.strip() for word in words):  # an unset variable in a script must not mean: no site
        raise UsageError("--target is empty", hint="without it, a worker takes the steps for any worker")
    return tuple(dict.fromkeys(words))


def _checked_name(name: str) -> str:
    import re

    from provisioning.core.check_faults import NAME_RULE
    from provisioning.core.naming import NAME_PATTERN
    from provisioning.core.shown import quote
    from provisioning.errors import UsageError

    if re.fullmatch(NAME_PATTERN, name) is None:
        raise UsageError(f"found the worker's name {quote(name)}, expected {NAME_RULE}")
    return name


def _pools(words: Sequence[str]) -> Mapping[str, int]:
    from provisioning.errors import UsageError

    found: dict[str, int] = {}
    for word in words:
        name, _, slots = word.partition("=")
        if not (name and slots.isdecimal() and slots.isascii() and len(slots) < 7 and int(slots) > 0):
            raise UsageError(f"found the pool {word!r}, expected NAME=SLOTS", hint="for example --pool db=4")
        found[name] = int(slots)
    return found


def _labels(words: Sequence[str]) -> Mapping[str, str]:
    from provisioning.errors import UsageError

    pairs = [word.partition("=") for word in words]
    wrong = next((word for word, (key, mark, _) in zip(words, pairs, strict=True) if not key or not mark), None)
    if wrong is not None:
        raise UsageError(f"found the label {wrong!r}, expected K=V")
    return {key: value for key, _, value in pairs}
