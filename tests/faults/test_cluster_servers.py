"""The servers of a cluster are killed, or cut off from each other and from workers, while real steps run."""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from support.natsload import Load, judge, loaded
from support.natsnodes import Post, crew
from support.natsservers import READY_S, NatsServer, fast_folder, running, three
from support.netns import inside, namespaces, need_namespaces, plug_in, pull

from provisioning.errors import StoreError

# nats-py leaves the socket of a failed attempt to reconnect to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(Transport|StreamWriter):pytest.PytestUnraisableExceptionWarning"
)

SEED = 20261202
Say = Callable[[str], None]


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Collect what nats-py has left while it is known whose it is."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def posts(folder: Path, urls: Sequence[str], **more: object) -> list[Post]:
    """Return what four processes are told: two that decide, and work a little, and two that only work."""
    marks, effects = str(folder / "marks"), str(folder / "effects")
    base = Post(urls=tuple(urls), namespace="faults", folder="", name="", marks=marks, effects=effects, timeout_s=2, **more)  # type: ignore[arg-type]
    names = {"n0": True, "n1": True, "w0": False, "w1": False}
    return [
        replace(base, name=name, folder=str(folder / name), decides=decides, slots=2 if decides else 6)
        for name, decides in names.items()
    ]


async def restarted(folder: Path, say: Say, kills: int) -> None:
    """The only server is killed and started again."""
    dice, began_s = Random(SEED), time.monotonic()
    with running() as server:
        four = posts(folder, [server.url])
        with crew(*four) as nodes:
            async with loaded(four[0], SEED) as load:
                for _ in range(kills):
                    load.check()
                    await asyncio.sleep(dice.uniform(0.5, 2.5))
                    server.kill()
                    await asyncio.sleep(dice.choice([0.0, 0.5, 1.0, 4.0]))
                    await asyncio.to_thread(server.start)
                await load.over()
                assert all(node.lives for node in nodes)
                found = await judge(load)
    say(f"nats-server kill -9 {kills} times, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}; {_unsaid(load)}")


async def one_of_three(folder: Path, say: Say, kills: int) -> None:
    """Of three servers one is killed and started again: by turns the one that leads the stream, and another."""
    dice, began_s = Random(SEED), time.monotonic()
    with three() as servers:
        four = posts(folder, [server.url for server in servers], replicas=3)
        with crew(*four) as nodes:
            async with loaded(four[0], SEED) as load:
                for number in range(kills):
                    load.check()
                    await asyncio.sleep(dice.uniform(0.5, 2.0))
                    leads = await leading(load, servers)
                    victim = leads if number % 2 else dice.choice([server for server in servers if server is not leads])
                    victim.kill()
                    await asyncio.sleep(dice.uniform(1.0, 4.0))
                    await asyncio.to_thread(victim.start)
                    await in_step(load)
                await load.over()
                assert all(node.lives for node in nodes)
                found = await judge(load)
    say(
        f"one of three servers kill -9 {kills} times, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}; {_unsaid(load)}"
    )


def _unsaid(load: Load) -> str:
    return f"{len(load.runs)} submissions acknowledged and all there, {load.refused} not acknowledged"


async def leading(load: Load, servers: Sequence[NatsServer]) -> NatsServer:
    """Return the server that leads the work stream."""
    cluster = load.store.cluster
    async with asyncio.timeout(READY_S * 3):
        while True:
            try:
                name = (await cluster.ask(f"STREAM.INFO.{cluster.names.work}"))["cluster"].get("leader")
                return next(server for server in servers if server.name == name)
            except (StoreError, StopIteration):
                await asyncio.sleep(0.2)


async def in_step(load: Load) -> None:
    """Wait until all servers have what the leader of each stream has: a majority is to be whole before the next is hit."""
    cluster = load.store.cluster
    async with asyncio.timeout(READY_S * 3):
        while True:
            try:
                names = (await cluster.ask("STREAM.NAMES")).get("streams") or []
                infos = [await cluster.ask(f"STREAM.INFO.{name}") for name in names]
                if all(peer["current"] for info in infos for peer in info["cluster"].get("replicas", [])):
                    return
            except (StoreError, KeyError):
                pass
            await asyncio.sleep(0.2)


