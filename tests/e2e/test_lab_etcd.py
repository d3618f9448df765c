"""The workspace `etcd` on real servers: from nothing to a cluster, again, with a server lost, on a bad network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.hosts import Host
from lab.laboratory import Lab
from support.clusters import LabWorkspace, outcomes

pytestmark = [pytest.mark.lab(count=3), pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> LabWorkspace:
    return LabWorkspace.shipped("etcd", tmp_path_factory.mktemp("etcd") / "workspace", lab)


def test_from_nothing_to_green_gates_and_what_one_member_writes_another_reads(workspace: LabWorkspace, lab: Lab) -> None:
    ended = workspace.create("--all")

    assert ended.code == 0, ended.err
    assert set(outcomes(ended).values()) == {"succeeded"}
    assert members(lab.host(1)) == {"etcd-0", "etcd-1", "etcd-2"}
    lab.host(1).execute("etcd-local", "put", "greeting", "hello")
    assert read(lab.host(2), "greeting") == "hello"


def test_the_second_run_changes_nothing_and_asks_the_gates(workspace: LabWorkspace, lab: Lab) -> None:
    before = [started(host) for host in lab.hosts]

    ended = workspace.create("--all")

    assert ended.code == 0, ended.err
    assert {state for step, state in outcomes(ended).items() if not step.endswith("/gate")} == {"unchanged"}
    assert [started(host) for host in lab.hosts] == before


def test_a_reset_of_healthy_members_restarts_nothing(workspace: LabWorkspace, lab: Lab) -> None:
    before = [started(host) for host in lab.hosts]

    ended = workspace.create("--all", "--reset")

    assert ended.code == 0, ended.err
    assert [started(host) for host in lab.hosts] == before


def test_packages_that_a_power_cut_left_broken_are_installed_again(workspace: LabWorkspace, lab: Lab) -> None:
    host, mark = lab.host(2), "/var/lib/provisioning-services/package-work"
    host.shell(f": >/etc/init.d/etcd; : >/etc/default/etcd; touch {mark}")  # dpkg syncs neither, but says that it is done
    host.shell("sed -i '/^Package: jq$/,/^$/s/^Status: .*/Status: install reinstreq half-installed/' /var/lib/dpkg/status")

    ended = workspace.create("--all", "--server", "etcd-1", "--reset")

    assert ended.code == 0, ended.err
    host.shell(f'test -s /etc/init.d/etcd && ! test -e {mark} && dpkg --verify etcd-server jq && test -z "$(dpkg --audit)"')


def test_a_wiped_server_is_brought_back_by_its_formula_alone(workspace: LabWorkspace, lab: Lab) -> None:
    lab.host(1).execute("etcd-local", "put", "kept", "yes")
    before = [started(host) for host in lab.hosts]
    lab.host(2).wipe()
    workspace.trust()

    ended = workspace.create("--all", "--server", "etcd-1", "--reset")

    assert ended.code == 0, ended.err
    assert set(outcomes(ended)) == {"etcd-1/os", "etcd-1/etcd", "etcd-1/gate"}
    assert members(lab.host(1)) == {"etcd-0", "etcd-1", "etcd-2"}
    assert read(lab.host(2), "kept") == "yes"
    lab.host(2).execute("etcd-local", "put", "back", "again")
    assert read(lab.host(3), "back") == "again"
    assert [started(host) for host in (lab.host(1), lab.host(3))] == [before[0], before[2]]


def test_a_member_cut_off_stops_nothing_but_itself_and_catches_up(workspace: LabWorkspace, lab: Lab) -> None:
    one = lab.host(3)
    with one.partitioned(1, 2):
        put_in_the_end(lab.host(1), "majority", "writes")  # the one that is cut off may have been the leader
        assert "OK" not in one.execute("etcd-local", "--command-timeout=3s", "put", "minority", "writes", check=False)

    ended = workspace.create("--all")

    assert ended.code == 0, ended.err
    assert read(one, "majority") == "writes"


@pytest.mark.soak
def test_from_nothing_over_a_slow_and_leaky_network(tmp_path: Path) -> None:
    with Lab(3) as lab:
        workspace = LabWorkspace.shipped("etcd", tmp_path / "workspace", lab)
        lab.slow(delay_ms=40, loss_percent=2)

        ended = workspace.create("--all", timeout_s=800)

        assert ended.code == 0, ended.err
        lab.host(1).execute("etcd-local", "put", "slow", "but sure")
        assert read(lab.host(3), "slow") == "but sure"
        assert workspace.create("--all").code == 0


def members(host: Host) -> set[str]:
    """Return the names of all started members, as one of them has them."""
    return {member["name"] for member in json.loads(host.execute("etcd-local", "member", "list", "-w", "json"))["members"]}


def put_in_the_end(host: Host, key: str, value: str) -> None:
    """Write, again where there was no leader at that moment."""
    said = ""
    for _ in range(5):
        said = host.execute("etcd-local", "--command-timeout=20s", "put", key, value, check=False)
        if "OK" in said:
            return
    raise AssertionError(said)


def read(host: Host, key: str) -> str:
    return host.execute("etcd-local", "get", key, "--print-value-only").strip()


def started(host: Host) -> str:
    """Return when etcd was started there."""
    return host.execute("systemctl", "show", "etcd", "-p", "ExecMainStartTimestampMonotonic").strip()
