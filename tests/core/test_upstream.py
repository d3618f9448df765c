"""What a step can know of its run when it starts: the outputs above it and only those, its parameters, where the run stands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted
from support.generated import GO, Script, flows, scripts
from support.simulate import START, End, Simulation, ending, simulate, step, workflow

from provisioning.core.events import Kind
from provisioning.core.folding import apply
from provisioning.core.model import HandlerOn, OnFailure, Policy, Retry, Step, StepState, Workflow
from provisioning.core.packing import pack, unpack
from provisioning.core.ports import Outcome, Task
from provisioning.core.run import Run, new_run
from provisioning.core.upstream import upstream
from provisioning.core.values import Payload, Ref, RunParams, RunVerdict, Upstream

KEEP_GOING = Policy(on_failure=OnFailure.SKIP_DOWNSTREAM)
ABOVE = Upstream()


def listening(id: str, *deps: str, **fields: object) -> Step:
    """A step that wants everything above it."""
    return step(id, *deps, args=ABOVE, **fields)


def leaving(*ids: str) -> dict[str, End]:
    """Ends: each of these steps leaves its id."""
    return {id: End(output=id) for id in ids}


def heard(flow: Workflow, ends: dict[str, End], seed: int = 0) -> dict[str, tuple[str, ...]]:
    """Return whose outputs each step that listens was told, in the order in which they were."""
    seen: dict[str, tuple[str, ...]] = {}

    def end(task: Task) -> Outcome | End:
        if isinstance(task.args, dict):
            seen[task.step] = tuple(task.args)
        return ends.get(task.step, Outcome.OK)

    simulate(flow, end, seed).go()
    return seen


@pytest.mark.parametrize(
    ("steps", "ends", "expected"),
    [
        pytest.param([step("a"), listening("z", "a")], leaving("a"), ["a"], id="the one above"),
        pytest.param([step("a"), step("b", "a"), listening("z", "b")], leaving("a", "b"), ["a", "b"], id="near and far"),
        pytest.param([step("a"), step("b", "a"), listening("z", "b")], leaving("a"), ["a"], id="far, past one without"),
        pytest.param([step("a"), step("b"), listening("z", "b")], leaving("a", "b"), ["b"], id="not what is beside"),
        pytest.param([step("a"), step("b", "a"), listening("z", "a", "b")], leaving("a"), ["a"], id="once, over two ways"),
        pytest.param([step("a"), listening("z", "a", "a:done")], leaving("a"), ["a"], id="once, over two edges"),
        pytest.param([listening("z")], {}, [], id="nothing above"),
        pytest.param(
            [step("a"), listening("z", "a:done")], {"a": End(outcome=Outcome.FAILED, output=1)}, ["a"], id="of what failed too"
        ),
        pytest.param(
            [step("a"), step("b", "a"), listening("z", "b:done")],
            {"a": End(output=1), "b": End(outcome=Outcome.SKIPPED)},
            ["a"],
            id="past one that was skipped",
        ),
        pytest.param([step("a"), listening("z", "a")], {"a": End(output="")}, ["a"], id="an empty one is one"),
        pytest.param([step("a"), listening("z", "a")], {"a": End(output=None)}, [], id="null is none"),
    ],
)
def test_a_step_is_told_everything_above_it_and_only_that(steps: list[Step], ends: dict[str, End], expected: list[str]) -> None:
    assert heard(workflow(*steps, policy=KEEP_GOING), ends)["z"] == tuple(expected)


def test_outputs_come_in_the_order_in_which_they_ended() -> None:
    flow = workflow(step("a"), step("b"), step("c"), listening("z", "a", "b", "c"))
    orders = set()
    for seed in range(20):
        simulation = simulate(flow, lambda task: End(output=task.step), seed)
        simulation.go()
        ended = [event.step for event in simulation.events if event.kind is Kind.STEP_SUCCEEDED]
        assert list(upstream(simulation.run, simulation.run.steps["z"])) == ended[:3]
        orders.add(tuple(ended))
    assert len(orders) == 6


def test_a_handler_is_told_the_outputs_of_all() -> None:
    flow = workflow(step("a"), step("b"), step("none"), listening("on", handler=HandlerOn.EXIT))

    assert sorted(heard(flow, leaving("a", "b"))["on"]) == ["a", "b"]


def test_what_a_failed_attempt_left_is_not_there_before_the_last_one_has_ended() -> None:
    flow = workflow(
        step("slow", retry=Retry(attempts=2, base_s=99)),
        step("x", "slow", "bad"),
        step("bad"),
        listening("y", "x:done"),
        policy=KEEP_GOING,
    )
    fails = {"bad": End(outcome=Outcome.FAILED), "slow": End(outcome=Outcome.FAILED, output="half")}

    assert heard(flow, fails)["y"] == ()


def test_what_was_skipped_early_hides_nothing_that_ends_later() -> None:
    """`x` is skipped while `slow` still works; `early` starts before that has ended, `late` afterwards."""
    flow = workflow(
        step("slow"),
        step("bad"),
        step("x", "slow", "bad"),
        listening("early", "x:done"),
        step("long", "slow"),
        listening("late", "x:done", "long:done"),
        policy=KEEP_GOING,
    )
    ends = {**leaving("slow"), "bad": End(outcome=Outcome.FAILED)}
    seen = [heard(flow, ends, seed) for seed in range(20)]

    assert {each["late"] for each in seen} == {("slow",)}
    assert {each["early"] for each in seen} == {(), ("slow",)}


def by_searching(run: Run, id: str) -> set[str]:
    """Return the same by asking everybody again."""
    above, rest = set[str](), [dep.step for dep in run.steps[id].spec.deps]
    while rest:
        found = rest.pop()
        if found not in above:
            above.add(found)
            rest += [dep.step for dep in run.steps[found].spec.deps]
    return {name for name in above if run.steps[name].output is not None and run.steps[name].ended_at is not None}


@given(flows(most=12, gates=(GO,)), scripts(stops=False), st.integers(), st.sets(st.integers(0, 11)))
def test_what_is_remembered_is_what_a_search_finds(flow: Workflow, script: Script, seed: int, silent: set[int]) -> None:
    def end(task: Task) -> End:
        said = script.get((task.step, task.attempt), End())
        quiet = task.step.removeprefix("s") in map(str, silent)
        return End(outcome=said.outcome, passes=said.passes, output=None if quiet else task.step)

    simulation = simulate(flow, end, seed)
    simulation.ask("open_gate", kind="signal", name="go")
    simulation.go()
    run = new_run("r1", flow)
    for event in simulation.events:
        apply(run, event)
        if event.kind is Kind.STEP_DISPATCHED and run.steps[event.step].spec.handler is None:
            assert set(upstream(run, run.steps[event.step])) == by_searching(run, event.step)


def test_after_a_run_was_opened_again_the_answers_are_fresh() -> None:
    flow = workflow(step("a"), step("b", "a"), listening("c", "b"), policy=KEEP_GOING)
    simulation = simulate(flow, lambda task: End(output=f"{task.step}{task.attempt}"))
    simulation.go()
    simulation.outcome = lambda task: End(output="new") if task.step == "a" else Outcome.OK
    seen: list[Task] = []
    simulation.reopen("a")
    while not simulation.run.ended:
        seen += simulation.tasks
        simulation.turn()

    assert [task.args for task in seen if task.step == "c"] == [{"a": "new"}]


def test_what_is_opened_again_has_left_nothing_yet() -> None:
    flow = workflow(step("a"), step("b"), listening("c", "a:done", "b:done"), policy=KEEP_GOING)
    simulation = simulate(flow, lambda task: End(outcome=Outcome.FAILED, output=task.step))
    simulation.go()
    simulation.reopen("b")

    assert [id for id, one in simulation.run.steps.items() if one.output is not None] == ["a"]


# ---------------------------------------------------------------- what it costs


def chain(count: int, *, every: int) -> Run:
    """Return a run of a chain that has gone through; one in `every` links has left something."""
    steps = [step(f"s{i}", *([f"s{i - 1}"] if i else [])) for i in range(count)]
    run = new_run("r1", workflow(*steps))
    for number, one in enumerate(run.steps.values()):
        one.output = 1 if number % every == 0 else None
        run.end(one, StepState.SUCCEEDED, START)
    return run


def test_a_chain_of_a_hundred_thousand_does_not_recurse() -> None:
    run = chain(100_000, every=1_000)

    assert len(upstream(run, run.steps["s99999"])) == 100


def asked(run: Run, ids: Sequence[str]) -> int:
    """Return what it costs that each of these steps asks."""
    with counted() as cost:
        for id in ids:
            upstream(run, run.steps[id])
    return cost.lines


def test_a_chain_in_which_everybody_asks_costs_the_same_per_step_at_any_length() -> None:
    small, large = (asked(chain(count, every=10_000), [f"s{i}" for i in range(count)]) for count in (500, 2000))

    assert large / small < 4.2


def join(count: int) -> Run:
    """Return a run of `count` steps into one, and `count` behind that."""
    first, last = [f"s{i}" for i in range(count)], [f"t{i}" for i in range(count)]
    steps = [*map(step, first), step("mid", *first), *(step(id, "mid") for id in last)]
    return simulate(workflow(*steps), ending(s0=End(output=1), s1=End(output=2))).go()


def test_a_wide_join_costs_the_same_per_edge_at_any_width() -> None:
    small, large = (asked(join(count), ["mid", *(f"t{i}" for i in range(count))]) for count in (300, 1200))

    assert large / small < 4.2


# ---------------------------------------------------------------- facts, and how they are written down


def told(simulation: Simulation, id: str) -> object:
    return next(task for task in simulation.tasks if task.step == id).args


def test_a_step_is_told_the_parameters_and_where_the_run_stands_at_any_depth() -> None:
    flow = workflow(step("a", args={"run": [RunParams(), {"now": RunVerdict()}]}))
    simulation = simulate(flow, params={"day": "friday"})

    now = {"state": "running", "reason": "", "failed": [], "rejected": [], "waiting": []}
    assert told(simulation, "a") == {"run": [{"day": "friday"}, {"now": now}]}
    simulation.crash()
    assert told(simulation, "a") == {"run": [{"day": "friday"}, {"now": now}]}


def test_a_failure_that_passes_is_not_among_those_that_a_handler_is_told() -> None:
    flow = workflow(step("a"), step("b"), step("on", handler=HandlerOn.EXIT, args=RunVerdict()), policy=KEEP_GOING)
    simulation = simulate(flow, ending(a=End(outcome=Outcome.FAILED, passes=True), b=Outcome.TIMED_OUT))
    while not simulation.run.verdict:
        simulation.turn()

    assert told(simulation, "on") == {
        "state": "failed",
        "reason": "b timed out",
        "failed": ["b"],
        "rejected": [],
        "waiting": [],
    }


_MARKERS = st.one_of(
    st.just(Upstream()),
    st.just(RunParams()),
    st.just(RunVerdict()),
    st.builds(Payload, signal=st.text(max_size=3)),
    st.builds(Ref, step=st.text(max_size=3)),
)
_KEYS = st.one_of(st.sampled_from(["$run", "$$run", "$run2", "$ref", "$signal", "$", "run"]), st.text(max_size=3))
_ARGS = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3), _MARKERS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=12,
)


@given(_ARGS)
def test_arguments_come_back_as_they_were_whatever_their_keys(args: object) -> None:
    packed = pack(args)

    assert unpack(packed) == args
    assert not any(isinstance(value, Upstream | RunParams | RunVerdict | Ref | Payload) for value in _all(packed))


def _all(args: object) -> list[object]:
    found, rest = [], [args]
    while rest:
        value = rest.pop()
        found.append(value)
        rest += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return found


@pytest.mark.parametrize(
    ("args", "packed"),
    [
        (Upstream(), {"$run": "upstream"}),
        ([RunParams(), RunVerdict()], [{"$run": "params"}, {"$run": "verdict"}]),
        ({"$run": "upstream"}, {"$$run": "upstream"}),
        ({"$$run": "upstream"}, {"$$$run": "upstream"}),
        ({"$running": 1, "x": RunParams()}, {"$$running": 1, "x": {"$run": "params"}}),
    ],
)
def test_facts_are_written_as_words_and_keys_like_them_are_kept_apart(args: object, packed: object) -> None:
    assert pack(args) == packed
    assert unpack(packed) == args


@pytest.mark.parametrize("packed", [{"$run": "weather"}, {"$run": 1}, {"$run": "params", "x": 1}, {"$run": None}, {"$run": []}])
def test_what_is_no_fact_of_the_run_is_refused(packed: object) -> None:
    with pytest.raises(ValueError, match="not a fact of the run"):
        unpack(packed)
