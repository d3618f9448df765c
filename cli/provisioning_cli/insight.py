"""What `run show` says beyond the state: why a step does not run, and what decides how long a run takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.core.model import STEP_ENDED
from provisioning_cli import output, results
from provisioning_cli.board import duration
from provisioning_cli.context import App

if TYPE_CHECKING:
    from provisioning.core.history import RunDetail, StepRecord
    from provisioning.core.why import Blocker
    from provisioning.operations.timing import Timed
    from provisioning_cli.clustered import Runs

STEPS_SHOWN = 3
CHAIN_SHOWN = 12
"""Steps of the critical path that are named in its headline; JSON has all."""


def show_why(app: App, runs: Runs, detail: RunDetail, step: str) -> None:
    """Print all that keeps a step from running. Raises NotFoundError for a step that the run does not have."""
    from provisioning.operations import steering

    results.refuse_unknown(detail, step)
    record = next(one for one in detail.steps if one.step == step)
    found = steering.why(runs.folder, detail.run_id, step, runs.reach)
    document = {
        "run_id": detail.run_id,
        "step": step,
        "state": record.state.value,
        **({"reason": record.reason} if record.reason else {}),
        "blockers": [{"kind": one.kind, "name": one.name, "reason": one.reason} for one in found],
    }
    app.emit(document, lambda: _why_text(record, found))


def say_without_worker(app: App, runs: Runs, run_id: str) -> None:
    """Say which steps of a run of a cluster wait for a worker that is not there, or that nobody decides for it."""
    from provisioning.operations import steering

    if runs.reach.lasting and not runs.reach.driven(runs.folder):
        app.say(steering.NOBODY_DECIDES)
    for reason, steps in steering.without_worker(runs.folder, run_id, runs.reach).items():
        more = f" and {len(steps) - STEPS_SHOWN} more" if len(steps) > STEPS_SHOWN else ""
        app.say(output.cell(f"{', '.join(steps[:STEPS_SHOWN])}{more}: {reason}"))


def _why_text(step: StepRecord, found: Sequence[Blocker]) -> str:
    state = step.state.value.replace("_", " ")
    if step.state in STEP_ENDED:
        why = output.cell(step.error or step.reason)
        return f"{output.cell(step.step)} has ended: {state}{f': {why}' if why else ''}\n"
    head = f"{output.cell(step.step)} is {state}"
    if not found:
        return f"{head}: nothing keeps it\n"
    return f"{head}:\n" + "".join(f"  {output.cell(one.reason)}\n" for one in found)


def show_path(app: App, folder: Path, run_ref: str) -> None:
    """Print the critical path of a run. Raises NotFoundError."""
    from provisioning.operations.timing import timed

    found = timed(folder, run_ref)
    app.emit(lambda: _path_document(found), lambda: _path_text(found))


def _path_document(found: Timed) -> dict[str, object]:
    states = {step.step: step.state.value for step in found.detail.steps}
    return {
        "run_id": found.detail.run_id,
        "total_s": found.path.total_s,
        "chain": list(found.path.chain),
        "steps": [
            {
                "id": step.step,
                "state": states[step.step],
                "duration_s": step.duration_s,
                "basis": found.basis[step.step],
                "earliest_s": step.earliest_s,
                "latest_s": step.latest_s,
                "slack_s": step.slack_s,
                "critical": step.critical,
            }
            for step in found.path.steps
        ],
    }


def _path_text(found: Timed) -> str:
    states = {step.step: step.state.value for step in found.detail.steps}
    rows = [
        {
            "step": step.step,
            "state": states[step.step],
            "takes": duration(step.duration_s),
            "known from": found.basis[step.step],
            "starts at": duration(step.earliest_s),
            "slack": "critical" if step.critical else duration(step.slack_s),
        }
        for step in found.path.steps
    ]
    columns = ["step", "state", "takes", "known from", "starts at", "slack"]
    names = [output.cell(name) for name in found.path.chain]
    if len(names) > CHAIN_SHOWN:
        names = [*names[: CHAIN_SHOWN - 1], f"… {len(names) - CHAIN_SHOWN} more …", names[-1]]
    table = output.table(rows, columns, empty="no steps", spare=["known from", "starts at"])
    return f"{table}critical path, {duration(found.path.total_s)}: {' → '.join(names)}\n"
