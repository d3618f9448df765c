"""Real accounts on a real Debian: no sudo, a password for it, an expired account, an expired password, a wanted terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from lab.base import SUDO_PASSWORD
from lab.hosts import Host
from lab.laboratory import Lab
from support.clusters import LabWorkspace
from support.real import Ended, formula

pytestmark = [pytest.mark.lab(count=1), pytest.mark.timeout(600)]

WAITING_S = 2.0
TOOK = re.compile(r"a/web  failed after ([0-9.]+) s")
TTY = "/etc/sudoers.d/terminal"


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """The only server, its accounts as they were afterwards."""
    host = lab.host(1)
    yield host
    host.shell(
        f"rm -f {TTY} /root/ran; for u in deploy pwsudo nosudo; do"
        " chage -E -1 -M -1 -d 2020-01-01 $u; usermod -s /bin/bash $u; done"
    )


@pytest.fixture
def workspace(lab: Lab, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabWorkspace:
    """A workspace whose taskserv notes on the server that it ran."""
    made = LabWorkspace(tmp_path / "workspace", lab, "one")
    made.taskserv("web", "id -un >>/root/ran")
    made.dag(formula("a", "one", "web"))
    monkeypatch.setenv("SUDO_PASSWORD", SUDO_PASSWORD)
    return made


def log_in(workspace: LabWorkspace, user: str, *, password: bool) -> Ended:
    """Log in as somebody who then wants to be root, and install."""
    become: Mapping[str, object] = {"method": "sudo", **({"password": "env:SUDO_PASSWORD"} if password else {})}
    path = workspace.folder / "servers.json"
    declared = json.loads(path.read_text("utf-8"))
    declared["servers"][0]["ssh"].update({"user": user, "become": become})
    path.write_text(json.dumps(declared), "utf-8")
    return workspace.run("taskserv", "create", "--all")


def refused(workspace: LabWorkspace, user: str, *, password: bool, tries: int = 3) -> tuple[Ended, float]:
    """Fail some times; return the shortest time that the step took: a busy machine makes some longer, waiting makes all."""
    took_s: list[float] = []
    while len(took_s) < tries and (not took_s or took_s[-1] >= WAITING_S):
        ended = log_in(workspace, user, password=password)
        took_s.append(min((float(seconds) for seconds in TOOK.findall(ended.err)), default=60))
    return ended, min(took_s)


@pytest.mark.parametrize(("user", "password"), [("deploy", False), ("deploy", True), ("pwsudo", True)])
def test_who_may_becomes_root(workspace: LabWorkspace, host: Host, user: str, *, password: bool) -> None:
    ended = log_in(workspace, user, password=password)

    assert ended.code == 0, ended.err
    assert host.shell("cat /root/ran").split() == ["root"]
    assert SUDO_PASSWORD not in ended.out + ended.err


NO_CHANGE = "true"
REFUSALS = [
    pytest.param("nosudo", True, NO_CHANGE, "refused", id="not in sudoers"),
    pytest.param("nosudo", False, NO_CHANGE, "password is required", id="not in sudoers, no password"),
    pytest.param("pwsudo", False, NO_CHANGE, "password is required", id="no password where one is needed"),
    pytest.param("pwsudo", True, "chage -d 0 pwsudo", "expired|Password change required", id="an expired password"),
    pytest.param("deploy", False, "chage -E 0 deploy", "refused the login|expired|ended during login", id="an expired account"),
    pytest.param("deploy", False, "usermod -s /usr/sbin/nologin deploy", "not available|sudo refused", id="no shell"),
    pytest.param("deploy", False, f"echo 'Defaults requiretty' >{TTY}; chmod 440 {TTY}", "tty", id="a terminal is required"),
]


@pytest.mark.parametrize(("user", "password", "change", "said"), REFUSALS)
def test_who_may_not_is_told_at_once(
    workspace: LabWorkspace, host: Host, user: str, change: str, said: str, *, password: bool
) -> None:
    host.shell(change)

    ended, took_s = refused(workspace, user, password=password)

    assert ended.code in {1, 7}, ended.err
    assert re.search(said, ended.err), ended.err
    assert took_s < WAITING_S
    assert host.shell("cat /root/ran 2>/dev/null || echo nobody").split() == ["nobody"]
    assert SUDO_PASSWORD not in ended.out + ended.err


def test_a_wrong_password_is_told_at_once(workspace: LabWorkspace, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_PASSWORD", "not that one")

    ended, took_s = refused(workspace, "pwsudo", password=True)

    assert ended.code in {1, 7}, ended.err
    assert "refused the password" in ended.err
    assert took_s < WAITING_S
    assert host.shell("cat /root/ran 2>/dev/null || echo nobody").split() == ["nobody"]
