"""What goes out and what is held: nobody is given more than it can take, and nothing that could go is ever forgotten."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted
from support.simulate import step, workflow

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.model import Placement
from provisioning.core.placement import TIMES, Roster
from provisioning.core.posting import Posting
from provisioning.core.presence import Presence
from provisioning.core.run import Run, new_run
from provisioning.core.window import Window

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLACES = (
    Placement(),
    Placement(target="x"),
    Placement(target="y"),
    Placement(selector={"gpu": "1"}),
    Placement(selector={"gpu": "2"}),
    Placement(target="x", selector={"gpu": "1"}),
    Placement(target="w.a"),
)
workers = st.lists(
    st.builds(
        lambda name, targets, gpu, capacity: Presence(name=name, targets=targets, labels={"gpu": gpu}, capacity=capacity),
        st.sampled_from("abcd"),
        st.sampled_from([None, (), ("x",), ("x", "y")]),
        st.sampled_from("12"),
        st.integers(0, 3),
    ),
    unique_by=lambda one: one.name,
    max_size=4,
)


def begun(*places: Placement) -> Run:
    flow = workflow(*(step(f"s{number}", placement=place) for number, place in enumerate(places)))
    decision = Decision(run=new_run("r1", flow), now=NOW)
    decide.create(decision, "sha256:0", name="w", trigger="manual", params={})
    decide.start(decision)
    decide.settle(decision)
    return decision.run


class Post:
    """A runner that only posts: `out` are the steps that went out and are not back."""

    def __init__(self, run: Run) -> None:
        self.run, self.posting, self.out, self.done = run, Posting(window=Window(), roster=Roster()), list[str](), set[str]()
        self.turn(list(run.steps))

    def turn(self, ready: list[str]) -> None:
        while ready or self.posting.has_ready:
            ready += [step for _, step in self.posting.ready()]
            for id in ready:
                where = self.posting.place(self.run, self.run.steps[id])
                if not where.waits:
                    self.posting.began("r1", self.run.steps[id].spec, where.target)
                    self.out.append(id)
            ready = []

    def see(self, *there: Presence) -> None:
        self.posting.see(there)
        self.turn([])

    def end(self, id: str) -> None:
        self.out.remove(id)
        self.done.add(id)
        self.posting.ended("r1", id)
        self.turn([])


@given(
    st.lists(st.sampled_from(PLACES), max_size=25), st.lists(workers, min_size=1, max_size=3), st.randoms(use_true_random=False)
)
def test_all_that_can_run_does_and_the_rest_says_why(
    places: list[Placement], seen: list[list[Presence]], dice: random.Random
) -> None:
    post = Post(begun(*places))
    for there in seen:
        post.see(*there)
        for _ in range(dice.randint(0, 8)):
            if post.out:
                post.end(dice.choice(post.out))
    roster = post.posting.roster
    assert roster is not None
    while post.out:
        post.end(dice.choice(post.out))
    held = {item[4] for items in post.posting.held.values() for item in items}

    assert held | post.done == set(post.run.steps)
    assert not held & post.done
    assert not roster.out
    for id in held:  # nobody there could have taken it
        assert post.posting.place(post.run, post.run.steps[id]).waits.startswith("no worker")


@given(st.lists(st.sampled_from(PLACES), min_size=1, max_size=40), workers)
def test_no_target_ever_has_more_than_twice_its_slots(places: list[Placement], there: list[Presence]) -> None:
    post = Post(begun(*places))
    post.see(*there)
    roster = post.posting.roster
    assert roster is not None
    most: Counter[str] = Counter()
    while post.out:
        most |= roster.out
        post.end(post.out[0])

    assert all(count <= TIMES * sum(one.capacity for one in there if one.serves(target)) for target, count in most.items())


def test_what_is_better_goes_first_of_those_that_were_held() -> None:
    flow = workflow(*(step(f"s{number}", priority=number % 3) for number in range(9)))
    decision = Decision(run=new_run("r1", flow), now=NOW)
    decide.create(decision, "sha256:0", name="w", trigger="manual", params={})
    decide.start(decision)
    decide.settle(decision)
    post = Post(decision.run)
    post.see(Presence(name="a"))
    order = list(post.out)
    while post.out:
        first = post.out[0]
        post.end(first)
        order += [id for id in post.out if id not in order]

    assert [int(id[1:]) % 3 for id in order] == [2, 2, 2, 1, 1, 1, 0, 0, 0]


def test_a_run_that_ended_makes_room_for_others() -> None:
    one, other = begun(Placement(), Placement()), begun(Placement())
    other.id = "r2"
    posting = Posting(window=Window(), roster=Roster())
    posting.see([Presence(name="a")])
    for id in one.steps:
        posting.began("r1", one.steps[id].spec, posting.place(one, one.steps[id]).target)
    assert posting.place(other, other.steps["s0"]).waits
    posting.forget("r1")

    assert posting.ready() == [("r2", "s0")]


def test_an_end_costs_the_same_however_many_wait() -> None:
    def ends(waiting: int) -> int:
        post = Post(begun(*[Placement(target="x")] * waiting))
        post.see(Presence(name="a", targets=("x",), capacity=2))
        with counted() as cost:
            for _ in range(50):
                post.end(post.out[0])
        return cost.lines

    assert ends(4000) < 1.5 * ends(500)
