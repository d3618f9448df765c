"""Whatever people call their runs and steps, the server is sent names that it takes, and no two are the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.adapters.nats.names import LONGEST_TOKEN, Names, checked_namespace, text, token
from provisioning.errors import ConfigError

ANY = st.text(st.characters(exclude_categories=()), max_size=400)
ODD = [
    "",
    ".",
    "*",
    ">",
    "a b",
    "a.b",
    "a>b",
    "=_",
    "=h",
    "=2E",
    "cp/etcd",
    "ünï",
    "x" * 300,
    "$JS",
    "\r\n",
    "\ud800",
    "_",
    "any",
]
SAFE = re.compile(r"[A-Za-z0-9_=-]+")


@given(ANY, ANY)
def test_a_token_is_safe_and_tells_its_text_apart(one: str, other: str) -> None:
    assert SAFE.fullmatch(token(one))
    assert len(token(one)) <= LONGEST_TOKEN
    assert (token(one) == token(other)) is (one == other)


@given(ANY)
def test_a_token_gives_its_text_back_unless_it_was_too_long(one: str) -> None:
    assert text(token(one)) in {one, None}
    if len(one) <= LONGEST_TOKEN // 12:
        assert text(token(one)) == one


def test_odd_names_have_as_many_tokens() -> None:
    assert len({token(one) for one in ODD}) == len(ODD)


@given(ANY, ANY)
def test_every_subject_of_a_run_is_covered_by_its_filters_and_by_none_of_another(run: str, step: str) -> None:
    names, other = Names(), Names().of_run(run + "x")
    subjects = [
        names.request(run),
        names.decision(run),
        names.fire(run),
        names.cancelled(run),
        names.claim(run, step, 1, 2),
        names.end(run, step, 1, 2, step),
        names.timer(run, step, 1, "retry"),
        names.task(step, run, step, 1, 2),
    ]
    for subject in subjects:
        assert sum(covers(pattern, subject) for pattern in names.of_run(run)) == 1
        assert not any(covers(pattern, subject) for pattern in other)
        assert sum(covers(pattern, subject) for pattern in names.work_subjects) == 1


def covers(pattern: str, subject: str) -> bool:
    """Whether a filter with wildcards takes a subject, as the server's manual says."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(found) >= len(wanted) and covers(".".join(wanted[:-1]), ".".join(found[: len(wanted) - 1]))
    return len(wanted) == len(found) and all(one in {"*", other} for one, other in zip(wanted, found, strict=True))


@pytest.mark.parametrize("namespace", ["", "a.b", "a b", "*", "x" * 33, "ü"])
def test_a_namespace_that_cannot_begin_names_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match=r"nats\.namespace"):
        checked_namespace(namespace)
