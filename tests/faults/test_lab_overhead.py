"""What a step costs beyond its script on a server with systemd, next to what systemd itself takes for an empty unit."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from lab.hosts import Host
from lab.laboratory import Lab
from support.clusters import LabWorkspace
from support.real import formula

pytestmark = [pytest.mark.lab(count=1), pytest.mark.timeout(600)]
STEPS = 30
TIMES = 15
BAR_MS = 60  # on an idle machine
UNITS = 2.5  # a busy one slows down both: then a step may take as long as so many empty units
EMPTY = "#!/usr/bin/env bash\nset -eu\ntrue\n"


def test_a_steps_own_overhead_is_that_of_few_empty_units_started_over_ssh(
    lab: Lab, tmp_path: Path, say: Callable[[str], None]
) -> None:
    host = lab.host(1)
    workspace = LabWorkspace(tmp_path / "workspace", lab, "one")
    names = [f"true-{number}" for number in range(STEPS)]
    for name in names:
        workspace.taskserv(name, "true")
    workspace.dag(formula("one", "one", *names))

    with shared_connection(host, tmp_path / "control") as empty_unit:
        units_ms = taken_ms(empty_unit)
        ended = workspace.create("--all")
        units_ms += taken_ms(empty_unit)

    assert ended.code == 0, ended.err
    ends = [datetime.fromisoformat(step["ended_at"]) for step in ended.json["steps"]]
    empty_ms = script_ms(host)
    steps_ms = [1000 * (late - early).total_seconds() - empty_ms for early, late in pairwise(ends)]
    say(f"a step's own overhead: {figures(steps_ms)}, bar {BAR_MS} ms; an empty unit over SSH: {figures(units_ms)}")
    assert statistics.median(steps_ms) < max(BAR_MS, UNITS * statistics.median(units_ms))


def figures(taken_ms: Sequence[float]) -> str:
    return f"median {statistics.median(taken_ms):.1f} ms, least {min(taken_ms):.1f} ms"


@contextmanager
def shared_connection(host: Host, control: Path) -> Iterator[Callable[[], object]]:
    """Return what runs an empty unit of systemd over a connection of OpenSSH that is there already."""
    words = host.ssh()
    shared = [*words[:-1], "-S", str(control), words[-1]]
    subprocess.run([*shared[:1], "-M", "-N", "-f", *shared[1:]], check=True, stdin=subprocess.DEVNULL)
    unit = [*shared, "systemd-run", "--quiet", "--wait", "--collect", "true"]
    try:
        yield partial(subprocess.run, unit, check=True, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run([*shared[:1], "-O", "exit", *shared[1:]], check=True, capture_output=True)


def taken_ms(action: Callable[[], object]) -> list[float]:
    """Do it some times; return what each took."""
    taken = []
    for _ in range(TIMES):
        began_s = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - began_s))
    return taken


def script_ms(host: Host) -> float:
    """Return what the script itself takes there, the start of bash included."""
    (host.root / "root/empty.sh").write_text(EMPTY, "utf-8")
    loop = f"for _ in {{1..{TIMES}}}; do bash /root/empty.sh; done"
    nanoseconds = host.shell(f"began=$(date +%s%N); {loop}; echo $((($(date +%s%N) - began) / {TIMES}))")
    return float(nanoseconds) / 1e6
