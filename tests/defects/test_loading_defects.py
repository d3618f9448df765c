"""One test per row of the defect table that the files settle before anything runs; the number is the row's."""

from __future__ import annotations

import json

import pytest
from support.faked import FakedWorkspace, steps, tree
from support.real import formula

MISSING = object()


def refused(lab: FakedWorkspace, *facts: str) -> None:
    """Expect that every command refuses the files with all `facts`, that nobody was contacted and nothing written."""
    before = tree(lab.folder)
    for arguments in (("taskserv", "create", "--all"), ("dag", "plan"), ("dag", "validate")):
        ended = lab.run(*arguments)
        assert ended.code == 3, (arguments, ended)
        for fact in facts:
            assert fact in ended.err + ended.out, (arguments, ended)
    assert lab.hosts.calls == []
    assert tree(lab.folder) == before


def test_defect_04_an_unknown_prerequisite_is_refused_with_its_place_and_the_nearest_name(lab: FakedWorkspace) -> None:
    lab.dag(
        formula("base", "cp-0", "os"),
        formula("etcd", "etcd-0", "etcd", after=["base", "bsae"]),
        formula("cp", "cp-0", "kubernetes", after=["etcd"]),
    )
    refused(lab, '"bsae"', "$.formulas[1].depends_on[1]", 'did you mean "base"?', "dag.json:1:")


def test_defect_05_a_cycle_or_self_dependency_is_refused_with_its_path(lab: FakedWorkspace) -> None:
    lab.dag(
        formula("a", "cp-0", "os"),
        formula("b", "cp-0", "etcd", after=["a", "c"]),
        formula("c", "etcd-0", "os", after=["b"]),
        formula("d", "web-0", "os", after=["b"]),
    )
    refused(lab, '"b" -> "c" -> "b"')
    lab.dag(formula("a", "cp-0", "os", after=["a"]))
    refused(lab, '"a" depends on itself', "$.formulas[0].depends_on[0]")


