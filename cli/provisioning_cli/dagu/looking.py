"""`dag status`, `history` and `ps`: what has run, what runs, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, with_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from provisioning.core.dagu.report import RunReport

COLUMNS = ("run", "dag", "status", "started", "took", "trigger", "by", "reason")
GOING = ("run", "dag", "status", "started", "for", "pid", "by")
UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LIVE = frozenset({"running", "retrying"})


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="NAME|FILE|RUN", shell_complete=complete.dags)
@click.option("-r", "--run-id", metavar="ID", help="Of the DAG's runs this one, not the newest.")
@pass_app
def status(app: App, what: str, run_id: str | None) -> None:
    """Show how a run stands, and its steps. The exit code is 1 for a run whose process is gone, else 0."""
    from provisioning.operations.dagu import records
    from provisioning.operations.dagu.refs import one_run
    from provisioning_cli.dagu.telling import resume_command, run_text

    found = with_runs(app)
    data = found.data
    run = records.find(data, run_id=one_run(found.catalogue, what, run_id).run_id)
    found.fetch_logs(run.detail.run_id)
    waiting = _waiting(data, run)
    resume = resume_command(app, run.detail.run_id)
    notes = [f"waits for approval: {text}; dag-engine approve {run.detail.run_id} {name}" for name, text in waiting.items()]
    if run.lost:
        notes.append(f"its process is gone; `{resume}` continues it")
    more = {"lost": True, "resume": resume} if run.lost else {}
    asked = (
        {"waiting": [{"step": name, "prompt": text.partition(": ")[2]} for name, text in waiting.items()]} if waiting else {}
    )
    app.emit(lambda: run.document() | more | asked, lambda: run_text(run, notes, _last_lines(data, run)))
    if run.lost:
        app.leave(1)


def _waiting(data: Path, run: RunReport) -> Mapping[str, str]:
    """Return what waits for a person: name for `approve` -> that name and its prompt."""
    from provisioning.operations.dagu import approvals, records

    waits = {step.record.step for step in run.steps if step.status.value == "waiting"}
    if not waits:
        return {}
    named = {one.labels.get(approvals.LABEL): one for one in records.flow_of(data, run.detail.summary).steps}
    return {name: approvals.asked(node) for name, node in named.items() if name in waits}


def _last_lines(data: Path, run: RunReport) -> Mapping[str, str]:
    """Return the last lines of the steps that have not ended; the history has those of others."""
    from provisioning import wiring
    from provisioning.operations.dagu.logs import tail_of

    open_ones = [step.record for step in run.steps if step.status.value in LIVE or (run.lost and not step.record.ended_at)]
    logs = {one.step: wiring.find_log(data, run.detail.run_id, one.step, one.attempts) for one in open_ones if one.attempts}
    return {step: "\n".join(tail_of(log, 1)) for step, log in logs.items()}


@click.command(cls=DagRunsCommand)
@click.argument("what", required=False, metavar="[NAME|FILE]", shell_complete=complete.dags)
@click.option("--last", metavar="AGE", help="Only runs of that time, such as 7d, 24h, 2w or 30m.")
@click.option("--from", "since", metavar="TIME", help="Only runs since then: 2026-01-31, or with a time, 2026-01-31T08:00.")
@click.option("--to", "until", metavar="TIME", help="Only runs until then.")
@click.option("--status", "word", metavar="STATUS", help="Only runs in this status, such as failed.")
@click.option("--limit", type=click.IntRange(min=1, max=10_000), default=50, show_default=True, help="How many, newest first.")
@click.option("-r", "--run-id", metavar="ID", help="Only runs whose id begins like this.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), help="How to print it.")
@pass_app
def history(
    app: App,
    *,
    what: str | None,
    last: str | None,
    since: str | None,
    until: str | None,
    word: str | None,
    limit: int,
    run_id: str | None,
    form: str | None,
) -> None:
    """List the runs of a DAG, or of all, the newest first."""
    from provisioning.errors import UsageError
    from provisioning.operations.dagu import records
    from provisioning_cli import output
    from provisioning_cli.dagu.telling import run_row

    if last is not None and since is not None:
        raise UsageError("--last and --from say the same", hint="give one of them")
    found = with_runs(app).catalogue
    runs = records.history(
        found.places.data,
        name=_named(app, what),
        limit=limit,
        since=_ago(last) if last is not None else _time(since, "--from"),
        until=_time(until, "--to"),
        status=_status(word),
        run_id=run_id or "",
    )
    if form == "csv":
        output.write(_csv(runs))
    elif form == "json" or (form is None and app.json):
        output.write(output.to_json({"runs": [_document(one) for one in runs]}))
    else:
        rows = [run_row(one) for one in runs]
        output.write(output.table(rows, COLUMNS, empty="no runs", spare=("by", "trigger", "took", "reason", "dag")))


def _named(app: App, what: str | None) -> str | None:
    from provisioning.errors import NotFoundError
    from provisioning.operations.dagu.refs import dag_name

    if what is None:
        return None
    name = dag_name(with_runs(app).catalogue, what)
    if name is None:
        raise NotFoundError(f"no DAG is called {what}, and none of that name has run", hint="`dag-engine list` shows the DAGs")
    return name


def _document(run: RunReport) -> dict[str, object]:
    return {key: value for key, value in run.document().items() if key not in {"steps", "outputs"}}


def _csv(runs: Sequence[RunReport]) -> str:
    import csv
    import io

    written = io.StringIO()
    columns = [
        "run_id",
        "workflow",
        "status",
        "reason",
        "exit_code",
        "created_at",
        "started_at",
        "ended_at",
        "trigger",
        "actor",
    ]
    sheet = csv.DictWriter(written, columns, extrasaction="ignore", lineterminator="\n")
    sheet.writeheader()
    sheet.writerows(_document(one) for one in runs)
    return written.getvalue()


def _status(word: str | None) -> str | None:
    from provisioning.core.dagu.statuses import RunStatus, run_status_of
    from provisioning.errors import UsageError
    from provisioning_cli.groups import unknown

    if word is None:
        return None
    status = run_status_of(word)
    if status is None:
        raise UsageError(unknown("status", word, [one.value for one in RunStatus]))
    return status.value


def _ago(text: str) -> datetime:
    from provisioning import wiring

    return wiring.clock().now() - age(text)


def age(text: str) -> timedelta:
    """Return a length of time such as 7d, 24h, 2w or 30m. Raises UsageError."""
    from datetime import timedelta

    from provisioning.errors import UsageError

    number, unit = text[:-1], text[-1:]
    if not (number.isdecimal() and number.isascii() and unit in UNITS_S and len(number) < 7):
        raise UsageError(f"found {text!r}, expected a length of time", hint="such as 7d, 24h, 2w or 30m")
    return timedelta(seconds=int(number) * UNITS_S[unit])


def _time(text: str | None, option: str) -> datetime | None:
    """Return a point in time; one without a zone is in that of this machine. Raises UsageError."""
    from datetime import UTC, datetime

    from provisioning.errors import UsageError

    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        hint = "such as 2026-01-31, 2026-01-31T08:00 or 2026-01-31T08:00Z"
        raise UsageError(f"{option}: found {text!r}, expected a time", hint=hint) from error


@click.command(cls=DagRunsCommand)
@click.argument("what", required=False, metavar="[NAME|FILE]", shell_complete=complete.dags)
@pass_app
def ps(app: App, what: str | None) -> None:
    """List the runs that have not ended: those that go on, are queued, wait for a person, or lost their process."""
    from provisioning import wiring
    from provisioning.operations.dagu import records
    from provisioning_cli import output
    from provisioning_cli.dagu.telling import going_row

    data = with_runs(app).data
    found = records.going_on(data, name=_named(app, what))
    reports = [records.find(data, run_id=one.run_id) for one in found]
    pids = [(wiring.run_lock(data, one.run_id).holder() or {}).get("pid") for one in found]
    told = list(zip(reports, pids, strict=True))
    app.emit(
        lambda: {"runs": [_document(run) | {"pid": pid, "lost": run.lost} for run, pid in told]},
        lambda: output.table(
            [going_row(run.detail.summary, "lost" if run.lost else run.status.value, pid) for run, pid in told],
            GOING,
            empty="nothing runs",
            spare=("by", "for"),
        ),
    )
