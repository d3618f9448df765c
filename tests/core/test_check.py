from __future__ import annotations

import time
from dataclasses import replace

import pytest
from support.declared import CATALOGUE, a_catalogue, a_taskserv, the_servers

from provisioning.core.check import Surroundings, check_dag, check_servers
from provisioning.core.composition import Part, Place, merge
from provisioning.core.declare import Dag, DepKind, Formula, FormulaDep, HealthGate, Node, NodeDep, Server, Taskserv


def a_node(name: str, *needs: str, **more: object) -> Node:
    deps = tuple(NodeDep(node_id=need) for need in needs)
    return replace(Node(id=name, taskserv=name, depends_on=deps), **more)  # type: ignore[arg-type]


def a_formula(name: str, *needs: str, nodes: tuple[Node, ...] = (a_node("os"),), server: str = "") -> Formula:
    deps = tuple(FormulaDep(formula_id=need) for need in needs)
    return Formula(id=name, server=server or f"on-{name}", nodes=nodes, depends_on=deps)


def codes(*formulas: Formula, catalogue: dict[str, Taskserv] | None = None) -> list[str]:
    return [fault.code for fault in check_dag(Dag(formulas=formulas), Surroundings(taskservs=catalogue))]


def test_a_sound_dag_has_no_faults() -> None:
    around = Surroundings(servers=the_servers("on-a", "on-b"), taskservs=CATALOGUE)

    assert check_dag(Dag(formulas=(a_formula("a"), a_formula("b", "a"))), around) == []


def test_names_of_servers_and_taskservs_are_checked_only_where_they_are_known() -> None:
    assert codes(a_formula("a", nodes=(a_node("no-such"),))) == []


def test_a_cycle_is_printed_as_one_concrete_path() -> None:
    dag = Dag(formulas=(a_formula("a", "b"), a_formula("b", "c"), a_formula("c", "b"), a_formula("d", "a")))

    (fault,) = check_dag(dag, Surroundings())

    assert fault.message == 'formulas wait for one another: "b" -> "c" -> "b"'


def test_a_long_cycle_shows_twenty_names_and_how_many_more() -> None:
    formulas = [a_formula(f"f{number}", f"f{(number + 1) % 50}") for number in range(50)]

    (fault,) = check_dag(Dag(formulas=tuple(formulas)), Surroundings())

    assert '"f19" -> ... 30 more -> "f0"' in fault.message
    assert '"f20"' not in fault.message


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param((a_node("containerd"), a_node("kubelet")), [], id="provided by an earlier node"),
        pytest.param((a_node("kubelet"), a_node("containerd")), ["unmet_capability"], id="provided too late"),
        pytest.param((a_node("kubelet", "containerd"), a_node("containerd")), [], id="declared later, but depended on"),
        pytest.param((a_node("kubelet"),), ["unmet_capability"], id="provided by nobody"),
    ],
)
def test_a_required_capability_is_there_before_it_is_needed(nodes: tuple[Node, ...], expected: list[str]) -> None:
    catalogue = a_catalogue(a_taskserv("containerd", provides=("cri",)), a_taskserv("kubelet", requires=("cri",)))

    assert codes(a_formula("a", nodes=nodes), catalogue=catalogue) == expected


def test_where_nodes_run_together_the_earlier_one_is_not_before_the_later() -> None:
    catalogue = a_catalogue(a_taskserv("containerd", provides=("cri",)), a_taskserv("kubelet", requires=("cri",)))
    formula = a_formula("a", nodes=(a_node("containerd"), a_node("kubelet")))

    assert codes(replace(formula, parallel=True), catalogue=catalogue) == ["unmet_capability"]


DB = a_formula("db", nodes=(a_node("etcd"),))
API = (a_node("api"),)


@pytest.mark.parametrize(
    ("formulas", "expected"),
    [
        pytest.param((DB, a_formula("os", "db"), a_formula("k", "os", nodes=API)), [], id="prerequisite of a prerequisite"),
        pytest.param((DB, a_formula("k", nodes=API)), ["unmet_capability"], id="on another server, in no order"),
        pytest.param((DB, a_formula("k", nodes=API, server="on-db")), [], id="on the same server"),
    ],
)
def test_a_capability_comes_from_a_prerequisite_or_the_same_server(formulas: tuple[Formula, ...], expected: list[str]) -> None:
    catalogue = a_catalogue(a_taskserv("etcd"), a_taskserv("os"), a_taskserv("api", requires=("etcd",)))

    assert codes(*formulas, catalogue=catalogue) == expected


