"""The critical path, and what lies before and behind a step. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from support.cost import counted
from support.records import NOOP, a_step, a_workflow

from provisioning.core.analysis import Timing, critical_path, downstream, durations, upstream
from provisioning.core.model import Dep, HandlerOn, Step, Workflow
from provisioning.errors import NotFoundError

DIAMOND = a_workflow(a_step("a"), a_step("b", "a"), a_step("c", "a"), a_step("d", "b", "c"), name="diamond")


def timed(slas: Mapping[str, float]) -> Workflow:
    """Return the diamond with SLAs in minutes."""
    steps = (Step(id=s.id, action=NOOP, deps=s.deps, sla_s=slas[s.id] * 60) for s in DIAMOND.steps)
    return a_workflow(*steps, name="diamond")


def test_a11_the_slas_of_a_diamond_give_its_critical_path_and_the_slack_of_the_other_branch() -> None:
    flow = timed({"a": 2, "b": 3, "c": 2, "d": 4})
    found = critical_path(flow, durations(flow, {}))

    assert found.total_s == 9 * 60
    assert found.chain == ("a", "b", "d")
    assert {step.step: step.slack_s for step in found.steps} == {"a": 0, "b": 0, "c": 60, "d": 0}
    assert {step.step: (step.earliest_s, step.latest_s) for step in found.steps} == {
        "a": (0, 0),
        "b": (120, 120),
        "c": (120, 180),
        "d": (300, 300),
    }


def test_a12_of_two_equal_branches_both_are_critical_and_the_chain_is_one_of_them() -> None:
    found = critical_path(DIAMOND, {"a": 0.1, "b": 0.1 + 0.2, "c": 0.3, "d": 0.7})

    assert found.critical == {"a", "b", "c", "d"}, "0.1 + 0.2 is not 0.3, but no slack either"
    assert found.chain in {("a", "b", "d"), ("a", "c", "d")}


def test_a13_a_step_of_which_nothing_is_known_counts_as_a_minute_or_as_its_median() -> None:
    flow = a_workflow(
        a_step("nothing"),
        Step(id="timeout", action=NOOP, timeout_s=5),
        Step(id="both", action=NOOP, timeout_s=5, sla_s=7),
        Step(id="known", action=NOOP, timeout_s=5, sla_s=7),
    )

    assert durations(flow, {"known": [3, 1, 100], "nothing": []}) == {"nothing": 60, "timeout": 5, "both": 7, "known": 3}


def test_a14_lineage_is_transitive_and_an_unknown_step_is_an_error_with_the_nearest_name() -> None:
    assert upstream(DIAMOND, "d") == ("a", "b", "c")
    assert upstream(DIAMOND, "a") == ()
    assert downstream(DIAMOND, "a") == ("b", "c", "d")
    assert downstream(DIAMOND, "c") == ("d",)
    flow = a_workflow(a_step("fetch"), a_step("load", "fetch"))
    for query in (upstream, downstream):
        with pytest.raises(NotFoundError, match="no step 'fetsh'") as caught:
            query(flow, "fetsh")
        assert caught.value.hint == "did you mean fetch?"


def test_handlers_are_not_on_the_critical_path() -> None:
    handler = Step(id="clean", action=NOOP, handler=HandlerOn.EXIT)
    found = critical_path(a_workflow(a_step("a"), handler), {"a": 1})

    assert (found.total_s, found.chain, [step.step for step in found.steps]) == (1, ("a",), ["a"])


def test_a_workflow_of_handlers_alone_has_an_empty_path() -> None:
    found = critical_path(a_workflow(Step(id="h", action=NOOP, handler=HandlerOn.EXIT)), {})

    assert (found.total_s, found.chain, found.steps) == (0, (), ())


def random_workflow(roll: random.Random, size: int) -> Workflow:
    """Return steps that wait for some before them, declared in any order."""
    names = [f"s{number}" for number in range(size)]
    steps = [
        Step(id=id, action=NOOP, deps=tuple(Dep(step=dep) for dep in roll.sample(names[:at], roll.randint(0, min(at, 3)))))
        for at, id in enumerate(names)
    ]
    roll.shuffle(steps)
    return a_workflow(*steps)


@pytest.mark.parametrize("seed", range(30))
def test_the_chain_is_contiguous_from_a_root_to_an_end_and_as_long_as_the_whole(seed: int) -> None:
    roll = random.Random(seed)
    flow = random_workflow(roll, roll.randint(1, 25))
    took = {step.id: roll.choice([0.0, 0.1, 0.2, 0.3, roll.random()]) for step in flow.steps}
    found = critical_path(flow, took)
    deps = {step.id: {dep.step for dep in step.deps} for step in flow.steps}

    assert not deps[found.chain[0]]
    assert not downstream(flow, found.chain[-1])
    assert all(left in deps[right] for left, right in pairwise(found.chain))
    assert sum(took[id] for id in found.chain) == pytest.approx(found.total_s)
    assert set(found.chain) <= found.critical
    for step in found.steps:
        assert step.earliest_s == pytest.approx(max((_end(found.steps, dep) for dep in deps[step.step]), default=0.0))
        assert step.slack_s >= 0
        delayed = {**took, step.step: took[step.step] + step.slack_s}
        assert critical_path(flow, delayed).total_s == pytest.approx(found.total_s), "slack delays nothing"
        delayed[step.step] += 1
        assert critical_path(flow, delayed).total_s == pytest.approx(found.total_s + 1), "and more of it does"
        assert step.latest_s + step.duration_s <= found.total_s + 1e-9


def _end(steps: Sequence[Timing], id: str) -> float:
    return next(step.earliest_s + step.duration_s for step in steps if step.step == id)


def chain(length: int) -> Workflow:
    return a_workflow(*(a_step(f"s{at}", *([f"s{at - 1}"] if at else [])) for at in range(length)))


def test_a_chain_of_100000_steps_needs_no_recursion() -> None:
    flow = chain(100_000)

    found = critical_path(flow, dict.fromkeys((step.id for step in flow.steps), 1.0))

    assert (found.total_s, len(found.chain), len(found.critical)) == (100_000, 100_000, 100_000)
    assert len(upstream(flow, "s99999")) == len(downstream(flow, "s0")) == 99_999


def test_twice_the_steps_cost_twice_as_much() -> None:
    flows = [chain(size) for size in (1000, 2000)]
    lines = []
    for flow in flows:
        took = dict.fromkeys((step.id for step in flow.steps), 1.0)
        with counted() as cost:
            critical_path(flow, took)
        lines.append(cost.lines)

    assert lines[1] < 2.2 * lines[0]