# ---------------------------------------------------------------- partitions


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """A network of rooms with a cable each to one switch: three have a server and a process, two have a process."""

    switch: str
    names: dict[str, str]  # namespaces by room
    servers: tuple[NatsServer, NatsServer, NatsServer]

    def cut(self, room: str, *, off: bool) -> None:
        """Cut a room off, or let it back."""
        pull(self.switch, self.names[room], out=off)


ROOMS = ("s0", "s1", "s2", "a", "b")


@contextmanager
def rooms() -> Iterator[Rooms]:
    """Make them; in the end nothing of them is left."""
    need_namespaces()
    folder = fast_folder()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        switch, *own = stack.enter_context(namespaces("switch", *ROOMS))
        addresses = [f"198.51.100.{number}" for number in range(1, 1 + len(ROOMS))]
        plug_in(switch, dict(zip(own, addresses, strict=True)))
        servers = []
        for number in range(3):
            order = [number, *(other for other in range(3) if other != number)]
            servers.append(
                NatsServer(
                    folder=folder / f"s{number}",
                    name=f"s{number}",
                    host=addresses[number],
                    port=4222,
                    network=own[number],
                    routes=[6222] * 3,
                    peers=[addresses[at] for at in order],
                )
            )
            stack.callback(servers[-1].kill)
            servers[-1].start()
        until = time.monotonic() + READY_S
        while not all(server.clustered() for server in servers) and time.monotonic() < until:
            time.sleep(0.05)
        yield Rooms(switch=switch, names=dict(zip(ROOMS, own, strict=True)), servers=(servers[0], servers[1], servers[2]))


async def partitioned(folder: Path, say: Say, cuts: int) -> None:
    """A room is cut off for longer than all leases, and let back: the server that leads, another one, or a worker."""
    dice, began_s, counts = Random(SEED), time.monotonic(), dict.fromkeys(("leader", "server", "worker"), 0)
    with rooms() as there, inside(there.switch):
        urls = [server.url for server in there.servers]
        four = posts(folder, urls, replicas=3)
        four[1] = replace(four[1], urls=(urls[2],))  # beside a server, and knows it alone
        places = dict(zip(("n0", "n1", "w0", "w1"), ("s1", "s2", "a", "b"), strict=True))
        with crew(*four, networks={name: there.names[room] for name, room in places.items()}) as nodes:
            async with loaded(replace(four[0], urls=tuple(urls)), SEED) as load:
                for number in range(cuts):
                    load.check()
                    kind = tuple(counts)[number % 3]
                    counts[kind] += 1
                    leads = (await leading(load, there.servers)).name
                    others = [name for name in ROOMS[:3] if name != leads]
                    room = {"leader": leads, "server": dice.choice(others), "worker": dice.choice(ROOMS[3:])}[kind]
                    await asyncio.sleep(dice.uniform(0.2, 1.0))
                    there.cut(room, off=True)
                    await asyncio.sleep(dice.uniform(4.0, 9.0))
                    there.cut(room, off=False)
                    await in_step(load)
                await load.over()
                assert all(node.lives for node in nodes)
                found = await judge(load)
    told = ", ".join(f"{count} times a {kind}" for kind, count in counts.items())
    say(f"cut off for 4 to 9 s: {told}, seed {SEED}, {time.monotonic() - began_s:.0f} s: {found}; {_unsaid(load)}")


# ---------------------------------------------------------------- tests


@pytest.mark.slow
async def test_a_server_that_is_killed_and_restarted_while_steps_run(tmp_path: Path, say: Say) -> None:
    await restarted(tmp_path, say, 2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_server_that_is_killed_and_restarted_60_times(tmp_path: Path, say: Say) -> None:
    await restarted(tmp_path, say, 60)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_one_of_three_servers_killed_40_times(tmp_path: Path, say: Say) -> None:
    await one_of_three(tmp_path, say, 40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_rooms_that_are_cut_off_30_times(tmp_path: Path, say: Say) -> None:
    await partitioned(tmp_path, say, 30)
