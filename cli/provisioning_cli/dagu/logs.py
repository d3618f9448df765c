"""`dag logs`: what the steps of a run printed, and print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, Found, with_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.core.model import Workflow
    from provisioning.operations.dagu.logs import Printed


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="RUN|NAME|FILE", shell_complete=complete.dags)
@click.argument("step", required=False)
@click.option("-r", "--run-id", metavar="ID", help="Of the DAG's runs this one, not the newest.")
@click.option("--stdout", "out", is_flag=True, help="Only standard output.")
@click.option("--stderr", "err", is_flag=True, help="Only standard error.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@pass_app
def logs(
    app: App, what: str, step: str | None, run_id: str | None, out: bool, err: bool, tail: int | None, follow: bool
) -> None:
    """Print what the steps of a run printed, all of them or one, in the order of the file."""
    from provisioning.errors import UsageError
    from provisioning.operations.dagu import records
    from provisioning.operations.dagu.logs import STREAMS, read_logs
    from provisioning.operations.dagu.refs import one_run

    found = with_runs(app)
    data = found.data
    summary = one_run(found.catalogue, what, run_id)
    steps = _steps(records.flow_of(data, summary), summary.run_id, step)
    streams = ["stdout"] * out + ["stderr"] * err or STREAMS
    if follow:
        if app.json or tail is not None:
            raise UsageError("--follow prints text from the beginning", hint="leave out --tail and -o json")
        _follow(found, summary.run_id, steps, _Teller(len(steps) > 1, len(streams) > 1), streams)
        return
    found.fetch_logs(summary.run_id)
    printed = list(read_logs(data, summary.run_id, steps, streams=streams, tail=tail))
    app.emit(
        lambda: {"run_id": summary.run_id, "logs": [_document(one) for one in printed]},
        lambda: "".join(_text(one) for one in printed) or "no logs\n",
    )


def _follow(found: Found, run_id: str, steps: Sequence[str], tell: _Teller, streams: Sequence[str]) -> None:
    import asyncio

    if found.access is not None:
        from provisioning.operations.cluster.following import follow_logs as follow_there

        asyncio.run(follow_there(found.access, run_id, steps, tell, streams=streams))
    else:
        from provisioning.operations.dagu.logs import follow_logs

        asyncio.run(follow_logs(found.data, run_id, steps, tell, streams=streams))


def _steps(flow: Workflow, run_id: str, step: str | None) -> Sequence[str]:
    """Return the steps that are meant. Raises NotFoundError."""
    from provisioning.core.dagu.report import SHOWN
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    if step is None:
        return [one.id for one in flow.steps if one.kind in SHOWN]
    known = [one.id for one in flow.steps]
    if step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"`dag-engine status {run_id}` lists its steps"
        raise NotFoundError(f"run {run_id} has no step {step}", hint=hint)
    return [step]


def _document(one: Printed) -> dict[str, object]:
    return {
        "step": one.attempt.step,
        "attempt": one.attempt.attempt,
        "stream": one.stream,
        "log": one.path,
        "text": one.text,
        **({} if one.found else {"gone": True}),
    }


def _text(one: Printed) -> str:
    from provisioning_cli import output

    tried = f", attempt {one.attempt.attempt}" if one.attempt.attempt > 1 else ""
    head = output.paint(f"── {output.cell(one.attempt.step)}{tried}, {one.stream}", "bold")
    body = one.text if one.found else f"the log {output.cell(one.path)} is gone\n"
    return f"{head}\n{body}" + ("" if body.endswith("\n") else "\n")


class _Teller:
    """Prints what comes, with the step's name before each line where there are several."""

    def __init__(self, several_steps: bool, both_streams: bool) -> None:
        self._named, self._both = several_steps, both_streams

    def __call__(self, step: str, stream: str, text: str) -> None:
        """Print a piece of output."""
        from provisioning_cli import output

        if self._named:
            text = "".join(f"{output.cell(step)} | {line}\n" for line in text.splitlines())
        if stream == "stderr" and self._both:
            sys.stderr.write(text)
            sys.stderr.flush()
        else:
            output.write(text)
