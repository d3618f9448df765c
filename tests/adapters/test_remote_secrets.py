"""Secrets reach a script through memory only."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from support.remote import (
    Heard,
    alive_with,
    bundle_of,
    files_with,
    packed,
    unit_of,
    until,
)

from provisioning.adapters.remote.link import RemoteLink


async def test_secrets_reach_the_script_through_memory_only(link: RemoteLink, home: Path, tmp_path: Path) -> None:
    heard, release = Heard(), tmp_path / "release"
    value = "s3cret 'with' $odd \"things\" \\ and ünï\nand lines"
    script = (
        '. "$PROVISIONING_SECRETS"; printf "%s|" "$PASSWORD"; cat conf/env-web; readlink -f conf/env-web; '
        f'stat -c "%a" "$PROVISIONING_SECRETS"; until [ -e "{release}" ]; do sleep 0.02; done'
    )
    bundle = bundle_of(script, secret_data=packed({"conf/env-web": "rendered s3cret\n"}))
    task = asyncio.create_task(link.start(unit_of(secrets={"PASSWORD": value}), bundle, heard))
    await until(lambda: heard.text.count("\n") == 4)

    seen = [pid for pid in alive_with("s3cret") if pid != os.getpid()]
    release.touch()

    assert (await task).ok
    assert seen == []
    shown, _, rest = heard.text.partition("|")
    content, place, mode = rest.splitlines()
    assert (shown, content, mode) == (value, "rendered s3cret", "600")
    assert not Path(place).is_relative_to(home), "the file itself is on tmpfs"
    assert not Path(place).parent.exists(), "it goes with the unit"
    assert files_with(home, b"s3cret") == {"out"}, "what the script itself has printed"


@pytest.mark.parametrize("end", ["timeout", "cancel"])
async def test_secrets_go_when_the_unit_is_ended_by_force(link: RemoteLink, home: Path, end: str) -> None:
    heard = Heard()
    unit = unit_of(secrets={"PASSWORD": "s3cret"}, timeout_s=0.5 if end == "timeout" else 30)
    task = asyncio.create_task(link.start(unit, bundle_of('echo "$PROVISIONING_SECRETS"; sleep 300'), heard))
    await until(lambda: heard.data)
    if end == "cancel":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not Path(heard.text.strip()).parent.exists()
