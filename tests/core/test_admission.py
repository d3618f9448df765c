"""Which queued run starts next: limits hold, nobody overtakes who may not, and who waits costs nothing."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from support.cost import counted
from support.simulate import step, workflow

from provisioning.core.admission import Admission
from provisioning.core.model import Policy
from provisioning.core.run import Run, new_run

SEED = 20261122


def run(id: str, name: str = "test", **rules: object) -> Run:
    flow = replace(workflow(step("a"), policy=Policy(**rules)), name=name)  # type: ignore[arg-type]
    return new_run(id, flow)


def offered(*runs: Run, limit: int = 0) -> Admission:
    found = Admission(limit=limit)
    for one in runs:
        found.offer(one)
    return found


def ids(runs: list[Run]) -> list[str]:
    return [one.id for one in runs]


def is_empty(found: Admission) -> bool:
    return not (found.waiting or found.admitted or found.slots or found.taken or found.heap or found.parked or found.woken)


def test_a_queue_starts_as_many_as_it_has_slots_and_then_the_oldest_for_each_that_ends() -> None:
    found = offered(*(run(f"r{number}", queues={"etl": 2}) for number in range(5)))
    assert ids(found.admit()) == ["r0", "r1"]
    assert ids(found.admit()) == []
    found.leave("r1")
    assert ids(found.admit()) == ["r2"]
    found.leave("r0")
    found.leave("r2")
    assert ids(found.admit()) == ["r3", "r4"]
    for last in ("r3", "r4"):
        found.leave(last)
    assert is_empty(found)


def test_runs_of_other_workflows_share_the_slots_of_a_queue() -> None:
    found = offered(run("r0", "one", queues={"etl": 1}), run("r1", "two", queues={"etl": 1}), run("r2", "two"))
    assert ids(found.admit()) == ["r0", "r2"]


def test_who_waits_in_a_queue_is_passed_by_those_that_need_no_slot_of_it() -> None:
    found = offered(*(run(f"r{number}", queues={name: 1}) for number, name in enumerate(["a", "a", "b", "a", "b", "c"])))
    assert ids(found.admit()) == ["r0", "r2", "r5"]


def test_a_run_takes_its_slots_together_or_none_of_them() -> None:
    found = offered(run("r0", queues={"a": 1}), run("r1", queues={"a": 1, "b": 1}), run("r2", queues={"b": 1}))
    assert ids(found.admit()) == ["r0", "r2"]
    found.leave("r2")
    assert ids(found.admit()) == []
    found.leave("r0")
    assert ids(found.admit()) == ["r1"]


def test_the_urgent_one_goes_first_and_of_two_the_older() -> None:
    found = offered(run("first", queues={"a": 1}))
    found.admit()
    for id, priority in (("low", 0), ("high", 2), ("too", 2), ("middle", 1)):
        found.offer(run(id, queues={"a": 1}, priority=priority))
    order = []
    last = "first"
    for _ in range(4):
        assert ids(found.admit()) == []
        found.leave(last)
        (started,) = found.admit()
        order.append(last := started.id)
    assert order == ["high", "too", "middle", "low"]


def test_one_that_is_stopped_while_it_waits_gives_its_turn_to_the_next() -> None:
    found = offered(*(run(f"r{number}", queues={"a": 1}) for number in range(4)))
    assert ids(found.admit()) == ["r0"]
    found.leave("r1")
    found.leave("r2")
    assert ids(found.admit()) == []
    found.leave("r0")
    assert ids(found.admit()) == ["r3"]


def test_what_the_newest_run_says_of_a_queue_counts_for_those_that_wait() -> None:
    found = offered(*(run(f"r{number}", queues={"a": 1}) for number in range(4)))
    assert ids(found.admit()) == ["r0"]
    found.offer(run("r4", queues={"a": 3}))
    assert ids(found.admit()) == ["r1", "r2"]
    found.offer(run("r5", queues={"a": 1}))
    for ended, next_ in (("r0", []), ("r1", []), ("r2", ["r3"])):
        found.leave(ended)
        assert ids(found.admit()) == next_


def test_whoever_takes_over_counts_those_that_run_and_starts_nothing_beyond() -> None:
    found = Admission()
    for number in range(3):
        found.enter(run(f"r{number}", queues={"a": 2}))  # one was started again by hand, beyond the limit
    found.offer(run("r3", queues={"a": 2}))
    assert ids(found.admit()) == []
    found.leave("r0")
    assert ids(found.admit()) == []
    found.leave("r1")
    assert ids(found.admit()) == ["r3"]


@pytest.mark.parametrize("seed", range(SEED, SEED + 40))
def test_no_limit_is_ever_passed_and_nobody_is_forgotten(seed: int) -> None:
    dice = random.Random(seed)
    limits = {"a": 1, "b": 2, "c": 3}
    runs: dict[str, Run] = {}
    for number in range(120):
        queues = {name: limits[name] for name in dice.sample(sorted(limits), dice.randint(0, 3))}
        name = dice.choice(["free", "narrow"])
        rules = {"queues": queues, "priority": dice.randint(0, 2), "max_runs": 2 if name == "narrow" else 0}
        runs[f"r{number}"] = run(f"r{number}", name, **rules)
    found, coming, going, done = Admission(limit=dice.choice([0, 4])), list(runs), set[str](), 0
    while done < len(runs):
        for id in [coming.pop(0) for _ in range(min(dice.randint(0, 5), len(coming)))]:
            found.offer(runs[id])
        going |= set(ids(found.admit()))
        taken = Counter(place for id in going for place in runs[id].workflow.policy.queues)
        assert all(taken[name] <= most for name, most in limits.items())
        assert sum(runs[id].workflow.name == "narrow" for id in going) <= 2
        assert not found.limit or len(going) <= found.limit
        assert going or coming, "whoever waits is started when nothing runs"
        for id in dice.sample(sorted(going), min(len(going), dice.randint(1, 3))):
            found.leave(id)
            going.remove(id)
            done += 1
    assert is_empty(found)


def cost(runs: int) -> int:
    """Return what it takes to get so many runs through a queue with one slot, all of them waiting from the beginning."""
    found = offered(*(run(f"r{number}", queues={"a": 1}) for number in range(runs)))
    with counted() as lines:
        for _ in range(runs):
            (started,) = found.admit()
            found.leave(started.id)
    assert is_empty(found)
    return lines.lines


def test_twice_as_many_that_wait_take_twice_the_work() -> None:
    assert cost(1000) < 2.3 * cost(500)
