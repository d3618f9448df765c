"""What `dag-engine run` takes besides what its steps do: `python -m benchmarks dagfiles`.

Real processes on a disk, as somebody who types the command has them. The steps' own time is what a shell takes that does the
same commands; what is left is ours. Best of several turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioning.core.dagu.shells import default_shell

TURNS = 7
OVER_LIMIT_S = 0.25  # over the steps' own time, of two steps
LEAST_PER_S = 150  # steps that do nothing, all processes included
GROWTH_LIMIT = 2.3  # per doubling
SIZES = (1_000, 2_000, 4_000)
TWO = "two steps, one after the other"
MANY = "side by side"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One file. `own_s` is what the commands take by themselves."""

    shape: str
    steps: int
    wall_s: float
    own_s: float

    @property
    def over_s(self) -> float:
        """What the run takes besides."""
        return self.wall_s - self.own_s

    @property
    def per_s(self) -> float:
        """Steps per second."""
        return self.steps / self.wall_s


def measure(checkout: Path) -> list[Ran]:
    """Run every shape. Raises CalledProcessError when a run fails."""
    two = _best(checkout, "steps:\n  - 'true'\n  - 'true'\n", 2, TWO, TURNS)
    return [two, *(_best(checkout, many(steps), steps, MANY, 2 if steps > 1000 else 3) for steps in SIZES)]


def many(steps: int) -> str:
    """Return a file of steps that depend on nothing."""
    return "type: graph\nsteps:\n" + "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(steps))


def growth(found: Sequence[Ran], one: Ran) -> float | None:
    """Return how many times as long it took as half as many steps."""
    half = next((it for it in found if (it.shape, 2 * it.steps) == (one.shape, one.steps)), None)
    return one.wall_s / half.wall_s if half else None


def _best(checkout: Path, text: str, steps: int, shape: str, turns: int) -> Ran:
    ran = [_once(checkout, text, steps, shape) for _ in range(turns)]
    return min(ran, key=lambda one: one.wall_s)


def _once(checkout: Path, text: str, steps: int, shape: str) -> Ran:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder:  # a disk: memory syncs in no time
        file = Path(folder) / "bench.yaml"
        file.write_text(text, "utf-8")
        environment = {**os.environ, "PROVISIONING_DAGU_DATA": f"{folder}/data", "PYTHONPATH": f"{checkout}:{checkout / 'cli'}"}
        start_s = time.perf_counter()
        command = [sys.executable, "-m", "provisioning_cli.engine_main", "run", str(file), "-q", "-o", "json"]
        said = subprocess.run(command, check=True, capture_output=True, env=environment)
        wall_s = time.perf_counter() - start_s
        if len(json.loads(said.stdout)["steps"]) != steps:
            raise SystemExit(f"the run of {shape} has not {steps} steps")
        return Ran(shape=shape, steps=steps, wall_s=wall_s, own_s=_own_s() * steps if steps < 10 else 0.0)


def _own_s() -> float:
    """Return what one command that does nothing takes in the shell that runs it."""
    words = [*default_shell(os.environ, errexit=False).words, "-c", "true"]
    start_s = time.perf_counter()
    subprocess.run(words, check=True)
    return time.perf_counter() - start_s
