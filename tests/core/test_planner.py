from __future__ import annotations

import re
from typing import Any

import pytest
from support.dags import actions, book, formula, full_book, infra, node, plan, running, taskserv

from provisioning.core.declare import Infra, Server
from provisioning.core.plan import Selection, read_resumes
from provisioning.core.planner import make_plan
from provisioning.core.resources import ResourceBook
from provisioning.errors import NotFoundError, ProvisioningError, UsageError

LAB = infra(
    formula("base", "os containerd"),
    formula("etcd", "os etcd", "base", gate=True),
    formula("cp", "os kubernetes cilium", "etcd", gate=True),
    formula("worker", "os kubernetes", "cp", gate=True),
    formula("web", "nginx"),
)


def ids(what: Infra, name: str | None = None, known: ResourceBook | None = None, **fields: object) -> list[str]:
    return [step.id for step in plan(what, name, known, **fields).steps]


def reasons(what: Infra, name: str | None = None, known: ResourceBook | None = None, **fields: object) -> dict[str, str]:
    return {step.id: step.because for step in plan(what, name, known, **fields).steps}


# ---------------------------------------------------------------- what is in


def test_prerequisites_run_in_full_and_the_target_up_to_what_was_named() -> None:
    made = plan(LAB, "kubernetes", servers=frozenset({"cp"}))
    assert [step.id for step in made.steps] == [
        "base/os",
        "base/containerd",
        "etcd/os",
        "etcd/etcd",
        "etcd/gate",
        "cp/os",
        "cp/kubernetes",
    ]


def test_a_target_that_is_also_a_prerequisite_of_another_target_runs_in_full() -> None:
    assert ids(LAB, "kubernetes")[-6:] == [
        "cp/kubernetes",
        "cp/cilium",
        "cp/gate",
        "worker/os",
        "worker/kubernetes",
        "worker/gate",
    ]


def test_everything_is_every_formula() -> None:
    assert {step.formula for step in plan(LAB).steps} == {"base", "etcd", "cp", "worker", "web"}


def test_everything_on_a_server_brings_its_prerequisites_along() -> None:
    made = plan(LAB, servers=frozenset({"etcd"}))
    assert [step.id for step in made.steps] == ["base/os", "base/containerd", "etcd/os", "etcd/etcd", "etcd/gate"]


def test_a_node_is_found_by_its_id_when_no_taskserv_is_called_so() -> None:
    what = infra(formula("a", [node("first", taskserv="os"), node("second", taskserv="os")]))
    assert ids(what, "first") == ["a/first"]
    assert ids(what, "os") == ["a/first", "a/second"]


def test_in_a_parallel_formula_only_what_the_node_depends_on_comes_along() -> None:
    nodes = [node("a"), node("b"), node("c", "a"), node("d")]
    assert ids(infra(formula("f", nodes, parallel=True)), "c") == ["f/a", "f/c"]
    assert ids(infra(formula("f", nodes)), "c") == ["f/a", "f/b", "f/c"]


def test_in_a_sequential_formula_depends_on_moves_a_node_behind_what_it_needs() -> None:
    what = infra(formula("f", [node("a", "c"), node("b"), node("c")]))
    assert ids(what) == ["f/b", "f/c", "f/a"]
    assert ids(what, "b") == ["f/b"]


def test_prerequisites_count_whatever_the_condition() -> None:
    what = infra(formula("a", "x"), formula("b", "x"), formula("c", "x"), formula("d", "y", "a", "b:completed", "c:finished"))
    assert {step.formula for step in plan(what, "y").steps} == {"a", "b", "c", "d"}


def test_only_is_the_named_node_alone_and_says_so() -> None:
    made = plan(LAB, "kubernetes", only=True)
    assert [step.id for step in made.steps] == ["cp/kubernetes", "worker/kubernetes"]
    assert "only kubernetes: prerequisites are left out" in made.notes


def test_steps_are_in_stable_order_whatever_the_declaration_order() -> None:
    what = infra(formula("c", "x", "a"), formula("b", "x"), formula("a", "x"), formula("d", "x"))
    assert ids(what) == ["b/x", "a/x", "c/x", "d/x"]


# ---------------------------------------------------------------- gates