def test_defect_06_a_dependency_that_stands_twice_is_a_warning_and_drops_nothing(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os"), formula("b", "etcd-0", "etcd", after=["a", "a"]))

    checked = lab.run("dag", "validate")
    assert (checked.code, "depends on" in checked.out, "twice" in checked.out) == (0, True, True)
    assert lab.create("--all").code == 0
    assert lab.started == ["os", "etcd"]


def test_defect_07_two_formulas_of_one_name_are_refused(lab: FakedWorkspace) -> None:
    lab.dag(formula("a", "cp-0", "os"), formula("b", "cp-0", "redis"), formula("a", "cp-0", "etcd"))
    refused(lab, 'second formula "a"', "$.formulas[2].id", "the first is $.formulas[0]")


@pytest.mark.parametrize(
    ("file", "text", "fact"),
    [
        pytest.param("dag.json", '{"formulas": [\n  {"id": ]}', "dag.json:2:", id="broken JSON"),
        pytest.param("dag.json", '{"formulas": [', "dag.json:1:", id="truncated JSON"),
        pytest.param("dag.json", "", "dag.json", id="empty file"),
        pytest.param("dag.json", "{}", "formulas", id="no formulas"),
        pytest.param("dag.ncl", "{\n  formulas = [\n", "dag.ncl:", id="broken Nickel"),
        pytest.param("dag.ncl", "{ formulas = missing }", "dag.ncl:1:", id="Nickel with an unbound name"),
        pytest.param("dag.ncl", "{ formulas = 1 + [] }", "dag.ncl:1:", id="Nickel that cannot be evaluated"),
    ],
)
def test_defect_08_a_broken_dag_is_an_error_and_never_a_fallback(lab: FakedWorkspace, file: str, text: str, fact: str) -> None:
    lab.taskserv("os")
    (lab.folder / file).write_text(text, "utf-8")
    refused(lab, fact)
    assert lab.run("taskserv", "create", "os").code == 3
    assert lab.hosts.calls == []


def test_defect_08_a_dag_without_formulas_installs_nothing_directly(lab: FakedWorkspace) -> None:
    lab.taskserv("os")
    lab.dag()
    assert lab.run("taskserv", "create", "os").code == 4
    assert "found no formulas" in lab.run("dag", "validate").out
    assert lab.hosts.calls == []


def test_defect_08_a_missing_dag_installs_directly_and_says_so(lab: FakedWorkspace) -> None:
    lab.taskserv("os")

    ended = lab.run("taskserv", "create", "os", "--server", "cp-0")

    assert ended.code == 0, ended.err
    assert "no dag file: installing os directly, without ordering or gates" in ended.out
    assert lab.hosts.started == [("cp-0", "os")]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({}, id="no composition"),
        pytest.param({"composition": {}}, id="an empty composition"),
        pytest.param({"composition": {"formulas": []}}, id="a composition of nothing"),
        pytest.param({"composition": {"formulas": [{"formula_id": "b"}]}}, id="an entry without depends_on"),
    ],
)
def test_defect_09_composition_and_depends_on_may_be_left_out(lab: FakedWorkspace, rest: dict[str, object]) -> None:
    bare = {"id": "b", "server": "etcd-0", "nodes": [{"taskserv": {"name": "etcd"}}]}
    lab.dag(formula("a", "cp-0", "os"), bare, **rest)

    ended = lab.create("--all")

    assert steps(ended) == {"a/os": "succeeded", "b/etcd": "succeeded"}


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ({}, "$.formulas[0].nodes[0]"),
        ({"id": "x"}, "$.formulas[0].nodes[0]"),
        ({"taskserv": {"name": ""}}, "$.formulas[0].nodes[0].taskserv.name"),
        ({"taskserv": {}}, "$.formulas[0].nodes[0].taskserv"),
        ({"component": {"name": ""}}, "$.formulas[0].nodes[0].component.name"),
        ({"taskserv": {"name": "os"}, "component": {"name": "os"}}, "$.formulas[0].nodes[0]"),
        ({"taskserv": None}, "$.formulas[0].nodes[0].taskserv"),
        ({"taskserv": 7}, "$.formulas[0].nodes[0].taskserv"),
    ],
    ids=str,
)
def test_defect_15_a_node_is_exactly_one_of_taskserv_and_component_with_a_name(
    lab: FakedWorkspace, node: dict[str, object], path: str
) -> None:
    lab.taskserv("os")
    lab.dag({"id": "a", "server": "cp-0", "nodes": [node]})
    refused(lab, path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retries", 0),
        ("retries", -1),
        ("retries", "ten"),
        ("retries", 1.5),
        ("retries", None),
        ("retries", 10**30),
        ("retries", True),
        ("timeout_ms", 0),
        ("timeout_ms", -60_000),
        ("timeout_ms", "60s"),
        ("interval_ms", 0),
        ("probe_timeout_ms", 0),
    ],
    ids=str,
)
def test_defect_19_the_numbers_of_a_gate_have_bounds(lab: FakedWorkspace, field: str, value: object) -> None:
    lab.dag(formula("a", "cp-0", "os", health_gate={"check_cmd": "true", field: value}))
    refused(lab, f"$.formulas[0].health_gate.{field}", "dag.json:1:")


@pytest.mark.parametrize(
    ("place", "field", "near"),
    [
        ("formula", "max_paralel", "max_parallel"),
        ("node", "on_eror", "on_error"),
        ("node", "max_retry", "max_retries"),
        ("gate", "timout_ms", "timeout_ms"),
        ("dep", "conditon", "condition"),
    ],
)
def test_defect_23_a_field_that_would_have_no_effect_is_refused(lab: FakedWorkspace, place: str, field: str, near: str) -> None:
    parts: dict[str, dict[str, object]] = {
        "node": {"taskserv": {"name": "os"}},
        "gate": {"check_cmd": "true"},
        "dep": {"formula_id": "a"},
    }
    second = formula("b", "etcd-0")
    parts["formula"] = second
    parts[place][field] = 1
    lab.dag(
        formula("a", "cp-0", "os"),
        {**second, "nodes": [parts["node"]], "health_gate": parts["gate"], "depends_on": [parts["dep"]]},
    )
    refused(lab, f'"{field}"', f'"{near}"', "$.formulas[1]")


@pytest.mark.parametrize("nodes", [[], None, {}, "os", MISSING], ids=["none", "null", "object", "text", "left out"])
def test_defect_31_a_formula_without_nodes_is_refused(lab: FakedWorkspace, nodes: object) -> None:
    bare = {"id": "a", "server": "cp-0"} | ({} if nodes is MISSING else {"nodes": nodes})
    (lab.folder / "dag.json").write_text(json.dumps({"formulas": [bare]}), "utf-8")
    refused(lab, "nodes", "$.formulas[0]")
