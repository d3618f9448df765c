"""`dag list`: every DAG file of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, with_runs

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from provisioning.operations.dagu.listing import Listed

COLUMNS = ("name", "schedule", "next run", "tags", "status", "suspended", "file")


@click.command("list", cls=DagRunsCommand)
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path())
@click.option("--label", "--tag", "labels", multiple=True, metavar="KEY[=VALUE]", help="Only DAGs with it; repeatable.")
@click.option("--sort-last", is_flag=True, help="Those that ran last come first.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@pass_app
def list_dags(app: App, folder: str | None, labels: tuple[str, ...], sort_last: bool, reverse: bool) -> None:
    """List the DAG files of DIR, or of the usual folder: schedule, next run, tags, status of the last run."""
    from provisioning import wiring
    from provisioning.operations.dagu import listing
    from provisioning.operations.dagu.times import local_zone

    found, local = with_runs(app, folder).catalogue, local_zone()
    rows = [one for one in listing.list_dags(found, wiring.clock().now(), local) if _has(one, labels)]
    if sort_last:
        rows.sort(key=_last_began, reverse=True)
    if reverse:
        rows.reverse()
    where = found.places.dags
    app.emit(
        {"folder": str(where), "dags": [_document(one) for one in rows]},
        lambda: _table(rows, local, f"no DAG files in {where}" if not labels else f"no such DAG files in {where}"),
    )


def _has(one: Listed, labels: tuple[str, ...]) -> bool:
    """Whether a DAG has all labels; `KEY` alone is one of any value. Case does not matter."""
    dag = one.entry.reading.dag
    own = dag.labels if dag is not None else {}
    wanted = [label.lower().partition("=") for label in labels]
    return all(key in own and (not sign or own[key] == value) for key, sign, value in wanted)


def _last_began(one: Listed) -> str:
    return one.last.created_at.isoformat() if one.last is not None else ""


def _document(one: Listed) -> dict[str, object]:
    from provisioning.core.history import iso
    from provisioning_cli.failures import fault_document

    dag, last = one.entry.reading.dag, one.last
    schedule = dag.schedule if dag is not None else None
    return {
        "name": one.entry.name,
        "file": one.entry.file,
        "path": str(one.entry.path),
        "description": dag.description if dag is not None else "",
        "group": dag.group if dag is not None else "",
        "type": dag.type.value if dag is not None else None,
        "steps": len(dag.steps) if dag is not None else None,
        "labels": dict(dag.labels) if dag is not None else {},
        "schedule": {
            "start": [cron.expression for cron in schedule.start] if schedule is not None else [],
            "stop": [cron.expression for cron in schedule.stop] if schedule is not None else [],
            "restart": [cron.expression for cron in schedule.restart] if schedule is not None else [],
            "at": list(schedule.at) if schedule is not None else [],
        },
        "next_run": iso(one.next_start),
        "suspended": one.entry.suspended,
        "status": one.status.value if one.status is not None else None,
        "last_run": {"run_id": last.run_id, "started_at": iso(last.started_at), "ended_at": iso(last.ended_at)}
        if last is not None
        else None,
        "valid": not one.entry.faults,
        "faults": [fault_document(fault) for fault in one.entry.faults],
    }


def _table(rows: list[Listed], local: tzinfo, empty: str) -> str:
    from provisioning_cli import output

    broken = any(one.entry.faults for one in rows)
    columns = (*COLUMNS, "fault") if broken else COLUMNS
    return output.table([_row(one, local) for one in rows], columns, empty=empty, spare=("tags", "file", "suspended"))


def _row(one: Listed, local: tzinfo) -> dict[str, object]:
    dag, faults = one.entry.reading.dag, one.entry.faults
    labels = dag.labels.items() if dag is not None else ()
    return {
        "name": one.entry.name,
        "schedule": _starts(one),
        "next run": _shown(one.next_start, local),
        "tags": [f"{key}={value}" if value else key for key, value in labels],
        "status": one.status.value if one.status is not None else "",
        "suspended": "yes" if one.entry.suspended else "",
        "file": one.entry.file,
        "fault": (f"{faults[0].line}:{faults[0].column}: " if faults[0].line else "") + faults[0].message if faults else "",
    }


def _starts(one: Listed) -> list[str]:
    dag = one.entry.reading.dag
    return [*(cron.expression for cron in dag.schedule.start), *dag.schedule.at] if dag is not None else []


def _shown(at: datetime | None, local: tzinfo) -> str:
    return f"{at.astimezone(local):%Y-%m-%d %H:%M %Z}" if at is not None else ""
