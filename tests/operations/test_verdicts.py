"""Which failure a run is ended by: its exit code, its message and its reason are of one step."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faked import FakedWorkspace

from provisioning.adapters.memory.hosts import Answer
from provisioning.errors import Unreachable
from provisioning.operations.records import find_run

FAILS = Answer(code=1)
GATE = {"check_cmd": "ask", "retries": 1, "timeout_ms": 60_000}


def _node(name: str, **fields: object) -> dict[str, object]:
    return {"taskserv": {"name": name}, **fields}


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "workspace")
    nodes = [_node("extra", on_error="continue"), _node("a")]
    made.dag(
        {"id": "one", "server": "cp-0", "nodes": nodes, "health_gate": GATE},
        {"id": "two", "server": "web-0", "nodes": [_node("b")], "depends_on": ["one"]},
        {"id": "three", "server": "etcd-0", "nodes": [_node("c")]},
    )
    return made


def _ended_by(faked: FakedWorkspace, *flags: str) -> tuple[int, str, str]:
    """Return the exit code, the run's reason and the step that the message is about."""
    ended = faked.create("--all", *flags)
    summary = find_run(faked.folder, "last").summary
    assert summary.exit_code == ended.code == ended.json["exit_code"]
    return ended.code, summary.reason, str(ended.json.get("error", {}).get("message", "")).partition(" ")[0]


def test_a_failure_that_was_allowed_does_not_speak_for_a_later_one_that_was_not(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("extra", FAILS)
    faked.hosts.on_probe("ask", FAILS)

    assert _ended_by(faked) == (5, "one/gate failed", "one/gate")


def test_a_failure_that_was_allowed_ends_the_run_in_part(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("extra", FAILS)

    assert _ended_by(faked) == (1, "", "one/extra")
    assert find_run(faked.folder, "last").summary.state == "partial"


def test_with_keep_going_the_first_failure_decides(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("a", Answer(seconds=0.1))
    faked.hosts.on_probe("ask", FAILS)
    faked.hosts.on_start("c", FAILS)

    assert _ended_by(faked, "--keep-going") == (1, "three/c failed", "three/c")
    assert {step.step: step.state.value for step in find_run(faked.folder, "last").steps} == {
        "one/extra": "succeeded",
        "one/a": "succeeded",
        "one/gate": "failed",
        "two/b": "skipped",
        "three/c": "failed",
    }


@pytest.mark.parametrize("flags", [(), ("--keep-going",)])
def test_a_server_that_cannot_be_reached_is_exit_7(faked: FakedWorkspace, flags: tuple[str, ...]) -> None:
    faked.hosts.on_link("cp-0", Unreachable("no route to host"))

    assert _ended_by(faked, *flags)[0] == 7


def test_a_lost_link_is_exit_7_and_says_that_the_outcome_is_not_known(faked: FakedWorkspace) -> None:
    faked.hosts.on_start("a", Answer(kind="unknown", message="the line went dead"))

    assert _ended_by(faked) == (7, "one/a interrupted", "one/a")
    assert faked.states()["cp-0/a"] == "interrupted"
