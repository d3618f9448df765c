"""Units that must be ended, or that outlive their script, or that print without end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.remote import (
    Heard,
    alive_with,
    bundle_of,
    counting,
    end_all,
    local_link,
    members_of,
    name_of,
    timed,
    unit_folder,
    unit_of,
    until,
)

from provisioning.adapters.remote.link import RemoteLink
from provisioning.core.hosts import Exit


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 300", id="a hung command"),
        pytest.param("trap '' TERM; while :; do sleep 300; done", id="one that ignores TERM"),
        pytest.param(
            "trap '' TERM; setsid sh -c \"trap '' TERM; sleep 300\" & sleep 300", id="a child in a session of its own"
        ),
        pytest.param("( ( setsid sleep 300 & ) & ); sleep 300", id="a child that forked twice"),
        pytest.param("env -i sleep 300 & sleep 300", id="a child with another environment"),
    ],
)
async def test_a_unit_past_its_limit_is_gone_with_all_its_children(home: Path, script: str) -> None:
    link = local_link(home, TEST_MARK=f"{home}-mark")
    unit = unit_of(timeout_s=0.5)

    exit = await link.start(unit, bundle_of(script), Heard())

    assert exit == Exit(kind="timeout")
    assert (unit_folder(home, unit) / "trouble").read_text() == ""
    assert not members_of(home, unit)


async def test_n12_a_cancelled_start_returns_when_the_unit_is_gone(link: RemoteLink, home: Path, counter: Path) -> None:
    heard = Heard()
    task = asyncio.create_task(link.start(unit_of(), bundle_of(counting(counter, "echo up", "setsid sleep 300")), heard))
    await until(lambda: heard.data)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not members_of(home, unit_of())
    assert (unit_folder(home, unit_of()) / "result").read_text() == "cancelled 0 .\n"
    assert (unit_folder(home, unit_of()) / "trouble").read_text() == "", "the supervisor itself has done it"
    assert (await link.start(unit_of(), bundle_of(counting(counter)), Heard())).kind == "signal", "that attempt is over"
    assert (await link.start(unit_of(attempt=2), bundle_of(counting(counter)), Heard())).ok


async def test_cancelling_at_any_moment_leaves_nothing_running(home: Path, counter: Path) -> None:
    for attempt in range(1, 25):
        unit = unit_of(attempt=attempt)
        task = asyncio.create_task(local_link(home).start(unit, bundle_of(counting(counter, "sleep 300")), Heard()))
        await asyncio.sleep(0.002 * attempt)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not members_of(home, unit), attempt


async def test_a_unit_that_waits_for_another_one_can_be_cancelled_without_harm_to_it(link: RemoteLink, tmp_path: Path) -> None:
    heard, release = Heard(), tmp_path / "release"
    script = f"echo up; until [ -e '{release}' ]; do sleep 0.02; done"
    runner = asyncio.create_task(link.start(unit_of(), bundle_of(script), heard))
    await until(lambda: heard.data)
    waiting = asyncio.create_task(link.start(unit_of(attempt=2, digest="d2"), bundle_of("exit 9"), Heard()))
    await asyncio.sleep(0.3)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.touch()

    assert (await runner).ok


async def test_a_daemon_left_behind_lives_on_and_does_not_delay_the_result(home: Path, tmp_path: Path) -> None:
    mark = f"daemon-of-{tmp_path}"
    link = local_link(home, TEST_MARK=mark)
    script = "echo up; (trap '' HUP; exec setsid sleep 300) &\nexit 0"

    seconds = await timed(link.start(unit_of(), bundle_of(script), Heard()))
    link.close()

    assert seconds < 30, "the daemon would have held it for minutes"
    # All that stays is the daemon and who takes its output.
    await until(lambda: sorted(name_of(pid) for pid in alive_with(mark)) == ["perl", "sleep"])
    end_all(mark)


async def test_fifty_megabytes_come_through_quickly_and_whole(link: RemoteLink, home: Path) -> None:
    count = 0

    def tally(data: bytes) -> None:
        nonlocal count
        count += len(data)

    seconds = await timed(link.start(unit_of(), bundle_of("head -c 52428800 /dev/zero"), tally))

    assert count == 52428800
    assert seconds < 20


async def test_a_flood_on_the_server_is_capped_there_but_not_for_us(link: RemoteLink, home: Path) -> None:
    tail = b""

    def keep(data: bytes) -> None:
        nonlocal tail
        tail = (tail + data)[-16:]

    exit = await link.start(unit_of(), bundle_of("head -c 73400320 /dev/zero; echo; echo the end"), keep)

    assert exit.ok
    assert tail.endswith(b"\nthe end\n")
    assert (unit_folder(home, unit_of()) / "out").stat().st_size <= 64 * 1024 * 1024
    assert (await link.start(unit_of(), bundle_of(""), lambda _data: None)).adopted, "the result does not hang on the output"