def test_conflicting_taskservs_are_a_fault_on_one_server_only_and_once_for_the_pair() -> None:
    catalogue = a_catalogue(a_taskserv("a", conflicts_with=("b",)), a_taskserv("b", conflicts_with=("a",)))
    nodes = a_formula("x", nodes=(a_node("a"), a_node("b")))
    apart = (a_formula("x", nodes=(a_node("a"),)), a_formula("y", nodes=(a_node("b"),)))

    assert codes(nodes, catalogue=catalogue) == ["conflict"]
    assert codes(*apart, catalogue=catalogue) == []


def test_two_conditions_on_one_node_contradict_each_other() -> None:
    both = (NodeDep(node_id="a"), NodeDep(node_id="a", kind=DepKind.ON_FAILURE))

    assert codes(a_formula("f", nodes=(a_node("a"), a_node("b", depends_on=both)))) == ["conflicting_edges"]


def test_what_could_not_be_read_gives_no_further_faults() -> None:
    unread = Formula(id="", server="", nodes=(Node(id="", taskserv=""),), depends_on=(FormulaDep(formula_id=""),))

    assert check_dag(Dag(formulas=(unread, unread)), Surroundings(servers={}, taskservs=CATALOGUE)) == []


@pytest.mark.parametrize("expected", ["ready", "re:^ok$", "re:" + "(" * 99 + ")" * 99, "re:(?i)x"])
def test_an_expectation_may_be_a_line_or_a_pattern(expected: str) -> None:
    gate = HealthGate(check_cmd="true", expected=expected)

    assert codes(replace(a_formula("a"), health_gate=gate)) == []


@pytest.mark.parametrize("expected", ["two\nlines", "re:(", "re:" + "(" * 5_000, "re:x**"])
def test_an_expectation_that_cannot_work_is_a_fault(expected: str) -> None:
    gate = HealthGate(check_cmd="true", expected=expected)

    assert codes(replace(a_formula("a"), health_gate=gate)) == ["bad_pattern"]


def test_servers_have_names_of_their_own() -> None:
    faults = check_servers([Server(hostname="a", address="x"), Server(hostname="a", address="y"), Server(hostname="..")])

    assert [fault.code for fault in faults] == ["duplicate_server", "bad_name"]


@pytest.mark.parametrize("name", ["a\n", "a..b", "-a", "ä", "a/b", "x" * 129, " a"])
def test_names_that_could_become_paths_or_options_are_refused(name: str) -> None:
    assert codes(a_formula(name, server="s")) == ["bad_name"]


def test_a_field_from_the_composition_has_its_faults_there() -> None:
    part = Part(id="a", server="s", nodes=(a_node("os"),), max_parallel=4, place=Place(formula_id="a"))
    merged = merge([part], [Place(formula_id="a", depends_on=(FormulaDep(formula_id="x"),))])

    faults = check_dag(merged.dag, Surroundings(origins=merged.origins))

    assert [fault.path for fault in faults] == ["$.composition.formulas[0].depends_on[0]"]


def test_saying_the_same_in_both_places_is_fine_whatever_the_order() -> None:
    deps = (FormulaDep(formula_id="a"), FormulaDep(formula_id="b"))
    part = Part(id="c", server="s", nodes=(), max_parallel=4, place=Place(formula_id="c", depends_on=deps))

    assert merge([part], [Place(formula_id="c", depends_on=deps[::-1])]).faults == ()


def shaped(shape: str, size: int) -> Dag:
    names = [f"f{number}" for number in range(size)]
    needs: dict[str, list[list[str]]] = {
        "chain": [names[max(number - 1, 0) : number] for number in range(size)],
        "fan-out": [names[:1] if number else [] for number in range(size)],
        "fan-in": [names[:-1] if number == size - 1 else [] for number in range(size)],
    }
    return Dag(formulas=tuple(a_formula(name, *needs[shape][number]) for number, name in enumerate(names)))


@pytest.mark.parametrize("shape", ["chain", "fan-out", "fan-in"])
def test_ten_thousand_formulas_are_checked_in_bounded_time(shape: str) -> None:
    dag = shaped(shape, 10_000)
    start = time.process_time()

    assert check_dag(dag, Surroundings(taskservs=CATALOGUE)) == []
    assert time.process_time() - start < 3
