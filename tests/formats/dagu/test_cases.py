"""Every file of `cases` is read and compiled as the JSON beside it says. A new case is two new files.

How those with `run` run is tested beside the engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.daguflow import flow_lines
from support.dagushape import shape

from provisioning.core.dagu.compile import compile_dag
from provisioning.formats.dagu.files import Reading, read_dag

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_file_is_read_as_written_beside_it(case: str) -> None:
    expected = json.loads((CASES / f"{case}.json").read_text("utf-8"))
    known = frozenset(expected.pop("known_dags", ()))
    read = read_dag((CASES / f"{case}.yaml").read_bytes(), file=f"{case}.yaml", known_dags=known)

    assert set(expected) <= {"dag", "steps", "faults", "notes", "dialect", "workflow", "run"}, expected
    assert [[one.code, one.line, one.column] for one in read.faults] == expected.get("faults", [])
    assert [[one.code, one.line] for one in read.notes] == expected.get("notes", [])
    if "dialect" in expected:
        assert "+".join(one.dialect for one in read.recognised) == expected["dialect"]
    assert (read.dag is None) == bool(read.faults)
    compiled = flow_lines(compile_dag(read.dag)) if read.dag is not None else None
    assert compiled == expected.get("workflow")
    assert _told(read, expected) == {key: expected[key] for key in ("dag", "steps") if key in expected}


def _told(read: Reading, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of the DAG that the case asks for; a part that is as by default is null."""
    if read.dag is None:
        return {}
    told: dict[str, Any] = {}
    if "dag" in expected:
        dag = shape(read.dag)
        told["dag"] = {key: dag.get(key) for key in expected["dag"]}
    if "steps" in expected:
        steps = {step.name: shape(step) for step in read.dag.steps}
        assert list(steps) == list(expected["steps"])
        told["steps"] = {name: {key: steps[name].get(key) for key in asked} for name, asked in expected["steps"].items()}
    return told


def test_every_case_has_both_files() -> None:
    assert {path.stem for path in CASES.glob("*.yaml")} == {path.stem for path in CASES.glob("*.json")}
    assert len(list(CASES.glob("*.yaml"))) >= 250


@pytest.mark.parametrize("dialect", ["a0", "a1", "b", "c"])
def test_there_are_enough_cases_of_every_dialect(dialect: str) -> None:
    stems = [path.stem.removeprefix("run-") for path in CASES.glob("*.yaml")]

    assert sum(stem.startswith(f"{dialect}-") for stem in stems) >= 25
