"""A process of a cluster, while the servers choose their leaders, and when a part of it breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.natsnodes import FaultNode, Post, python_step

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats import presence
from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.wire import NobodyAnswers
from provisioning.client.node import Duty
from provisioning.core.model import RunState, Workflow
from provisioning.operations.cluster.runs import ClusterRuns


@pytest.fixture
def post(nats_access: Access, tmp_path: Path) -> Post:
    (tmp_path / "effects").mkdir()
    return Post(
        urls=nats_access.urls,
        namespace=nats_access.namespace,
        folder=str(tmp_path / "home"),
        name="n1",
        marks=str(tmp_path / "marks"),
        effects=str(tmp_path / "effects"),
    )


def refusing(call: object, times: int) -> object:
    """Return a call that is refused the first times, as by servers that choose their leader."""
    left = iter(range(times))

    async def refused(*given: object, **more: object) -> object:
        if next(left, None) is not None:
            raise NobodyAnswers("nobody answers")
        return await call(*given, **more)  # type: ignore[operator]

    return refused


async def test_a_process_that_is_refused_while_it_begins_to_decide_decides_a_little_later(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AGAIN_S", 0.05)
    joined = post.joined()
    monkeypatch.setattr(joined.store, "take_over", refusing(joined.store.take_over, 2))
    monkeypatch.setattr(presence, "_prepare", refusing(presence._prepare, 3))  # of what says, and of what knows who is there
    flow = Workflow(name="one", steps=(python_step("a", seconds=0, marks=Path(post.marks)),))
    async with asyncio.timeout(60), FaultNode(post, joined, Duty(name=post.name, slots=2, home=Path(post.folder))):
        runs = ClusterRuns(joined.store, SystemClock(), "test")
        await runs.submit("r1", flow)
        assert (await runs.ended("r1")).state is RunState.SUCCEEDED
    await joined.aclose()


@pytest.mark.parametrize("call", ["open_runs", "commit"])
async def test_a_run_that_could_not_be_taken_up_for_a_moment_is_taken_up_later(
    post: Post, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    joined, asking = post.joined(), replace(post, folder=f"{post.folder}-asking").joined()
    flow = Workflow(name="one", steps=(python_step("a", seconds=0, marks=Path(post.marks)),))
    async with asyncio.timeout(60), FaultNode(post, joined, Duty(name=post.name, slots=2, home=Path(post.folder))):
        monkeypatch.setattr(joined.store, call, refusing(getattr(joined.store, call), 1))
        runs = ClusterRuns(asking.store, SystemClock(), "test")
        await runs.submit("r1", flow)
        assert (await runs.ended("r1")).state is RunState.SUCCEEDED
    await asking.aclose()
    await joined.aclose()


async def test_a_process_whose_deciding_part_breaks_says_so_and_ends(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = post.joined()
    async with asyncio.timeout(60), FaultNode(post, joined, Duty(name=post.name, slots=2, home=Path(post.folder))) as node:
        assert node.engine is not None
        assert node.engine.runner is not None

        async def broken() -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(joined.store, "take_requests", lambda _runs: broken())
        with pytest.raises(RuntimeError, match="a bug"):
            await node.done()
    await joined.aclose()
