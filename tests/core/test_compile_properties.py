"""Random DAGs through planner, compiler and the engine's core: what must hold whatever the shape and the outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from support.dags import formula, infra, plan, workflow_of
from support.examples import examples
from support.simulate import failing, simulate

from provisioning.core.compile import compile_plan
from provisioning.core.declare import Condition, DepKind, Formula, Infra, Node, NodeDep, OnError
from provisioning.core.edges import in_order
from provisioning.core.events import Event, Kind
from provisioning.core.graph import make_graph, order
from provisioning.core.inputs import input_digest
from provisioning.core.model import On, RunState
from provisioning.core.resources import Resource, ResourceBook, ResourceState

ENDS = {
    Kind.STEP_SUCCEEDED,
    Kind.STEP_UNCHANGED,
    Kind.STEP_FAILED,
    Kind.STEP_TIMED_OUT,
    Kind.STEP_CANCELLED,
    Kind.STEP_INTERRUPTED,
    Kind.STEP_SKIPPED,
}
GOOD = {Kind.STEP_SUCCEEDED, Kind.STEP_UNCHANGED}


@st.composite
def nodes(draw: st.DrawFn) -> tuple[Node, ...]:
    made: list[Node] = []
    for index in range(draw(st.integers(1, 5))):
        earlier = draw(st.lists(st.sampled_from(made), max_size=2, unique_by=lambda one: one.id)) if made else []
        deps = tuple(NodeDep(node_id=one.id, kind=draw(st.sampled_from(DepKind))) for one in earlier)
        on_error = draw(st.sampled_from([OnError.STOP, OnError.STOP, OnError.CONTINUE]))
        made.append(Node(id=f"n{index}", taskserv=f"t{index}", depends_on=deps, on_error=on_error))
    return tuple(draw(st.permutations(made)))


@st.composite
def infras(draw: st.DrawFn) -> Infra:
    made: list[Formula] = []
    for index in range(draw(st.integers(1, 5))):
        ids = draw(st.lists(st.sampled_from([one.id for one in made]), max_size=3, unique=True)) if made else []
        deps = [f"{id}:{draw(st.sampled_from(Condition)).value}" for id in ids]
        made.append(formula(f"f{index}", draw(nodes()), *deps, gate=draw(st.booleans()), parallel=draw(st.booleans())))
    return infra(*draw(st.permutations(made)))


@st.composite
def books(draw: st.DrawFn, what: Infra) -> ResourceBook:
    """Any states of any nodes."""
    changes: dict[tuple[str, str], Resource | None] = {}
    for one in formulas(what).values():
        for held in one.nodes:
            state = draw(st.none() | st.sampled_from([ResourceState.COMPLETED, *ResourceState]))
            digest = input_digest(what.taskservs[held.taskserv], held, {})
            changes[one.server, held.taskserv] = Resource(state=state, digest=digest) if state else None
    return ResourceBook(lineage="l").put(changes)


def formulas(what: Infra) -> dict[str, Formula]:
    return {one.id: one for one in what.dag.formulas} if what.dag else {}


# ---------------------------------------------------------------- plans


@given(infras(), st.data())
def test_a_plan_is_closed_under_prerequisites_and_holds_them_in_full(what: Infra, data: st.DataObject) -> None:
    all_of = formulas(what)
    name = data.draw(st.sampled_from(sorted({held.taskserv for one in all_of.values() for held in one.nodes})))
    made = plan(what, name, data.draw(books(what)))
    planned = {step.id for step in made.steps}
    for id in {step.formula for step in made.steps}:
        for dep in all_of[id].depends_on:
            assert planned.issuperset(f"{dep.formula_id}/{held.id}" for held in all_of[dep.formula_id].nodes)


@given(infras(), st.data())
def test_a_plans_edges_stay_inside_it_and_its_order_respects_them(what: Infra, data: st.DataObject) -> None:
    made = plan(what, None, data.draw(books(what)))
    place = {step.id: index for index, step in enumerate(made.steps)}
    assert len(place) == len(made.steps)
    assert all(place[before] < place[step.id] for step in made.steps for before in step.depends_on)
    needs = {id: list(step.depends_on) for id, step in sorted((step.id, step) for step in made.steps)}
    assert sorted(order(make_graph(needs))) == sorted(place)


@given(infras(), st.data())
def test_the_workflow_has_the_plans_steps_and_edges_in_the_plans_order(what: Infra, data: st.DataObject) -> None:
    made = plan(what, None, data.draw(books(what)))
    flow = compile_plan(made, what)
    assert [(step.id, tuple(dep.step for dep in step.deps)) for step in flow.steps] == [
        (step.id, step.depends_on) for step in made.steps
    ]


@given(infras(), st.data())
def test_planning_twice_gives_the_same_plan(what: Infra, data: st.DataObject) -> None:
    known = data.draw(books(what))
    assert plan(what, None, known) == plan(what, None, known)


# ---------------------------------------------------------------- runs


@dataclass
class Story:
    """When each step of a run was started and how and when it ended, by position in the journal."""

    started: dict[str, int]
    ended: dict[str, tuple[int, Kind]]

    def ended_before(self, step: str, at: int) -> bool:
        return self.ended[step][0] < at

    def good_before(self, step: str, at: int) -> bool:
        return self.ended_before(step, at) and self.ended[step][1] in GOOD


def story(events: list[Event]) -> Story:
    told = Story(started={}, ended={})
    for at, event in enumerate(events):
        if event.kind is Kind.STEP_DISPATCHED:
            told.started[event.step] = at
        elif event.kind in ENDS:
            told.ended[event.step] = (at, event.kind)
    return told


def lenient(one: Formula) -> set[str]:
    """The nodes whose success is not asked for: they may fail, or are there for a failure (also indirectly)."""
    found = {held.id for held in one.nodes if held.on_error is OnError.CONTINUE}
    called: set[str] = set()
    for _ in one.nodes:
        for held in one.nodes:
            kinds = {(dep.kind, dep.node_id in called) for dep in held.depends_on}
            if (DepKind.ON_SUCCESS, True) in kinds or any(kind is DepKind.ON_FAILURE for kind, _ in kinds):
                called.add(held.id)
    return found | called


def check_formula_is_complete(told: Story, one: Formula, at: int) -> None:
    """Every node has ended before `at`, and every one whose success is asked for has succeeded."""
    for held in one.nodes:
        step = f"{one.id}/{held.id}"
        assert told.ended_before(step, at), f"{step} may still be running"
        assert held.id in lenient(one) or told.good_before(step, at), f"{step} has not succeeded"


def check_entry(told: Story, one: Formula, all_of: Mapping[str, Formula], at: int) -> None:
    for dep in one.depends_on:
        before = all_of[dep.formula_id]
        gate = f"{before.id}/gate"
        if dep.condition is Condition.FINISHED:
            assert all(told.ended_before(f"{before.id}/{held.id}", at) for held in before.nodes)
            assert before.health_gate is None or told.ended_before(gate, at)
            continue
        check_formula_is_complete(told, before, at)
        if dep.condition is Condition.HEALTHY and before.health_gate:
            assert told.good_before(gate, at)


def check_order(told: Story, one: Formula, held: Node, at: int) -> None:
    """In a sequential formula all earlier nodes have ended, and succeeded unless `depends_on` says what counts."""
    ordered = [other.id for other in in_order(one, one.nodes)]
    for earlier in ordered[: ordered.index(held.id)]:
        step = f"{one.id}/{earlier}"
        assert told.ended_before(step, at)
        assert held.depends_on or earlier in lenient(one) or told.good_before(step, at)


def check_run(what: Infra, told: Story) -> None:
    all_of = formulas(what)
    for one in all_of.values():
        for held in one.nodes:
            at = told.started.get(f"{one.id}/{held.id}")
            if at is None:
                continue
            check_entry(told, one, all_of, at)
            if not one.parallel:
                check_order(told, one, held, at)
        at = told.started.get(f"{one.id}/gate")
        if at is not None:
            check_entry(told, one, all_of, at)
            check_formula_is_complete(told, one, at)


@examples(4)
@given(what=infras(), data=st.data(), keep_going=st.booleans(), seed=st.integers(0, 1000))
def test_whatever_fails_nothing_starts_before_what_it_needs(
    *, what: Infra, data: st.DataObject, keep_going: bool, seed: int
) -> None:
    flow = workflow_of(what, None, data.draw(books(what)), keep_going=keep_going)
    failed = data.draw(st.lists(st.sampled_from([step.id for step in flow.steps]), max_size=3))
    simulation = simulate(flow, failing(*failed), seed)
    run = simulation.go()
    assert run.ended
    check_run(what, story(simulation.events))


@given(infras(), st.data(), st.integers(0, 1000))
def test_when_all_goes_well_everything_runs_but_what_is_there_for_failures(what: Infra, data: st.DataObject, seed: int) -> None:
    simulation = simulate(workflow_of(what, None, data.draw(books(what))), seed=seed)
    run = simulation.go()
    told = story(simulation.events)
    assert run.state is RunState.SUCCEEDED
    for one in formulas(what).values():
        gone = {held.id for held in one.nodes if told.ended[f"{one.id}/{held.id}"][1] not in GOOD}
        assert gone <= lenient(one)
        assert one.health_gate is None or told.ended[f"{one.id}/gate"][1] is Kind.STEP_SUCCEEDED


@given(infras())
def test_no_edge_is_there_twice_or_leads_to_its_own_step(what: Infra) -> None:
    for step in workflow_of(what).steps:
        befores = [dep.step for dep in step.deps]
        assert len(set(befores)) == len(befores)
        assert step.id not in befores
        assert all(dep.on in On for dep in step.deps)
