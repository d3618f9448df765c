"""Every file of the corpus of Dagu files that can run here runs as the JSON beside it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.daguruns import RUN, DaguRuns, Ran, approve, reject

CASES = Path(__file__).parent.parent / "formats" / "dagu" / "cases"
RUNNABLE = {
    path.stem: one["run"] for path in sorted(CASES.glob("*.json")) if "run" in (one := json.loads(path.read_text("utf-8")))
}
KNOWN = {
    "params": "given when it is started",
    "files": "what lies beside the file: name -> text",
    "approve": "step -> the answer of whoever approves it",
    "reject": "the step that somebody rejects",
    "status": "of the run",
    "steps": "name -> status, all of them in order",
    "handlers": "event -> status, all of them",
    "outputs": "of the run, all of them",
    "stdout": "name -> text",
    "stderr": "name -> text",
    "codes": "name -> exit code",
    "exit_code": "of the command that ran it",
    "attempts": "name -> how many",
    "pauses": "name -> seconds between its attempts",
    "first": "the step that begins first",
    "last": "the step that begins last",
    "inside": "the statuses of the runs that it has started, sorted",
    "inside_outputs": "their outputs",
    "leaves": "the files that it leaves: name -> text",
}


@pytest.mark.parametrize("case", RUNNABLE)
def test_file_runs_as_written_beside_it(case: str, tmp_path: Path) -> None:
    expected = RUNNABLE[case]
    dagu = DaguRuns(tmp_path)
    for name, text in expected.get("files", {}).items():
        dagu.write(name, text)
    answers = [approve(step, **answer) for step, answer in expected.get("approve", {}).items()]
    answers += [reject(expected["reject"])] if "reject" in expected else []

    ran = dagu.run((CASES / f"{case}.yaml").read_text("utf-8"), *expected.get("params", ()), waiting=answers)

    assert set(expected) <= set(KNOWN)
    wanted = {key: one for key, one in expected.items() if key not in {"params", "files", "approve", "reject"}}
    assert _told(ran, dagu, wanted) == wanted


def test_enough_files_are_run() -> None:
    assert len(RUNNABLE) >= 60
    assert all({"status", "steps"} <= set(one) for one in RUNNABLE.values())


def _told(ran: Ran, dagu: DaguRuns, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the run what the case asks for."""
    begun = [step for step in ran.order if not step.startswith("(")]
    told: dict[str, Any] = {
        "status": ran.status,
        "steps": ran.steps,
        "handlers": ran.handlers,
        "outputs": ran.outputs,
        "exit_code": ran.report.detail.exit_code,
        "first": begun[0] if begun else None,
        "last": begun[-1] if begun else None,
        "inside": sorted((one.status.value for one in ran.inside), reverse=True),
        "inside_outputs": [dict(one.detail.outputs) for one in ran.inside],
        "stdout": {name: ran.record(name).stdout for name in wanted.get("stdout", ())},
        "stderr": {name: ran.record(name).stderr for name in wanted.get("stderr", ())},
        "codes": {name: ran.record(name).exit_code for name in wanted.get("codes", ())},
        "attempts": {name: ran.attempts[name] for name in wanted.get("attempts", ())},
        "pauses": {name: ran.pauses(name) for name in wanted.get("pauses", ())},
        "leaves": {name: (dagu.dags / name).read_text("utf-8") for name in wanted.get("leaves", ())},
    }
    assert ran.report.detail.run_id == RUN
    return {key: told[key] for key in wanted}
