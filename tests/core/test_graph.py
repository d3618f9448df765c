from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.graph import closure, cycle, make_graph, order
from provisioning.errors import ConfigError

DIAMOND = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": [], "z": []}


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    """A random DAG, its names declared in any order."""
    size = draw(st.integers(0, 25))
    needs = {f"n{i}": [f"n{j}" for j in draw(st.lists(st.integers(0, i - 1), max_size=4))] if i else [] for i in range(size)}
    return {name: needs[name] for name in draw(st.permutations(list(needs)))}


def test_order_puts_dependencies_first_and_breaks_ties_by_declaration() -> None:
    assert order(make_graph(DIAMOND)) == ["a", "b", "c", "d", "z"]


def test_order_keeps_a_declaration_that_is_in_order_already() -> None:
    needs = {"c": [], "a": ["c"], "b": [], "d": ["b"]}
    assert order(make_graph(needs)) == list(needs)


@given(dags())
def test_order_has_every_name_once_after_all_it_needs(needs: dict[str, list[str]]) -> None:
    ordered = order(make_graph(needs))
    place = {name: index for index, name in enumerate(ordered)}
    assert sorted(ordered) == sorted(needs)
    assert all(place[need] < place[name] for name, wanted in needs.items() for need in wanted)


@given(dags())
def test_order_always_takes_the_first_declared_of_those_that_are_free(needs: dict[str, list[str]]) -> None:
    done: set[str] = set()
    for name in order(make_graph(needs)):
        assert name == next(free for free in needs if free not in done and done.issuperset(needs[free]))
        done.add(name)


@given(dags(), st.data())
def test_closure_has_exactly_what_can_be_reached(needs: dict[str, list[str]], data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.sampled_from(list(needs)), max_size=3)) if needs else []
    reached: set[str] = set()
    rest = list(starts)
    while rest:
        for need in needs[rest.pop()]:
            if need not in reached:
                reached.add(need)
                rest.append(need)
    found = closure(make_graph(needs), starts)
    assert set(found) == reached
    assert all(need in needs[user] and (user in reached or user in starts) for need, user in found.items())


def test_closure_names_the_user_that_is_nearest_to_a_start() -> None:
    assert closure(make_graph(DIAMOND), ["d"]) == {"b": "d", "c": "d", "a": "b"}


def test_a_start_is_in_its_closure_only_when_another_start_needs_it() -> None:
    assert closure(make_graph(DIAMOND), ["d", "b"]) == {"b": "d", "c": "d", "a": "b"}
    assert closure(make_graph(DIAMOND), ["b"]) == {"a": "b"}


def test_an_edge_listed_twice_counts_once() -> None:
    assert order(make_graph({"a": [], "b": ["a", "a"]})) == ["a", "b"]


def test_an_unknown_dependency_is_an_error_that_names_both_ends() -> None:
    with pytest.raises(ConfigError, match="b depends on typo"):
        make_graph({"a": [], "b": ["a", "typo"]})


@pytest.mark.parametrize(
    ("needs", "path"),
    [
        pytest.param({"a": [], "b": ["a"]}, [], id="none"),
        pytest.param({"a": ["a"]}, ["a", "a"], id="itself"),
        pytest.param({"a": ["b"], "b": ["a"]}, ["a", "b", "a"], id="two"),
        pytest.param(
            {"t": ["b"], "a": [], "b": ["a", "c"], "c": ["d"], "d": ["b"]}, ["b", "c", "d", "b"], id="behind a target"
        ),
    ],
)
def test_a_cycle_is_told_as_one_concrete_path(needs: dict[str, list[str]], path: list[str]) -> None:
    graph = make_graph(needs)
    assert cycle(graph) == path
    if path:
        with pytest.raises(ConfigError, match=" -> ".join(path)):
            order(graph)


def test_a_chain_of_a_hundred_thousand_is_no_deeper_than_one_of_two() -> None:
    size = 100_000
    needs = {str(index): [str(index - 1)] if index else [] for index in range(size)}
    graph = make_graph(needs)
    assert order(graph) == list(needs)
    assert len(closure(graph, [str(size - 1)])) == size - 1
    assert len(cycle(make_graph({**needs, "0": [str(size - 1)]}))) == size + 1


def test_thirty_thousand_random_edges_are_ordered() -> None:
    dice = random.Random(1)
    needs = {str(index): [str(dice.randrange(index)) for _ in range(3)] if index else [] for index in range(10_000)}
    place = {name: index for index, name in enumerate(order(make_graph(needs)))}
    assert all(place[need] < place[name] for name, wanted in needs.items() for need in wanted)
