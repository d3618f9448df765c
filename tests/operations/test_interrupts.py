"""Ctrl-C at every moment of a run: what runs is stopped, the journal says so, and nothing is left open."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from support.faked import FakedWorkspace

from provisioning.adapters.memory.hosts import Answer
from provisioning.core.events import Event, Kind
from provisioning.core.model import RunState
from provisioning.core.plan import Selection
from provisioning.errors import Interrupted
from provisioning.operations import Listener, RunOptions, RunResult
from provisioning.operations.records import list_runs

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread only"
)


class Interrupter(Listener):
    """Presses Ctrl-C when an event comes."""

    def __init__(self, kind: Kind, number: signal.Signals = signal.SIGINT) -> None:
        self._kind, self._number = kind, number
        self.notes: list[str] = []

    def on_event(self, event: Event) -> None:
        if event.kind is self._kind:
            os.kill(os.getpid(), self._number)

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "workspace")
    gate = {"check_cmd": "ask", "retries": 10, "timeout_ms": 60_000, "interval_ms": 10_000}
    made.dag(
        {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}], "health_gate": gate},
        {"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "b"}}], "depends_on": ["one"]},
    )
    return made


def _provision(faked: FakedWorkspace, listener: Listener) -> RunResult:
    return faked.project().provision(Selection(everything=True), RunOptions(), listener, lambda _plan: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [Kind.RUN_CREATED, Kind.STEP_DISPATCHED, Kind.STEP_STARTED])
def test_a_run_that_is_interrupted_is_recorded_as_that(faked: FakedWorkspace, kind: Kind, number: signal.Signals) -> None:
    faked.hosts.on_start("a", Answer(hang=True))
    listener = Interrupter(kind, number)

    result = _provision(faked, listener)

    assert isinstance(result.failure, Interrupted)
    assert result.detail.summary.state is RunState.CANCELLED
    assert faked.states() in ({"cp-0/a": "interrupted"}, {})
    assert [note.partition(";")[0] for note in listener.notes] == ["stopping what runs on the servers"]
    assert all(call.ended_s is not None for call in faked.hosts.calls)


def test_while_a_gate_waits_it_stops_at_once_and_the_node_before_stays_completed(faked: FakedWorkspace) -> None:
    faked.hosts.on_probe("ask", Answer(code=1))

    result = _provision(faked, Interrupter(Kind.STEP_SUCCEEDED))

    assert result.detail.summary.state is RunState.CANCELLED
    assert faked.states() == {"cp-0/a": "completed"}
    assert {step.step: step.state.value for step in result.detail.steps} == {
        "one/a": "succeeded",
        "one/gate": "interrupted",
        "two/b": "cancelled",
    }


def test_when_everything_is_done_it_changes_nothing(faked: FakedWorkspace) -> None:
    result = _provision(faked, Interrupter(Kind.RUN_FINISHED))

    assert result.failure is None
    assert result.detail.summary.state is RunState.SUCCEEDED


def test_before_the_run_exists_nothing_is_left(faked: FakedWorkspace) -> None:
    def press(_plan: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        faked.project().provision(Selection(everything=True), RunOptions(), Listener(), press)

    assert list_runs(faked.folder, 10) == []
    assert faked.started == []
    assert faked.run("taskserv", "create", "--all").code == 0
