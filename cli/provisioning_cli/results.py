"""How commands end: with a run, or with what is wrong in files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioning_cli import output
from provisioning_cli.context import App

if TYPE_CHECKING:
    from provisioning.core.declare import Workspace
    from provisioning.core.faults import Fault
    from provisioning.core.history import RunDetail
    from provisioning.core.plan import Plan
    from provisioning.errors import ConfigError
    from provisioning.formats.infra import Inspected
    from provisioning.formats.nickel import NickelLimits
    from provisioning.operations import RunResult


def finish(app: App, result: RunResult, plan: Plan | None = None) -> None:
    """Print how a run ended, say what to do about a failure, and leave with the run's exit code."""
    from provisioning_cli import failures, plans

    def document() -> dict[str, object]:
        error = {"error": failures.error_document(result.failure)} if result.failure is not None else {}
        return result.detail.document() | ({"plan": plans.plan_document(plan)} if plan else {}) | error

    app.emit(document, lambda: plans.summary(result.detail))
    if result.failure is not None:
        output.message(failures.error_text(result.failure))
        app.leave(result.failure.exit_code)


def refuse_unknown(detail: RunDetail, step: str) -> None:
    """Raise NotFoundError for a step that a run does not have."""
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    known = [one.step for one in detail.steps]
    if step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"`provisioning run show {detail.run_id}` lists its steps"
        raise NotFoundError(f"run {detail.run_id} has no step {step!r}", hint=hint)


def inspected(workspace: Workspace, infra: str, limits: NickelLimits) -> Inspected:
    """Read an infra with everything it names, and find every fault in it."""
    from pathlib import Path

    from provisioning.formats.infra import inspect_infra
    from provisioning.formats.taskserv import catalogue_folders, load_catalogue

    folder = Path(workspace.path)
    return inspect_infra(workspace, infra, load_catalogue(catalogue_folders(folder, infra), folder), limits=limits)


def faults_of(error: ConfigError) -> list[Fault]:
    """Return the faults of an error that stopped a check before it could look at everything."""
    from provisioning.core.faults import Fault

    return list(error.faults) or [Fault(code=error.code, message=error.message, hint=error.hint)]


def report_faults(app: App, faults: Sequence[Fault], checked: str) -> None:
    """Print whether files are valid and every fault, and leave with 3 when there is an error among them."""
    from provisioning.core.faults import Severity
    from provisioning_cli import failures

    errors = sum(fault.severity is Severity.ERROR for fault in faults)
    document = {"valid": not errors, "checked": checked, "faults": [failures.fault_document(fault) for fault in faults]}
    app.emit(document, lambda: _faults_text(faults, errors, checked))
    if errors:
        app.leave(3)


def _faults_text(faults: Sequence[Fault], errors: int, checked: str) -> str:
    import sys

    from provisioning_cli import failures

    lines = failures.fault_lines(faults, sys.stdout)
    warnings = len(faults) - errors
    total = f"{checked}: {'invalid' if errors else 'valid'}"
    found = [output.count(errors, "error")] * bool(errors) + [output.count(warnings, "warning")] * bool(warnings)
    return "\n".join([*lines, f"{total}, {', '.join(found)}" if found else total]) + "\n"
