"""An end that its runner has recorded, and one that nobody has: what the server keeps of each, and who may take it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.remote import Heard, bundle_of, counting, local_link, runs, unit_folder, unit_of

from provisioning.adapters.remote.link import RemoteLink
from provisioning.core.hosts import Exit


async def test_what_a_script_printed_goes_once_its_end_is_recorded(link: RemoteLink, home: Path) -> None:
    await link.start(unit_of(), bundle_of("echo out"), Heard())

    await link.recorded()

    assert not (unit_folder(home, unit_of()) / "out").exists()
    heard = Heard()
    assert (await link.start(unit_of(), bundle_of(""), heard)).adopted
    assert heard.data == b""


async def test_an_end_that_nobody_recorded_is_taken_by_whoever_comes_next(home: Path, counter: Path) -> None:
    bundle = bundle_of(counting(counter))
    await local_link(home).start(unit_of(run="run-1"), bundle, Heard())

    # The runner of run-2 was killed before it reached the server: run-3 knows of run-2 only.
    exit = await local_link(home).start(unit_of(run="run-3", token=3, resumes=("run-2", 1, "web/web")), bundle, Heard())

    assert exit == Exit(kind="exit", code=0, adopted=True)
    assert runs(counter) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"fresh": True}, id="it is asked for anew"),
        pytest.param({"digest": "d2"}, id="the bundle is another one"),
        pytest.param({"step": "other/web"}, id="it is another step"),
        pytest.param({"run": "run-1", "attempt": 2}, id="its runner is still there"),
    ],
)
async def test_an_end_that_nobody_recorded_is_not_taken_for_something_else(
    link: RemoteLink, counter: Path, change: dict[str, object]
) -> None:
    await link.start(unit_of(), bundle_of("exit 0"), Heard())

    await link.start(unit_of(**{"run": "run-3", **change}), bundle_of(counting(counter)), Heard())

    assert runs(counter) == 1


async def test_an_end_that_was_recorded_is_not_taken_again(link: RemoteLink, counter: Path) -> None:
    await link.start(unit_of(), bundle_of("exit 0"), Heard())
    await link.recorded()

    await link.start(unit_of(run="run-3"), bundle_of(counting(counter)), Heard())

    assert runs(counter) == 1
