"""Start-up: what a call costs over a bare interpreter, in processor time, its Nickel child included; the best of several."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "workspaces" / "demo"
PROGRAM = (sys.executable, "-m", "provisioning_cli.main")
ENGINE = (sys.executable, "-m", "provisioning_cli.engine_main")
BARE = (sys.executable, "-c", "pass")
TRIES = 12


def seconds(*command: str) -> float:
    """Return the processor time of a command and its children. It has to succeed."""
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _pid, status, used = os.wait4(pid, 0)
    assert status == 0
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def bare_s() -> float:
    """What an interpreter costs that does nothing."""
    return min(seconds(*BARE) for _ in range(TRIES))


@pytest.mark.parametrize(
    ("program", "arguments", "limit_s"),
    [
        pytest.param(PROGRAM, ("--help",), 0.080, id="help"),
        pytest.param(PROGRAM, ("--version",), 0.080, id="version"),
        pytest.param(PROGRAM, ("-w", str(DEMO), "dag", "validate"), 0.250, id="dag validate of the demo"),
        pytest.param(ENGINE, ("--help",), 0.080, id="help of dag-engine"),
    ],
)
def test_a_call_costs_little_more_than_a_bare_interpreter(
    program: tuple[str, ...], arguments: tuple[str, ...], limit_s: float, bare_s: float
) -> None:
    seconds(*program, *arguments)  # the first call compiles

    assert any(seconds(*program, *arguments) - bare_s < limit_s for _ in range(TRIES))
