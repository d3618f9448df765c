"""`provisioning run`: what ran, what became of it, its logs; retry. `steer` has the verbs for runs that go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete, steer
from provisioning_cli.clustered import ClusterGroup, Runs, on_cluster
from provisioning_cli.context import App, me, pass_app

if TYPE_CHECKING:
    from provisioning.core.history import AttemptRecord, RunDetail, RunSummary

RUN = click.argument("run_ref", metavar="RUN", shell_complete=complete.runs)
SHOWN_RUN = click.argument("run_ref", metavar="[RUN]", default="last", shell_complete=complete.runs)


@click.group(cls=ClusterGroup)
def run() -> None:
    """What runs, what ran and what became of it. RUN is an id, the beginning of one, or `last`: the default of those that show.

    It works in a workspace, in any folder where a program keeps its runs, and with --nats on a cluster.
    """


for verb in steer.VERBS:
    run.add_command(verb)


@run.command("list")
@click.option("--limit", type=click.IntRange(min=1, max=10_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--status", metavar="STATUS", help="Only runs in this state, such as failed.")
@pass_app
def list_(app: App, limit: int, status: str | None) -> None:
    """List runs, the newest first."""
    from provisioning.operations.records import list_runs
    from provisioning_cli import output

    found = list_runs(Runs(app).folder, limit, state=_state(status))
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
@click.option("--why", "step", metavar="STEP", help="Say what keeps this step from running.")
@click.option("--path", is_flag=True, help="Show its critical path, and the slack of every step.")
@pass_app
def show(app: App, run_ref: str, step: str | None, path: bool) -> None:
    """Show a run and its steps."""
    from provisioning.errors import UsageError
    from provisioning.operations.records import find_run
    from provisioning_cli import insight, plans

    if step is not None and path:
        raise UsageError("--why and --path are two questions", hint="ask one after the other")
    runs = Runs(app)
    if path:
        insight.show_path(app, runs.folder, run_ref)
        return
    detail = find_run(runs.folder, run_ref)
    if step is not None:
        insight.show_why(app, runs, detail, step)
        return
    app.emit(detail.document(), lambda: plans.run_table(detail))
    if detail.summary.ended_at is None:
        insight.say_without_worker(app, runs, detail.run_id)


@run.command()
@SHOWN_RUN
@click.argument("step", required=False)
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only this try.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each.")
@pass_app
def logs(app: App, run_ref: str, step: str | None, attempt: int | None, tail: int | None) -> None:
    """Print the logs of a run, or of one STEP of it (formula/node)."""
    from provisioning.operations.records import open_history, read_log
    from provisioning_cli import results

    runs = Runs(app)
    with open_history(runs.folder) as history:
        detail = history.run(run_ref)
        if step is not None:
            results.refuse_unknown(detail, step)
        runs.fetch_logs(detail.run_id)
        tries = [one for one in history.attempts(detail.run_id, step) if attempt in (None, one.attempt)]
    found = [(one, read_log(one.log, tail)) for one in tries if one.log]
    entries = [
        {"step": one.step, "attempt": one.attempt, "state": one.state.value, "log": one.log, "text": text}
        for one, text in found
    ]
    app.emit(
        {"run_id": detail.run_id, "logs": entries}, lambda: "".join(_log_text(one, text) for one, text in found) or "no logs\n"
    )


def _log_text(one: AttemptRecord, text: str) -> str:
    from provisioning.core.text import plain_text
    from provisioning_cli import output

    head = output.paint(f"── {output.cell(one.step)}, attempt {one.attempt}, {one.state.value}", "bold")
    body = plain_text(text)
    return f"{head}\n{body}" + ("" if body.endswith("\n") or not body else "\n")


@run.command()
@RUN
@click.option("--from", "from_step", metavar="STEP", help="Begin there, whatever became of it, and run all below it again.")
@click.option("--keep-going", is_flag=True, help="After a failure, go on where nothing depends on it.")
@click.option("--max-parallel", type=click.IntRange(min=1), metavar="N", help="Steps at once in the whole run.")
@click.option("--wait", is_flag=True, help="Wait while another runner holds the workspace.")
@click.option("--import", "modules", multiple=True, metavar="MODULE", help="A module that registers tasks; repeatable.")
@pass_app
def retry(
    app: App,
    run_ref: str,
    from_step: str | None,
    keep_going: bool,
    max_parallel: int | None,
    wait: bool,
    modules: tuple[str, ...],
) -> None:
    """Run the failed steps of an ended run again, and what waited for them."""
    from provisioning.operations import RunOptions
    from provisioning_cli import following, progress, results

    runs, detail = _found(app, run_ref)
    if detail is not None and from_step is not None:
        results.refuse_unknown(detail, from_step)
    if runs is not None and detail is not None and detail.summary.source != "formula":
        _refuse_options(keep_going=keep_going, max_parallel=max_parallel, wait=wait)
        run_id = detail.run_id
        following.again(app, runs, detail, modules, lambda client: client.retry(run_id, from_step))
        return
    actor = me()
    options = RunOptions(
        keep_going=keep_going,
        max_parallel=max_parallel or 0,
        wait=wait,
        actor=actor.identity,
        source=actor.source,
        from_step=from_step,
    )
    project = on_cluster(app, app.project())
    with progress.listener() as listener:
        result = project.retry(run_ref, options, listener)
    results.finish(app, result)


def _found(app: App, run_ref: str) -> tuple[Runs | None, RunDetail | None]:
    """Return the run and where it is. Without a folder that is one of runs, what opens the project says what is wrong."""
    from provisioning.errors import NotFoundError
    from provisioning.operations.records import find_run

    try:
        runs = Runs(app)
    except NotFoundError:
        return None, None
    return runs, find_run(runs.folder, run_ref)


def _refuse_options(*, keep_going: bool, max_parallel: int | None, wait: bool) -> None:
    from provisioning.errors import UsageError

    given = {"--keep-going": keep_going, "--max-parallel": max_parallel is not None, "--wait": wait}
    for name, used in given.items():
        if used:
            raise UsageError(f"{name} is for runs of formulas", hint="a workflow in Python says that itself")
