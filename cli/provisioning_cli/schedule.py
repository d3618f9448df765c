"""`schedule`: when DAGs are due, pausing that, and running what is past."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, Found, with_runs
from provisioning_cli.groups import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, tzinfo

    from provisioning.operations.dagu.catalogue import Entry
    from provisioning.operations.scheduler.listing import Scheduled, Upcoming
    from provisioning.operations.steering import Store

VERBS = {
    "list": "List the schedules of a folder, and how far they have been looked at.",
    "next": "List what is due next.",
    "pause": "Have the schedule of a DAG start, stop and restart nothing.",
    "resume": "Have the schedule of a DAG count again, from now on.",
    "backfill": "Run the past starts of a DAG's schedule, each once.",
}
WHERE = {
    "list": "schedule:list_",
    "next": "schedule:next_",
    "pause": "schedule:pause",
    "resume": "schedule:resume",
    "backfill": "backfill:backfill",
}
NAME = click.argument("what", metavar="NAME|FILE", shell_complete=complete.dags)


@click.group(cls=LazyGroup, lazy=VERBS, where=WHERE)
def schedule() -> None:
    """When DAGs are due. `dag-engine scheduler` or a server starts them then."""


@click.command("list", cls=DagRunsCommand)
@pass_app
def list_(app: App) -> None:
    """List the DAGs that have a schedule: what it says, what is due next, who has paused it."""
    from provisioning import wiring
    from provisioning.operations.dagu.times import local_zone
    from provisioning_cli import output

    found, now, local = with_runs(app), wiring.clock().now(), local_zone()
    entries, dags = list(found.catalogue.entries()), found.catalogue.places.dags
    rows = _known(found, entries)
    columns = ("name", "start", "stop", "restart", "next", "missed", "paused")
    app.emit(
        lambda: {"folder": str(dags), "schedules": [_document(one, now) for one in rows]},
        lambda: output.table(
            [_row(one, now, local) for one in rows],
            columns,
            empty=f"no schedules in {dags}",
            spare=("missed", "restart", "stop", "paused"),
        ),
    )
    for entry in entries:
        if entry.faults:
            app.say(f"{entry.file} is not scheduled: {entry.faults[0].message}")


@click.command("next", cls=DagRunsCommand)
@click.argument("what", metavar="[NAME|FILE]", required=False, shell_complete=complete.dags)
@click.option("-n", "--count", default=10, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@pass_app
def next_(app: App, what: str | None, count: int) -> None:
    """List what is due next, of one DAG or of all; nothing of those that are paused."""
    from provisioning import wiring
    from provisioning.core.history import iso
    from provisioning.operations.dagu.times import local_zone
    from provisioning.operations.scheduler.listing import upcoming
    from provisioning_cli import output

    now, local = wiring.clock().now(), local_zone()
    due = list(islice(upcoming(_scheduled(with_runs(app), what), now), count))
    app.emit(
        {"due": [{"name": one.name, "kind": one.what.value, "at": iso(one.at)} for one in due]},
        lambda: output.table([_due(one, now, local) for one in due], ("at", "in", "name", "kind"), empty="nothing is due"),
    )


@click.command(cls=DagRunsCommand)
@NAME
@pass_app
def pause(app: App, what: str) -> None:
    """Have the schedule of a DAG start, stop and restart nothing, until it is resumed."""
    _switch(app, what, suspended=True)


@click.command(cls=DagRunsCommand)
@NAME
@pass_app
def resume(app: App, what: str) -> None:
    """Have the schedule of a DAG count again. What was due meanwhile is not made up for."""
    _switch(app, what, suspended=False)


# ---------------------------------------------------------------- parts


def _switch(app: App, what: str, *, suspended: bool) -> None:
    from provisioning import wiring
    from provisioning.operations.scheduler import pausing

    found = with_runs(app)
    entry, places = found.catalogue.find(what), found.catalogue.places

    async def work(store: Store) -> None:
        now = wiring.clock().now()
        if suspended:
            await pausing.pause(places, store.schedules, entry, by=me().identity, at=now)
        else:
            await pausing.resume(places, store.schedules, entry, at=now)

    found.reach.within(found.data, work)
    said = "is paused" if suspended else "counts again"
    app.emit({"name": entry.name, "suspended": suspended}, lambda: f"the schedule of {entry.name} {said}\n")


def _scheduled(found: Found, what: str | None) -> list[Scheduled]:
    return _known(found, found.catalogue.entries() if what is None else [found.catalogue.find(what)])


def _known(found: Found, entries: Iterable[Entry]) -> list[Scheduled]:
    from provisioning.operations.dagu.times import local_zone
    from provisioning.operations.scheduler.listing import list_schedules
    from provisioning.operations.scheduler.serving import kept_of

    if found.access is None:
        kept = kept_of(found.catalogue.places)
    else:
        kept = found.reach.within(found.data, lambda store: store.schedules.kept())
    return list_schedules(entries, kept, local_zone())


def _document(one: Scheduled, now: datetime) -> dict[str, object]:
    from provisioning.core.history import iso

    declared, kept = one.dag.schedule, one.kept
    return {
        "name": one.entry.name,
        "file": one.entry.file,
        "schedule": {
            "start": [cron.expression for cron in declared.start],
            "stop": [cron.expression for cron in declared.stop],
            "restart": [cron.expression for cron in declared.restart],
            "at": list(declared.at),
        },
        "next_run": iso(None if one.timing.suspended else one.timing.starts.next(now)),
        "catchup_window_s": one.timing.catchup_window_s,
        "overlap_policy": one.timing.overlap.value,
        "skip_if_successful": one.timing.skip_if_successful,
        "suspended": one.timing.suspended,
        "paused_by": kept.paused_by if one.timing.suspended else "",
        "paused_at": iso(kept.paused_at if one.timing.suspended else None),
        "looked_at": iso(kept.mark.cursor) if kept.mark is not None else None,
        "behind": iso(kept.mark.behind) if kept.mark is not None else None,
    }


def _row(one: Scheduled, now: datetime, local: tzinfo) -> dict[str, object]:
    declared, kept = one.dag.schedule, one.kept
    coming = _coming([one], now)
    missed = f"within {_length(one.timing.catchup_window_s)}" if one.timing.catchup_window_s else ""
    return {
        "name": one.entry.name,
        "start": [*(cron.expression for cron in declared.start), *declared.at],
        "stop": [cron.expression for cron in declared.stop],
        "restart": [cron.expression for cron in declared.restart],
        "next": _shown(coming.at, local) if coming is not None else "",
        "missed": f"{missed}: {one.timing.overlap.value}" if missed else "",
        "paused": (kept.paused_by or "yes") if one.timing.suspended else "",
    }


def _coming(schedules: Sequence[Scheduled], now: datetime) -> Upcoming | None:
    from provisioning.operations.scheduler.listing import upcoming

    return next(upcoming(schedules, now), None)


def _due(one: Upcoming, now: datetime, local: tzinfo) -> dict[str, object]:
    return {
        "at": _shown(one.at, local),
        "in": _length(int((one.at - now).total_seconds())),
        "name": one.name,
        "kind": one.what.value,
    }


def _shown(at: datetime, local: tzinfo) -> str:
    return f"{at.astimezone(local):%Y-%m-%d %H:%M %Z}"


def _length(seconds: int) -> str:
    """Return a length of time in its two largest units."""
    parts = ((seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return " ".join([f"{number}{unit}" for number, unit in parts if number][:2]) or "0s"
