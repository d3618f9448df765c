"""What a failed run tells: which step, where, which command, the last output, the log, and the command that resumes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioning.core.declare import Infra
from provisioning.core.history import HOST_ERRORS, RunDetail, StepRecord
from provisioning.core.model import RunState
from provisioning.core.plan import Selection
from provisioning.errors import GateFailed, Interrupted, ProvisioningError, ServerFailed, StepFailed
from provisioning.operations.options import RunOptions

SHOWN_LINES = 10
SHOWN_STEPS = 8


def explain(detail: RunDetail, resume: str, tail: Callable[[str], Sequence[str]]) -> ProvisioningError | None:
    """Return the error that a run's end amounts to, or None when it succeeded. `tail` reads a log's last lines."""
    state = detail.summary.state
    if state is RunState.SUCCEEDED:
        return None
    if state is RunState.CANCELLED:
        stopped = [step.step for step in detail.failed]
        message = f"run {detail.run_id} was stopped" + (f"; interrupted: {_some(stopped)}" if stopped else "")
        return Interrupted(message, hint=f"resume: {resume}", run_id=detail.run_id)
    first = detail.failed[0] if detail.failed else None
    if first is None:
        return StepFailed(f"run {detail.run_id} ended {state.value}", hint=f"resume: {resume}", run_id=detail.run_id)
    kind = _kind(first)
    return kind(_headline(first), hint=_hint(detail, first, resume, tail(first.log)), run_id=detail.run_id)


def _kind(step: StepRecord) -> type[StepFailed]:
    if step.error_kind in HOST_ERRORS:
        return ServerFailed
    return GateFailed if step.kind == "gate" else StepFailed


def _headline(step: StepRecord) -> str:
    where = f"formula {step.formula}, server {step.server}: " if step.formula else ""
    tried = f" (attempt {step.attempts})" if step.attempts > 1 else ""
    return f"{step.step} {step.state.value.replace('_', ' ')}{tried}: {where}{step.error or step.reason}"


def _hint(detail: RunDetail, first: StepRecord, resume: str, lines: Sequence[str]) -> str:
    parts = []
    if lines:
        parts.append("last output:\n" + "\n".join(f"    {line}" for line in lines[-SHOWN_LINES:]))
    others = [step.step for step in detail.failed[1:]]
    if others:
        parts.append(f"failed too: {_some(others)}")
    blocked = [step.step for step in detail.steps if step.reason.startswith("blocked:")]
    if blocked:
        parts.append(f"blocked: {_some(blocked)}")
    if first.log:
        parts.append(f"log: {first.log}")
    if first.error_kind == "unknown":
        parts.append(f"look at {first.server}, then say that it may run again: {resume} --reset")
    else:
        parts.append(f"resume: {resume}")
    return "\n".join(parts)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_STEPS])
    return shown if len(names) <= SHOWN_STEPS else f"{shown} and {len(names) - SHOWN_STEPS} more"


def resume_command(folder: Path, infra: Infra, selection: Selection, options: RunOptions) -> str:
    """Return the command that goes on where a run of this selection stopped. `--reset` is left out: it did its work."""
    words = ["taskserv", "create", *(["--all"] if selection.everything else [selection.name or ""])]
    for server in sorted(selection.servers):
        words += ["--server", server]
    flags = {"--only": selection.only, "--update": selection.update, "--upload": selection.upload}
    words += [flag for flag, given in {**flags, "--keep-going": options.keep_going}.items() if given]
    if selection.operation != "install":
        words += ["--cmd", selection.operation]
    return _command(folder, infra, words)


def retry_command(folder: Path, infra: Infra, run_id: str) -> str:
    """Return the command that runs the failed part of a run once more. What it was started with is still known."""
    return _command(folder, infra, ["run", "retry", run_id])


def _command(folder: Path, infra: Infra, words: Sequence[str]) -> str:
    return command(folder, [*(["--infra", infra.name] if infra.name else []), *words])


def command(folder: Path, words: Sequence[str]) -> str:
    """Return a call of the command line that works from everywhere."""
    return shlex.join(["provisioning", "-w", str(folder), *words])
