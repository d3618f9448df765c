from __future__ import annotations

import pytest
from support.dags import book, declared, formula, full_book, infra, node, plan, taskserv, workflow_of

from provisioning.core.compile import compile_plan
from provisioning.core.declare import HealthGate, Infra, OnError, Server, Workspace
from provisioning.core.model import Action, Dep, On, OnFailure, Placement, Policy, Retry, Step, Workflow
from provisioning.core.resources import ResourceBook
from provisioning.errors import ConfigError

CONTINUE = OnError.CONTINUE


def edges(what: Infra, name: str | None = None, known: ResourceBook | None = None, **fields: object) -> dict[str, str]:
    """For each step its edges: `id` on success, `id:done`, `id:failed`."""
    return {
        step.id: " ".join(dep.step if dep.on is On.SUCCESS else f"{dep.step}:{dep.on.value}" for dep in step.deps)
        for step in workflow_of(what, name, known, **fields).steps
    }


def by_id(flow: Workflow) -> dict[str, Step]:
    return {step.id: step for step in flow.steps}


def one(what: Infra, id: str, known: ResourceBook | None = None, **fields: object) -> Step:
    return by_id(workflow_of(what, None, known, **fields))[id]


# ---------------------------------------------------------------- edges inside a formula


def test_a_sequential_formula_is_a_chain_with_the_gate_at_its_end() -> None:
    assert edges(infra(formula("f", "a b c", gate=True))) == {"f/a": "", "f/b": "f/a", "f/c": "f/b", "f/gate": "f/c"}


def test_after_a_node_that_may_fail_the_formula_goes_on_if_what_came_before_it_succeeded() -> None:
    what = infra(formula("f", [node("a"), node("b", on_error=CONTINUE), node("c")], gate=True))
    assert edges(what) == {"f/a": "", "f/b": "f/a", "f/c": "f/a f/b:done", "f/gate": "f/c"}


def test_nodes_that_may_fail_stand_for_each_other() -> None:
    what = infra(formula("f", [node(id, on_error=CONTINUE) for id in "abcd"], gate=True))
    assert edges(what) == {"f/a": "", "f/b": "f/a:done", "f/c": "f/b:done", "f/d": "f/c:done", "f/gate": "f/d:done"}


def test_a_node_that_is_skipped_early_does_not_stand_for_those_that_still_run() -> None:
    nodes = [node("a", on_error=CONTINUE), node("b", on_error=CONTINUE), node("c", "a", on_error=CONTINUE), node("d")]
    assert edges(infra(formula("f", nodes)))["f/d"] == "f/b:done f/c:done"


def test_a_parallel_formula_has_only_the_edges_that_are_declared() -> None:
    what = infra(formula("f", [node("a"), node("b"), node("c", "a")], gate=True, parallel=True))
    assert edges(what) == {"f/a": "", "f/b": "", "f/c": "f/a", "f/gate": "f/b f/c"}


def test_depends_on_says_what_is_waited_for_and_the_order_is_kept_beside_it() -> None:
    what = infra(formula("f", [node("a"), node("b"), node("c", "a")], gate=True))
    assert edges(what) == {"f/a": "", "f/b": "f/a", "f/c": "f/a f/b:done", "f/gate": "f/b f/c"}


@pytest.mark.parametrize(
    ("kind", "edge"),
    [("b", "f/b"), ("b:always", "f/b:done"), ("b:on_failure", "f/b:failed")],
    ids=["success", "always", "failure"],
)
def test_the_kind_of_a_dependency_is_the_kind_of_the_edge(kind: str, edge: str) -> None:
    assert edges(infra(formula("f", [node("b"), node("c", kind)])))["f/c"] == edge


def test_a_node_for_failures_blocks_neither_gate_nor_dependents_but_the_failure_does() -> None:
    what = infra(formula("f", [node("a"), node("rescue", "a:on_failure")], gate=True), formula("g", "x", "f"))
    assert edges(what) == {"f/a": "", "f/rescue": "f/a:failed", "f/gate": "f/a f/rescue:done", "g/x": "f/gate"}


def test_what_follows_a_node_for_failures_is_as_conditional_as_that() -> None:
    what = infra(formula("f", [node("a"), node("rescue", "a:on_failure"), node("report", "rescue")], gate=True))
    assert edges(what)["f/gate"] == "f/a f/rescue:done f/report:done"
    assert one(what, "f/report").after_failure


