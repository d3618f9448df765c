from __future__ import annotations

import asyncio
import threading

import pytest

from provisioning.adapters.memory import Answer, FakeBundles, FakeClock, FakeHosts, FakeSecrets, MemoryLogs, MemoryResources
from provisioning.core.declare import Server
from provisioning.core.hosts import Bundle, BundleRequest, Exit, HostLink, Unit
from provisioning.errors import ConfigError, HostError, LoginRefused, StoreError, Unreachable

CP, DB = Server(hostname="cp-0"), Server(hostname="db-0")


def unit(taskserv: str = "etcd", *, server: str = "cp-0", attempt: int = 1, token: int = 1, timeout_s: float = 1800) -> Unit:
    return Unit(
        lineage="l",
        run="r1",
        step=f"f/{taskserv}",
        attempt=attempt,
        server=server,
        taskserv=taskserv,
        token=token,
        timeout_s=timeout_s,
    )


async def start(link: HostLink, what: Unit, output: bytearray | None = None) -> Exit:
    kept = output if output is not None else bytearray()
    return await link.start(what, Bundle(data=b""), kept.extend)


# ---------------------------------------------------------------- clock


async def test_by_hand_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    sleeper = asyncio.ensure_future(clock.sleep(10))
    await clock.idle()
    clock.advance(9.9)
    await clock.idle()
    assert (sleeper.done(), clock.sleepers) == (False, 1)
    clock.advance(0.1)
    await sleeper
    assert (clock.monotonic_s(), clock.sleepers) == (10.0, 0)
    assert (clock.now() - FakeClock().now()).total_seconds() == 10


async def test_on_its_own_it_jumps_to_the_next_sleeper_in_order() -> None:
    clock, woken = FakeClock(auto=True), []

    async def sleep(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic_s()))

    await asyncio.gather(sleep("slow", 3600, 3600), sleep("quick", 1800, 10), sleep("none", 0))
    assert woken == [("none", 0.0), ("quick", 1800), ("quick", 1810), ("slow", 3600), ("slow", 7200)]


async def test_it_does_not_jump_while_anything_can_still_run() -> None:
    clock, seen = FakeClock(auto=True), []

    async def work() -> None:
        for _ in range(500):
            await asyncio.sleep(0)
            seen.append(clock.monotonic_s())

    await asyncio.gather(clock.sleep(60), work())
    assert set(seen) == {0.0}


async def test_a_sleeper_that_is_cancelled_does_not_move_it() -> None:
    clock = FakeClock(auto=True)
    long = asyncio.ensure_future(clock.sleep(3600))
    await asyncio.sleep(0)
    long.cancel()
    await clock.sleep(5)
    assert clock.monotonic_s() == 5


async def test_with_grace_it_waits_for_work_in_threads() -> None:
    clock = FakeClock(auto=True, grace_s=0.2)
    go = threading.Event()

    async def work() -> float:
        await asyncio.to_thread(go.wait, 0.05)
        return clock.monotonic_s()

    _, seen = await asyncio.gather(clock.sleep(60), work())
    assert seen == 0.0


def test_it_can_be_used_in_one_event_loop_after_another() -> None:
    clock = FakeClock(auto=True)
    for expected in (60.0, 120.0):
        asyncio.run(clock.sleep(60))
        assert clock.monotonic_s() == expected


# ---------------------------------------------------------------- hosts


async def test_what_has_no_script_succeeds_and_is_remembered() -> None:
    hosts = FakeHosts(FakeClock())
    link = await hosts.link(CP)
    assert link is await hosts.link(CP)
    assert (await start(link, unit())).ok
    assert (await link.probe("true", timeout_s=1, output=lambda data: None)).ok
    assert (hosts.started, hosts.probed) == ([("cp-0", "etcd")], [("cp-0", "true")])
    assert [call.what for call in hosts.calls] == ["link", "start", "probe"]


async def test_answers_come_in_order_and_the_last_one_for_good() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_probe("ready", Answer(code=1, output=b"no"), Answer(output=b"yes\n"))
    link, output = await hosts.link(CP), bytearray()
    exits = [await link.probe("ready", timeout_s=1, output=output.extend) for _ in range(3)]
    assert [(exit.code, exit.stdout) for exit in exits] == [(1, b"no"), (0, b"yes\n"), (0, b"yes\n")]
    assert bytes(output) == b"noyes\nyes\n"


async def test_a_script_for_one_server_comes_before_the_one_for_all() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_start("etcd", Answer(code=1))
    hosts.on_start("etcd", Answer(code=2), server="db-0")
    codes = [(await start(await hosts.link(server), unit(server=server.hostname))).code for server in (CP, DB)]
    assert codes == [1, 2]


