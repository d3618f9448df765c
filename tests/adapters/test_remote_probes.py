"""Probes: a command, its code, nothing left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.remote import (
    Heard,
    commands_with,
    local_link,
    timed,
    until,
)

from provisioning.adapters.remote.link import RemoteLink
from provisioning.core.hosts import Bundle, Exit


async def test_a_probe_returns_its_code_and_what_it_printed(link: RemoteLink) -> None:
    heard = Heard()

    exit = await link.probe("printf ready; printf trouble >&2; exit 3", timeout_s=5, output=heard)

    assert exit == Exit(kind="exit", code=3, stdout=b"ready")
    assert sorted(heard.pieces) == [b"ready", b"trouble"]


async def test_a_probe_keeps_the_first_64_kib(link: RemoteLink) -> None:
    exit = await link.probe("head -c 1000000 /dev/zero", timeout_s=20, output=lambda _data: None)

    assert exit.ok
    assert exit.stdout == bytes(64 * 1024)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("sleep 300", id="hung"),
        pytest.param("trap '' TERM; setsid sleep 300; sleep 300", id="stubborn"),
        pytest.param("while :; do echo drip; sleep 0.1; done", id="dripping"),
    ],
)
async def test_a_hung_probe_is_killed_with_its_children(home: Path, command: str) -> None:
    link = local_link(home, TEST_MARK=f"{home}-probe")

    seconds = await timed(link.probe(command, timeout_s=1, output=lambda _data: None))

    assert seconds < 20, "it would have gone on for minutes"
    await until(lambda: not commands_with(f"{home}-probe"))


async def test_a_probe_whose_runner_is_gone_is_killed(home: Path) -> None:
    link = local_link(home, TEST_MARK=f"{home}-probe")
    heard = Heard()
    task = asyncio.create_task(link.probe("echo up; sleep 300", timeout_s=300, output=heard))
    await until(lambda: heard.data)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: not commands_with(f"{home}-probe"))


def test_a_bundle_does_not_show_its_bytes() -> None:
    assert "secret" not in repr(Bundle(data=b"secret", secret_data=b"secret"))
