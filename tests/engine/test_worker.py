"""What a worker makes of disks that refuse its logs, and of words that are none."""

from __future__ import annotations

import asyncio

from support.engine import Doer, engine
from support.simulate import step, workflow

from provisioning.adapters.memory.logs import MemoryLog, MemoryLogs
from provisioning.core.model import RunState
from provisioning.core.ports import Outcome, Task
from provisioning.engine.actions import Context, Result
from provisioning.errors import StoreError

FULL = StoreError("writing the log failed: no space left on device", hint="make room")


class FullLog(MemoryLog):
    """Takes one write and then none, and cannot be closed properly either."""

    def write(self, data: bytes) -> None:
        if self.data:
            raise FULL
        super().write(data)

    def close(self) -> None:
        super().close()
        raise FULL


class FullLogs(MemoryLogs):
    """Logs on a disk that is full."""

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> MemoryLog:
        log = FullLog(super().open(run, step, attempt, kind=kind).path)
        self.written[log.path] = log
        return log


class NoLogs(MemoryLogs):
    """Logs that cannot even be made."""

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> MemoryLog:
        raise FULL


async def _talks(_task: Task, context: Context) -> None:
    for number in range(3):
        context.write(f"line {number}\n".encode())


async def test_a_log_that_cannot_be_written_does_not_fail_what_was_done() -> None:
    shown: list[str] = []
    logs = FullLogs()
    run = await engine({"noop": Doer(_talks)}, logs=logs, watcher=lambda _step, text: shown.append(text)).run(
        workflow(step("a"), step("b", "a"))
    )

    assert run.state is RunState.SUCCEEDED
    assert shown[-1] == "-- the log is not complete: writing the log failed: no space left on device"
    assert [(bytes(log.data), log.closed) for log in logs.written.values()] == [(b"line 0\n", True)] * 2


async def test_nothing_is_done_when_its_log_cannot_be_made() -> None:
    doer = Doer(_talks)
    run = await engine({"noop": doer}, logs=NoLogs()).run(workflow(step("a")))

    assert doer.started == []
    assert (run.steps["a"].error_kind, run.steps["a"].error) == ("store", f"{FULL.message}; {FULL.hint}")


async def test_words_of_a_server_that_are_no_text_do_not_stop_the_run() -> None:
    async def do(_task: Task, _context: Context) -> None:
        raise StoreError("no file x\udcff")

    run = await engine({"noop": Doer(do)}).run(workflow(step("a")))

    assert run.steps["a"].error == r"no file x\udcff"


async def test_values_that_are_to_be_hidden_are_in_no_output_and_no_verdict_of_any_step() -> None:
    async def do(_task: Task, context: Context) -> Result:
        for piece in (b"before open ses", b"ame and another one\n"):
            context.write(piece)
        context.mask({"it": "another one", "too": "open sesame"})
        context.write(b"open sesame, another one\n")
        return Result(
            outcome=Outcome.FAILED,
            error="open sesame failed",
            output={"last": "it said: open sesame", "probes": 2, "all": [["open sesame"], {"open sesame": 1}]},
        )

    logs = MemoryLogs()
    made = engine({"noop": Doer(do)}, logs=logs)
    made.worker.hide(["open sesame"])
    run = await made.run(workflow(step("a")))

    (log,) = logs.written.values()
    assert bytes(log.data) == b"before *** and another one\n***, ***\n"
    assert run.steps["a"].error == "*** failed"
    assert "sesame" not in repr(made.seen)


async def test_a_worker_that_drains_ends_what_it_has_and_takes_nothing_new() -> None:
    began, may_end, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def do(task: Task, _context: Context) -> None:
        began.set()
        await may_end.wait()
        done.append(task.step)

    it = engine({"noop": Doer(do)}, slots=1)
    serving = asyncio.create_task(it.worker.serve())
    running = asyncio.create_task(it.runner.serve())
    await it.runner.submit("r", workflow(step("a"), step("b")))
    await began.wait()
    it.worker.drain()
    may_end.set()
    await serving
    running.cancel()

    assert (done, it.worker.busy) == (["a"], 0)


async def test_a_worker_that_drains_while_it_waits_for_work_ends_at_once_and_a_cancelled_one_is_cancelled() -> None:
    for cancelled in (False, True):
        it = engine({"noop": Doer(_talks)})
        serving = asyncio.create_task(it.worker.serve())
        await asyncio.sleep(0)
        it.worker.drain()
        if cancelled:
            serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled() is cancelled