def test_a_gate_is_in_when_its_formula_is_complete_afterwards() -> None:
    what = infra(formula("cp", "os kubernetes cilium", gate=True))
    left_out = plan(what, "kubernetes")
    assert "cp/gate" not in actions(left_out)
    assert left_out.notes == ("gate left out, formula not complete afterwards: cp",)
    assert ids(what, "kubernetes", book(what, "cp/cilium"))[-1] == "cp/gate"
    assert ids(what, "cilium")[-1] == "cp/gate"


def test_under_only_the_gate_is_in_when_all_else_is_completed() -> None:
    what = infra(formula("cp", "os kubernetes", gate=True))
    assert ids(what, "kubernetes", only=True) == ["cp/kubernetes"]
    assert ids(what, "kubernetes", book(what, "cp/os"), only=True) == ["cp/kubernetes", "cp/gate"]


def test_gates_of_completed_formulas_are_verified_again() -> None:
    made = plan(LAB, known=full_book(LAB))
    assert running(made) == ["etcd/gate", "cp/gate", "worker/gate"]
    assert {step.action.value for step in made.steps if step.kind == "gate"} == {"verify"}


def test_a_plan_in_which_nothing_runs_is_empty() -> None:
    what = infra(formula("a", "x"))
    assert plan(what, known=full_book(what)).empty
    assert not plan(what).empty


# ---------------------------------------------------------------- what happens to a node


@pytest.mark.parametrize(
    ("state", "options", "action", "runs"),
    [
        pytest.param(None, {}, "create", True, id="nothing recorded"),
        pytest.param("pending", {}, "create", True, id="pending"),
        pytest.param("running", {}, "create", True, id="running: its runner died"),
        pytest.param("interrupted", {}, "create", True, id="interrupted"),
        pytest.param("failed", {}, "create", True, id="failed"),
        pytest.param("blocked", {}, "create", True, id="blocked"),
        pytest.param("completed", {}, "unchanged", False, id="completed"),
        pytest.param("completed", {"update": True}, "unchanged", False, id="update of what has not changed"),
        pytest.param("completed", {"reset": True}, "reset", True, id="reset of what is completed"),
        pytest.param("failed", {"reset": True}, "create", True, id="reset of what is not there"),
        pytest.param("completed", {"operation": "config"}, "reset", True, id="an operation always runs"),
        pytest.param(None, {"operation": "config"}, "create", True, id="an operation on what is not there"),
        pytest.param("completed", {"upload": True}, "reset", True, id="an upload is always made"),
    ],
)
def test_action_by_recorded_state(state: str | None, options: dict[str, Any], action: str, *, runs: bool) -> None:
    what = infra(formula("a", "x"))
    made = plan(what, "x", book(what, f"a/x:{state}") if state else None, **options)
    assert [(step.action.value, step.runs) for step in made.steps] == [(action, runs)]


@pytest.mark.parametrize(
    ("digest", "update", "action", "runs"),
    [
        pytest.param("other", False, "changed", False, id="changed is shown"),
        pytest.param("other", True, "changed", True, id="and installed with update"),
        pytest.param("", False, "unchanged", False, id="imported: no inputs were recorded"),
        pytest.param("", True, "unchanged", False, id="imported, with update"),
    ],
)
def test_completed_with_other_inputs(digest: str, action: str, *, update: bool, runs: bool) -> None:
    what = infra(formula("a", "x"))
    made = plan(what, "x", book(what, "a/x", digest=digest), update=update)
    assert [(step.action.value, step.runs) for step in made.steps] == [(action, runs)]


def test_what_was_removed_is_not_completed() -> None:
    what = infra(formula("a", "x"))
    assert actions(plan(what, "x", book(what, "a/x", operation="remove"))) == {"a/x": "create"}


def test_an_interrupted_attempt_is_named_so_that_its_result_can_be_asked_for() -> None:
    what = infra(formula("a", "x"))
    known = book(what, "a/x:running", run_id="r7", step="a/x", attempt=2)
    (step,) = plan(what, "x", known).steps
    assert step.resumes == "r7 2 a/x"
    assert read_resumes(step.resumes) == ("r7", 2, "a/x")
    assert step.because == "target; interrupted in run r7, run again"


def test_an_ended_attempt_is_not_resumed() -> None:
    what = infra(formula("a", "x"))
    (step,) = plan(what, "x", book(what, "a/x:failed", step="a/x", attempt=2)).steps
    assert step.resumes is None


