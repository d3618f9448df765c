"""How steps fail, and what is told and kept of it. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.flows import client, flow, log_text, play, stage, states

from provisioning.builder import Retry, TaskError, task
from provisioning.errors import Fenced, StepSkipped, UsageError


@task
async def leaves(how: str) -> None:
    raise {"exit": SystemExit(3), "value": ValueError("too small"), "interrupt": KeyboardInterrupt()}[how]


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("exit", "panic", "SystemExit: 3"),
        ("value", "ValueError", "ValueError: too small"),
        ("interrupt", "panic", "KeyboardInterrupt"),
    ],
)
async def test_b32_a43_whatever_a_function_raises_fails_its_step_and_leaves_the_worker_alive(
    how: str, kind: str, message: str
) -> None:
    stage()
    wf = flow()
    a = wf.step("a", leaves, how)
    wf.step("b", play, "b", 1, after_any=a)

    async with client() as it:
        run = await it.submit(wf)
        assert await it.result(run, "b") == 1
        info = await it.wait(run)
        letters = await it.dead_letters()

    assert info.step("a").error is not None
    assert (info.step("a").error.kind, info.step("a").error.message) == (kind, message)  # type: ignore[union-attr]
    assert [(letter.run_id, letter.step, letter.error_kind) for letter in letters] == [(run, "a", kind)]


@task
def calls_deeper() -> None:
    deeper()


def deeper() -> None:
    raise ValueError("too deep")


@pytest.mark.parametrize("fn", [calls_deeper, leaves])
async def test_the_log_has_the_function_s_own_frames_and_none_of_ours(tmp_path: Path, fn: object) -> None:
    wf = flow()
    wf.step("a", fn, *(["value"] if fn is leaves else []))  # type: ignore[arg-type]

    async with client(tmp_path) as it:
        log = log_text(await it.wait(await it.submit(wf)), "a")

    assert log.startswith("Traceback (most recent call last):\n")
    assert "test_errors.py" in log
    assert "engine/actions" not in log
    assert "concurrent" not in log


async def test_b34_an_unknown_function_fails_once_and_an_old_name_still_works() -> None:
    on = stage()
    task(name="new-name", aliases=["old.module:old_name"])(play)
    try:
        wf = flow()
        wf.step("gone", "no.such.module:fn", retry=Retry(attempts=5, base_s=0))
        wf.step("old", "old.module:old_name", "old")
        async with client() as it:
            info = await it.wait(await it.submit(wf))
    finally:
        task(play)

    assert on.called == ["old"]
    assert states(info) == {"gone": "failed", "old": "succeeded"}
    assert info.step("gone").attempts == 1
    assert info.step("gone").error.kind == "unknown_task"  # type: ignore[union-attr]


@task
async def says_much() -> None:
    raise TaskError("ü" * 500_000)


async def test_b35_a_long_message_is_capped_on_a_character_and_whole_in_the_log(tmp_path: Path) -> None:
    wf = flow()
    wf.step("a", says_much)

    async with client(tmp_path) as it:
        info = await it.wait(await it.submit(wf))

    message = info.step("a").error.message  # type: ignore[union-attr]
    assert message == "ü" * 2048 + " [... 1000000 bytes in all]"
    assert "ü" * 500_000 in log_text(info, "a")


async def test_b31_another_process_has_the_result_by_ids_alone(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a", {"typed": [1, 2]})

    async with client(tmp_path) as it, client(tmp_path, execute=False) as other:
        run = await it.submit(wf)
        before = asyncio.create_task(other.result(run, "a"))
        await on.reached("a")
        on.open("a")
        assert await before == {"typed": [1, 2]}
        assert await other.result(run, "a") == {"typed": [1, 2]}


async def test_b44_a_running_run_is_deleted_only_by_force_and_nothing_of_it_remains(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a")

    async with client(tmp_path) as it:
        run = await it.submit(wf)
        await on.reached("a")
        with pytest.raises(UsageError, match="has not ended"):
            await it.delete(run)
        await it.delete(run, force=True)
        assert await it.list() == ()
        assert list((tmp_path / ".provisioning").glob(f"logs/{run}")) == []


async def test_a28_a_dead_letter_is_replayed_beside_what_still_runs(tmp_path: Path) -> None:
    on = stage()
    on.failures["a"] = 1
    on.close("slow")
    wf = flow()
    a = wf.step("a", play, "a")
    wf.step("b", play, "b", after=a)
    wf.step("slow", play, "slow")

    async with client(tmp_path) as it:
        run = await it.submit(wf)
        await on.reached("slow")
        with pytest.raises(StepSkipped):
            await it.result(run, "b")
        (letter,) = await it.dead_letters()
        await it.replay(letter.id)
        await it.result(run, "b")
        assert (await it.info(run)).status == "running"
        on.open("slow")
        info = await it.wait(run)

    assert states(info) == {"a": "succeeded", "b": "succeeded", "slow": "succeeded"}
    assert sorted(on.called) == ["a", "a", "b", "slow"]


PROGRAM = """
import asyncio, time
from provisioning.builder import Workflow, task
from provisioning.client import connect

@task
def never_ends():
    time.sleep(3600)

async def main():
    wf = Workflow("stuck")
    wf.step("a", never_ends, timeout_s=0.1)
    async with connect() as client:
        print((await client.wait(await client.submit(wf))).step("a").state)

asyncio.run(main())
"""


def test_a_function_that_never_ends_does_not_keep_the_program_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "timed_out\n", "")


async def test_an_engine_that_has_failed_is_told_to_who_waits(tmp_path: Path) -> None:
    on = stage()
    on.close("a")
    wf = flow()
    wf.step("a", play, "a")

    async with client(tmp_path) as it:
        run = await it.submit(wf)
        await on.reached("a")
        waiting = asyncio.create_task(it.wait(run))
        fence = sqlite3.connect(tmp_path / ".provisioning" / "history.db")
        with fence:
            fence.execute("UPDATE meta SET value = value + 1 WHERE key = 'fence'")
        fence.close()
        on.open("a")
        with pytest.raises(Fenced):
            await waiting
