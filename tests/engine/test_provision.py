"""A workspace's DAG on the real planner, runner, worker, journal and state file: order and limits, as the servers saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.faked import FakedWorkspace, Meeting, steps
from support.real import formula

from provisioning.adapters.memory.hosts import Answer, Call

BUSY = Answer(seconds=1)


@pytest.fixture
def lab(tmp_path: Path) -> FakedWorkspace:
    return FakedWorkspace(tmp_path / "lab")


def busy(lab: FakedWorkspace, *names: str, together: int) -> None:
    """Let these taskservs end only when so many of them run at once."""
    lab.hosts.clock = Meeting(together)
    for name in names:
        lab.hosts.on_start(name, BUSY)


def spans(lab: FakedWorkspace) -> list[Call]:
    return [call for call in lab.hosts.calls if call.what == "start"]


def test_prerequisites_run_in_full_and_in_order_and_nothing_else(lab: FakedWorkspace) -> None:
    gate = {"check_cmd": "etcdctl endpoint health"}
    lab.dag(
        formula("cp", "cp-0", "containerd", "kubernetes", "cilium", after=["etcd"]),
        formula("etcd", "etcd-0", "os", "etcd", after=["base"], health_gate=gate),
        formula("base", "cp-0", "os"),
        formula("web", "web-0", "nginx"),
    )

    ended = lab.create("kubernetes")

    assert ended.code == 0
    asked = [(call.what, call.server, call.name) for call in lab.hosts.calls if call.what != "link"]
    assert asked == [
        ("start", "cp-0", "os"),
        ("start", "etcd-0", "os"),
        ("start", "etcd-0", "etcd"),
        ("probe", "etcd-0", "etcdctl endpoint health"),
        ("start", "cp-0", "containerd"),
        ("start", "cp-0", "kubernetes"),
    ]
    assert set(steps(ended).values()) == {"succeeded"}


def test_two_nodes_that_do_not_need_each_other_overlap(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os"), formula("b", "etcd-0", "redis"), formula("c", "web-0", "nginx", after=["a", "b"]))
    busy(lab, "os", "redis", together=2)

    assert lab.create("--all").code == 0
    assert lab.hosts.peak == 2
    assert lab.started[-1] == "nginx"


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_run_uses_the_whole_of_its_limit_and_no_more(lab: FakedWorkspace, limit: int) -> None:
    names = [f"t{index}" for index in range(6)]
    lab.servers(*({"hostname": f"s{index}", "address": "192.0.2.1"} for index in range(6)))
    lab.dag(*(formula(f"f{index}", f"s{index}", name) for index, name in enumerate(names)))
    busy(lab, *names, together=limit)

    assert lab.create("--all", "--max-parallel", str(limit)).code == 0
    assert (lab.hosts.peak, len(lab.started)) == (limit, 6)


def test_the_limit_of_the_settings_holds_where_no_flag_is_given(lab: FakedWorkspace) -> None:
    (lab.folder / "workspace.toml").write_text('name = "test"\n[settings]\nrun.max_parallel = 2\n', "utf-8")
    lab.dag(*(formula(f"f-{server}", server, f"t-{server}") for server in ("cp-0", "etcd-0", "web-0")))
    busy(lab, "t-cp-0", "t-etcd-0", together=2)

    assert lab.create("--all").code == 0
    assert lab.hosts.peak == 2


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_formula_uses_the_whole_of_its_limit_and_no_more(lab: FakedWorkspace, limit: int) -> None:
    names = [f"t{index}" for index in range(6)]
    nodes = [{"taskserv": {"name": name}, "parallel": True} for name in names]
    lab.dag({"id": "a", "server": "cp-0", "parallel": True, "max_parallel": limit, "nodes": nodes})
    busy(lab, *names, together=limit)

    assert lab.create("--all").code == 0
    assert (lab.hosts.peak, len(lab.started)) == (limit, 6)


def test_a_server_has_one_node_at_a_time_while_others_work(lab: FakedWorkspace) -> None:
    lab.dag(
        formula("a", "cp-0", "t0", "t1", parallel=True),
        formula("b", "cp-0", "t2"),
        formula("c", "etcd-0", "t3", "t4", parallel=True),
        formula("d", "etcd-0", "t5"),
    )
    busy(lab, *(f"t{index}" for index in range(6)), together=2)

    assert lab.create("--all").code == 0
    assert (lab.hosts.peak_on("cp-0"), lab.hosts.peak_on("etcd-0"), lab.hosts.peak) == (1, 1, 2)


def test_a_hundred_servers_are_worked_on_at_once_where_the_limit_allows_it(lab: FakedWorkspace) -> None:
    lab.servers(*({"hostname": f"s{index}", "address": "192.0.2.1"} for index in range(100)))
    lab.taskserv("os")
    lab.dag(*(formula(f"f{index}", f"s{index}", "os") for index in range(100)))
    busy(lab, "os", together=100)

    assert lab.create("--all", "--max-parallel", "100").code == 0
    assert lab.hosts.peak == 100


# ---------------------------------------------------------------- any DAG


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A DAG: for each formula its server, its number of nodes and the earlier formulas that it needs."""

    formulas: Sequence[tuple[int, int, frozenset[int]]]
    limit: int


@st.composite
def dags(draw: st.DrawFn) -> Drawn:
    """Draw a DAG on at most three servers, and a limit."""
    size = draw(st.integers(1, 7))
    formulas = [
        (
            draw(st.integers(0, 2)),
            draw(st.integers(1, 2)),
            draw(st.frozensets(st.integers(0, index - 1))) if index else frozenset(),
        )
        for index in range(size)
    ]
    return Drawn(formulas=formulas, limit=draw(st.integers(1, 4)))


@given(drawn=dags())
@settings(max_examples=25)
def test_every_order_that_is_asked_for_is_kept_and_every_limit(drawn: Drawn) -> None:
    with TemporaryDirectory() as folder:
        lab = FakedWorkspace(Path(folder) / "lab")
        servers = ("cp-0", "etcd-0", "web-0")
        made = [
            formula(
                f"f{index}",
                servers[server],
                *(f"t{index}-{n}" for n in range(nodes)),
                after=[f"f{dep}" for dep in sorted(deps)],
            )
            for index, (server, nodes, deps) in enumerate(drawn.formulas)
        ]
        lab.dag(*made)
        for index, (_server, nodes, _deps) in enumerate(drawn.formulas):
            for n in range(nodes):
                lab.hosts.on_start(f"t{index}-{n}", Answer(seconds=0.001 * (index % 3)))

        assert lab.create("--all", "--max-parallel", str(drawn.limit)).code == 0

    ran = {call.name: call for call in spans(lab)}
    assert len(ran) == len(spans(lab)) == sum(nodes for _server, nodes, _deps in drawn.formulas)
    for index, (_server, nodes, deps) in enumerate(drawn.formulas):
        for first, then in pairwise(f"t{index}-{n}" for n in range(nodes)):
            assert before(ran[first], ran[then])
        for dep in deps:
            assert before(ran[f"t{dep}-{drawn.formulas[dep][1] - 1}"], ran[f"t{index}-0"])
    assert lab.hosts.peak <= drawn.limit
    assert all(lab.hosts.peak_on(server) <= 1 for server in servers)


def before(one: Call, other: Call) -> bool:
    return one.ended_s is not None and one.ended_s <= other.started_s