def test_reset_of_targets_leaves_earlier_nodes_and_prerequisites_alone() -> None:
    made = plan(LAB, "kubernetes", full_book(LAB), reset=True, servers=frozenset({"worker"}))
    assert [id for id, action in actions(made).items() if action == "reset"] == ["worker/kubernetes"]


def test_reset_of_prerequisites_is_everything_in_the_plan() -> None:
    made = plan(LAB, "kubernetes", full_book(LAB), reset=True, reset_prerequisites=True)
    assert {step.action.value for step in made.steps if step.kind == "node"} == {"reset"}


def test_reset_of_everything_on_a_server_leaves_prerequisites_alone() -> None:
    made = plan(LAB, known=full_book(LAB), reset=True, servers=frozenset({"etcd"}))
    assert [id for id, action in actions(made).items() if action == "reset"] == ["etcd/os", "etcd/etcd"]


# ---------------------------------------------------------------- operations and uploads


def test_an_operation_runs_on_what_was_named_and_installs_what_that_needs() -> None:
    what = infra(formula("a", "os"), formula("b", "os x", "a", gate=True))
    made = plan(what, "x", book(what, "a/os"), operation="config")
    assert [(step.id, step.operation, step.runs) for step in made.steps] == [
        ("a/os", "install", False),
        ("b/os", "install", True),
        ("b/x", "config", True),
        ("b/gate", None, True),
    ]


@pytest.mark.parametrize("operation", ["status", "remove"])
def test_asking_or_removing_needs_no_prerequisites_and_no_gate(operation: str) -> None:
    made = plan(LAB, "etcd", full_book(LAB), operation=operation)
    assert running(made) == ["etcd/etcd"]
    assert made.notes == (f"{operation}: etcd alone, prerequisites and gates are left out",)


def test_removing_goes_against_the_order_of_installing() -> None:
    what = infra(formula("a", "x y"), formula("b", "x", "a"))
    assert ids(what, operation="remove") == ["b/x", "a/y", "a/x"]


def test_an_unknown_operation_is_not_found_and_those_there_are_get_listed() -> None:
    what = infra(formula("a", "x"), taskservs=[taskserv("x", operations=("install", "update"))])
    with pytest.raises(NotFoundError, match="taskserv x has no operation updat") as caught:
        plan(what, "x", operation="updat")
    assert caught.value.hint == "did you mean update?; operations: install, update"


def test_an_upload_is_what_was_named_alone() -> None:
    made = plan(LAB, "kubernetes", upload=True)
    assert running(made) == ["cp/kubernetes", "worker/kubernetes"]
    assert made.notes == ("upload: bundles of kubernetes are delivered and not run, prerequisites are left out",)


# ---------------------------------------------------------------- why


def test_every_step_says_why_it_is_in() -> None:
    known = book(LAB, "base/os", "base/containerd:failed", "etcd/os:blocked", "cp/os:interrupted")
    assert reasons(LAB, "kubernetes", known, servers=frozenset({"cp"})) == {
        "base/os": "prerequisite of etcd; completed, inputs unchanged",
        "base/containerd": "prerequisite of etcd; failed in run r1, tried again",
        "etcd/os": "prerequisite of cp; blocked in run r1, tried again",
        "etcd/etcd": "prerequisite of cp",
        "etcd/gate": "gate of etcd, prerequisite of cp",
        "cp/os": "needed by kubernetes in cp; interrupted in run r1, run again",
        "cp/kubernetes": "target",
    }


def test_a_blocked_step_says_by_what() -> None:
    what = infra(formula("a", "x"))
    assert reasons(what, "x", book(what, "a/x:blocked", blocker="etcd/gate")) == {
        "a/x": "target; blocked in run r1 by etcd/gate, tried again"
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "completed, inputs changed since, left as it is without --update"),
        ({"update": True}, "completed, inputs changed since, installed again"),
        ({"reset": True}, "completed, reset requested"),
        ({"operation": "config"}, "operation config requested"),
        ({"upload": True}, "upload requested"),
    ],
    ids=str,
)
def test_a_step_says_what_the_operator_asked_of_it(options: dict[str, Any], told: str) -> None:
    what = infra(formula("a", "x"))
    assert reasons(what, "x", book(what, "a/x", digest="other"), **options) == {"a/x": f"target; {told}"}


