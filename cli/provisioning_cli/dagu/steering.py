"""`dag stop`, `approve`, `reject` and `rm`: what is asked of runs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, with_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = click.argument("what", metavar="RUN|NAME", shell_complete=complete.dags)


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="NAME|FILE|RUN", shell_complete=complete.dags)
@click.option("-r", "--run-id", metavar="ID", help="Of the DAG's runs only this one.")
@pass_app
def stop(app: App, what: str, run_id: str | None) -> None:
    """Stop a run, or all runs of a DAG that go on or are queued, and wait until they have ended."""
    from provisioning.operations.dagu import records
    from provisioning.operations.dagu.refs import meant, one_run

    found = with_runs(app)
    asked = meant(found.catalogue, what, run_id)
    one = one_run(found.catalogue, what, run_id).run_id if asked.run_id is not None else None
    stopped = records.stop(found.data, name=asked.name, run_id=one, actor=me().identity, reach=found.reach)
    app.emit(
        {"stopped": [{"run_id": run.detail.run_id, "status": run.status.value} for run in stopped]},
        lambda: "".join(f"run {run.detail.run_id} {run.status.value}\n" for run in stopped),
    )


@click.command(cls=DagRunsCommand)
@RUN
@click.argument("step")
@click.option("--input", "inputs", multiple=True, metavar="K=V", help="What the step asks for; repeatable.")
@pass_app
def approve(app: App, what: str, step: str, inputs: tuple[str, ...]) -> None:
    """Approve a step of a run that waits for it."""
    from provisioning.operations.dagu import approvals, records
    from provisioning.operations.dagu.refs import one_run

    found = with_runs(app)
    run = one_run(found.catalogue, what)
    given = _pairs(inputs)
    approvals.check_inputs(records.flow_of(found.data, run), step, given)
    records.answer(found.data, run.run_id, step, me().identity, approve=True, payload=given, reach=found.reach)
    app.emit({"run_id": run.run_id, "step": step, "approved": True}, lambda: f"{step} of run {run.run_id} is approved\n")


@click.command(cls=DagRunsCommand)
@RUN
@click.argument("step")
@click.option("--reason", default="", metavar="TEXT", help="Why; the run's error says it.")
@pass_app
def reject(app: App, what: str, step: str, reason: str) -> None:
    """Reject a step of a run that waits for approval: what depends on it does not run."""
    from provisioning.operations.dagu import records
    from provisioning.operations.dagu.refs import one_run

    found = with_runs(app)
    run = one_run(found.catalogue, what)
    records.answer(found.data, run.run_id, step, me().identity, approve=False, reason=reason, reach=found.reach)
    app.emit({"run_id": run.run_id, "step": step, "approved": False}, lambda: f"{step} of run {run.run_id} is rejected\n")


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="RUN|NAME", shell_complete=complete.dags)
@click.option("--history", "whole", is_flag=True, help="All ended runs of the DAG.")
@click.option("--older-than", metavar="AGE", help="Of the DAG's ended runs those older than that, such as 30d.")
@click.option("--definition", is_flag=True, hidden=True)
@click.option("--force", is_flag=True, hidden=True, help="Nothing is asked anyway.")
@pass_app
def rm(app: App, what: str, whole: bool, older_than: str | None, definition: bool, force: bool) -> None:  # noqa: ARG001 -- as Dagu has it
    """Remove an ended run with its logs and the runs inside it, or with --history those of a DAG."""
    from provisioning.errors import UsageError
    from provisioning.operations.dagu.refs import meant
    from provisioning.operations.dagu.removing import remove_run, remove_runs
    from provisioning_cli.dagu.looking import age

    if definition:
        raise UsageError("files are not removed", hint="remove the file yourself; its runs are known by name all the same")
    found = with_runs(app)
    asked = meant(found.catalogue, what)
    if asked.name is None:
        if whole or older_than is not None:
            raise UsageError(f"{what} is one run", hint="--history and --older-than go with a DAG's name")
        _tell_removed(app, remove_run(found.data, asked.run_id or "", found.reach))
        return
    if not whole and older_than is None:
        raise UsageError(f"{asked.name} is a DAG", hint="--history removes all its ended runs, --older-than AGE the old ones")
    limit = age(older_than) if older_than is not None else None
    _tell_removed(app, remove_runs(found.data, asked.name, limit, found.reach))


def _tell_removed(app: App, runs: Sequence[str]) -> None:
    from provisioning_cli import output

    app.emit({"removed": list(runs)}, lambda: f"{output.count(len(runs), 'run')} removed\n")


def _pairs(words: Sequence[str]) -> dict[str, str]:
    from provisioning.errors import UsageError

    found: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise UsageError(f"found the input {word!r}, expected K=V")
        found[key] = value
    return found
