"""Where definitions come from, who may have them, and which of several answers counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.dagu.definitions import (
    Answer,
    Local,
    Remote,
    Status,
    Verdict,
    Wanted,
    WrongRule,
    asks,
    best,
    is_question,
    judge,
    may_have,
    read_rules,
)

ANY = tuple(Remote)
TABLE = [
    pytest.param(Local.HIT, ANY, Verdict.LOCAL, id="1 the local one, whatever the coordinator has"),
    pytest.param(Local.MISSING, (Remote.HIT,), Verdict.REMOTE, id="2 the coordinator has what is missing here"),
    pytest.param(
        Local.MISSING,
        (Remote.EMPTY, Remote.ERROR, Remote.ABSENT),
        Verdict.LOCAL_ERROR,
        id="3 nobody has it: the local store's own words",
    ),
    pytest.param(Local.BROKEN, ANY, Verdict.LOCAL_ERROR, id="4 a broken store is said at once"),
    pytest.param(Local.NONE, (Remote.HIT,), Verdict.REMOTE, id="5 no store, the coordinator has it"),
    pytest.param(Local.NONE, (Remote.EMPTY,), Verdict.NOWHERE, id="6 no store, the coordinator has none either"),
    pytest.param(Local.NONE, (Remote.ERROR,), Verdict.REMOTE_ERROR, id="7 no store, and the coordinator fails"),
    pytest.param(Local.NONE, (Remote.ABSENT,), Verdict.NO_SOURCE, id="8 neither store nor coordinator"),
]


@pytest.mark.parametrize(("local", "remotes", "verdict"), TABLE)
def test_d40_the_eight_rows(local: Local, remotes: tuple[Remote, ...], verdict: Verdict) -> None:
    assert {judge(local, remote) for remote in remotes} == {verdict}


def test_d40_the_coordinator_is_asked_only_for_what_is_not_here() -> None:
    assert [local for local in Local if asks(local)] == [Local.NONE, Local.MISSING]


@given(st.sampled_from(Local), st.sampled_from(Remote), st.sampled_from(Remote))
def test_what_is_not_asked_changes_nothing(local: Local, one: Remote, other: Remote) -> None:
    assert asks(local) or judge(local, one) is judge(local, other)


# ---------------------------------------------------------------- several answers


@given(st.lists(st.sampled_from(Status), max_size=6))
def test_one_that_has_it_is_enough_and_one_that_is_broken_is_never_taken_for_not_found(said: list[Status]) -> None:
    answers = [Answer(status=status, name="etl", by=str(number)) for number, status in enumerate(said)]
    chosen = best(answers)

    if chosen is None:
        assert not said
    elif {Status.FOUND, Status.UNCHANGED} & set(said):
        assert chosen.status in {Status.FOUND, Status.UNCHANGED}
    else:
        assert (chosen.status is Status.NOT_FOUND) is (set(said) == {Status.NOT_FOUND})
        assert chosen is next(one for one in answers if one.status is chosen.status)


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rules", "caller", "dag", "allowed"),
    [
        ("", "anybody", "etl", True),
        ("site-a-*=etl-*", "site-a-1", "etl-load", True),
        ("site-a-*=etl-*", "site-b-1", "etl-load", False),
        ("site-a-*=etl-*", "site-a-1", "payroll", False),
        ("site-a-*=etl-* gpu-1=train,score", "gpu-1", "score", True),
        ("site-a-*=etl-* gpu-1=train,score", "gpu-12", "score", False),
        ("*=public-* boss=*", "boss", "payroll", True),
        ("gpu-1=Train", "gpu-1", "train", False),
    ],
)
def test_a_worker_has_what_the_rules_give_it(rules: str, caller: str, dag: str, *, allowed: bool) -> None:
    assert may_have(read_rules(rules), caller, dag) is allowed


@pytest.mark.parametrize("text", ["etl", "=etl", "site-a=", "a=b c", "a=,"])
def test_what_is_no_rule_is_refused_and_never_taken_for_no_rules(text: str) -> None:
    with pytest.raises(WrongRule):
        read_rules(text)


@pytest.mark.parametrize(
    ("wanted", "can_be"),
    [
        (Wanted(name="etl", caller="w1"), True),
        (Wanted(name="daily/etl.yaml", caller="w1"), True),
        (Wanted(name="../etl", caller="w1"), False),
        (Wanted(name="daily/../etl", caller="w1"), False),
        (Wanted(name="daily//etl", caller="w1"), False),
        (Wanted(name="/etl", caller="w1"), False),
        (Wanted(name="a/" * 16 + "etl", caller="w1"), False),
        (Wanted(name="etl", caller="w/1"), False),
        (Wanted(name="", caller="w1"), False),
        (Wanted(name="etl", caller="w1", have=("x",) * 101), False),
    ],
)
def test_names_that_could_lead_elsewhere_are_never_asked_for(wanted: Wanted, *, can_be: bool) -> None:
    assert is_question(wanted) is can_be
