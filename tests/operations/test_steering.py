"""A run of formulas is steered from beside its runner, as from another process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faked import FakedWorkspace

from provisioning.adapters.memory.hosts import Answer
from provisioning.core.events import Event, Kind
from provisioning.core.plan import Selection
from provisioning.errors import UsageError
from provisioning.operations import Listener, RunOptions, steering

NODES = ("a", "b", "c", "d", "e")


@pytest.fixture
def faked(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "workspace")
    made.dag({"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": name}} for name in NODES]})
    for name in NODES:
        made.hosts.on_start(name, Answer(seconds=0.15))
    return made


class Operator(Listener):
    """Does something once for each kind of event, in a thread of its own, before the runner goes on."""

    def __init__(self, on: dict[Kind, Callable[[], object]]) -> None:
        self.on, self.kinds = on, list[Kind]()

    def on_event(self, event: Event) -> None:
        self.kinds.append(event.kind)
        act = self.on.pop(event.kind, None)
        if act is not None:
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()


def test_formulas_are_paused_and_resumed(faked: FakedWorkspace) -> None:
    folder = faked.folder
    operator = Operator(
        {
            Kind.STEP_STARTED: lambda: steering.pause(folder, "last", "me@here"),
            Kind.RUN_PAUSED: lambda: steering.resume(folder, "last", "me@here"),
        }
    )

    result = faked.project().provision(Selection(everything=True), RunOptions(), operator, lambda _plan: None)

    assert (result.failure, faked.started) == (None, list(NODES))
    order = [kind for kind in operator.kinds if kind in {Kind.PAUSE_REQUESTED, Kind.RUN_PAUSED, Kind.RUN_RESUMED}]
    assert order == [Kind.PAUSE_REQUESTED, Kind.RUN_PAUSED, Kind.RUN_RESUMED]


def test_the_queue_of_a_workspace_says_what_waits_for_what(faked: FakedWorkspace) -> None:
    faked.dag(
        {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}]},
        {"id": "two", "server": "cp-0", "nodes": [{"taskserv": {"name": "b"}}]},
    )
    seen: list[steering.Queued] = []
    operator = Operator({Kind.STEP_STARTED: lambda: seen.extend(steering.queue(faked.folder))})

    faked.project().provision(Selection(everything=True), RunOptions(), operator, lambda _plan: None)

    (waiting,) = [one for one in seen if one.state == "ready"]
    assert waiting.step == "two/b"
    assert [one.reason for one in waiting.reasons] == [
        f"key server:cp-0 is taken (1 of 1): {waiting.run_id}/one/a",
    ]
    assert steering.queue(faked.folder) == []


def test_a_run_of_formulas_that_was_cut_off_is_not_steered(faked: FakedWorkspace) -> None:

    def cut(event: Event) -> None:
        if event.kind is Kind.STEP_STARTED:
            raise KeyboardInterrupt

    listener = Listener()
    listener.on_event = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        faked.project().provision(Selection(everything=True), RunOptions(), listener, lambda _plan: None)

    for ask in (steering.pause, steering.cancel):
        with pytest.raises(UsageError, match="has no runner any more: it was cut off"):
            ask(faked.folder, "last", "me@here")
    with pytest.raises(UsageError, match="was cut off"):
        steering.delete(faked.folder, "last", "me@here", force=True)
    with pytest.raises(UsageError, match="has not ended"):
        steering.delete(faked.folder, "last", "me@here", force=False)
