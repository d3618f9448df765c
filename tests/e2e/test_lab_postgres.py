"""The workspace `postgres-ha` on real servers: from nothing to a proxied write, again, with the primary's server lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.hosts import Host
from lab.laboratory import Lab
from lab.shell import LabError
from support.clusters import LabWorkspace, outcomes, until

pytestmark = [pytest.mark.lab(count=3), pytest.mark.slow, pytest.mark.timeout(1200)]
NAMES = ("db-0", "db-1", "db-2")
PRIMARY, REPLICAS = 5000, 5001  # ports of the proxies


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> LabWorkspace:
    return LabWorkspace.shipped("postgres-ha", tmp_path_factory.mktemp("postgres") / "workspace", lab)


def test_from_nothing_to_a_write_that_every_member_has(workspace: LabWorkspace, lab: Lab) -> None:
    ended = workspace.create("--all", timeout_s=600)

    assert ended.code == 0, ended.err
    assert set(outcomes(ended).values()) == {"succeeded"}
    assert set(roles(lab.host(1))) == set(NAMES)
    # A busy machine may elect another primary at any moment; the cluster has to take a write again within half a minute.
    until(lambda: tries(lab.host(1), "CREATE TABLE IF NOT EXISTS notes (text text)"), within_s=30, what="a table")
    until(lambda: tries(lab.host(2), "INSERT INTO notes VALUES ('hello')"), within_s=30, what="a note")
    for host in lab.hosts:
        until(lambda: reads(host, "hello"), within_s=10, what=f"the note on {host}")  # noqa: B023 - used at once


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


def test_the_primarys_server_is_wiped_and_brought_back_by_its_formulas_alone(workspace: LabWorkspace, lab: Lab) -> None:
    lost = primary(lab.host(1))
    number = NAMES.index(lost) + 1
    other = lab.host(number % 3 + 1)
    lab.host(number).wipe()
    until(lambda: primary(other) not in {lost, ""}, within_s=90, what="another primary")
    until(lambda: tries(other, "INSERT INTO notes VALUES ('after the loss')"), within_s=30, what="a write")
    workspace.trust()

    ended = workspace.create("--all", "--server", lost, "--reset", timeout_s=600)

    assert ended.code == 0, ended.err
    again = {step for step in outcomes(ended) if not step.endswith("/gate") and outcomes(ended)[step] == "succeeded"}
    expected = {f"etcd-{lost}/os", f"etcd-{lost}/etcd", f"postgres-{lost}/patroni", f"proxy-{lost}/haproxy"}
    assert again == expected
    assert reads(lab.host(number), "hello")
    assert reads(lab.host(number), "after the loss")


@pytest.mark.soak
def test_from_nothing_over_a_slow_and_leaky_network(tmp_path: Path) -> None:
    with Lab(3) as lab:
        workspace = LabWorkspace.shipped("postgres-ha", tmp_path / "workspace", lab)
        lab.slow(delay_ms=40, loss_percent=2)

        ended = workspace.create("--all", timeout_s=1100)

        assert ended.code == 0, ended.err
        query(lab.host(2), PRIMARY, "CREATE TABLE notes (text text)")


def query(host: Host, port: int, sql: str) -> str:
    """Ask on one server; the proxy there decides which one answers."""
    return host.execute("pg-query", str(port), sql).strip()


def tries(host: Host, sql: str) -> bool:
    try:
        query(host, PRIMARY, sql)
    except LabError:
        return False
    return True


def reads(host: Host, text: str) -> bool:
    """Whether the database on this very server has the note."""
    return host.execute("pg-query", "5432", f"SELECT count(*) FROM notes WHERE text = '{text}'", check=False).strip() == "1"


def roles(host: Host) -> dict[str, str]:
    said = host.execute("patroni-local", "cluster", check=False)
    return {member["name"]: member["role"] for member in json.loads(said)["members"]} if said else {}


def primary(host: Host) -> str:
    return next((name for name, role in roles(host).items() if role == "leader"), "")


def started(host: Host) -> str:
    """Return when the services were started there."""
    return host.execute("systemctl", "show", "etcd", "patroni", "haproxy", "-p", "ExecMainStartTimestampMonotonic").strip()