def test_the_gate_of_a_target_says_so() -> None:
    assert reasons(LAB, "etcd")["etcd/gate"] == "gate of etcd, target"


# ---------------------------------------------------------------- names that nothing has


@pytest.mark.parametrize(
    ("name", "options", "message", "hint"),
    [
        pytest.param("kubernets", {}, "no formula of infra lab holds kubernets", "did you mean kubernetes?", id="misspelt"),
        pytest.param("zzz", {}, "no formula of infra lab holds zzz", "there are: cilium, containerd", id="nothing near"),
        pytest.param("redis", {}, "no formula of infra lab holds redis", "add a node", id="a taskserv in no formula"),
        pytest.param("etcd", {"servers": {"cp0"}}, "infra lab has no server cp0", "did you mean cp?", id="unknown server"),
        pytest.param("etcd", {"servers": {"web"}}, "etcd is not on web", "it is on etcd (formula etcd)", id="held elsewhere"),
        pytest.param(None, {"servers": {"spare"}}, "no formula is on spare", "formulas are on", id="a server without formulas"),
    ],
)
def test_an_unknown_name_is_not_found(name: str | None, options: dict[str, Any], message: str, hint: str) -> None:
    what = infra(*LAB.dag.formulas if LAB.dag else (), servers=[Server(hostname="spare")], taskservs=[taskserv("redis")])
    given: dict[str, Any] = {key: frozenset(value) if isinstance(value, set) else value for key, value in options.items()}
    with pytest.raises(NotFoundError, match=re.escape(message)) as caught:
        plan(what, name, **given)
    assert caught.value.exit_code == 4
    assert hint in caught.value.hint


def test_servers_on_which_there_is_nothing_to_do_are_noted() -> None:
    assert plan(LAB, "etcd", servers=frozenset({"etcd", "web"})).notes == ("nothing to do on web",)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(name=""),
        Selection(name="etcd", everything=True),
        Selection(everything=True, only=True),
        Selection(name="etcd", reset_prerequisites=True),
        Selection(name="etcd", reset=True, reset_prerequisites=True, only=True),
        Selection(name="etcd", upload=True, operation="config"),
        Selection(name="etcd", upload=True, reset=True),
        Selection(name="etcd", upload=True, update=True),
    ],
    ids=str,
)
def test_a_selection_that_contradicts_itself_is_refused_with_a_way_out(selection: Selection) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(LAB, selection, None)
    assert caught.value.hint


# ---------------------------------------------------------------- without a DAG


BARE = infra(servers=[Server(hostname="a"), Server(hostname="b")], taskservs=[taskserv("redis")], dag=None)


def test_without_a_dag_the_taskserv_is_installed_on_every_server_and_the_plan_says_so() -> None:
    made = plan(BARE, "redis")
    assert [(step.id, step.formula, step.server, step.depends_on) for step in made.steps] == [
        ("a/redis", "a", "a", ()),
        ("b/redis", "b", "b", ()),
    ]
    assert not made.has_dag
    assert made.notes == ("no dag file: installing redis directly, without ordering or gates",)


def test_without_a_dag_servers_can_be_chosen_and_states_count() -> None:
    made = plan(BARE, "redis", book(BARE, "b/redis"), servers=frozenset({"b"}))
    assert actions(made) == {"b/redis": "unchanged"}


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        pytest.param("reddis", {}, NotFoundError, id="unknown taskserv"),
        pytest.param("redis", {"servers": frozenset({"c"})}, NotFoundError, id="unknown server"),
        pytest.param(None, {}, UsageError, id="everything means nothing"),
    ],
)
def test_without_a_dag_what_does_not_exist_is_refused(
    name: str | None, options: dict[str, Any], error: type[ProvisioningError]
) -> None:
    with pytest.raises(error):
        plan(BARE, name, **options)


def test_without_a_dag_the_only_profile_there_is_gets_used() -> None:
    lone = taskserv("redis")
    lone = taskserv("redis", profiles={"x": lone.profiles["x"]})
    assert plan(infra(servers=[Server(hostname="a")], taskservs=[lone], dag=None), "redis").steps[0].profile == "x"


def test_a_dag_without_formulas_is_an_empty_plan() -> None:
    assert plan(infra()).steps == ()
