"""The page of engine cases says where each is tested; nothing on it is gone, and no case is left out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "engine-cases.md"
CASES = 85  # in the list that it answers


def rows() -> list[list[str]]:
    lines = PAGE.read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if re.match(r"\| [ABN]\d\d ", line)]


def test_every_case_is_tested_or_says_why_not() -> None:
    assert len({case for case, _tests, _why in rows()}) == len(rows()) == CASES
    assert all(bool(tests) != bool(why) for _case, tests, why in rows())


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(../../(tests/[\w/.]+)\)", PAGE.read_text("utf-8"))
    assert len(named) > 80
    for name, path in named:
        file = ROOT / path
        assert file.exists(), path
        assert name == file.stem or f"def {name}(" in file.read_text("utf-8"), f"{path} has no {name}"
