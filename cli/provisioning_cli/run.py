"""`provisioning run`: what ran, what became of it, its logs; retry and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from provisioning.core.history import AttemptRecord, RunDetail, RunSummary

RUN = click.argument("run_ref", metavar="RUN", shell_complete=complete.runs)
SHOWN_RUN = click.argument("run_ref", metavar="[RUN]", default="last", shell_complete=complete.runs)


@click.group(cls=Group)
def run() -> None:
    """What ran and what became of it. RUN is an id, the beginning of one, or `last`: the default of show and logs."""


@run.command("list")
@click.option("--limit", type=click.IntRange(min=1, max=10_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--status", metavar="STATUS", help="Only runs in this state, such as failed.")
@pass_app
def list_(app: App, limit: int, status: str | None) -> None:
    """List runs, the newest first."""
    from provisioning.operations.records import list_runs
    from provisioning_cli import output

    found = list_runs(app.folder(), limit, state=_state(status))
    columns = ["run", "workflow", "status", "started", "took", "by", "reason"]
    app.emit(
        {"runs": [_document(one) for one in found]},
        lambda: output.table(
            [_row(one) for one in found], columns, empty="no runs yet", spare=["by", "workflow", "took", "reason"]
        ),
    )


def _state(status: str | None) -> str | None:
    from provisioning.core.model import RunState
    from provisioning.errors import UsageError
    from provisioning_cli.groups import unknown

    known = [state.value for state in RunState]
    if status is not None and status not in known:
        raise UsageError(unknown("status", status, known))
    return status


def _document(one: RunSummary) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "run_id": one.run_id,
        "workflow": one.workflow,
        "status": one.state.value,
        "reason": one.reason,
        "exit_code": one.exit_code,
        "created_at": iso(one.created_at),
        "started_at": iso(one.started_at),
        "ended_at": iso(one.ended_at),
        "trigger": one.trigger,
        "actor": one.actor,
    }


def _row(one: RunSummary) -> dict[str, object]:
    from provisioning_cli import plans

    return {
        "run": one.run_id,
        "workflow": one.workflow,
        "status": one.state.value,
        "started": plans.local(one.started_at or one.created_at),
        "took": plans.took(one.started_at, one.ended_at),
        "by": one.actor,
        "reason": one.reason,
    }


@run.command()
@SHOWN_RUN
@pass_app
def show(app: App, run_ref: str) -> None:
    """Show a run and its steps."""
    from provisioning.operations.records import find_run
    from provisioning_cli import plans

    detail = find_run(app.folder(), run_ref)
    app.emit(detail.document(), lambda: plans.run_table(detail))


@run.command()
@SHOWN_RUN
@click.argument("step", required=False)
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only this try.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each.")
@pass_app
def logs(app: App, run_ref: str, step: str | None, attempt: int | None, tail: int | None) -> None:
    """Print the logs of a run, or of one STEP of it (formula/node)."""
    from provisioning.operations.records import open_history, read_log

    with open_history(app.folder()) as history:
        detail = history.run(run_ref)
        if step is not None:
            _refuse_unknown(detail, step)
        tries = [one for one in history.attempts(detail.run_id, step) if attempt in (None, one.attempt)]
    found = [(one, read_log(one.log, tail)) for one in tries if one.log]
    entries = [
        {"step": one.step, "attempt": one.attempt, "state": one.state.value, "log": one.log, "text": text}
        for one, text in found
    ]
    app.emit(
        {"run_id": detail.run_id, "logs": entries}, lambda: "".join(_log_text(one, text) for one, text in found) or "no logs\n"
    )


def _refuse_unknown(detail: RunDetail, step: str) -> None:
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    known = [one.step for one in detail.steps]
    if step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"`provisioning run show {detail.run_id}` lists its steps"
        raise NotFoundError(f"run {detail.run_id} has no step {step!r}", hint=hint)


def _log_document(one: AttemptRecord, text: str) -> dict[str, object]:
    return {"step": one.step, "attempt": one.attempt, "state": one.state.value, "log": one.log, "text": text}


def _log_text(one: AttemptRecord, text: str) -> str:
    from provisioning.core.text import plain_text
    from provisioning_cli import output

    head = output.paint(f"── {output.cell(one.step)}, attempt {one.attempt}, {one.state.value}", "bold")
    body = plain_text(text)
    return f"{head}\n{body}" + ("" if body.endswith("\n") or not body else "\n")


@run.command()
@RUN
@click.option("--keep-going", is_flag=True, help="After a failure, go on where nothing depends on it.")
@click.option("--max-parallel", type=click.IntRange(min=1), metavar="N", help="Steps at once in the whole run.")
@click.option("--wait", is_flag=True, help="Wait while another runner holds the workspace.")
@pass_app
def retry(app: App, run_ref: str, keep_going: bool, max_parallel: int | None, wait: bool) -> None:
    """Run the failed steps of an ended run again, and what waited for them."""
    from provisioning.operations import RunOptions
    from provisioning_cli import progress, results

    actor = me()
    options = RunOptions(
        keep_going=keep_going, max_parallel=max_parallel or 0, wait=wait, actor=actor.identity, source=actor.source
    )
    project = app.project()
    with progress.listener() as listener:
        result = project.retry(run_ref, options, listener)
    results.finish(app, result)


@run.command()
@RUN
@pass_app
def cancel(app: App, run_ref: str) -> None:
    """Stop a run from another terminal: what runs on the servers is stopped and recorded."""
    from provisioning.operations.records import cancel_run

    run_id = cancel_run(app.folder(), run_ref, me().identity)
    app.emit({"run_id": run_id, "requested": "cancel"}, lambda: f"asked run {run_id} to stop\n")
