"""The workspace of the defects' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faked import FakedWorkspace


@pytest.fixture
def lab(tmp_path: Path) -> FakedWorkspace:
    """Return a workspace with three servers, that are fakes, and no DAG."""
    return FakedWorkspace(tmp_path / "lab")
