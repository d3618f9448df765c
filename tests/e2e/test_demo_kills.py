"""The runner of the demo is killed with signal 9 at random moments: nothing is lost, nothing is made up, nothing runs twice."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import Stage, set_up

WHOLE_RUN_S = 5.0  # from the start of the command to the end of the run, on an idle machine
FIRST_LINE = "set -euo pipefail\n"
WITNESS = """echo "begin {name}" >>"$DEMO_ROOT/witness"
trap 'echo "end {name} $?" >>"$DEMO_ROOT/witness"' EXIT
"""
Resource = tuple[str, str]

pytestmark = [pytest.mark.sshd, pytest.mark.slow, pytest.mark.timeout(600)]


def witnessed(folder: Path, servers: ThrowawayServers) -> Stage:
    """Return a stage whose scripts write down on their server when they begin, and how they end."""
    shop = set_up(folder, servers)
    for script in (shop.workspace / "taskservs").glob("*/default/install-*.sh"):
        name = script.parent.parent.name
        script.write_text(script.read_text("utf-8").replace(FIRST_LINE, FIRST_LINE + WITNESS.format(name=name)), "utf-8")
    return shop


def notes(shop: Stage) -> Counter[tuple[Resource, str]]:
    found: Counter[tuple[Resource, str]] = Counter()
    for name in shop.servers.names:
        witness = shop.servers.server(name).root / "witness"
        for line in witness.read_text("utf-8").splitlines() if witness.exists() else []:
            what, taskserv, *code = line.split()
            found[(name, taskserv), " ".join([what, *code])] += 1
    return found


def kill_and_resume(shop: Stage, after_s: float) -> int:
    """Kill a run, resume it, judge both; return how many resources were completed in between."""
    with shop.start("taskserv", "create", "--all") as runner:
        time.sleep(after_s)
        runner.send_signal(signal.SIGKILL)

    completed = shop.completed()  # parses, whatever the moment
    then = notes(shop)
    made_up = {resource for resource in completed if not then[resource, "end 0"]}
    assert not made_up

    resumed = shop.call("taskserv", "create", "--all")
    assert resumed.returncode == 0, resumed.stderr
    now = notes(shop)
    assert len(shop.completed()) == 11
    assert {resource for resource in completed if now[resource, "begin"] != 1} == set()
    assert {resource for resource in shop.completed() if now[resource, "begin"] > 2} == set()
    return len(completed)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_killed_run_is_resumed_without_losing_or_repeating_completed_work(
    share: float, tmp_path: Path, throwaway: ThrowawayServers
) -> None:
    kill_and_resume(witnessed(tmp_path / "stage", throwaway), share * WHOLE_RUN_S)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(50))
def test_fifty_kills_at_random_moments(
    round_: int, tmp_path: Path, throwaway: ThrowawayServers, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = random.Random(round_).uniform(0, WHOLE_RUN_S)
    completed = kill_and_resume(witnessed(tmp_path / "stage", throwaway), moment)
    with capsys.disabled():
        sys.stdout.write(
            f"\n  seed {round_}: killed after {moment:.2f} s, {completed} of 11 were completed, all after the next run\n"
        )
