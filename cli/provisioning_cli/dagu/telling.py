"""How runs of Dagu files are shown: while they go on, when they have ended, and later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provisioning.core.dagu.report import SHOWN
from provisioning.core.events import Event, Kind
from provisioning.operations import Listener
from provisioning_cli import output
from provisioning_cli.context import App
from provisioning_cli.plans import local, took

if TYPE_CHECKING:
    from provisioning.core.dagu.report import RunReport, StepReport
    from provisioning.core.history import RunDetail, RunSummary
    from provisioning.core.model import Workflow
    from provisioning_cli.progress import Lines

VALUE_LIMIT = 100  # columns of an output's value; JSON has it whole
LINE_LIMIT = 200  # characters of a last line


class Watched(Listener):
    """Passes on what is of the run itself and of steps that are in its file; says how to approve what waits for a person."""

    def __init__(self, lines: Lines, flow: Workflow) -> None:
        """`lines` are what shows it."""
        self._lines, self._run = lines, ""
        self._shown = frozenset(step.id for step in flow.steps if step.kind in SHOWN)
        self._steps = {step.id: step for step in flow.steps}
        lines.board.know((step.id, "") for step in flow.steps if step.kind == "step")

    def on_run(self, run_id: str) -> None:
        """Take the run's id."""
        self._run = run_id
        self._lines.on_run(run_id)

    def on_event(self, event: Event) -> None:
        """Pass it on, unless it is of a run inside this one, or of a step that nobody wrote."""
        if not self._run and event.kind in {Kind.RUN_CREATED, Kind.RUN_REOPENED}:
            self._run = event.run
        if event.run != self._run or (event.step and event.step not in self._shown):
            return
        self._lines.on_event(event)
        if event.kind is Kind.RUN_WAITING:
            self._tell_waiting(event.data.get("steps"))

    def on_output(self, step: str, text: str) -> None:
        """Pass on what such a step prints."""
        if step in self._shown:
            self._lines.on_output(step, text)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self._lines.on_note(text)

    def on_abort(self) -> None:
        """Pass it on."""
        self._lines.on_abort()

    def _tell_waiting(self, steps: object) -> None:
        from provisioning.operations.dagu.approvals import LABEL, asked

        for id in steps if isinstance(steps, list | tuple) else ():
            node = self._steps.get(str(id))
            if node is not None:
                self.on_note(f"waits for approval: {asked(node)}")
                self.on_note(f"  dag-engine approve {self._run} {node.labels.get(LABEL, node.id)}")


@contextmanager
def watching(app: App, flow: Workflow) -> Iterator[Listener]:
    """Show a run while it goes on: live on a terminal, a line per event elsewhere, nothing with `--quiet`."""
    if "quiet" in app.given:
        yield Listener()
        return
    from provisioning_cli import progress

    with progress.listener() as lines:
        yield Watched(lines, flow)


def finish(app: App, detail: RunDetail, flow: Workflow) -> None:
    """Print how a run ended and what to do about a failure, and leave with the run's exit code."""
    from provisioning.core.dagu.report import report
    from provisioning.operations.dagu.failure import explain
    from provisioning.operations.dagu.logs import tail_of
    from provisioning_cli import failures

    run = report(detail)
    failure = explain(run, flow, resume_command(app, detail.run_id), tail_of)
    error = {"error": failures.error_document(failure)} if failure is not None else {}
    app.emit(lambda: run.document() | error, lambda: ended_text(run))
    if failure is not None:
        output.message(failures.error_text(failure))
    app.leave(detail.exit_code or 0)


def resume_command(app: App, run_id: str) -> str:
    """Return the command that continues a run, from everywhere."""
    import os
    import shlex

    options = {"--dags": app.given.get("dags"), "--dagu-home": app.given.get("dagu_home")}
    given = [word for name, folder in options.items() if folder for word in (name, os.path.abspath(folder))]  # noqa: PTH100
    return shlex.join(["dag-engine", *given, "retry", run_id])


# ---------------------------------------------------------------- a run


def ended_text(run: RunReport) -> str:
    """Return a run that has ended: a line per step, then how and how fast."""
    summary = run.detail.summary
    spent = took(summary.started_at, summary.ended_at)
    reason = f": {output.cell(summary.reason)}" if summary.reason and not run.detail.failed else ""
    line = f"run {output.cell(run.detail.run_id)} {run.status.value}" + (f" in {spent}" if spent else "") + reason
    return f"{steps_table(run)}{line}\n"


def run_text(run: RunReport, notes: Sequence[str] = (), lasts: Mapping[str, str] | None = None) -> str:
    """Return a run as its facts, a line per step, its outputs, and notes."""
    outputs = [{"output": name, "value": output.cell(value)[:VALUE_LIMIT]} for name, value in run.detail.outputs.items()]
    shown = output.table(outputs, ["output", "value"]) if outputs else ""
    return output.record(_facts(run)) + steps_table(run, lasts) + shown + "".join(f"{output.cell(note)}\n" for note in notes)


def steps_table(run: RunReport, lasts: Mapping[str, str] | None = None) -> str:
    """Return a line per step; `lasts` are the last lines of those that have not ended."""
    rows = [_step_row(step, lasts or {}) for step in run.steps]
    columns = ["step", "status", "attempts", "exit code", "took", "last line"]
    return output.table(rows, columns, empty="no steps", spare=["attempts", "exit code", "last line"])


def _step_row(step: StepReport, lasts: Mapping[str, str]) -> dict[str, object]:
    record = step.record
    failed = step.status.value in {"failed", "aborted"}
    kept = record.stderr or record.stdout if failed else record.stdout or record.stderr
    printed = lasts.get(record.step) or kept
    said = [line for line in printed.splitlines() if line.strip()]
    last = said[-1].strip()[:LINE_LIMIT] if said else ""
    ran = record.attempts > 0
    return {
        "step": record.step,
        "status": step.status.value,
        "attempts": record.attempts or None,
        "exit code": record.exit_code,
        "took": _took(step) if ran else "",
        "last line": record.error if record.error and not last else last or record.reason,
    }


def _took(step: StepReport) -> str:
    record = step.record
    if record.ended_at is None and step.status.value not in {"running", "retrying", "waiting"}:
        return ""  # nobody knows when it ended
    return took(record.started_at, record.ended_at)


def _facts(run: RunReport) -> dict[str, object]:
    detail = run.detail
    given = detail.params.get("params")
    shown = [f"{name}={value}" if name else str(value) for name, value in given] if isinstance(given, list) else []
    facts = {**run_row(run), "params": " ".join(shown)}
    return {name: value for name, value in facts.items() if value not in ("", None)}


def run_row(run: RunReport) -> dict[str, object]:
    """Return what a table shows of a run."""
    summary = run.detail.summary
    return {
        "run": summary.run_id,
        "dag": summary.workflow,
        "status": run.status.value,
        "reason": run.reason,
        "exit code": 1 if run.lost else summary.exit_code,
        "started": local(summary.started_at or summary.created_at),
        "took": "" if run.lost else took(summary.started_at, summary.ended_at),
        "trigger": summary.trigger,
        "by": summary.actor,
    }


def going_row(summary: RunSummary, status: str, pid: object) -> dict[str, object]:
    """Return what a table shows of a run that goes on."""
    return {
        "run": summary.run_id,
        "dag": summary.workflow,
        "status": status,
        "started": local(summary.started_at or summary.created_at),
        "for": took(summary.started_at or summary.created_at, None),
        "pid": pid,
        "by": summary.actor,
    }
