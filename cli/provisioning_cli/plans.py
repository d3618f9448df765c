"""Plans and runs as documents and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provisioning.formats.draw.escape import cut
from provisioning_cli import output
from provisioning_cli.board import duration

if TYPE_CHECKING:
    from provisioning.core.history import RunDetail, StepRecord
    from provisioning.core.plan import Plan, PlanStep

VALUE_LIMIT = 100  # columns of an output's value; JSON has it whole


def plan_document(plan: Plan) -> dict[str, object]:
    """Return the JSON of a plan (design 7)."""
    return {
        "infra": plan.infra,
        "has_dag": plan.has_dag,
        "notes": list(plan.notes),
        "steps": [plan_step(step) for step in plan.steps],
    }


def plan_step(step: PlanStep) -> dict[str, object]:
    """Return the JSON of one step of a plan."""
    return {
        "id": step.id,
        "formula": step.formula,
        "server": step.server,
        "taskserv": step.taskserv,
        "kind": step.kind,
        "action": step.action.value,
        "because": step.because,
        "depends_on": list(step.depends_on),
        "runs": step.runs,
        "profile": step.profile,
        "operation": step.operation,
        "digest": step.digest,
    }


def plan_table(plan: Plan) -> str:
    """Return a plan as a table with its notes and totals."""
    rows = [
        {
            "step": step.id,
            "server": step.server,
            "action": step.action.value,
            "because": step.because,
            "after": step.depends_on,
        }
        for step in plan.steps
    ]
    text = output.table(
        rows, ["step", "server", "action", "because", "after"], empty="the plan is empty", spare=["after", "server"]
    )
    runs = sum(step.runs for step in plan.steps)
    total = f"{output.count(len(plan.steps), 'step')}, {runs} to run" if runs else "nothing to do"
    return text + "".join(f"{output.cell(note)}\n" for note in plan.notes) + f"{total}\n"


def run_table(detail: RunDetail) -> str:
    """Return a run as its facts and a line per step."""
    facts = output.record(run_facts(detail))
    steps = steps_table(detail.steps)
    outputs = [{"output": name, "value": cut(output.cell(value), VALUE_LIMIT)} for name, value in detail.outputs.items()]
    return facts + steps + (output.table(outputs, ["output", "value"]) if outputs else "")


def steps_table(steps: Sequence[StepRecord]) -> str:
    """Return a line per step; columns that none of them fills are left out."""
    rows = [step_row(step) for step in steps]
    columns = ["step", "server", "state", "attempts", "took", "late", "reason"]
    used = [name for name in columns if name not in {"server", "late"} or any(row[name] for row in rows)]
    return output.table(rows, used, empty="no steps", spare=[name for name in ("attempts", "server") if name in used])


def run_facts(detail: RunDetail) -> dict[str, object]:
    """Return what is shown of a run apart from its steps."""
    run = detail.summary
    facts: dict[str, object] = {
        "run": run.run_id,
        "workflow": run.workflow,
        "status": run.state.value,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "started": local(run.started_at),
        "took": took(run.started_at, run.ended_at),
        "late": late(run.late_at),
        "by": run.actor,
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def step_row(step: StepRecord) -> dict[str, object]:
    """Return what a table shows of a step."""
    return {
        "step": step.step,
        "server": step.server,
        "state": step.state.value,
        "attempts": step.attempts or None,
        "took": took(step.started_at, step.ended_at),
        "late": late(step.late_at),
        "reason": step.error or step.reason,
    }


def summary(detail: RunDetail) -> str:
    """Return a run in few lines: what became of each formula, and the totals."""
    run = detail.summary
    spent = took(run.started_at, run.ended_at)
    line = f"run {output.cell(run.run_id)} {run.state.value}" + (f" in {spent}" if spent else "")
    if not any(step.formula for step in detail.steps):
        return f"{steps_table(detail.steps)}{line}\n"
    formulas: dict[str, list[StepRecord]] = {}
    for step in detail.steps:
        formulas.setdefault(step.formula or step.step, []).append(step)
    rows = [_formula_row(name, steps) for name, steps in formulas.items()]
    return output.table(rows, ["formula", "server", "state", "steps", "took"], empty="no steps") + f"{line}\n"


def _formula_row(name: str, steps: Iterable[StepRecord]) -> Mapping[str, object]:
    steps = list(steps)
    states = [step.state.value for step in steps]
    worst = ("interrupted", "failed", "timed_out", "cancelled", "running", "skipped", "pending", "succeeded")
    starts = [step.started_at for step in steps if step.started_at]
    ends = [step.ended_at for step in steps if step.ended_at]
    return {
        "formula": name,
        "server": ", ".join(dict.fromkeys(step.server for step in steps if step.server)),
        "state": next((state for state in worst if state in states), "unchanged"),
        "steps": ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        "took": took(min(starts, default=None), max(ends, default=None)) if starts else "",
    }


def took(start: datetime | None, end: datetime | None) -> str:
    """Return how long something took, or has been going on until now; nothing when it did not start."""
    if start is None:
        return ""
    return duration(max(0.0, ((end or datetime.now(UTC)) - start).total_seconds()))


def late(at: datetime | None) -> str:
    """Return since when something has been late; nothing where it is not."""
    return f"since {local(at)}" if at is not None else ""


def local(at: datetime | None) -> str:
    """Return a time in the user's own zone."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
