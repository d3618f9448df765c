"""Frozen dataclasses of ours are as the standard ones, but for the check at run time."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    number: int
    text: str = ""
    items: tuple[int, ...] = ()
    secret: str = field(default="", repr=False)
    aside: int = field(default=0, compare=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    number: int
    text: str = ""
    items: tuple[int, ...] = ()
    secret: str = field(default="", repr=False)
    aside: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True)
class Single:
    value: int

    def __repr__(self) -> str:
        return "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wider(Ours):
    """Has fields of its own besides."""

    KINDS: ClassVar[int] = 3
    more: int = 7


values = st.fixed_dictionaries(
    {"number": st.integers(0, 2)},
    optional={
        "text": st.sampled_from("ab"),
        "items": st.just((1,)),
        "secret": st.sampled_from("xy"),
        "aside": st.integers(0, 1),
    },
)


@given(values, values)
def test_they_compare_and_hash_as_the_standard_ones(first: dict[str, int], second: dict[str, int]) -> None:
    assert (Ours(**first) == Ours(**second)) is (Theirs(**first) == Theirs(**second))  # type: ignore[arg-type]
    if Ours(**first) == Ours(**second):  # type: ignore[arg-type]
        assert hash(Ours(**first)) == hash(Ours(**second))  # type: ignore[arg-type]
    assert Ours(**first) != Theirs(**first)  # type: ignore[arg-type]


@given(values)
def test_they_show_themselves_as_the_standard_ones(given_: dict[str, int]) -> None:
    assert repr(Ours(**given_)) == repr(Theirs(**given_)).replace("Theirs", "Ours")  # type: ignore[arg-type]


def test_they_can_be_copied_replaced_and_stored() -> None:
    one = Ours(number=1, items=(1, 2))

    assert copy.deepcopy(one) == one == pickle.loads(pickle.dumps(one))
    assert dataclasses.replace(one, number=2) == Ours(number=2, items=(1, 2))
    assert dataclasses.asdict(one)["items"] == (1, 2)
    assert not hasattr(one, "__dict__")


def test_whoever_asks_for_the_fields_first_gets_them() -> None:
    for ask in (dataclasses.fields, inspect.signature, lambda one: one.__match_args__, hash, lambda one: one(number=1)):

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Fresh:
            number: int
            text: str = ""

        ask(Fresh)
        assert (
            list(inspect.signature(Fresh).parameters) == ["number", "text"] == [one.name for one in dataclasses.fields(Fresh)]
        )
        assert Fresh(number=1) == Fresh(number=1, text="")
        with pytest.raises(TypeError, match="number"):
            Fresh()  # type: ignore[call-arg]


def test_a_class_made_from_another_has_the_fields_of_both() -> None:
    wide = Wider(number=1, more=2)

    assert (wide.number, wide.text, wide.more, Wider.KINDS) == (1, "", 2, 3)
    assert wide != Ours(number=1)
    assert dataclasses.replace(wide, text="x") == Wider(number=1, text="x", more=2)
    assert not hasattr(wide, "__dict__")
    assert [one.name for one in dataclasses.fields(Wider)][-1] == "more"


def test_threads_that_make_the_first_ones_at_once_get_the_same_class() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Fresh:
        number: int
        aside: int = field(default=0, compare=False)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: Fresh(number=1, aside=number), range(64)))

    assert len(set(made)) == 1


def test_a_class_keeps_methods_of_its_own_and_may_have_no_fields() -> None:
    assert repr(Single(1)) == "own"
    assert Single(1) == Single(1) != Single(2)
    assert Empty() == Empty()
    assert len({Empty(), Empty()}) == 1
