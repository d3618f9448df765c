"""The workspace of the fault tests, and a way to say what was counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faked import FakedWorkspace

Say = Callable[[str], None]


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    """Return a workspace with three servers, that are fakes, and no DAG."""
    return FakedWorkspace(tmp_path / "workspace")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what prints a line with seed and counts past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")

    return line
