"""A small program with a workflow in Python, as a process of its own, and the command line beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.nursery import Call, Forked

LONG_S = 60.0  # nothing in a test takes that long

PROGRAM = """
import asyncio, sys
from provisioning.builder import TaskError, Workflow, task
from provisioning.client import connect

@task
def first():
    print("this is no result")
    return 1

@task
def second(value):
    if "fail" in sys.argv:
        raise TaskError("told to fail", kind="scripted")
    return value + 1

def flow():
    wf = Workflow("wired")
    a = wf.step("a", first)
    wf.step("b", second, a.ref(), signals=["go"])
    return wf

async def main():
    async with connect(".") as it:
        run = await it.submit(flow(), run_id="r-1")
        await it.result(run, "a")
        print("ready", flush=True)
        print((await it.wait(run)).status, flush=True)

if __name__ == "__main__":
    asyncio.run(main())
"""

DRIVER = """
import asyncio
import wired
from provisioning.client import connect

async def main():
    async with connect("."):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""

SLOW = """
import asyncio
from provisioning.builder import Workflow, task
from provisioning.client import connect

@task
async def waits():
    await asyncio.sleep(600)

async def main():
    async with connect(".") as it:
        wf = Workflow("slow")
        wf.step("s", waits)
        run = await it.submit(wf, run_id="slow-1")
        await it.cancel(run)
        await it.wait(run)

if __name__ == "__main__":
    asyncio.run(main())
"""


@contextmanager
def program(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program in a folder, wait until step `a` of its run `r-1` has ended, and end it afterwards."""
    (folder / "wired.py").write_text(PROGRAM)
    command = [sys.executable, "wired.py", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            while running.stdout.readline() != "ready\n":
                assert running.poll() is None
            yield running
        finally:
            running.kill()


def command(*arguments: str) -> list[str]:
    """Return the words that start the command line as a process."""
    return [sys.executable, "-m", "provisioning_cli.main", *arguments]


def called(folder: Path, *arguments: str) -> Forked:
    """Start the command line in a folder."""
    call = Call(module="provisioning_cli.main", arguments=arguments, folder=str(folder), environment=dict(os.environ))
    return Forked(call)


def run_json(folder: Path, *arguments: str) -> Any:
    """Call the command line and return its JSON."""
    with called(folder, "-w", str(folder), *arguments, "-o", "json") as running:
        out, err = running.communicate(LONG_S)
        assert running.wait() == 0, err
    return json.loads(out)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds in another process."""
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)
