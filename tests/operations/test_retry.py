"""`run retry`: the failed part of an ended run, once more, in a workspace that may have changed since."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from support.faked import SERVERS, FakedWorkspace, steps

from provisioning.adapters.memory.hosts import Answer
from provisioning.errors import UsageError
from provisioning.operations import Listener, RunOptions

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


def test_from_a_step_on_everything_runs_again_also_what_succeeded(faked: FakedWorkspace) -> None:
    faked.dag(
        {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}, {"taskserv": {"name": "b"}}]},
        {"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "c"}}], "depends_on": ["one"]},
    )
    assert faked.create("--all").code == 0

    again = faked.run("run", "retry", "last", "--from", "one/b", "-o", "json")

    assert again.code == 0
    assert faked.started == ["a", "b", "c", "b", "c"]
    unknown = faked.run("run", "retry", "last", "--from", "one/c")
    assert (unknown.code, "has no step 'one/c'" in unknown.err) == (4, True)


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


def test_keep_going_counts_for_the_retry_too(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("a", FAILS)
    faked.create("--all", "--max-parallel", "1")
    assert faked.started == ["a"]

    again = faked.run("run", "retry", "--keep-going", "-o", "json", "last")

    assert again.code == 1
    assert steps(again) == {"one/a": "failed", "one/b": "skipped", "two/c": "succeeded"}


def test_a_limit_counts_for_the_retry_too(faked: FakedWorkspace) -> None:
    hangs_a_while = Answer(seconds=0.05)
    for name in ("a", "c"):
        faked.hosts.on_start(name, FAILS, hangs_a_while)
    faked.create("--all", "--keep-going", "--max-parallel", "1")
    faked.run("run", "retry", "--max-parallel", "2", "last")

    assert faked.hosts.peak == 2


def test_attempts_of_the_run_before_are_not_taken_off_those_of_the_retry(faked: FakedWorkspace) -> None:
    node = {"taskserv": {"name": "a"}, "on_error": "retry", "max_retries": 1}
    faked.dag({"id": "one", "server": "cp-0", "nodes": [node]})
    faked.hosts.on_start("a", FAILS, FAILS, FAILS, WORKS)
    assert faked.create("a").code == 1

    assert faked.run("run", "retry", "last").code == 0
    assert len(faked.started) == 4


def test_the_command_that_it_prints_can_be_pasted(tmp_path: Path) -> None:
    faked = FakedWorkspace(tmp_path / "a b")
    faked.dag({"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}]})
    faked.hosts.on_start("a", FAILS)
    faked.create("a")

    again = faked.run("run", "retry", "last")

    words = shlex.split(again.err.splitlines()[-1].removeprefix("resume: "))
    assert words[:3] == ["provisioning", "-w", str(faked.folder)]
    assert faked.run(*words[3:]).code == 1


def test_a_run_of_another_infra_is_refused_with_its_name(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("b", FAILS)
    faked.create("b")
    project = faked.project()
    other = replace(project, infra=replace(project.infra, name="staging"))

    with pytest.raises(UsageError, match="not 'staging'") as refused:
        other.retry("last", RunOptions(), Listener())

    assert refused.value.hint == f"--infra {project.infra.name}"