def test_a_clean_up_that_always_runs_does_not_hide_the_failure_before_it() -> None:
    what = infra(formula("f", [node("a"), node("clean", "a:always"), node("c")]), formula("g", "x", "f"))
    assert edges(what) == {"f/a": "", "f/clean": "f/a:done", "f/c": "f/a f/clean", "g/x": "f/c"}


def test_waiting_for_success_and_failure_of_one_node_is_refused() -> None:
    with pytest.raises(ConfigError, match="both success and failure of f/a"):
        plan(infra(formula("f", [node("a"), node("b", "a", "a:on_failure")])))


def test_the_same_dependency_twice_is_one_edge() -> None:
    assert edges(infra(formula("f", [node("a"), node("b", "a", "a:always", "a")])))["f/b"] == "f/a"


def test_nodes_that_wait_for_each_other_are_refused_with_the_path() -> None:
    with pytest.raises(ConfigError, match="formula f: dependency cycle: a -> b -> a"):
        plan(infra(formula("f", [node("a", "b"), node("b", "a")])))


def test_a_node_cannot_take_the_id_of_the_gate() -> None:
    with pytest.raises(ConfigError, match="two steps are called f/gate"):
        plan(infra(formula("f", "gate", gate=True)))


# ---------------------------------------------------------------- edges between formulas


@pytest.mark.parametrize(
    ("dep", "gate", "edge"),
    [
        pytest.param("a", True, "a/gate", id="healthy: the gate"),
        pytest.param("a", False, "a/y", id="healthy without a gate: the last node"),
        pytest.param("a:completed", True, "a/y", id="completed: the last node"),
        pytest.param("a:finished", True, "a/gate:done", id="finished: the gate, whatever its outcome"),
        pytest.param("a:finished", False, "a/y:done", id="finished without a gate"),
    ],
)
def test_a_dependent_formula_waits_for_what_the_condition_says(dep: str, edge: str, *, gate: bool) -> None:
    assert edges(infra(formula("a", "x y", gate=gate), formula("b", "u v", dep))) | {} == {
        **edges(infra(formula("a", "x y", gate=gate))),
        "b/u": edge,
        "b/v": "b/u",
    }


def test_a_gate_behind_a_completed_condition_is_probed_but_not_awaited() -> None:
    what = infra(formula("a", "x", gate=True), formula("b", "u", "a:completed"))
    assert edges(what) == {"a/x": "", "a/gate": "a/x", "b/u": "a/x"}


def test_every_first_node_of_a_parallel_formula_waits_for_the_prerequisites() -> None:
    what = infra(formula("a", "x"), formula("b", [node("u"), node("v"), node("w", "u")], "a", parallel=True))
    assert edges(what) == {"a/x": "", "b/u": "a/x", "b/v": "a/x", "b/w": "b/u"}


def test_a_clean_up_in_a_formula_that_never_started_does_not_start_either() -> None:
    what = infra(formula("a", "x"), formula("b", [node("u"), node("clean", "u:always")], "a"))
    assert edges(what)["b/clean"] == "b/u:done a/x"


def test_after_a_first_node_that_may_fail_the_prerequisites_still_count() -> None:
    what = infra(formula("a", "x"), formula("b", [node("u", on_error=CONTINUE), node("v")], "a"))
    assert edges(what)["b/v"] == "a/x b/u:done"


def test_finished_waits_for_every_node_that_may_still_be_running() -> None:
    nodes = [node("x"), node("y"), node("z", "x", "y")]  # z is skipped as soon as x fails, while y may be running
    what = infra(formula("a", nodes, parallel=True), formula("b", "u", "a:finished"))
    assert edges(what)["b/u"] == "a/x:done a/y:done a/z:done"


def test_a_dependency_listed_twice_is_one_edge() -> None:
    assert edges(infra(formula("a", "x"), formula("b", "y", "a", "a")))["b/y"] == "a/x"


def test_a_formula_without_nodes_is_a_pure_gate() -> None:
    what = infra(formula("a", "x"), formula("g", "", "a", gate=True), formula("b", "y", "g"))
    assert edges(what) == {"a/x": "", "g/gate": "a/x", "b/y": "g/gate"}


