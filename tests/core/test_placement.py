"""Where steps go, by who is there: every way to place a step, and what becomes of it while nobody is there for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulate import step, workflow

from provisioning.core import decide
from provisioning.core.decision import Decision
from provisioning.core.folding import fold
from provisioning.core.model import Action, Fallback, Placement, Policy, Step, Workflow
from provisioning.core.placement import TIMES, Place, Roster, place
from provisioning.core.ports import Outcome, Report, Task
from provisioning.core.presence import Presence, worker_target
from provisioning.core.run import Run, new_run
from provisioning.core.why import blockers

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GPU = {"gpu": "yes"}


def worker(name: str, *targets: str, capacity: int = 2, in_use: int = 0, **labels: str) -> Presence:
    return Presence(name=name, targets=targets, capacity=capacity, in_use=in_use, labels=labels)


def roster(*there: Presence) -> Roster:
    made = Roster()
    made.update(there)
    return made


def begun(flow: Workflow, *, run_id: str = "r1") -> Run:
    decision = Decision(run=new_run(run_id, flow), now=NOW)
    decide.create(decision, "sha256:0", name=flow.name, trigger="manual", params={})
    decide.start(decision)
    decide.settle(decision)
    return decision.run


def sent(run: Run, id: str, where: Place) -> Task:
    """Hand a step out."""
    decision = Decision(run=run, now=NOW)
    decide.dispatch(decision, id, where)
    return decision.tasks[0]


def ran(run: Run, id: str, by: str, where: Place | None = None) -> None:
    """Let a worker run a step to its end."""
    task = sent(run, id, where or Place())
    decision = Decision(run=run, now=NOW)
    decide.on_report(decision, Report(task=task, worker=by, outcome=Outcome.OK), 0.5)
    decide.settle(decision)


def placed(placement: Placement, *others: Step) -> Run:
    return begun(workflow(*others, step("s", placement=placement)))


def where(run: Run, there: Roster | None, id: str = "s") -> Place:
    """Where a step goes; under which name it waits is for `core.posting`."""
    return replace(place(run, run.steps[id], there), key="")


# ---------------------------------------------------------------- targets and labels

BY_KIND = [
    pytest.param(Placement(), [worker("w1")], Place(), id="anywhere"),
    pytest.param(Placement(target="x"), [worker("w1", "x")], Place(target="x"), id="target"),
    pytest.param(Placement(selector=GPU), [worker("w1"), worker("w2", gpu="yes")], Place(target="w.w2"), id="labels"),
    pytest.param(
        Placement(selector=GPU, target="x"),
        [worker("w1", gpu="yes"), worker("w2", "x", gpu="yes")],
        Place(target="w.w2"),
        id="labels and target",
    ),
    pytest.param(
        Placement(selector=GPU),
        [worker("w1", gpu="no"), worker("w2", "x")],
        Place(waits="no worker with gpu=yes is there; there are w1 (gpu=no), w2 (without these labels)"),
        id="nobody has the labels",
    ),
    pytest.param(
        Placement(selector=GPU, fallback=Fallback.FAIL),
        [],
        Place(problem="no worker with gpu=yes is there; there is no worker at all"),
        id="nobody at all, and it fails",
    ),
    pytest.param(
        Placement(target="x"),
        [worker(f"w{number}", "y") for number in range(5)],
        Place(waits="no worker of x is there; there are w0 (y), w1 (y), w2 (y) and 2 more"),
        id="nobody of the target",
    ),
    pytest.param(
        Placement(selector=GPU, fallback=Fallback.RETARGET),
        [worker("w1")],
        Place(waits="no worker with gpu=yes is there; there are w1 (without these labels)"),
        id="never at a worker without the labels",
    ),
    pytest.param(
        Placement(selector=GPU),
        [worker("w1", gpu="yes", capacity=0)],
        Place(waits="no worker with gpu=yes is there; there are w1 (gpu=yes)"),
        id="a worker without slots",
    ),
    pytest.param(Placement(target="w.w1"), [worker("w1")], Place(target="w.w1"), id="one worker by name"),
]


@pytest.mark.parametrize(("placement", "there", "expected"), BY_KIND)
def test_a_step_goes_where_its_placement_says(placement: Placement, there: list[Presence], expected: Place) -> None:
    assert where(placed(placement), roster(*there)) == expected


@pytest.mark.parametrize(
    ("placement", "target"), [(Placement(), ""), (Placement(target="x"), "x"), (Placement(selector=GPU), "")]
)
def test_one_process_takes_everything_and_labels_mean_nothing(placement: Placement, target: str) -> None:
    assert where(placed(placement), None) == Place(target=target)


def test_following_is_of_the_placement_not_of_the_worker() -> None:
    run = placed(Placement(follow_target_of="b"), step("a", placement=Placement(selector=GPU)), step("b", "a"))
    run.steps["b"].spec = replace(run.steps["b"].spec, placement=Placement(follow_target_of="a"))
    ran(run, "a", "old")

    assert where(run, roster(worker("old"), worker("new", gpu="yes"))) == Place(target="w.new")


# ---------------------------------------------------------------- beside another step

GONE = "it belongs beside a, and worker w1, which ran that, is gone"


@pytest.mark.parametrize(
    ("fallback", "there", "expected"),
    [
        pytest.param(Fallback.WAIT, [worker("w1"), worker("w2")], Place(target="w.w1"), id="it is there"),
        pytest.param(Fallback.WAIT, [worker("w2", "x")], Place(waits=GONE), id="gone, and waited for"),
        pytest.param(Fallback.FAIL, [worker("w2", "x")], Place(problem=GONE), id="gone, and that is a failure"),
        pytest.param(Fallback.RETARGET, [worker("w2", "x"), worker("w3")], Place(target="w.w2"), id="gone, another one"),
        pytest.param(
            Fallback.RETARGET,
            [worker("w3")],
            Place(waits="no worker of x is there; there are w3 (no target)"),
            id="gone, and no other could have run it",
        ),
    ],
)
def test_beside_a_step_is_at_its_worker_or_what_the_fallback_says(
    fallback: Fallback, there: list[Presence], expected: Place
) -> None:
    run = placed(Placement(colocate_with="a", fallback=fallback), step("a", placement=Placement(target="x")))
    ran(run, "a", "w1", Place(target="x"))

    assert where(run, roster(*there)) == expected


def test_what_nobody_has_run_has_no_beside() -> None:
    run = placed(Placement(colocate_with="a"), step("a", unchanged=True))

    assert where(run, roster(worker("w1"))).problem == "it belongs beside a, which no worker has run"


def test_once_moved_all_of_them_are_beside_each_other_again() -> None:
    beside = Placement(colocate_with="a", fallback=Fallback.RETARGET)
    run = begun(workflow(step("a"), *(step(f"s{number}", "a", placement=beside) for number in range(20))))
    ran(run, "a", "w1")
    others = roster(*(worker(f"x{number}", capacity=50) for number in range(5)))
    first = where(run, others, "s0")
    sent(run, "s0", first)

    assert {where(run, others, f"s{number}").target for number in range(1, 20)} == {first.target}


def test_a_run_may_be_at_one_worker_as_a_whole() -> None:
    flow = workflow(step("first", placement=Placement(selector=GPU)), step("then", "first"), step("apart", "first"))
    flow = replace(flow, policy=Policy(beside="first"))
    flow = replace(flow, steps=(*flow.steps[:2], replace(flow.steps[2], placement=Placement(target="x"))))
    run = begun(flow)
    there = roster(worker("w1"), worker("w2", gpu="yes"), worker("w3", "x"))
    first = where(run, there, "first")
    ran(run, "first", "w2", first)

    assert [first.target, where(run, there, "then").target, where(run, there, "apart").target] == ["w.w2", "w.w2", "x"]
    assert where(run, None, "then") == Place()


def test_a_run_as_a_whole_moves_on_when_its_worker_is_gone_unless_it_may_not() -> None:
    run = begun(replace(workflow(step("first"), step("then", "first")), policy=Policy(beside="first")))
    ran(run, "first", "w1", Place(target="w.w1"))

    assert where(run, roster(worker("w2")), "then") == Place(target="w.w2")
    run.workflow = replace(run.workflow, policy=Policy(beside="first", if_gone=Fallback.FAIL))
    assert "w1, which ran that, is gone" in where(run, roster(worker("w2")), "then").problem


def test_a_fold_knows_where_a_moved_run_went() -> None:
    flow = replace(workflow(step("first"), step("one", "first"), step("two", "first")), policy=Policy(beside="first"))
    run = new_run("r1", flow)
    decision = Decision(run=run, now=NOW)
    decide.create(decision, "sha256:0", name="w", trigger="manual", params={})
    decide.start(decision)
    decide.dispatch(decision, "first", Place(target="w.w1"))
    decide.on_report(decision, Report(task=decision.tasks[0], worker="w1", outcome=Outcome.OK), 0.5)
    decide.dispatch(decision, "one", place(run, run.steps["one"], roster(worker("w2"))))

    assert where(fold("r1", flow, decision.events), roster(worker("w1"), worker("w2")), "two") == Place(target="w.w2")


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (None, "waits for a free worker of x with gpu=yes"),
        ([worker("w1", "x", gpu="yes")], "waits for a free worker of x with gpu=yes"),
        (
            [worker("w1", "x")],
            "no worker of x with gpu=yes is there; there are w1 (without these labels): "
            "start one with `provisioning worker start --target x --label gpu=yes`",
        ),
    ],
)
def test_why_a_step_waits_for_a_worker(there: list[Presence] | None, reason: str) -> None:
    run = placed(Placement(target="x", selector=GPU))

    assert [one.reason for one in blockers(run, "s", {}, None, there)] == [reason]


def test_why_a_step_waits_whose_neighbour_is_gone_or_who_was_handed_to_somebody_that_is() -> None:
    beside = placed(Placement(colocate_with="a"), step("a"))
    ran(beside, "a", "w1")
    (back,) = blockers(beside, "s", {}, None, [worker("w2")])
    assert (back.kind, back.name) == ("worker", "w1")
    assert back.reason.endswith("w1, which ran that, is gone: start one with `provisioning worker start --name w1`")

    run = placed(Placement(target="x"))
    sent(run, "s", Place(target="x"))
    reasons = [blockers(run, "s", {}, None, there)[0].reason for there in ([worker("w1", "x")], [worker("w2")], None)]
    assert reasons == [
        "waits for a free worker of x",
        "no worker of x is there any more: start one with `provisioning worker start --target x`",
        "waits for a free worker of x",
    ]

    labelled = placed(Placement(selector=GPU))
    sent(labelled, "s", Place(target="w.w1"))
    reasons = [blockers(labelled, "s", {}, None, [worker(name)])[0].reason for name in ("w1", "w2")]
    assert reasons == [
        "waits for worker w1 to have time for it",
        "worker w1, to which it was handed, is gone: others are asked soon",
    ]


# ---------------------------------------------------------------- how much at once


def test_no_more_than_twice_the_slots_are_out_and_an_end_makes_room() -> None:
    there = roster(worker("w1", "x", capacity=2), worker("w2", "x", capacity=1))
    run = begun(workflow(*(step(f"s{number}", placement=Placement(target="x")) for number in range(10))))
    out = []
    for id in run.steps:
        chosen = where(run, there, id)
        if not chosen.waits:
            there.began(run.id, run.steps[id].spec, chosen.target)
            out.append(id)

    assert len(out) == TIMES * 3
    assert where(run, there, "s9").waits == "waits for a free worker: every worker of x has as much as it can take"
    there.ended(run.id, out[0])
    assert not where(run, there, "s9").waits


def test_what_only_waits_for_others_needs_no_room() -> None:
    there = roster(worker("w1", capacity=1))
    run = begun(workflow(*(step(f"s{number}") for number in range(TIMES)), step("s")))
    for number in range(TIMES):
        there.began(run.id, run.steps[f"s{number}"].spec, "")

    assert where(run, there).waits
    run.steps["s"].spec = replace(run.steps["s"].spec, action=Action(type="workflow"))
    assert where(run, there) == Place()


def test_what_is_counted_twice_counts_once() -> None:
    there = roster(worker("w1"))
    run = begun(workflow(step("a"), step("b")))
    for id in ("a", "b", "a"):
        there.began(run.id, run.steps[id].spec, "")
    ends = [there.ended(run.id, id) for id in ("a", "b", "a")]

    assert ends == ["", "", None]

    assert (dict(there.out), there.having) == ({}, {})


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        ([worker("w1")], False),
        ([worker("w1", in_use=1)], False),
        ([worker("w1"), worker("w2")], True),
        ([], True),
        ([worker("w1", "x")], True),
        ([worker("w1", gpu="yes")], True),
        ([worker("w1", capacity=9)], True),
    ],
)
def test_a_roster_tells_whether_more_may_go_out_now(now: list[Presence], *, changes: bool) -> None:
    assert roster(worker("w1")).update(now) is changes


# ---------------------------------------------------------------- what is lost with a worker


def test_what_was_sent_by_name_to_a_worker_that_is_given_up_is_nobodys() -> None:
    flow = workflow(
        *(step(id) for id in ("own", "any", "there", "late", "back")), Step(id="waits", action=Action(type="workflow"))
    )
    run, there = begun(flow), roster(worker("w2"))
    places = {"own": "w.w1", "any": "", "there": "w.w2", "late": "w.w3", "back": "w.w1", "waits": "w.w1"}
    for id, target in places.items():
        there.began(run.id, run.steps[id].spec, target)
    there.ended(run.id, "back")
    there.update([worker("w2")], lingering=["w3"])

    assert there.strays() == [("r1", "own"), ("r1", "waits")]
    assert there.workers_named() == {"w1", "w2", "w3"}
    for id in places:
        there.ended(run.id, id)
    assert (there.strays(), there.workers_named(), dict(there.out)) == ([], set(), {})


# ---------------------------------------------------------------- whatever there is

names = st.sampled_from("abcd")
labels = st.dictionaries(st.sampled_from(["gpu", "zone"]), st.sampled_from(["1", "2"]))
presences = st.builds(
    lambda name, targets, labels, capacity, in_use: Presence(
        name=name, targets=targets, labels=labels, capacity=capacity, in_use=in_use
    ),
    names,
    st.none() | st.lists(st.sampled_from("xy"), unique=True).map(tuple),
    labels,
    st.integers(0, 3),
    st.integers(0, 3),
)
placements = st.builds(
    lambda target, selector, fallback: Placement(target=target, selector=selector, fallback=fallback),
    st.none() | st.sampled_from("xy"),
    labels,
    st.sampled_from(Fallback),
)


@given(st.lists(presences, unique_by=lambda one: one.name), placements, st.dictionaries(names, st.integers(0, 8)))
def test_a_step_is_only_ever_sent_to_who_may_run_it_and_has_room(
    there: list[Presence], placement: Placement, out: dict[str, int]
) -> None:
    known = roster(*there)
    known.out.update({worker_target(name): count for name, count in out.items()})
    chosen = where(placed(placement), known)
    fit = [one for one in there if one.serves(placement.target or "") and one.has(placement.selector) and one.capacity > 0]

    assert bool(chosen.problem) <= (placement.fallback is Fallback.FAIL)
    if chosen.problem:
        assert not fit
    elif not chosen.waits:
        own = known.worker(chosen.target)
        assert own in fit if own is not None else bool(fit) and not placement.selector
        assert known.room(chosen.target) > 0
    elif placement.selector:
        assert all(known.room(worker_target(one.name)) <= 0 for one in fit)


@given(st.lists(presences, unique_by=lambda one: one.name), st.integers(1, 40))
def test_labels_alone_spread_over_all_that_have_them(there: list[Presence], count: int) -> None:
    """Nobody is given more than its share while another one that could take it has less."""
    known = roster(*(replace(one, in_use=0, targets=None) for one in there))
    run = begun(workflow(*(step(f"s{number}", placement=Placement(selector={"gpu": "1"})) for number in range(count))))
    for id in run.steps:
        chosen = where(run, known, id)
        if chosen.target:
            known.began(run.id, run.steps[id].spec, chosen.target)
    fit = [one for one in known.there if one.has({"gpu": "1"}) and one.capacity > 0]

    assert sum(known.out.values()) == min(count, TIMES * sum(one.capacity for one in fit))
    loads = [(known.out[worker_target(one.name)], one.capacity) for one in fit]
    assert all((mine - 1) / size <= theirs / of for mine, size in loads for theirs, of in loads if mine)
