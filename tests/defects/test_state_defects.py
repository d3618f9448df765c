"""One test per row of the defect table about the state file, the lock and the workspace; the number is the row's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.faked import FakedWorkspace, steps, tree
from support.real import formula, wait_until

from provisioning import wiring
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import Resource, ResourceBook, ResourceState
from provisioning_cli.main import call

HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ORDINARY = st.from_regex(r"[a-z0-9]([a-z0-9._ -]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.one_of(
    HOSTILE, ORDINARY, st.sampled_from(["cp-0", "0", "1e3", "true", "null", "ñandú", "a.b.c", "a b", "servers", ""])
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("taskserv", "create", "kubernets"),
        ("taskserv", "create", "os", "--server", "cp-9"),
        ("taskserv", "create", "os", "--cmd", "explode"),
        ("state", "reset", "cp-0", "kubernets"),
        ("state", "forget", "cp-9"),
        ("server", "show", "cp-9"),
        ("taskserv", "show", "kubernets"),
        ("run", "show", "nothing"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("fresh", [True, False], ids=["nothing ever ran", "after a run"])
def test_defect_12_a_name_that_nothing_has_is_not_found_and_nothing_is_written(
    lab: FakedWorkspace, arguments: tuple[str, ...], *, fresh: bool
) -> None:
    lab.dag(formula("a", "cp-0", "os"))
    if not fresh:
        lab.create("--all")
    before, calls = lab.document(), len(lab.hosts.calls)

    ended = lab.run(*arguments)

    assert (ended.code, ended.out) == (4, ""), ended
    assert "hint:" in ended.err
    assert (lab.document(), len(lab.hosts.calls)) == (before, calls)


@given(names=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=8, unique=True), state=st.sampled_from(ResourceState))
@examples(0.4)
def test_defect_13_names_are_opaque_keys(names: list[tuple[str, str]], state: ResourceState) -> None:
    entries = {name: Resource(state=state, run_id="r1") for name in names}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        StateFile(path, lineage="one").save_sync(ResourceBook(lineage="one").put(entries))
        read = StateFile(path).load_sync()

    assert {key: read.get(*key) for key in names} == entries
    assert read.get("never", "written at all") is None  # absent is not pending


@pytest.mark.parametrize("name", ["cp-0", "a-b-c-d", "node.example.org", "0", "x" * 128])
def test_defect_13_what_a_hyphenated_server_completed_is_found_again(lab: FakedWorkspace, name: str) -> None:
    lab.servers({"hostname": name, "address": "192.0.2.1"})
    lab.dag(formula("a", name, "os"))
    assert lab.create("--all").code == 0
    assert steps(lab.create("--all")) == {"a/os": "unchanged"}
    assert lab.started == ["os"]


@pytest.mark.parametrize("shape", ["taskserv", "component"])
def test_defect_14_both_shapes_of_a_node_keep_their_profile(lab: FakedWorkspace, shape: str) -> None:
    lab.taskserv("kubernetes", profiles=("default", "worker"))
    lab.dag({"id": "a", "server": "cp-0", "nodes": [{shape: {"name": "kubernetes", "profile": "worker"}}]})

    assert lab.create("--all").code == 0

    (call,) = [call for call in lab.hosts.calls if call.what == "start"]
    assert call.unit is not None
    assert call.unit.profile == "worker"
    assert lab.document()["servers"]["cp-0"]["taskservs"]["kubernetes"]["profile"] == "worker"


def test_defect_29_a_second_runner_is_refused_with_who_holds_the_workspace(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os"))
    lease = wiring.workspace_lock(lab.folder)
    lease.acquire_sync()
    before = lab.document()
    try:
        ended = lab.run("taskserv", "create", "--all")
    finally:
        lease.release_sync()

    assert (ended.code, ended.out) == (6, "")
    assert f"pid {os.getpid()}" in ended.err
    assert "--wait" in ended.err
    assert (lab.hosts.calls, lab.document()) == ([], before)
    assert lab.run("taskserv", "create", "--all").code == 0  # and a holder that is gone is in nobody's way


RUNNER = """
import sys
from pathlib import Path
from support.faked import FakedWorkspace
from provisioning.adapters.memory.hosts import Answer
lab = FakedWorkspace(Path(sys.argv[1]))
lab.hosts.on_start("etcd", Answer(hang=True))
lab.run("taskserv", "create", "--all")
"""


def test_defect_29_a_killed_runner_leaves_interrupted_work_that_the_next_run_reports_and_takes_up(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os", "etcd"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, "-c", RUNNER, str(lab.folder)], env=environment)
    try:
        wait_until(lambda: lab.states().get("cp-0/etcd") == "running")
    finally:
        killed.kill()
        killed.wait()

    plan = lab.run("dag", "plan", "-o", "json")
    ended = lab.run("taskserv", "create", "--all")

    assert steps(plan) == {"a/os": "unchanged", "a/etcd": "create"}
    assert "interrupted" in plan.json["steps"][1]["because"]
    assert "was cut off" in ended.err
    assert (ended.code, lab.states()) == (0, {"cp-0/os": "completed", "cp-0/etcd": "completed"})
    assert lab.started == ["etcd"]
    unit = lab.hosts.calls[-1].unit
    assert unit is not None
    assert unit.resumes is not None
    assert unit.resumes[1:] == (1, "a/etcd")


def test_defect_30_outside_of_a_workspace_nothing_is_guessed_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "dag.json").write_text('{"formulas": []}', "utf-8")
    (elsewhere / "servers.json").write_text('{"servers": []}', "utf-8")
    monkeypatch.chdir(elsewhere)
    before = tree(elsewhere)

    for arguments in (("taskserv", "create", "os"), ("state", "show"), ("run", "list"), ("dag", "plan"), ("server", "list")):
        assert call(arguments) == 4
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "no workspace here or above" in captured.err
    assert tree(elsewhere) == before


def test_defect_30_the_state_is_the_workspaces_wherever_one_stands(
    lab: FakedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.dag(formula("a", "cp-0", "os"))
    monkeypatch.chdir(lab.folder / "taskservs" / "os")
    assert lab.create("--all").code == 0
    assert [path.parent for path in tmp_path.rglob("state.json")] == [lab.folder / ".provisioning"]
