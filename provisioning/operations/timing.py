"""How long a run takes, or would, and which of its steps decide that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from provisioning.core.analysis import CriticalPath, critical_path, durations
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunDetail, StepRecord
from provisioning.core.model import STEP_ENDED, Step
from provisioning.operations.records import find_run, open_history
from provisioning.operations.steering import folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The critical path of a run.

    `basis` says by step where its duration is from: measured, history, sla, timeout, default.
    """

    detail: RunDetail
    path: CriticalPath
    basis: Mapping[str, str]


def timed(folder: Path, ref: str) -> Timed:
    """Return the critical path of a run: what ended took as long as it did, the rest as in the past. Raises NotFoundError."""
    detail = find_run(folder, ref)
    run = folded(folder, detail.run_id)
    with open_history(folder) as history:
        past = history.durations(detail.summary.workflow)
    specs = tuple(step.spec for step in run.steps.values())
    expected = durations(replace(run.workflow, steps=specs), past)
    now = datetime.now(UTC)
    took = {step.step: seconds for step in detail.steps if (seconds := _took(step, expected[step.step], now)) is not None}
    return Timed(
        detail=detail,
        path=critical_path(replace(run.workflow, steps=specs), {**expected, **took}),
        basis={spec.id: "measured" if spec.id in took else _basis(spec, past) for spec in specs},
    )


def _took(step: StepRecord, expected_s: float, now: datetime) -> float | None:
    """Return what a step took, also so far where that is longer than expected; None where it is still to be seen."""
    if step.started_at is None:
        return 0.0 if step.state in STEP_ENDED else None
    seconds = max(0.0, ((step.ended_at or now) - step.started_at).total_seconds())
    return seconds if step.state in STEP_ENDED or seconds > expected_s else None


def _basis(spec: Step, past: Mapping[str, Sequence[float]]) -> str:
    if past.get(spec.id):
        return "history"
    return "sla" if spec.sla_s else "timeout" if spec.timeout_s else "default"