# ---------------------------------------------------------------- edges around what is completed already


def test_a_gate_of_a_completed_prerequisite_is_awaited_by_the_first_node_that_runs() -> None:
    what = infra(formula("etcd", "etcd", gate=True), formula("cp", "os containerd kubernetes", "etcd"))
    known = book(what, "etcd/etcd", "cp/os", "cp/containerd")
    assert edges(what, None, known) == {
        "etcd/etcd": "",
        "etcd/gate": "etcd/etcd",
        "cp/os": "etcd/gate",
        "cp/containerd": "cp/os",
        "cp/kubernetes": "etcd/gate cp/containerd",
    }


def test_a_completed_formula_without_a_gate_passes_on_what_it_would_have_waited_for() -> None:
    what = infra(formula("a", "x", gate=True), formula("b", "y", "a"), formula("c", "z", "b"))
    assert edges(what, None, book(what, "a/x", "b/y"))["c/z"] == "a/gate b/y"


def test_chains_of_completed_nodes_do_not_pile_up_edges() -> None:
    what = infra(*(formula(f"f{index}", "x y", *([f"f{index - 1}"] if index else [])) for index in range(50)))
    assert max(len(deps.split()) for deps in edges(what, None, full_book(what)).values()) == 1


# ---------------------------------------------------------------- what else a step says


def test_a_node_becomes_a_step_with_everything_the_action_needs() -> None:
    what = infra(
        formula("cp", [node("k8s", taskserv="kubernetes", profile="x", params={"b": 1})], server="cp-0"),
        servers=[Server(hostname="cp-0", site="paris")],
        taskservs=[taskserv("kubernetes", idempotent=True, timeout_s=60.0, params={**declared("a", 0), **declared("b", 0)})],
        workspace=Workspace(name="shop", path="/shop", params={"a": 7, "other": 8}),
    )
    digest = plan(what).steps[0].digest
    assert one(what, "cp/k8s") == Step(
        id="cp/k8s",
        kind="node",
        action=Action(
            type="taskserv",
            settings={
                "server": "cp-0",
                "formula": "cp",
                "taskserv": "kubernetes",
                "profile": "x",
                "operation": "install",
                "digest": digest,
                "timeout_s": 60.0,
                "idempotent": True,
                "fresh": False,
                "upload_only": False,
                "params": {"a": 7, "b": 1},
                "resumes": None,
            },
        ),
        timeout_s=60.0,
        placement=Placement(target="paris"),
        keys=("server:cp-0",),
        labels={
            "formula": "cp",
            "server": "cp-0",
            "taskserv": "kubernetes",
            "profile": "x",
            "operation": "install",
            "digest": digest or "",
        },
    )


def test_a_gate_becomes_a_step_that_probes_and_holds_no_key() -> None:
    gate = HealthGate(check_cmd="etcdctl ok", retries=3, timeout_ms=5000, expected="re:ok", address="private")
    what = infra(formula("etcd", "etcd", gate=gate, server="e-0"))
    assert one(what, "etcd/gate") == Step(
        id="etcd/gate",
        kind="gate",
        action=Action(
            type="probe",
            settings={
                "server": "e-0",
                "formula": "etcd",
                "check_cmd": "etcdctl ok",
                "retries": 3,
                "timeout_ms": 5000,
                "probe_timeout_ms": None,
                "interval_ms": None,
                "expected": "re:ok",
                "address": "private",
            },
        ),
        deps=(Dep(step="etcd/etcd"),),
        labels={"formula": "etcd", "server": "e-0"},
    )


@pytest.mark.parametrize(
    ("of_node", "of_taskserv", "timeout_s"),
    [(5.0, 60.0, 5.0), (None, 60.0, 60.0), (None, None, 1800.0)],
    ids=["node", "taskserv", "default"],
)
def test_the_timeout_of_the_node_goes_over_that_of_its_taskserv(
    of_node: float | None, of_taskserv: float | None, timeout_s: float
) -> None:
    what = infra(formula("f", [node("x", timeout_s=of_node)]), taskservs=[taskserv("x", timeout_s=of_taskserv)])
    step = one(what, "f/x")
    assert (step.timeout_s, step.action.settings["timeout_s"]) == (timeout_s, timeout_s)


