"""Hangs, dropped connections, dead servers, refused logins, Ctrl-C: each ends within its limit, with its exit code."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import Ended, RealWorkspace, formula, wait_until

pytestmark = pytest.mark.sshd
MARK = "9753"  # a number of seconds that only these tests sleep


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    return RealWorkspace(tmp_path / "workspace", throwaway_servers("cp-0", "etcd-0"))


def timed(workspace: RealWorkspace, *arguments: str) -> tuple[Ended, float]:
    began = time.monotonic()
    ended = workspace.run("taskserv", "create", *(arguments or ("--all",)))
    return ended, time.monotonic() - began


def test_a_hung_probe_ends_at_the_gates_deadline_and_leaves_nothing(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd")
    gate = {"check_cmd": f"(setsid sleep {MARK} &) ; trap '' TERM; sleep {MARK}", "retries": 5, "timeout_ms": 2000}
    workspace.dag(formula("etcd", "etcd-0", "etcd", health_gate=gate))

    ended, took_s = timed(workspace)

    assert ended.code == 5
    assert "no answer within" in ended.err
    assert took_s < 2 + 10
    wait_until(lambda: workspace.left_on_servers(MARK) == [])


def test_a_hung_install_ends_at_its_timeout_and_leaves_nothing(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd", f"(setsid sleep {MARK} &) ; trap '' TERM; sleep {MARK}", toml="timeout_s = 1\n")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))

    ended, took_s = timed(workspace)

    assert ended.code == 1
    assert "did not end within 1 s" in ended.err
    assert took_s < 1 + 5 + 10
    assert workspace.left_on_servers(MARK) == []
    assert workspace.states() == {"etcd": "failed"}


def test_a_connection_cut_in_mid_install_is_made_again_and_the_work_is_done_once(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd", "sleep 1.5")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    child = workspace.start("taskserv", "create", "--all")
    wait_until(workspace.begun)
    workspace.servers.kill_sessions("etcd-0")

    _out, err = child.communicate(timeout=120)

    assert child.returncode == 0, err
    assert workspace.noted() == [("begin", "etcd/etcd"), ("end", "etcd/etcd")]


def test_a_server_that_goes_away_leaves_the_outcome_unknown_until_asked(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd", "sleep 1.5", toml="idempotent = true\n")
    workspace.taskserv("kubernetes")
    workspace.dag(formula("etcd", "etcd-0", "etcd"), formula("cp", "cp-0", "kubernetes", after=["etcd"]))
    child = workspace.start("taskserv", "create", "--all")
    wait_until(workspace.begun)
    workspace.servers.stop_one("etcd-0")

    began = time.monotonic()
    _out, err = child.communicate(timeout=120)

    assert child.returncode == 7, err
    assert time.monotonic() - began < 15
    assert "not known" in err
    assert "resume: " in err
    assert workspace.states() == {"etcd": "interrupted", "kubernetes": "blocked"}

    workspace.servers.start_one("etcd-0")
    assert workspace.run("taskserv", "create", "--all").code == 0
    assert workspace.counts("begin") == {"etcd/etcd": 1, "cp/kubernetes": 1}
    assert workspace.states() == {"etcd": "completed", "kubernetes": "completed"}


def test_what_nobody_knows_the_end_of_is_repeated_only_when_the_operator_says_so(
    workspace: RealWorkspace, tmp_path: Path
) -> None:
    workspace.taskserv("etcd", f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; kill -9 $PPID; sleep 60; }}")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))

    for _ in range(2):
        refused = workspace.run("taskserv", "create", "etcd")
        assert refused.code == 1, refused.err
        assert "look at etcd-0" in refused.err
        assert workspace.states() == {"etcd": "interrupted"}
        assert workspace.begun() == ["etcd/etcd"]

    assert workspace.run("taskserv", "create", "etcd", "--reset").code == 0
    assert workspace.states() == {"etcd": "completed"}


def test_a_dead_server_is_told_from_a_failed_step(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    workspace.servers.stop_one("etcd-0")

    ended, took_s = timed(workspace)

    assert ended.code == 7
    assert "etcd-0" in ended.err
    assert took_s < 15


def test_an_unknown_host_key_is_refused_with_how_to_accept_it(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    (workspace.folder / ".provisioning" / "known_hosts").unlink()

    ended, _took = timed(workspace)

    assert ended.code == 7
    assert "SHA256:" in ended.err
    assert "provisioning server trust etcd-0" in ended.err
    assert workspace.begun() == []

    assert workspace.run("server", "trust", "etcd-0", "--yes").code == 0
    assert workspace.run("taskserv", "create", "--all").code == 0


def test_a_changed_host_key_is_refused(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    workspace.servers.rekey("etcd-0")

    ended, _took = timed(workspace)

    assert ended.code == 7
    assert "changed" in ended.err
    assert workspace.begun() == []


def test_a_refused_key_says_so(workspace: RealWorkspace, tmp_path: Path) -> None:
    from sshd import make_key

    workspace.taskserv("etcd")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    stranger = tmp_path / "stranger"
    make_key(stranger).wait()
    workspace.change_server("etcd-0", key_path=str(stranger))

    ended, took_s = timed(workspace)

    assert ended.code == 7
    assert "refused" in ended.err
    assert took_s < 10
    assert workspace.begun() == []


def test_a_sudo_password_that_is_not_there_says_so_at_once(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    workspace.change_server("etcd-0", become={"method": "sudo", "password": "env:NO_SUCH_PASSWORD"})

    ended, took_s = timed(workspace)

    assert ended.code == 1
    assert "NO_SUCH_PASSWORD" in ended.err
    assert took_s < 15
    assert workspace.begun() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_what_runs_records_it_and_the_next_run_goes_on(
    workspace: RealWorkspace, number: signal.Signals, tmp_path: Path
) -> None:
    workspace.taskserv("os")
    workspace.taskserv("etcd", f"test -e {tmp_path}/go || sleep {MARK}")
    workspace.taskserv("kubernetes")
    workspace.dag(formula("etcd", "etcd-0", "os", "etcd"), formula("cp", "cp-0", "kubernetes", after=["etcd"]))
    child = workspace.start("taskserv", "create", "--all")
    wait_until(lambda: "etcd/etcd" in workspace.begun())
    os.kill(child.pid, number)

    began = time.monotonic()
    _out, err = child.communicate(timeout=120)

    assert child.returncode == 130, err
    assert time.monotonic() - began < 10
    assert workspace.left_on_servers(MARK) == []
    assert workspace.states() == {"os": "completed", "etcd": "interrupted"}
    steps = {step["id"]: step["state"] for step in workspace.run("run", "show", "last", "-o", "json").json["steps"]}
    assert steps == {"etcd/os": "succeeded", "etcd/etcd": "interrupted", "cp/kubernetes": "cancelled"}

    (tmp_path / "go").touch()
    again = workspace.create("--all")
    assert again.code == 0, again.err
    assert workspace.counts("begin") == {"etcd/os": 1, "etcd/etcd": 2, "cp/kubernetes": 1}


def test_cancel_from_another_process_stops_the_run(workspace: RealWorkspace) -> None:
    workspace.taskserv("etcd", f"sleep {MARK}")
    workspace.dag(formula("etcd", "etcd-0", "etcd"))
    child = workspace.start("taskserv", "create", "--all")
    wait_until(workspace.begun)

    assert workspace.run("run", "cancel", "last").code == 0
    child.communicate(timeout=120)

    assert child.returncode == 130
    assert workspace.left_on_servers(MARK) == []


def test_an_ended_run_is_retried_from_its_failed_frontier(workspace: RealWorkspace, tmp_path: Path) -> None:
    workspace.taskserv("os")
    workspace.taskserv("etcd", f"test -e {tmp_path}/fixed || exit 3")
    workspace.dag(formula("etcd", "etcd-0", "os", "etcd", health_gate={"check_cmd": "true"}))
    failed = workspace.create("--all").json
    (tmp_path / "fixed").touch()

    retried = workspace.run("run", "retry", "last", "-o", "json")

    assert retried.code == 0, retried.err
    assert retried.json["run_id"] == failed["run_id"]
    assert {step["id"]: step["attempts"] for step in retried.json["steps"]} == {"etcd/os": 1, "etcd/etcd": 2, "etcd/gate": 1}
    assert workspace.states() == {"os": "completed", "etcd": "completed"}