async def test_a_unit_takes_its_time_and_no_longer_than_its_limit() -> None:
    clock = FakeClock(auto=True)
    hosts = FakeHosts(clock)
    hosts.on_start("slow", Answer(seconds=90))
    hosts.on_start("stuck", Answer(hang=True))
    link = await hosts.link(CP)
    assert (await start(link, unit("slow"))).ok
    assert (await start(link, unit("stuck", timeout_s=60))).kind == "timeout"
    assert [(call.started_s, call.ended_s) for call in hosts.calls if call.what == "start"] == [(0, 90), (90, 150)]


async def test_the_most_that_ran_at_once_is_counted_in_all_and_per_server() -> None:
    hosts = FakeHosts(FakeClock(auto=True))
    for name in "abc":
        hosts.on_start(name, Answer(seconds=5))
    links = {server.hostname: await hosts.link(server) for server in (CP, DB)}
    wanted = [("cp-0", "a"), ("cp-0", "b"), ("db-0", "c")]
    await asyncio.gather(*(start(links[server], unit(name, server=server)) for server, name in wanted))
    assert (hosts.peak, hosts.peak_on("cp-0"), hosts.peak_on("db-0")) == (3, 2, 1)


async def test_cancelling_ends_a_unit_that_hangs() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_start("etcd", Answer(hang=True, output=b"waiting\n"))
    output = bytearray()
    running = asyncio.ensure_future(start(await hosts.link(CP), unit(), output))
    await hosts.until_running("cp-0", "etcd")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    call = hosts.calls[-1]
    assert (call.cancelled, call.exit, bytes(output)) == (True, None, b"waiting\n")


async def test_a_connection_can_fail_first_and_then_work() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_link("cp-0", Unreachable("no route", server="cp-0"), None)
    with pytest.raises(Unreachable):
        await hosts.link(CP)
    assert (await start(await hosts.link(CP), unit())).ok


async def test_warming_tells_what_each_server_said() -> None:
    hosts = FakeHosts(FakeClock())
    refusal = LoginRefused("no", server="db-0")
    hosts.on_link("db-0", refusal)
    assert await hosts.warm([CP, DB]) == {"cp-0": None, "db-0": refusal}


async def test_an_error_can_come_in_the_middle() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_start("etcd", Answer(error=Unreachable("lost"), output=b"half"))
    with pytest.raises(HostError, match="lost"):
        await start(await hosts.link(CP), unit())
    assert str(hosts.calls[-1].error) == "lost"


async def test_a_unit_that_has_a_result_is_adopted_and_not_run_again() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_start("etcd", Answer(code=3))
    link = await hosts.link(CP)
    await start(link, unit())
    again = await start(link, unit())
    assert (again.code, again.adopted, hosts.started) == (3, True, [("cp-0", "etcd")])
    assert not (await start(link, unit(attempt=2))).adopted


async def test_an_unknown_outcome_leaves_no_result_behind() -> None:
    hosts = FakeHosts(FakeClock())
    hosts.on_start("etcd", Answer(kind="unknown"), Answer())
    link = await hosts.link(CP)
    assert [(await start(link, unit())).kind for _ in range(2)] == ["unknown", "exit"]


async def test_an_older_token_is_refused() -> None:
    hosts = FakeHosts(FakeClock())
    link = await hosts.link(CP)
    await start(link, unit(token=5))
    assert (await start(link, unit(attempt=2, token=4))).kind == "fenced"
    assert hosts.started == [("cp-0", "etcd")]


# ---------------------------------------------------------------- the rest


async def test_a_bundle_depends_on_its_request_only_and_names_the_secrets_it_used() -> None:
    bundles = FakeBundles(FakeSecrets({"env:PW": "s3cret"}), broken=("bad",))

    def request(taskserv: str = "etcd", **secrets: str) -> BundleRequest:
        return BundleRequest(
            profile_path="/p",
            taskserv=taskserv,
            profile="default",
            operation="install",
            formula="f",
            server={},
            params={},
            workspace={},
            secrets=secrets,
        )

    bundle, used = await bundles.build(request(password="env:PW"))
    assert used == {"password": "s3cret"}
    assert b"s3cret" not in bundle.data
    assert (await bundles.build(request(password="env:PW")))[0].digest == bundle.digest
    assert (await bundles.build(request()))[0].digest != bundle.digest
    for wrong, name in ((request("bad"), "bad"), (request(password="env:NONE"), "env:NONE")):
        with pytest.raises(ConfigError, match=name):
            await bundles.build(wrong)


async def test_a_save_can_be_made_to_fail_once() -> None:
    resources = MemoryResources()
    resources.fail_next()
    book = await resources.load()
    with pytest.raises(StoreError, match="no space left"):
        await resources.save(book)
    assert (await resources.save(book)).serial == 1
    assert [each.serial for each in resources.saved] == [1]


def test_what_a_step_printed_can_be_read_back() -> None:
    logs = MemoryLogs()
    logs.open("r1", "s", 1).write(b"\x1b[1mhello\n")
    assert logs.text("r1", "s") == "hello\n"
