"""What a person is told of a run that no worker can do: which step, where it belongs, who is there, what would help."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from support.clusterprocs import COMMAND, environment, reach, worker

from provisioning.adapters.nats.connect import Access
from provisioning.builder import Workflow, task
from provisioning.client import connect
from provisioning.core.events import Kind
from provisioning.operations.steering import NOBODY_DECIDES

TO_START = "start one with `provisioning worker start --target west --label gpu=yes`"
NOBODY = f"no worker of west with gpu=yes is there; there are one (without these labels): {TO_START}"

ALONE = f"no worker of west with gpu=yes is there; there is no worker at all: {TO_START}"


@task(name="waiting.it")
def it() -> None:
    raise AssertionError("nobody runs it")


async def called(folder: Path, *words: str) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, *words, cwd=folder, env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode(), err.decode()


async def test_a_step_for_which_no_worker_is_there_says_who_is_missing_and_what_to_do(
    tmp_path: Path, nats_access: Access
) -> None:
    options = reach(nats_access)
    flow = Workflow("far")
    flow.step("s", it, on_target="west", selector={"gpu": "yes"})
    with worker(tmp_path / "one", *options, "--name", "one", "--target", "east") as one:
        async with connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}) as client:
            run = await client.submit(flow)
            async for event in client.watch(run):
                if event.kind is Kind.RUN_STARTED:
                    break
            (told,) = (await client.debug(run)).blockers["s"]
            assert (told.kind, told.name, told.reason) == ("worker", "west", NOBODY)
            out, _ = await called(tmp_path, "run", "show", *options, run, "--why", "s")
            assert out.splitlines()[1:] == [f"  {NOBODY}"]
            out, err = await called(tmp_path, "run", "show", *options, run, "-o", "json")
            assert json.loads(out)["status"] == "running"
            assert err == f"s: {NOBODY}\n"
            out, _ = await called(tmp_path, "queue", "list", *options, "-o", "json")
            (waits,) = json.loads(out)["queue"]
            assert reasons(waits) == [NOBODY]
        one.end()
        one.end()
        async with connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}) as client:
            queued = await client.submit(flow)
    _, err = await called(tmp_path, "run", "show", *options, run)
    assert err == f"{NOBODY_DECIDES}\ns: {ALONE}\n"
    for each, more in ((run, [ALONE]), (queued, [])):
        out, _ = await called(tmp_path, "run", "show", *options, each, "--why", "s", "-o", "json")
        assert reasons(json.loads(out)) == [NOBODY_DECIDES, *more]


def reasons(one: Any) -> list[str]:
    return [blocker["reason"] for blocker in one["blockers"]]