def test_on_error_decides_between_stopping_going_on_and_trying_again() -> None:
    nodes = [node("a"), node("b", on_error=CONTINUE), node("c", on_error=OnError.RETRY, max_retries=2)]
    steps = by_id(workflow_of(infra(formula("f", nodes))))
    assert [(step.optional, step.retry) for step in steps.values()] == [(False, None), (True, None), (False, Retry(attempts=3))]


def test_only_a_parallel_formula_has_a_pool_and_only_its_nodes_take_slots() -> None:
    flow = workflow_of(infra(formula("f", "a", gate=True, parallel=True, max_parallel=2), formula("g", "a", max_parallel=3)))
    assert flow.pools == {"formula:f": 2}
    assert {step.id: step.pools for step in flow.steps} == {"f/a": ("formula:f",), "f/gate": (), "g/a": ()}


def test_one_node_at_a_time_on_a_server_unless_the_node_says_parallel() -> None:
    steps = by_id(workflow_of(infra(formula("f", [node("a"), node("b", parallel=True)], server="s"))))
    assert {id: step.keys for id, step in steps.items()} == {"f/a": ("server:s",), "f/b": ()}


def test_steps_made_for_failures_may_start_while_the_run_halts() -> None:
    nodes = [node("a"), node("rescue", "a:on_failure"), node("clean", "a:always"), node("last")]
    what = infra(formula("f", nodes, gate=True), formula("report", "x y", "f:finished", gate=True), formula("g", "z", "f"))
    late = {step.id for step in workflow_of(what).steps if step.after_failure}
    assert late == {"f/rescue", "f/clean", "report/x", "report/y", "report/gate"}


def test_what_does_not_run_is_unchanged() -> None:
    what = infra(formula("f", "a b", gate=True))
    flow = workflow_of(what, None, book(what, "f/a", digest="other"))
    assert {step.id: step.unchanged for step in flow.steps} == {"f/a": True, "f/b": False, "f/gate": False}


def test_an_upload_is_marked_and_never_recorded_as_an_installation() -> None:
    (step,) = workflow_of(infra(formula("f", "a b", gate=True)), "b", upload=True).steps
    assert (step.action.settings["upload_only"], step.labels["operation"]) == (True, "upload")


def test_an_operation_and_an_interrupted_attempt_reach_the_action() -> None:
    what = infra(formula("f", "a"))
    (step,) = workflow_of(what, "a", book(what, "f/a:running", step="f/a", attempt=1), operation="config").steps
    assert (step.action.settings["operation"], step.action.settings["resumes"]) == ("config", "r1 1 f/a")


@pytest.mark.parametrize(
    ("keep_going", "on_failure"), [(False, OnFailure.FAIL), (True, OnFailure.SKIP_DOWNSTREAM)], ids=["halt", "go on"]
)
def test_keep_going_and_max_parallel_become_the_policy(on_failure: OnFailure, *, keep_going: bool) -> None:
    what = infra(formula("f", "a"))
    flow = compile_plan(plan(what), what, keep_going=keep_going, max_parallel=7)
    assert flow.policy == Policy(on_failure=on_failure, max_parallel=7)


def test_without_a_dag_each_server_is_a_formula_of_its_own() -> None:
    what = infra(servers=[Server(hostname="a", site="x"), Server(hostname="b")], taskservs=[taskserv("redis")], dag=None)
    flow = workflow_of(what, "redis")
    assert {step.id: (step.deps, step.keys, step.placement.target) for step in flow.steps} == {
        "a/redis": ((), ("server:a",), "x"),
        "b/redis": ((), ("server:b",), None),
    }


def test_removing_turns_every_edge_round() -> None:
    what = infra(formula("a", "x y"), formula("b", "u", "a"))
    assert edges(what, operation="remove") == {"b/u": "", "a/y": "b/u", "a/x": "a/y"}


def test_the_workflow_is_named_after_the_infrastructure_and_says_where_it_came_from() -> None:
    flow = workflow_of(infra(formula("f", "a")))
    assert (flow.name, flow.source and flow.source.kind, flow.labels) == (
        "lab",
        "formula",
        {"workspace": "shop", "infra": "lab"},
    )
