"""What a worker has of tasks, when its answers get lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.natswork import Setting, flow, leader, marking, submitted, until_ended

from provisioning.adapters.nats.connect import Access
from provisioning.core.model import RunState
from provisioning.core.ports import Outcome, Report, Task


@pytest.mark.parametrize("changes", [True, False])
async def test_a_task_whose_acknowledgement_got_lost_is_not_begun_again_by_who_has_done_it(
    nats_access: Access, tmp_path: Path, *, changes: bool
) -> None:
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "leader"), lease_s=0.5)
    begun: list[Task] = []
    async with leader(setting) as store:
        await submitted(store, "r1", flow(marking("a", kind="change"), marking("b", "a", kind="change")))
        worker = Setting(**{**vars(setting), "folder": str(tmp_path / "worker")}).store()
        holds, tell = worker.tasks.holds, worker.tasks.holds._tell

        async def lose(reply: str, how: bytes) -> None:
            """The server was killed before it came."""

        async with asyncio.timeout(30):
            while not begun:
                begun += await worker.claim("w1", (), 1, lambda _task: changes)
            holds._tell = lose  # type: ignore[method-assign]
            await worker.report(Report(task=begun[0], worker="w1", outcome=Outcome.OK))
            holds._tell = tell  # type: ignore[method-assign]
            while len(begun) < 2:
                begun += await worker.claim("w1", (), 1, lambda _task: changes)
            claiming = asyncio.create_task(worker.claim("w1", (), 1, lambda _task: changes))
            durable, names = worker.cluster.names.durable(""), worker.cluster.names
            while (await worker.cluster.ask(f"CONSUMER.INFO.{names.work}.{durable}"))["num_ack_pending"] > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.sleep(setting.lease_s * 2)
            assert not claiming.done()
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)
            await worker.report(Report(task=begun[1], worker="w1", outcome=Outcome.OK))
        run = await until_ended(store, "r1")
        await worker.aclose()

    assert run.state is RunState.SUCCEEDED
    assert [(task.step, task.epoch) for task in begun] == [("a", 1), ("b", 1)]
