"""The worker that installs a taskserv is killed, frozen, or cut off from its cluster: the other one takes the unit over."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from servers import ThrowawayServers
from support.natsload import judge_fences, patiently
from support.natsnodes import NodeProcess, Post, crew
from support.natsservers import NatsServer, running
from support.real import Ended, RealWorkspace, formula
from support.relay import Relay, relayed

from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind

pytestmark = pytest.mark.sshd
SEED = 20261203
SITE = "east"
SERVERS = ("data", "app-1")
STEPS = ("one/first", "one/second", "two/first", "two/second")
ENDS_WITHIN_S = 120
MOST_TRIES = 5
Say = Callable[[str], None]


def workspace(folder: Path, servers: ThrowawayServers) -> RealWorkspace:
    """Return two servers at a site, and two taskservs for each, that may not be begun twice."""
    made = RealWorkspace(folder / "workspace", servers)
    path = made.folder / "servers.json"
    declared = json.loads(path.read_text("utf-8"))
    for server in declared["servers"]:
        server["site"] = SITE
    path.write_text(json.dumps(declared), "utf-8")
    for name in ("first", "second"):
        made.taskserv(name, "sleep 1")
    made.dag(formula("one", SERVERS[0], "first", "second"), formula("two", SERVERS[1], "first", "second"))
    return made


@dataclass(frozen=True, kw_only=True)
class Site:
    """Two workers at a site, each with a cable to the servers of the cluster."""

    workers: list[NodeProcess]
    relays: dict[str, Relay]
    store: NatsStore
    workspace: RealWorkspace
    post: Post

    async def round(self, how: str, dice: Random) -> None:
        """Install everything anew; strike the worker that is at it. Raises AssertionError unless each script ran once."""
        before = Counter(self.workspace.begun())
        begun = len(self.workspace.noted())
        options = ("--nats", self.post.urls[0], "--namespace", self.post.namespace)
        child = await asyncio.to_thread(self.workspace.start, "taskserv", "create", "--all", "--reset", "-o", "json", *options)
        try:
            victim = await self._at_work(child, begun + dice.choice([1, 2, 3, 5]))
            await asyncio.sleep(dice.uniform(0.0, 0.5))
            await self._strike(how, victim)
            out, err = await asyncio.to_thread(child.communicate, timeout=ENDS_WITHIN_S)
        except BaseException:
            child.kill()
            raise
        ended = Ended(code=child.returncode, out=out, err=err)
        assert ended.code == 0, (how, victim.post.name, ended.err, ended.out)
        assert Counter(self.workspace.begun()) - before == Counter(STEPS), (how, self.workspace.noted()[begun:])
        assert self.workspace.counts("begin") == self.workspace.counts("end")
        assert set(self.workspace.states().values()) == {"completed"}

    async def _at_work(self, child: subprocess.Popen[str], so_many: int) -> NodeProcess:
        """Return the worker that has begun a step last, once so many lines are noted."""
        async with asyncio.timeout(ENDS_WITHIN_S):
            while True:
                assert child.poll() is None, child.communicate()
                await asyncio.sleep(0.05)
                if len(self.workspace.noted()) < so_many:
                    continue
                newest = self.store.history.list_runs(1)
                events = await self.store.replica.events(newest[0].run_id, 0) if newest else []
                names = [event.data.get("worker") for event in events if event.kind is Kind.STEP_STARTED]
                found = [node for name in reversed(names) for node in self.workers if node.post.name == name]
                if found:
                    return found[0]

    async def _strike(self, how: str, victim: NodeProcess) -> None:
        if how == "killed":
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(1)
            victim.start()
        elif how == "frozen":
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(self.post.lease_s + 2)
            victim.send(signal.SIGCONT)
        else:
            self.relays[victim.post.name].cut(off=True)
            await asyncio.sleep(self.post.lease_s + 2)
            self.relays[victim.post.name].cut(off=False)


async def struck(folder: Path, say: Say, servers: ThrowawayServers, hows: list[str]) -> None:
    """Strike as often as told, or a few times more where no strike met anything."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server, relayed(server.port) as one, relayed(server.port) as other:
        boss = Post(
            urls=(server.url,), namespace="faults", folder=str(folder / "boss"), name="boss", marks="", effects="", slots=2
        )
        posts = [_at_site(boss, name, relay, server) for name, relay in (("w0", one), ("w1", other))]
        joined = replace(boss, folder=str(folder / "watching")).joined()
        with crew(boss, *posts) as (_, *workers):
            try:
                await patiently(joined.store.replica.start)
                made = workspace(folder, servers)
                site = Site(workers=workers, relays={"w0": one, "w1": other}, store=joined.store, workspace=made, post=boss)
                for how in hows:
                    await site.round(how, dice)
                while not (lost := await _lost(joined.store)) and len(hows) < MOST_TRIES:  # all came when a script was over
                    hows.append(hows[0])
                    await site.round(hows[0], dice)
                decisions = await judge_fences(joined.store)
            finally:
                await joined.aclose()
    kinds = ", ".join(f"{count} {how}" for how, count in Counter(hows).items())
    scripts = f"{len(hows) * len(STEPS)} scripts on two sshd each ran once, {lost} units were taken over"
    say(f"workers that install: {kinds}, seed {SEED}, {time.monotonic() - began_s:.0f} s: {scripts}, {decisions} decisions")
    assert lost, "no strike met anything"


async def _lost(store: NatsStore) -> int:
    runs = [one.run_id for one in store.history.list_runs(10_000)]
    events = [event for run in runs for event in await store.replica.events(run, 0)]
    return sum(event.kind is Kind.STEP_LEASE_LOST for event in events)


def _at_site(boss: Post, name: str, relay: Relay, server: NatsServer) -> Post:
    url = server.url.replace(str(server.port), str(relay.port))
    folder = str(Path(boss.folder).parent / name)
    return replace(boss, name=name, folder=folder, urls=(url,), targets=(SITE,), decides=False, slots=4)


HOWS = ("killed", "frozen", "cut off")


@pytest.mark.slow
async def test_a_worker_that_is_killed_while_it_installs(
    tmp_path: Path, say: Say, throwaway_servers: Callable[..., ThrowawayServers]
) -> None:
    await struck(tmp_path, say, throwaway_servers(*SERVERS), ["killed"])


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_workers_that_install_are_killed_frozen_and_cut_off_60_times(
    tmp_path: Path, say: Say, throwaway_servers: Callable[..., ThrowawayServers]
) -> None:
    await struck(tmp_path, say, throwaway_servers(*SERVERS), [*HOWS] * 20)
