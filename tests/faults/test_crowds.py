"""A hundred servers at once: threads and files grow with the servers and no faster, and a busy door is knocked at again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula
from support.ssh import log_of
from support.watching import Watched, watched

pytestmark = [pytest.mark.sshd, pytest.mark.slow, pytest.mark.timeout(600)]

Say = Callable[[str], None]
THREADS_PER_SERVER, FILES_PER_SERVER = 1, 3
POOL = 96  # threads that are there however many servers there are
OWN_FILES = 160  # state, history, logs, and what 64 steps under way have open
REFUSING = "MaxStartups 3:100:3"


def crowd(tmp_path: Path, servers: ThrowawayServers) -> RealWorkspace:
    """A workspace with a taskserv and a gate on every server; the gates are open together for a moment."""
    workspace = RealWorkspace(tmp_path / "workspace", servers)
    workspace.taskserv("web", 'echo "$PROVISIONING_SERVER" >"$DEMO_ROOT/web"')
    gate = {"check_cmd": 'test -e "$DEMO_ROOT/web"', "retries": 2, "timeout_ms": 30000}
    workspace.dag(*(formula(f"f-{name}", name, "web", health_gate=gate) for name in servers.names))
    return workspace


def all_done(workspace: RealWorkspace, seen: Watched) -> None:
    assert seen.ended.code == 0, seen.ended.err[-3000:]
    names = workspace.servers.names
    assert [name for name in names if not (workspace.servers.server(name).root / "web").exists()] == []
    assert len(workspace.begun()) == len(names)


def test_threads_and_open_files_grow_with_the_servers_and_no_faster(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], say: Say
) -> None:
    most = {}
    for count in (20, 100):
        folder = tmp_path / str(count)
        folder.mkdir()
        names = [f"node-{number:03}" for number in range(count)]
        workspace = crowd(folder, throwaway_servers(*names, shared=True))
        most[count] = watched(workspace, "taskserv", "create", "--all", "--max-parallel", "64", timeout_s=200)
        all_done(workspace, most[count])

    for count, seen in most.items():
        say(f"{count} servers: {seen.threads} threads, {seen.files} open files, {seen.peak_mib:.0f} MiB")
        assert seen.threads <= THREADS_PER_SERVER * count + POOL
        assert seen.files <= FILES_PER_SERVER * count + OWN_FILES


def test_servers_that_refuse_too_many_logins_at_once_are_asked_again(
    tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers], say: Say
) -> None:
    names = [f"node-{number:03}" for number in range(48)]
    servers = throwaway_servers(*names, shared=True)  # sixteen to a daemon, which lets three log in at a time from now on
    daemons = sorted(servers.folder.glob("sshd-*"))
    for daemon, name in zip(daemons, names[::16], strict=True):
        conf = daemon / "sshd.conf"
        conf.write_text(re.sub("MaxStartups .*", REFUSING, conf.read_text("utf-8")), "utf-8")
        os.kill(servers.server(name).pid, signal.SIGHUP)
    wait_for_greetings(servers, daemons)
    workspace = crowd(tmp_path, servers)
    (workspace.folder / "workspace.toml").write_text('name = "test"\n', "utf-8")  # as many attempts as there are by default

    seen = watched(workspace, "taskserv", "create", "--all", "--max-parallel", "48", timeout_s=200)

    refusals = sum(len(re.findall("drop connection", log_of(servers, daemon.name))) for daemon in daemons)
    all_done(workspace, seen)
    assert refusals > 0, "the test has tested something"
    say(f"48 servers, three logins at a time on each of {len(daemons)} daemons: {refusals} refusals, all of them made up for")


def wait_for_greetings(servers: ThrowawayServers, daemons: list[Path]) -> None:
    """A daemon that reads its configuration anew says a second time where it listens."""
    until = time.monotonic() + 60
    while any(log_of(servers, daemon.name).count("Server listening on") < 32 for daemon in daemons):
        assert time.monotonic() < until, [log_of(servers, daemon.name)[-300:] for daemon in daemons]
        time.sleep(0.05)
