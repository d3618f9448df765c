"""`provisioning deadletter`: steps that failed for good, to be run again or thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.clustered import ClusterGroup, Runs
from provisioning_cli.context import App, pass_app

if TYPE_CHECKING:
    from provisioning.core.history import DeadLetter

ID = click.argument("id_", metavar="ID", type=click.IntRange(min=1), shell_complete=complete.letters)


@click.group(cls=ClusterGroup)
def deadletter() -> None:
    """Steps that failed for good. Each is kept until it is replayed or removed; formulas leave none."""


@deadletter.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed.")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--limit", type=click.IntRange(min=1, max=10_000), default=50, show_default=True, help="How many, newest first.")
@click.option("--before", type=click.IntRange(min=1), metavar="ID", help="Go on after this one.")
@pass_app
def list_(app: App, everything: bool, workflow: str | None, limit: int, before: int | None) -> None:
    """List dead letters, the newest first."""
    from provisioning.operations.records import list_dead_letters
    from provisioning_cli import output

    replayed = None if everything else False
    found, waiting = list_dead_letters(Runs(app).folder, limit, replayed=replayed, workflow=workflow, before=before)
    columns = ["id", "workflow", "run", "step", "attempt", "died", *(["replayed"] if everything else []), "error"]
    app.emit(
        {"dead_letters": [_document(one) for one in found], "waiting": waiting},
        lambda: output.table([_row(one) for one in found], columns, empty="no dead letters", spare=["attempt", "workflow"]),
    )


@deadletter.command()
@ID
@pass_app
def show(app: App, id_: int) -> None:
    """Show one with all that is known of it."""
    from provisioning.operations.records import open_history
    from provisioning_cli import output

    with open_history(Runs(app).folder) as history:
        one = history.dead_letter(id_)
        log = next((each.log for each in history.attempts(one.run_id, one.step) if each.attempt == one.attempt), "")
    document = {**_document(one), "log": log}
    app.emit(document, lambda: output.record({name: value for name, value in document.items() if value not in ("", None)}))


@deadletter.command()
@ID
@click.option("--import", "modules", multiple=True, metavar="MODULE", help="A module that registers tasks; repeatable.")
@pass_app
def replay(app: App, id_: int, modules: tuple[str, ...]) -> None:
    """Run its step again, in the same run.

    What its failure kept from running runs then as well. Without another process that drives the runs, it happens here.
    """
    from provisioning.core.letters import refuse_replayed
    from provisioning.operations.records import open_history
    from provisioning_cli import following

    runs = Runs(app)
    with open_history(runs.folder) as history:
        letter = history.dead_letter(id_)
        refuse_replayed(letter)
        detail = history.run(letter.run_id)
    following.again(app, runs, detail, modules, lambda client: client.replay(id_))


@deadletter.command()
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only those that died longer ago.")
@click.option("--all", "everything", is_flag=True, help="Also those that nobody has replayed.")
@pass_app
def purge(app: App, older_than: float | None, everything: bool) -> None:
    """Remove dead letters that were replayed."""
    from provisioning.operations.steering import purge_dead_letters
    from provisioning_cli.output import count

    runs = Runs(app)
    removed, waiting = purge_dead_letters(runs.folder, older_than_days=older_than, waiting=everything, reach=runs.reach)
    kept = f"; {waiting} that nobody has replayed are kept: --all removes them too" if waiting and not everything else ""
    app.emit({"removed": removed, "waiting": waiting}, lambda: f"removed {count(removed, 'dead letter')}{kept}\n")


def _document(one: DeadLetter) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "id": one.id,
        "run_id": one.run_id,
        "workflow": one.workflow,
        "step": one.step,
        "attempt": one.attempt,
        "error_kind": one.error_kind,
        "error": one.error,
        "died_at": iso(one.died_at),
        "replayed_at": iso(one.replayed_at),
        "replayed_by": one.replayed_by,
        "replayed_attempt": one.replayed_attempt,
    }


def _row(one: DeadLetter) -> dict[str, object]:
    from provisioning_cli import plans

    return {
        "id": one.id,
        "workflow": one.workflow,
        "run": one.run_id,
        "step": one.step,
        "attempt": one.attempt,
        "died": plans.local(one.died_at),
        "replayed": f"attempt {one.replayed_attempt}" if one.replayed_attempt else plans.local(one.replayed_at),
        "error": one.error,
    }
