"""The program in the how-to runs as it stands there, and a second time finds the run of the first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "workflows.md"


def test_the_first_program_of_the_page_runs(tmp_path: Path) -> None:
    found = re.search(r"```python\n(import asyncio.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "report.py").write_text(found[1])
    for _ in range(2):
        done = subprocess.run([sys.executable, "report.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "910\n", "")
