"""Standard streams that are full, closed or not read: an exit code and a message, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"{sys.executable} -m provisioning_cli.main"


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    script = line.replace("provisioning", PROGRAM)
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("command", ["dag plan", "dag plan -o json", "dag show", "dag export"])
def test_a_full_disk_behind_the_output_is_said_and_fails(sample: Path, command: str) -> None:
    ended = shell(sample, f"provisioning {command} >/dev/full")
    assert ended.returncode == 1
    assert ended.stderr == "error: the result could not be printed: no space left on device\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("provisioning dag plan >&-", 0),
        ("provisioning dag plan 2>&-", 0),
        ("provisioning dag plan <&-", 0),
        ("provisioning nothing >&- 2>&- <&-", 2),
        ("provisioning taskserv create nothing >&- 2>&- <&-", 4),
        ("provisioning nothing -o json >/dev/full", 2),
        ("provisioning dag plan -o json | head -1", 0),
    ],
)
def test_closed_streams_change_nothing(sample: Path, line: str, code: int) -> None:
    ended = shell(sample, line)
    assert (ended.returncode, "Traceback" in ended.stderr, "bug" in ended.stderr) == (code, False, False)


@pytest.mark.parametrize("command", ["", "dag", "taskserv"])
def test_a_call_without_a_command_shows_what_there_is(sample: Path, command: str) -> None:
    ended = shell(sample, f"provisioning {command}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Usage: ")
