"""`taskserv create` on real OpenSSH servers: order, parallelism, limits, states, resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula, wait_until

pytestmark = pytest.mark.sshd

MEET = """
# Waits for the other one: only when both run at once does either end.
touch {place}/$PROVISIONING_TASKSERV
for _ in $(seq 100); do [ "$(find {place} -type f | wc -l)" -ge 2 ] && exit 0; sleep 0.05; done
exit 9
"""
ALONE = """
# Fails if anything else that notes itself here runs at the same time.
mkdir {place} || exit 8
sleep 0.1
rmdir {place}
"""


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    return RealWorkspace(tmp_path / "workspace", throwaway_servers("cp-0", "etcd-0"))


def test_prerequisites_run_in_full_and_in_order_before_the_target(workspace: RealWorkspace) -> None:
    for name in ("os", "etcd", "containerd", "kubernetes", "cilium"):
        workspace.taskserv(name)
    gate = {"check_cmd": f"test $(grep -c end {workspace.calls}) -ge 2", "retries": 3, "timeout_ms": 5000}
    workspace.dag(
        formula("etcd", "etcd-0", "os", "etcd", health_gate=gate),
        formula("cp", "cp-0", "containerd", "kubernetes", "cilium", after=["etcd"]),
        formula("other", "cp-0", "cilium"),
    )

    ended = workspace.create("kubernetes")

    assert ended.code == 0, ended.err
    assert workspace.begun() == ["etcd/os", "etcd/etcd", "cp/containerd", "cp/kubernetes"]
    assert [step["state"] for step in ended.json["steps"]] == ["succeeded"] * 5
    assert workspace.states() == dict.fromkeys(("os", "etcd", "containerd", "kubernetes"), "completed")


def test_the_second_run_changes_nothing_and_verifies_the_gates(workspace: RealWorkspace) -> None:
    workspace.taskserv("os")
    workspace.dag(formula("a", "cp-0", "os", health_gate={"check_cmd": "true"}))
    workspace.create("--all")
    entries = workspace.state()

    ended = workspace.create("--all")

    assert {step["id"]: step["state"] for step in ended.json["steps"]} == {"a/os": "unchanged", "a/gate": "succeeded"}
    assert workspace.begun() == ["a/os"]
    assert workspace.state() == entries


def test_formulas_on_different_servers_run_at_the_same_time(workspace: RealWorkspace, tmp_path: Path) -> None:
    place = tmp_path / "meeting"
    place.mkdir()
    for name in ("left", "right"):
        workspace.taskserv(name, MEET.format(place=place))
    workspace.dag(formula("a", "cp-0", "left"), formula("b", "etcd-0", "right"))

    assert workspace.create("--all").code == 0


def test_one_node_at_a_time_on_a_server_unless_it_says_parallel(workspace: RealWorkspace, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        workspace.taskserv(name, ALONE.format(place=tmp_path / "alone"))
    workspace.dag(formula("a", "cp-0", "one"), formula("b", "cp-0", "two", "three", parallel=True))
    assert workspace.create("--all").code == 0

    place = tmp_path / "meeting"
    place.mkdir()
    for name in ("left", "right"):
        workspace.taskserv(name, MEET.format(place=place))
    both = [{"taskserv": {"name": name}, "parallel": True} for name in ("left", "right")]
    workspace.dag({"id": "c", "server": "cp-0", "nodes": both, "parallel": True})
    assert workspace.create("--all").code == 0


def test_the_limit_of_the_whole_run_holds_across_servers(workspace: RealWorkspace, tmp_path: Path) -> None:
    for name in ("one", "two"):
        workspace.taskserv(name, ALONE.format(place=tmp_path / "alone"))
    workspace.dag(formula("a", "cp-0", "one"), formula("b", "etcd-0", "two"))

    assert workspace.create("--all", "--max-parallel", "1").code == 0


def test_a_failed_node_blocks_what_needs_it_and_the_printed_command_resumes(workspace: RealWorkspace, tmp_path: Path) -> None:
    workspace.taskserv("os")
    workspace.taskserv("etcd", f"test -e {tmp_path}/fixed || {{ echo 'no space left'; exit 7; }}")
    workspace.taskserv("kubernetes")
    workspace.dag(formula("etcd", "etcd-0", "os", "etcd"), formula("cp", "cp-0", "kubernetes", after=["etcd"]))

    failed = workspace.run("taskserv", "create", "kubernetes")

    assert failed.code == 1
    for fact in (
        "etcd/etcd",
        "formula etcd",
        "server etcd-0",
        "install-etcd.sh install",
        "exit code 7",
        "no space left",
        "log: ",
    ):
        assert fact in failed.err
    assert workspace.states() == {"os": "completed", "etcd": "failed", "kubernetes": "blocked"}
    assert "etcd/etcd" in workspace.state()["cp-0", "kubernetes"]["blocker"]

    (tmp_path / "fixed").touch()
    command = failed.err.split("resume: ")[1].splitlines()[0].split()
    resumed = workspace.run(*command[command.index("taskserv") :])
    assert resumed.code == 0, resumed.err
    assert workspace.counts("begin") == {"etcd/os": 1, "etcd/etcd": 2, "cp/kubernetes": 1}


def test_keep_going_lets_independent_branches_finish(workspace: RealWorkspace) -> None:
    workspace.taskserv("bad", "exit 1")
    for name in ("good", "after"):
        workspace.taskserv(name)
    workspace.dag(formula("a", "cp-0", "bad"), formula("b", "etcd-0", "good"), formula("c", "etcd-0", "after", after=["b"]))

    assert workspace.create("--all", "--keep-going").code == 1
    assert workspace.states() == {"bad": "failed", "good": "completed", "after": "completed"}


def test_a_gate_that_never_opens_halts_the_chain(workspace: RealWorkspace) -> None:
    for name in ("etcd", "kubernetes"):
        workspace.taskserv(name)
    gate = {"check_cmd": "echo unhealthy; exit 1", "retries": 3, "timeout_ms": 6000, "interval_ms": 200}
    workspace.dag(formula("etcd", "etcd-0", "etcd", health_gate=gate), formula("cp", "cp-0", "kubernetes", after=["etcd"]))

    ended = workspace.run("taskserv", "create", "kubernetes")

    assert ended.code == 5
    assert "unhealthy" in ended.err
    assert "3 probes" in ended.err
    assert workspace.begun() == ["etcd/etcd"]


def test_reset_runs_the_target_again_and_nothing_wider(workspace: RealWorkspace) -> None:
    for name in ("etcd", "containerd", "kubernetes"):
        workspace.taskserv(name)
    workspace.dag(formula("etcd", "etcd-0", "etcd"), formula("cp", "cp-0", "containerd", "kubernetes", after=["etcd"]))
    workspace.create("--all")

    assert workspace.create("kubernetes", "--reset").code == 0
    assert workspace.counts("begin") == {"etcd/etcd": 1, "cp/containerd": 1, "cp/kubernetes": 2}


def test_changed_inputs_are_shown_and_installed_only_with_update(workspace: RealWorkspace) -> None:
    workspace.taskserv("os")
    workspace.dag(formula("a", "cp-0", "os"))
    workspace.create("--all")
    workspace.taskserv("os", "# another version")

    plan = workspace.run("dag", "plan", "-o", "json").json
    assert [step["action"] for step in plan["steps"]] == ["changed"]
    workspace.create("--all")
    assert workspace.begun() == ["a/os"]
    workspace.create("--all", "--update")
    assert workspace.begun() == ["a/os", "a/os"]
    assert [step["action"] for step in workspace.run("dag", "plan", "-o", "json").json["steps"]] == ["unchanged"]


def test_check_writes_nothing_and_contacts_nobody(workspace: RealWorkspace) -> None:
    workspace.taskserv("os")
    workspace.dag(formula("a", "cp-0", "os", health_gate={"check_cmd": "true"}))
    workspace.create("--all")
    before = tree(workspace.folder)
    workspace.servers.stop()

    ended = workspace.create("--all", "--check", "--reset")

    assert ended.code == 0
    assert [step["action"] for step in ended.json["steps"]] == ["reset", "verify"]
    assert tree(workspace.folder) == before


def test_a_second_runner_is_refused_with_who_holds_the_workspace(workspace: RealWorkspace) -> None:
    workspace.taskserv("slow", "sleep 3")
    workspace.dag(formula("a", "cp-0", "slow"))
    first = workspace.start("taskserv", "create", "--all")
    wait_until(workspace.begun)
    second = workspace.run("taskserv", "create", "--all")

    assert second.code == 6
    assert f"pid {first.pid}" in second.err
    first.communicate(timeout=120)
    assert first.returncode == 0


def test_the_scripts_environment_and_params_arrive(workspace: RealWorkspace, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    body = (
        f'. ./env-web; printf "%s|" "$PORT" "$1" "$PROVISIONING_SERVER" "$PROVISIONING_FORMULA" "$PROVISIONING_PROFILE" >{out}'
    )
    toml = '[params.port]\ntype = "integer"\ndefault = 80\n'
    workspace.taskserv("web", body, toml=toml, extra={"env-web.j2": "PORT={{ params.port }}\n"})
    nodes = [{"taskserv": {"name": "web"}, "params": {"port": 8080}}]
    workspace.dag({"id": "a", "server": "cp-0", "nodes": nodes})

    assert workspace.create("--all").code == 0
    assert out.read_text("utf-8") == "8080|install|cp-0|a|default|"


def test_json_of_a_run_is_the_same_from_create_and_from_the_history(workspace: RealWorkspace) -> None:
    workspace.taskserv("os")
    workspace.dag(formula("a", "cp-0", "os"))

    created = workspace.create("--all").json
    shown = json.loads(workspace.run("run", "show", "last", "-o", "json").out)

    assert created["run_id"] == shown["run_id"]
    assert created["steps"] == shown["steps"]
    assert (created["status"], created["exit_code"]) == ("succeeded", 0)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
