"""Each test on the engine that forgets and on the durable one."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=[pytest.param(False, id="memory"), pytest.param(True, id="sqlite")])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param else None
