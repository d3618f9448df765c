"""A workflow whose steps leave traces in a folder, for runs whose processes are killed. Imported by those processes, too."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from provisioning.builder import Step, Workflow, current, task
from provisioning.client import connect

STEPS = 60


@task
def leave_a_trace(folder: str, number: int) -> int:
    """Write that it ran, and take a moment."""
    with Path(folder, "traces").open("a") as traces:
        traces.write(f"{number} {current().attempt}\n")
    time.sleep(0.01)
    return number


@task
async def add_up(numbers: list[int]) -> int:
    return sum(numbers)


def traced(folder: Path) -> Workflow:
    """Sixty steps in four lines, and their sum."""
    wf = Workflow("traced")
    made: list[Step] = []
    for number in range(STEPS):
        before = [made[number - 4]] if number >= 4 else []
        made.append(wf.step(f"s{number}", leave_a_trace, str(folder), number, after=before))
    wf.step("sum", add_up, [step.ref() for step in made])
    return wf


async def drive(folder: Path) -> None:
    """Submit once, and stay until the end; whoever has the folder drives it."""
    async with connect(folder, slots=4) as client:
        run = await client.submit(traced(folder), idempotency_key="one")
        sys.stdout.write(f"{await client.result(run, 'sum')}\n")


if __name__ == "__main__":
    from support.processes_flow import drive as the_importable_one

    asyncio.run(the_importable_one(Path(sys.argv[1])))
