"""One test per row of the defect table that the planner, the compiler or the gate's rules settle; the number is the row's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.dags import actions, book, formula, full_book, infra, node, plan, running, workflow_of
from support.simulate import failing, simulate

from provisioning.core.declare import HealthGate, Infra, OnError
from provisioning.core.health import GRACE_S, GateTimes, Next, Probed, gate_times, matches, next_move
from provisioning.core.model import RunState, Workflow
from provisioning.core.plan import Selection
from provisioning.core.planner import make_plan
from provisioning.errors import ConfigError, NotFoundError

LAB = infra(
    formula("base", "os containerd", server="cp-0"),
    formula("etcd", "etcd", "base", gate=True, server="etcd-0"),
    formula("cp", "kubernetes", "etcd", gate=True, server="cp-0"),
    formula("web", "nginx", server="web-0"),
)


def called(flow: Workflow, *failed: str) -> list[str]:
    """The steps that were started, in order, when these fail."""
    simulation = simulate(flow, failing(*failed))
    simulation.go()
    return simulation.dispatched


def outcome(what: Infra, *failed: str, **options: object) -> tuple[str, dict[str, str]]:
    """How the run ended, and each step."""
    simulation = simulate(workflow_of(what, **options), failing(*failed))  # type: ignore[arg-type]
    run = simulation.go()
    return run.state.value, simulation.states()


def test_defect_01_every_incomplete_node_of_the_prerequisites_runs_before_the_target() -> None:
    what = infra(formula("base", "os containerd", server="cp-0"), formula("cp", "kubernetes", "base", server="cp-0"))
    assert called(workflow_of(what, "kubernetes")) == ["base/os", "base/containerd", "cp/kubernetes"]


def test_defect_02_everything_runs_every_formula_and_probes_every_gate() -> None:
    assert set(called(workflow_of(LAB))) == {
        "base/os",
        "base/containerd",
        "etcd/etcd",
        "etcd/gate",
        "cp/kubernetes",
        "cp/gate",
        "web/nginx",
    }


def test_defect_03_after_a_failure_nothing_that_depends_on_it_starts() -> None:
    flow = workflow_of(LAB, "kubernetes")
    assert called(flow, "base/os") == ["base/os"]
    assert simulate(flow, failing("base/os")).go().state is RunState.FAILED


def test_defect_04_an_unknown_prerequisite_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="b depends on typo, which does not exist"):
        plan(infra(formula("a", "x"), formula("b", "y", "a", "typo"), formula("c", "z", "b")), "z")


def test_defect_05_a_cycle_is_an_error_with_one_concrete_path() -> None:
    what = infra(formula("a", "x"), formula("b", "x", "a", "c"), formula("c", "x", "b"), formula("d", "y", "b"))
    with pytest.raises(ConfigError, match="dependency cycle: b -> c -> b"):
        plan(what, "y")
    with pytest.raises(ConfigError, match="dependency cycle: a -> a"):
        plan(infra(formula("a", "x", "a")), "x")


def test_defect_06_a_dependency_listed_twice_drops_nothing() -> None:
    what = infra(formula("a", "x"), formula("b", "y", "a", "a"))
    assert called(workflow_of(what, "y")) == ["a/x", "b/y"]


def test_defect_11_reset_never_reaches_prerequisites_unless_asked() -> None:
    known = full_book(LAB)
    assert running(plan(LAB, "kubernetes", known, reset=True)) == ["etcd/gate", "cp/kubernetes", "cp/gate"]
    wider = plan(LAB, "kubernetes", known, reset=True, reset_prerequisites=True)
    assert {"base/os", "base/containerd", "etcd/etcd"} <= set(running(wider))


def test_defect_12_an_unknown_name_is_refused_before_anything_is_touched() -> None:
    known = full_book(LAB)
    before = replace(known)
    with pytest.raises(NotFoundError) as caught:
        make_plan(LAB, Selection(name="kubernets"), known)
    assert (caught.value.exit_code, known) == (4, before)


def test_defect_14_a_component_keeps_its_profile() -> None:
    what = infra(formula("cp", [node("kubernetes", component=True, profile="x")]))
    assert plan(what).steps[0].profile == "x"
    assert workflow_of(what).steps[0].action.settings["profile"] == "x"


# ---------------------------------------------------------------- the gate's clock


def probe_starts(times: GateTimes, took_s: float = 0.0, healthy_s: float = float("inf")) -> tuple[Next, list[float], float]:
    """Play a gate whose probes take `took_s` unless they are cut; return how it ended, when probes started, and its length."""
    now_s, probed = 0.0, list[Probed]()
    while True:
        move = next_move(times, probed, now_s)
        if move.next in {Next.OPEN, Next.FAILED}:
            return move.next, [probe.started_s for probe in probed], now_s
        start_s, now_s = now_s, now_s + (move.seconds if move.next is Next.WAIT else min(took_s, move.seconds))
        if move.next is Next.PROBE:
            probed.append(Probed(started_s=start_s, ended_s=now_s, healthy=start_s >= healthy_s))


def test_defect_16_a_gate_whose_probes_hang_ends_at_its_deadline() -> None:
    assert probe_starts(gate_times(), took_s=float("inf"))[2] <= 60 + GRACE_S


@pytest.mark.parametrize(
    ("retries", "timeout_ms", "probes", "took_s"),
    [
        pytest.param(10, 180_000, 7, 180, id="10 in 180 s: the deadline comes first"),
        pytest.param(6, 60_000, 5, 60, id="6 in 60 s: the deadline comes first"),
        pytest.param(2, 60_000, 2, 10, id="2 in 60 s: the probes are used up first"),
    ],
)
def test_defect_17_a_gate_stops_at_whichever_limit_comes_first(
    retries: int, timeout_ms: int, probes: int, took_s: float
) -> None:
    end, starts, spent_s = probe_starts(gate_times(retries=retries, timeout_ms=timeout_ms))
    assert (end, len(starts), spent_s) == (Next.FAILED, probes, took_s)


@pytest.mark.parametrize(
    ("times", "healthy_s"),
    [
        pytest.param(gate_times(retries=5, timeout_ms=8_000), 6, id="5 probes, healthy at 6 s of 8"),
        pytest.param(gate_times(retries=5, timeout_ms=5_000), 4.9, id="5 probes, healthy at 4.9 s of 5"),
        pytest.param(gate_times(retries=6, timeout_ms=60_000), 59, id="the defaults, healthy in the last second"),
    ],
)
def test_defect_18_no_wait_reaches_past_the_deadline_so_the_last_probe_is_on_it(times: GateTimes, healthy_s: float) -> None:
    end, _, spent_s = probe_starts(times, healthy_s=healthy_s)
    assert (end, spent_s <= times.deadline_s) == (Next.OPEN, True)


def test_defect_19_a_gate_without_probes_is_refused() -> None:
    with pytest.raises(ConfigError, match="retries is 0"):
        gate_times(retries=0)


def test_defect_20_a_successful_command_with_the_wrong_text_does_not_open_the_gate() -> None:
    assert not matches("ok", "degraded\n")
    assert matches("ok", "ok\n")


def test_defect_21_the_gate_probes_the_address_that_was_asked_for() -> None:
    what = infra(formula("a", "x", gate=HealthGate(check_cmd="true", address="private")))
    assert workflow_of(what).steps[1].action.settings["address"] == "private"


def test_defect_22_gates_of_completed_prerequisites_are_independent_and_a_healthy_one_costs_one_probe() -> None:
    what = infra(
        *(formula(f"p{index}", "x", gate=True) for index in range(10)), formula("t", "y", *(f"p{i}" for i in range(10)))
    )
    done = book(what, *(f"p{index}/x" for index in range(10)))
    gates = [step for step in plan(what, "y", done).steps if step.kind == "gate"]
    assert all(step.depends_on == (f"{step.formula}/x",) for step in gates)  # none waits for another
    assert probe_starts(gate_times(), healthy_s=0)[1:] == ([0.0], 0.0)


def test_defect_22_a_broken_gate_stops_its_dependents_only_when_told_to_keep_going() -> None:
    state, steps = outcome(LAB, "etcd/gate", known=book(LAB, "etcd/etcd"), keep_going=True)
    assert state == "failed"
    assert (steps["cp/kubernetes"], steps["web/nginx"]) == ("skipped", "succeeded")


# ---------------------------------------------------------------- every field flips the outcome


def test_defect_23_parallel_lifts_the_order_of_nodes() -> None:
    in_turn, together = (infra(formula("f", "a b", parallel=parallel)) for parallel in (False, True))
    assert [step.depends_on for step in plan(in_turn).steps] == [(), ("f/a",)]
    assert [step.depends_on for step in plan(together).steps] == [(), ()]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_defect_23_max_parallel_bounds_the_nodes_of_a_formula_that_run_at_once(limit: int) -> None:
    nodes = [node(f"n{index}", parallel=True) for index in range(6)]
    simulation = simulate(workflow_of(infra(formula("f", nodes, parallel=True, max_parallel=limit))))
    simulation.go()
    assert simulation.peak == limit


def test_defect_23_node_parallel_lets_nodes_of_one_server_run_together() -> None:
    for parallel, peak in ((False, 1), (True, 3)):
        nodes = [node(f"n{index}", parallel=parallel) for index in range(3)]
        simulation = simulate(workflow_of(infra(formula("f", nodes, parallel=True))))
        simulation.go()
        assert simulation.peak == peak


@pytest.mark.parametrize(
    ("condition", "failed", "state"),
    [
        ("healthy", "a/gate", "skipped"),
        ("completed", "a/gate", "succeeded"),
        ("completed", "a/x", "skipped"),
        ("finished", "a/x", "succeeded"),
    ],
)
def test_defect_23_condition_decides_what_a_failed_prerequisite_does(condition: str, failed: str, state: str) -> None:
    what = infra(formula("a", "x", gate=True), formula("b", "y", f"a:{condition}"))
    assert outcome(what, failed, keep_going=True)[1]["b/y"] == state


def test_defect_23_finished_runs_even_when_the_run_halts() -> None:
    what = infra(formula("a", "x", gate=True), formula("report", "mail", "a:finished"))
    assert outcome(what, "a/x")[1]["report/mail"] == "succeeded"


@pytest.mark.parametrize(
    ("kind", "failed", "state"),
    [
        ("on_success", False, "succeeded"),
        ("on_success", True, "skipped"),
        ("always", False, "succeeded"),
        ("always", True, "succeeded"),
        ("on_failure", False, "skipped"),
        ("on_failure", True, "succeeded"),
    ],
)
def test_defect_23_node_depends_on_decides_when_a_node_runs(kind: str, state: str, *, failed: bool) -> None:
    what = infra(formula("f", [node("a"), node("b", f"a:{kind}")]))
    assert outcome(what, *(["f/a"] if failed else []))[1]["f/b"] == state


@pytest.mark.parametrize(
    ("on_error", "run", "after"), [(OnError.STOP, "failed", "skipped"), (OnError.CONTINUE, "partial", "succeeded")], ids=str
)
def test_defect_23_on_error_decides_whether_the_formula_goes_on(on_error: OnError, run: str, after: str) -> None:
    what = infra(formula("f", [node("a", on_error=on_error), node("b")], gate=True), formula("g", "x", "f"))
    state, steps = outcome(what, "f/a")
    assert (state, {steps["f/b"], steps["f/gate"], steps["g/x"]}) == (run, {after})


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_defect_23_max_retries_is_how_often_a_failed_node_is_tried_again(retries: int) -> None:
    what = infra(formula("f", [node("a", on_error=OnError.RETRY, max_retries=retries)]))
    assert called(workflow_of(what), "f/a") == ["f/a"] * (retries + 1)


def test_defect_24_formulas_on_different_servers_run_together_within_the_limit_of_the_run() -> None:
    what = infra(*(formula(f"f{index}", "x") for index in range(4)))
    for limit, peak in ((0, 4), (2, 2)):
        simulation = simulate(workflow_of(what, max_parallel=limit))
        simulation.go()
        assert simulation.peak == peak


def test_defect_28_planning_grows_with_the_size_of_the_dag_not_its_square() -> None:
    """Counts the edges, the only thing that could grow faster; `benchmarks/planning.py` has the seconds."""
    for size in (100, 1000):
        what = infra(*(formula(f"f{i}", "a b c", *([f"f{i - 1}", f"f{i // 2}"] if i else []), gate=True) for i in range(size)))
        made = plan(what, known=full_book(what))
        assert sum(len(step.depends_on) for step in made.steps) <= 8 * size


def test_defect_29_what_a_crash_left_running_is_interrupted_and_asked_for_again() -> None:
    (step,) = plan(infra(formula("a", "x")), "x", book(infra(formula("a", "x")), "a/x:running", step="a/x", attempt=1)).steps
    assert (step.runs, step.resumes) == (True, "r1 1 a/x")
    assert "interrupted in run r1" in step.because


def test_defect_31_a_formula_without_nodes_is_a_pure_gate_and_never_counts_as_installed() -> None:
    what = infra(formula("g", "", gate=True), formula("b", "y", "g"))
    assert actions(plan(what, "y")) == {"g/gate": "verify", "b/y": "create"}
    assert outcome(what, "g/gate")[1]["b/y"] == "skipped"
