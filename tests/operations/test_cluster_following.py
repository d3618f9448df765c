"""What is said of a run that nobody can do now."""

from __future__ import annotations

from dataclasses import replace

from support.simulate import step, workflow

from provisioning.core.model import Placement, Step
from provisioning.core.presence import Presence
from provisioning.operations.cluster.following import missing


def at(name: str, target: str | None, *, unchanged: bool = False) -> Step:
    return replace(step(name), placement=Placement(target=target), unchanged=unchanged)


def test_nothing_is_said_where_every_step_has_a_worker() -> None:
    flow = workflow(at("a", "east"), at("b", None))
    assert missing(flow, [Presence(name="one", targets=("east",))]) == []
    assert missing(flow, [Presence(name="one", targets=None)]) == []


def test_each_target_without_a_worker_is_named_once() -> None:
    flow = workflow(at("a", "west"), at("b", "west"), at("c", "east"))
    (said,) = missing(flow, [Presence(name="one", targets=("east",))])
    assert said.startswith("no worker serves west")


def test_what_is_done_already_needs_no_worker() -> None:
    assert missing(workflow(at("a", "west", unchanged=True)), [Presence(name="one", targets=())]) == []


def test_where_there_is_no_worker_at_all_one_line_says_so() -> None:
    (said,) = missing(workflow(at("a", "west"), at("b", "east")), [])
    assert "no worker is there" in said
