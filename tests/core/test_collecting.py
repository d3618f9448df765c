"""When the garbage collector rests, and that it goes on afterwards."""

from __future__ import annotations

import gc

import pytest
from support.dags import plan, random_infra

from provisioning.core.collecting import uncollected
from provisioning.core.compile import compile_plan
from provisioning.errors import NotFoundError


def test_it_rests_inside_and_goes_on_afterwards_whatever_happens() -> None:
    inside = []

    @uncollected()
    def fail() -> None:
        inside.append(gc.isenabled())
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()

    assert inside == [False]
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_planning_and_compiling_are_not_interrupted_and_leave_it_on() -> None:
    what = random_infra(1, 1000, 3000, gates=0.1)
    collections: list[str] = []
    gc.callbacks.append(lambda phase, _info: collections.append(phase))
    try:
        made = plan(what)
        steps = compile_plan(made, what).steps
    finally:
        gc.callbacks.pop()

    assert len(steps) > 1000
    assert collections.count("start") <= 4  # one or two after each; it used to be dozens
    assert gc.isenabled()
    with pytest.raises(NotFoundError):
        plan(what, name="nobody")
    assert gc.isenabled()
