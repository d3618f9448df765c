"""Mappings that share what they have in common: each says what a dict would, and a change costs little."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted

from provisioning.core.layered import Layered
from provisioning.core.resources import Resource, ResourceBook, ResourceState

DONE = Resource(state=ResourceState.COMPLETED)
KEYS = st.integers(0, 12)
CHANGES = st.lists(st.dictionaries(KEYS, st.one_of(st.none(), st.integers()), max_size=6), max_size=40)


def changed(before: Mapping[int, int], changes: Mapping[int, int | None]) -> dict[int, int]:
    """Do to a dict what `updated` promises."""
    after = dict(before)
    for key, value in changes.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def same(layered: Layered[int, int], expected: Mapping[int, int]) -> None:
    assert layered == expected
    assert expected == layered
    assert (len(layered), bool(layered)) == (len(expected), bool(expected))
    assert sorted(layered) == sorted(expected)
    assert sorted(layered.items()) == sorted(expected.items())
    assert sorted(layered.values()) == sorted(expected.values())
    for key in range(13):
        assert (key in layered, layered.get(key)) == (key in expected, expected.get(key))


@given(st.dictionaries(KEYS, st.integers()), CHANGES)
def test_it_says_what_a_dict_would_and_so_does_every_older_one(
    first: dict[int, int], steps: list[dict[int, int | None]]
) -> None:
    made, models = [Layered(first)], [dict(first)]
    for changes in steps:
        made.append(made[-1].updated(changes))
        models.append(changed(models[-1], changes))
    for layered, model in zip(made, models, strict=True):
        same(layered, model)


def test_two_that_grew_out_of_one_do_not_see_each_other() -> None:
    root = Layered({1: 1, 2: 2})
    left, right = root.updated({1: None, 3: 3}), root.updated({1: 10})
    assert (dict(root), dict(left), dict(right)) == ({1: 1, 2: 2}, {2: 2, 3: 3}, {1: 10, 2: 2})


def test_a_key_keeps_its_place_when_its_value_changes() -> None:
    made = Layered({f"k{number}": 0 for number in range(9)})
    for number in (8, 3, 5):
        made = made.updated({f"k{number}": 1})
    assert list(made) == [f"k{number}" for number in range(9)]


def test_what_was_handed_in_may_change_afterwards() -> None:
    given_in = {1: 1}
    made = Layered(given_in)
    given_in[2] = 2
    assert dict(made) == {1: 1}


def test_a_missing_key_is_told() -> None:
    with pytest.raises(KeyError):
        Layered({1: 1}).updated({1: None})[1]


# ---------------------------------------------------------------- the book


def on_one_server(number: int) -> tuple[str, str]:
    return "cp-0", f"t{number}"


def on_many_servers(number: int) -> tuple[str, str]:
    return f"h{number}", "t"


def filled(nodes: int, key: Callable[[int], tuple[str, str]]) -> ResourceBook:
    """Record so many nodes, each begun and then completed, one change at a time."""
    book = ResourceBook(lineage="l")
    for number in range(nodes):
        book = book.put({key(number): Resource(state=ResourceState.RUNNING)})
        book = book.put({key(number): DONE})
    return book


def lines(nodes: int, key: Callable[[int], tuple[str, str]]) -> int:
    with counted() as cost:
        filled(nodes, key)
    return cost.lines


def seconds(nodes: int, key: Callable[[int], tuple[str, str]]) -> float:
    """Return the processor time, the least of three: what is copied inside the interpreter is not seen as lines."""
    took = []
    for _ in range(3):
        began_s = time.process_time()
        filled(nodes, key)
        took.append(time.process_time() - began_s)
    return min(took)


@pytest.mark.parametrize("key", [on_one_server, on_many_servers])
def test_twice_the_nodes_cost_twice_as_much_to_record(key: Callable[[int], tuple[str, str]]) -> None:
    assert lines(2_000, key) / lines(1_000, key) < 2.3
    assert seconds(16_000, key) / seconds(8_000, key) < 3.0


@pytest.mark.parametrize("key", [on_one_server, on_many_servers])
def test_a_book_of_ten_thousand_nodes_holds_them_all_in_their_order(key: Callable[[int], tuple[str, str]]) -> None:
    book = filled(10_000, key)
    assert [(host, name) for host, of in book.servers.items() for name in of] == [key(number) for number in range(10_000)]
    assert all(book.get(*key(number)) == DONE for number in range(0, 10_000, 97))


def test_a_server_of_which_nothing_is_recorded_any_more_is_gone() -> None:
    book = filled(3, on_one_server).put({("h", "t"): DONE})
    emptied = book.put({on_one_server(number): None for number in range(3)})
    assert dict(emptied.servers) == {"h": {"t": DONE}}
    assert len(book.servers) == 2
