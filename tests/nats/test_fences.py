"""Fencing numbers of a workspace that is worked on alone, on a cluster, and alone again: they never go back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import ThrowawayServers
from support.clusterprocs import reach, worker
from support.natswork import Setting, flow, leader, submitted
from support.real import RealWorkspace, formula

from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.fences import Fences
from provisioning.adapters.nats.rebuilding import rebuild
from provisioning.adapters.nats.resources import NatsResources
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.model import Action, Step
from provisioning.core.ports import Request
from provisioning.core.resources import WORKSPACE, ResourceBook

LONG_LIVED = 5000
"""What a workspace has given that was worked on alone for years: more than there are messages in a new stream."""


async def numbers(store: NatsStore, count: int, run: str, *, workspace: str = "shop") -> list[int]:
    """Have steps dispatched that change something on servers; return the fencing numbers that a worker sees."""
    action = Action(type="change", settings={WORKSPACE: workspace})
    steps = [Step(id=f"s{number}", action=action) for number in range(count)]
    await submitted(store, run, flow(*steps))
    taking = NatsStore(Cluster(store.cluster.access), store.replica.path.parent / run)
    found: list[int] = []
    while len(found) < count:
        found += [task.token for task in await taking.claim("w1", (), count, lambda _task: True) if task.run == run]
    await taking.aclose()
    return found


async def test_what_is_dispatched_after_a_workspace_came_is_above_what_was_given_before(
    nats_access: Access, tmp_path: Path
) -> None:
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "leader"))
    async with leader(setting) as store:
        fences = Fences(store.cluster)
        first = await numbers(store, 2, "r1")
        assert await fences.highest("shop") >= max(first)
        await fences.exceed("shop", LONG_LIVED)
        second = await numbers(store, 2, "r2")
        assert min(second) > LONG_LIVED
        assert await fences.highest("shop") >= max(second)
        other = await numbers(store, 1, "r3", workspace="other")
        assert max(first) < other[0] < LONG_LIVED
        before = await fences.offset("shop")
        await fences.exceed("shop", LONG_LIVED)  # it is above that
        assert await fences.offset("shop") == before


async def test_in_a_stream_that_was_made_anew_numbers_are_above_those_of_the_lost_one(
    nats_access: Access, tmp_path: Path
) -> None:
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "leader"))
    async with leader(setting) as store:
        await NatsResources(store.cluster, "shop").put(ResourceBook(lineage="ours", serial=1))
        for _ in range(50):
            await store.request(Request(run="nobody", kind="pause"))
        before = await numbers(store, 3, "r1")
        await store.replica.caught_up()
        work = store.cluster.names.work
    lost = setting.store()
    await lost.cluster.ask(f"STREAM.DELETE.{work}")
    await rebuild(lost.cluster, lost.replica)
    await lost.aclose()
    async with leader(Setting(**{**vars(setting), "folder": str(tmp_path / "new")})) as store:
        after = await numbers(store, 1, "r2")
    assert after[0] > max(before)


@given(moves=st.lists(st.tuples(st.sampled_from(["alone", "exceed"]), st.integers(0, 10**6)), max_size=20))
def test_tokens_of_one_folder_only_grow_and_are_above_what_they_have_to_exceed(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]
) -> None:
    lock = WorkspaceLock(tmp_path_factory.mktemp("fence"))
    highest = 0
    for move, number in moves:
        token = lock.acquire_sync()
        assert token > highest
        highest = token
        if move == "exceed":
            lock.exceed_sync(number)
            highest = max(highest, number)
        assert lock.given_sync() == highest
        lock.release_sync()


@pytest.mark.sshd
@pytest.mark.slow
def test_a_server_takes_the_newer_of_a_lone_runner_and_a_cluster_whichever_that_is(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], nats_access: Access
) -> None:
    options, seen = reach(nats_access), tmp_path / "tokens"
    here = RealWorkspace(tmp_path / "ws", throwaway_servers("one"))
    here.taskserv("web", f'echo "$PROVISIONING_TOKEN" >>"{seen}"')
    here.dag(formula("web", "one", "web"))
    fence = here.folder / ".provisioning" / "fence"
    fence.write_text(f"{LONG_LIVED}\n", "utf-8")

    def install(*how: str, code: int = 0) -> None:
        done = here.create("--all", "--reset", *how)
        assert done.code == code, done.out + done.err

    install()
    overtaken = fence.read_text("utf-8")
    with worker(tmp_path / "worker", *options):
        assert here.run("state", "push", *options).code == 0
        install(*options)
        install(*options)
        stale = fence.read_text("utf-8")
        install()
        install()  # newer than the cluster's, which does not know of it yet
        assert here.run("state", "push", *options).code == 0
        install(*options)
        assert here.run("state", "pull", *options).code == 0
        install()
    tokens = [int(line) for line in seen.read_text("utf-8").split()]
    assert len(tokens) == 7
    assert tokens == sorted(set(tokens))
    for old in (overtaken, stale):  # who was frozen since then
        fence.write_text(old, "utf-8")
        install(code=1)
    assert len(seen.read_text("utf-8").split()) == 7
