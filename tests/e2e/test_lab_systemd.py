"""The promises about remote steps, kept on servers with systemd: nothing left behind, nothing twice, nothing guessed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.hosts import Host
from lab.laboratory import Lab
from support.clusters import LabWorkspace, until
from support.real import formula

pytestmark = [pytest.mark.lab(count=1, disk_mb=512), pytest.mark.timeout(600)]

MARK = "9753"  # a number of seconds that only these tests sleep
NOTICED_S = 15
FORKING = f"""
trap '' TERM HUP # it ignores TERM, and so does what it starts
sleep {MARK} &
setsid bash -c "trap '' TERM; sleep {MARK}" & # a session of its own
(setsid env -i bash -c "trap '' TERM HUP; (sleep {MARK} &) ; sleep {MARK}" </dev/null >/dev/null 2>&1 &) # forked twice
sleep {MARK} # and it hangs
"""


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """The only server, healthy before and after."""
    host = lab.host(1)
    yield host
    host.thaw()
    host.heal()
    host.boot()


@pytest.fixture
def workspace(lab: Lab, host: Host, tmp_path: Path) -> LabWorkspace:
    """A workspace whose taskserv `one` notes in /root/count when it begins and when it ends; it ends when it may."""
    workspace = LabWorkspace(tmp_path / "workspace", lab, "one")
    host.shell("rm -f /root/count /root/end")
    workspace.dag(formula("one", "one", "one"))
    installs(workspace)
    return workspace


def installs(workspace: LabWorkspace, *, repeatable: bool = True) -> None:
    body = "echo begin >>/root/count; sync /root/count; echo working; until [ -e /root/end ]; do sleep 0.1; done"
    toml = f"idempotent = {str(repeatable).lower()}\n"
    workspace.taskserv("one", f"{body}; echo end >>/root/count", toml=toml)


def test_a_hung_install_leaves_no_process_whatever_it_forked(workspace: LabWorkspace, host: Host) -> None:
    workspace.taskserv("one", FORKING, toml="timeout_s = 2\n")

    ended = workspace.run("taskserv", "create", "--all")

    assert left(host) == []
    assert ended.code == 1, ended.err
    assert "did not end within 2 s" in ended.err
    assert took_s(host) < 2 + 5


@pytest.mark.parametrize("fault", ["reset_connections", "kill_sessions", "kill_sshd"])
def test_a_broken_link_is_made_again_and_the_work_is_done_once(workspace: LabWorkspace, host: Host, fault: str) -> None:
    child = begun(workspace, host)
    getattr(host, fault)()
    host.shell("touch /root/end")

    ended = workspace.finish(child, timeout_s=120)

    assert ended.code == 0, ended.err
    assert count(host) == ["begin", "end"]


@pytest.mark.parametrize("fault", ["partition", "freeze"])
def test_silence_is_noticed_in_time_and_the_work_is_adopted(workspace: LabWorkspace, host: Host, fault: str) -> None:
    child = begun(workspace, host)
    before = connections(host)
    getattr(host, fault)()

    until(lambda: not before & connections(host), within_s=NOTICED_S, what="the end of the old connection")
    if fault == "freeze":
        host.thaw()
    else:
        host.heal()
    host.shell("touch /root/end")
    ended = workspace.finish(child, timeout_s=120)

    assert ended.code == 0, ended.err
    assert count(host) == ["begin", "end"]


@pytest.mark.parametrize(("fault", "end"), [("partition", "heal"), ("freeze", "thaw")])
def test_a_server_that_stays_silent_is_given_up_as_unknown_and_asked_by_the_next_run(
    workspace: LabWorkspace, host: Host, fault: str, end: str
) -> None:
    workspace.settings(dead_after_s=2, reconnect_s=7)  # longer than a link has to hold for its loss to be a new one
    child = begun(workspace, host)
    getattr(host, fault)()

    first = workspace.finish(child, timeout_s=120)
    stored = workspace.states()
    getattr(host, end)()
    host.shell("touch /root/end")
    second = workspace.run("taskserv", "create", "--all")

    assert first.code == 7, first.err
    assert "its outcome is not known" in first.err
    assert stored == {("one", "one"): "interrupted"}
    assert second.code == 0, second.err
    assert count(host) == ["begin", "end"]


@pytest.mark.parametrize("fault", ["crash", "lose_power"])
def test_a_server_that_died_is_asked_and_does_repeatable_work_again(workspace: LabWorkspace, host: Host, fault: str) -> None:
    workspace.settings(dead_after_s=4)
    child = begun(workspace, host)
    getattr(host, fault)()
    host.boot()
    host.shell("touch /root/end")

    ended = workspace.finish(child, timeout_s=120)

    assert ended.code == 0, ended.err
    assert count(host) == ["begin", "begin", "end"]


@pytest.mark.parametrize("fault", ["crash", "lose_power"])
def test_a_claim_without_result_is_unknown_and_not_run_again_unasked(workspace: LabWorkspace, host: Host, fault: str) -> None:
    workspace.settings(dead_after_s=4)
    installs(workspace, repeatable=False)
    child = begun(workspace, host)
    getattr(host, fault)()
    host.boot()
    host.shell("touch /root/end")

    first = workspace.finish(child, timeout_s=120)
    second = workspace.run("taskserv", "create", "--all")

    for ended in (first, second):
        assert ended.code != 0
        assert "nobody knows how far it went" in ended.err
    assert workspace.states()["one", "one"] not in {"completed", "running"}
    assert count(host) == ["begin"]
    host.shell("unit=$(ls -td /var/lib/provisioning/*/units/* | head -n 1); test -s $unit/claim && ! test -s $unit/result")


def test_a_killed_runners_unit_is_adopted_by_the_next_run(workspace: LabWorkspace, host: Host) -> None:
    child = begun(workspace, host)
    child.kill()
    child.communicate()
    second = workspace.start("taskserv", "create", "--all")
    host.shell("sleep 1; touch /root/end")

    ended = workspace.finish(second, timeout_s=120)

    assert ended.code == 0, ended.err
    assert count(host) == ["begin", "end"]


def begun(workspace: LabWorkspace, host: Host) -> subprocess.Popen[str]:
    """Start a run and wait until its script is at work."""
    child = workspace.start("taskserv", "create", "--all")
    until(lambda: count(host) == ["begin"] or child.poll() is not None, within_s=60, what="the script's begin")
    assert child.poll() is None, child.communicate()
    time.sleep(0.3)
    return child


def count(host: Host) -> list[str]:
    return host.shell("cat /root/count 2>/dev/null", check=False).split()


def took_s(host: Host) -> float:
    """Return the seconds from the newest unit's claim to its result, by the server's own clock."""
    newest = "unit=$(ls -td /var/lib/provisioning/*/units/* | head -n 1)"
    claimed, recorded = host.shell(f"{newest}; stat --format %.Y $unit/claim $unit/result").split()
    return float(recorded) - float(claimed)


def left(host: Host) -> list[str]:
    return [line for line in host.processes().values() if MARK in line]


def connections(host: Host) -> set[str]:
    """Return our ends of the living connections to a server."""
    listed = subprocess.run(
        ["ss", "-Htn", "state", "established", "dst", host.address], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[2] for line in listed.splitlines()}
