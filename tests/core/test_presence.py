"""Which workers count as there, and what they can take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from provisioning.core.presence import FRESH_S, Presence, fresh, slots, worker_target

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def worker(name: str = "w1", **fields: object) -> Presence:
    return Presence(name=name, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "there"),
    [
        pytest.param(worker(), True, id="just now"),
        pytest.param(worker(at=NOW - timedelta(seconds=FRESH_S)), True, id="three beats ago"),
        pytest.param(worker(at=NOW - timedelta(seconds=FRESH_S + 1)), False, id="longer ago"),
        pytest.param(worker(at=NOW + timedelta(hours=1)), True, id="its clock is ahead"),
        pytest.param(worker(draining=True), False, id="it takes nothing new"),
    ],
)
def test_a_worker_is_there_that_was_heard_of_and_takes_tasks(seen: Presence, *, there: bool) -> None:
    assert bool(fresh([seen], NOW)) is there


def test_workers_come_by_name_whoever_spoke_first() -> None:
    assert [one.name for one in fresh([worker("b"), worker("a")], NOW)] == ["a", "b"]


@pytest.mark.parametrize(
    ("targets", "target", "serves"),
    [
        (("site-a",), "site-a", True),
        (("site-a",), "site-b", False),
        (("site-a",), "", True),
        (("site-a",), worker_target("w1"), True),
        ((), "site-a", False),
        (None, "site-a", True),
        (None, worker_target("w2"), False),
    ],
)
def test_a_worker_serves_its_targets_and_itself(targets: tuple[str, ...] | None, target: str, *, serves: bool) -> None:
    assert worker(targets=targets).serves(target) is serves


@pytest.mark.parametrize(
    ("wanted", "has"),
    [({}, True), ({"gpu": "yes"}, True), ({"gpu": "Yes"}, False), ({"gpu": "yes", "zone": "b"}, False), ({"disk": ""}, False)],
)
def test_every_label_has_to_be_there_with_its_value(wanted: dict[str, str], *, has: bool) -> None:
    assert worker(labels={"gpu": "yes", "zone": "a"}).has(wanted) is has


def test_slots_are_those_of_all_workers_that_serve_a_target() -> None:
    there = [worker("a", targets=("x",), capacity=4), worker("b", targets=("y",), capacity=2), worker("c", capacity=-1)]

    assert (slots(there), slots(there, "x"), slots(there, "z"), slots(there, worker_target("b"))) == (6, 4, 0, 2)
