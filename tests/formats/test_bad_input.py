from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.declared import CATALOGUE

from provisioning.core.faults import Fault, Severity
from provisioning.formats.infra import inspect_infra
from provisioning.formats.source import has_errors
from provisioning.formats.workspace import load_workspace

BAD = Path(__file__).parent / "bad"
CASES = sorted(folder.name for folder in BAD.iterdir())
FIELDS = ("code", "severity", "file", "line", "column", "path", "message", "hint")


def brief(fault: Fault) -> dict[str, object]:
    """Return a fault as the cases write it: what is empty or the rule is left out."""
    values = {name: getattr(fault, name) for name in FIELDS}
    return {name: value for name, value in values.items() if value and value is not Severity.ERROR}


@pytest.mark.parametrize("case", CASES)
def test_every_fault_of_a_bad_file_is_reported_where_it_stands(case: str) -> None:
    inspected = inspect_infra(load_workspace(BAD / case), None, CATALOGUE)
    found = [brief(fault) for fault in inspected.faults]
    expected = BAD / case / "expected.json"
    if "REWRITE_EXPECTED" in os.environ:  # then read the difference, line by line
        expected.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")

    assert found == json.loads(expected.read_text("utf-8"))
    assert (inspected.infra is None) == has_errors(inspected.faults)


@pytest.mark.parametrize("case", CASES)
def test_messages_are_one_printable_line_of_bounded_length(case: str) -> None:
    for fault in inspect_infra(load_workspace(BAD / case), None, CATALOGUE).faults:
        shown = fault.message + fault.hint + fault.path + fault.file
        assert shown.isprintable()
        assert len(fault.message) < 700
        assert "hunter2" not in shown
        assert str(BAD) not in shown
