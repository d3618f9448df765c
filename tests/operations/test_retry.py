"""`run retry`: the failed part of an ended run, once more, in a workspace that may have changed since."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faked import SERVERS, FakedWorkspace, steps

from provisioning.adapters.memory.hosts import Answer

FAILS = Answer(code=1)
WORKS = Answer()


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "workspace")
    made.dag(
        {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}, {"taskserv": {"name": "b"}}]},
        {"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "c"}}]},
    )
    return made


def _declare(faked: FakedWorkspace, *, site: str | None) -> None:
    place = {"site": site} if site else {}
    faked.servers(*({"hostname": name, "address": "192.0.2.1", **place} for name in SERVERS))


def test_only_what_did_not_succeed_runs_again(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("b", FAILS, WORKS)
    assert faked.create("b").code == 1

    again = faked.run("run", "retry", "-o", "json", "last")

    assert again.code == 0
    assert faked.started == ["a", "b", "b"]
    assert steps(again) == {"one/a": "succeeded", "one/b": "succeeded"}


@pytest.mark.parametrize("site", [None, "elsewhere"])
def test_a_server_that_has_moved_to_another_site_is_reached_there(faked: FakedWorkspace, site: str | None) -> None:
    _declare(faked, site="here")
    faked.hosts.on_start("b", FAILS, WORKS)
    faked.create("b")
    _declare(faked, site=site)

    assert faked.run("run", "retry", "last").code == 0


def test_a_server_that_is_gone_fails_its_step_and_says_so(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("b", FAILS, WORKS)
    faked.create("b")
    faked.dag({"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "c"}}]})
    faked.servers({"hostname": "web-0", "address": "192.0.2.1"})

    again = faked.run("run", "retry", "last")

    assert again.code == 1
    assert "server cp-0 is not in the workspace any more" in again.err
