from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.suggest import Suggester, distance, nearest

WORDS = st.text(alphabet="abcd-", max_size=7)


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        pytest.param("contianerd", ["docker", "containerd"], "containerd", id="two letters swapped"),
        pytest.param("etdc", ["etcd", "edge"], "etcd", id="a swap is one edit"),
        pytest.param("Kubernetes", ["kubernetes"], "kubernetes", id="case is ignored"),
        pytest.param("kubernets", ["kubernetes", "kubelet"], "kubernetes", id="a letter forgotten"),
        pytest.param("dependson", ["depends_on", "id"], "depends_on", id="an underscore forgotten"),
        pytest.param("redis", ["cilium", "coredns"], None, id="nothing is alike"),
        pytest.param("", ["a"], None, id="nothing was asked"),
        pytest.param("a", [], None, id="nothing is known"),
        pytest.param("x" * 10_000, ["x" * 10_001], None, id="no typing error is that long"),
    ],
)
def test_the_nearest_name_is_what_was_meant(name: str, known: list[str], found: str | None) -> None:
    assert nearest(name, known) == found


@given(WORDS, WORDS)
def test_distance_is_the_same_both_ways_and_zero_for_equals(left: str, right: str) -> None:
    edits = distance(left, right, 100)

    assert edits == distance(right, left, 100)
    assert (edits == 0) == (left == right)
    assert edits <= max(len(left), len(right))


@given(WORDS, WORDS, st.integers(0, 6))
def test_a_limit_only_cuts_off_what_is_above_it(left: str, right: str, limit: int) -> None:
    exact = distance(left, right, 100)
    limited = distance(left, right, limit)

    assert limited == exact if exact <= limit else limited > limit


@given(st.text(alphabet=string.ascii_lowercase, min_size=1, max_size=20))
def test_a_known_name_is_nearest_to_itself(name: str) -> None:
    assert nearest(name, ["zz", name, "aa"]) == name or name in {"zz", "aa"}


def test_one_question_about_a_hundred_thousand_names_takes_well_under_a_second() -> None:
    known = [f"formula-{number:06}" for number in range(100_000)]
    start = time.process_time()

    assert nearest("formula-0500x0", known) == "formula-050000"
    assert time.process_time() - start < 1


def test_many_questions_about_many_names_are_not_all_answered() -> None:
    suggester = Suggester([f"name-{number}" for number in range(2_000)])

    hints = [suggester.hint("nme-5") for _ in range(60)]

    assert hints[0] == 'did you mean "name-5"?'
    assert hints[-1] == ""
