"""What the end of a Dagu run that did not go well tells: which step, its command, the last output, the log, how to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provisioning.core.dagu.declared import Step
from provisioning.core.dagu.report import RunReport
from provisioning.core.dagu.statuses import RunStatus, StepStatus
from provisioning.core.dagu.stored import from_plain
from provisioning.core.history import BY_SIGNAL, StepRecord
from provisioning.core.model import Workflow
from provisioning.errors import Interrupted, ProvisioningError, StepFailed

SHOWN_LINES = 10
SHOWN_STEPS = 8
Tail = Callable[[str, int], Sequence[str]]
"""(log, how many) -> the last lines of what its step said about the failure."""


def explain(run: RunReport, flow: Workflow, resume: str, tail: Tail) -> ProvisioningError | None:
    """Return the error that a run's end amounts to, or None when its exit code is 0. `resume` is a command."""
    detail = run.detail
    if detail.exit_code == 0:
        return None
    if detail.summary.reason == BY_SIGNAL:
        stopped = _some([step.record.step for step in run.steps if step.status is StepStatus.ABORTED])
        message = f"run {detail.run_id} was stopped" + (f"; stopped: {stopped}" if stopped else "")
        return Interrupted(message, hint=f"resume: {resume}", run_id=detail.run_id)
    first = detail.failed[0] if detail.failed else None
    if first is None or run.status is RunStatus.ABORTED:
        reason = f": {detail.summary.reason}" if detail.summary.reason else ""
        return StepFailed(
            f"run {detail.run_id} ended {run.status.value}{reason}", hint=f"resume: {resume}", run_id=detail.run_id
        )
    return StepFailed(_headline(first, run.status), hint=_hint(run, flow, first, resume, tail), run_id=detail.run_id)


def _headline(step: StepRecord, status: RunStatus) -> str:
    tried = f" (attempt {step.attempts})" if step.attempts > 1 else ""
    verb = "was" if status is RunStatus.REJECTED else f"{step.state.value.replace('_', ' ')}{tried}:"
    code = f"exit code {step.exit_code}" if step.exit_code is not None else ""
    error = step.error or step.reason
    why = error if not code or code in error else f"{code}; {error}" if error else code
    return f"the run could not begin: {why}" if step.kind == "setup" else f"{step.step} {verb} {why}"


def _hint(run: RunReport, flow: Workflow, first: StepRecord, resume: str, tail: Tail) -> str:
    command = command_of(flow, first.step)
    parts = [f"command: {command}"] if command else []
    lines = tail(first.log, SHOWN_LINES)
    if lines:
        parts.append("last output:\n" + "\n".join(f"    {line}" for line in lines))
    others = [step.step for step in run.detail.failed if step is not first and step.step != first.step]
    if others:
        parts.append(f"failed too: {_some(others)}")
    not_run = [step.record.step for step in run.steps if step.status is StepStatus.ABORTED and not step.record.attempts]
    if not_run:
        parts.append(f"not run: {_some(not_run)}")
    if first.log:
        parts.append(f"log: {first.log}")
    return "\n".join([*parts, f"resume: {resume}"])


def command_of(flow: Workflow, step_id: str) -> str:
    """Return what a step of a run does, in a few words; nothing for what comes with the steps of the file."""
    from provisioning.formats.draw.steps import words_for

    for step in flow.steps:
        if step.id == step_id and step.kind in {"step", "handler"} and "step" in step.action.settings:
            return words_for(from_plain(step.action.settings["step"], Step).doing)
    return ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_STEPS])
    return shown if len(names) <= SHOWN_STEPS else f"{shown} and {len(names) - SHOWN_STEPS} more"
