"""Whoever watches a run cannot change how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faked import FakedWorkspace

from provisioning.adapters.memory.hosts import Answer
from provisioning.core.events import Event
from provisioning.core.model import RunState
from provisioning.core.plan import Selection
from provisioning.operations import Listener, RunOptions
from provisioning.operations.records import find_run


class Broken(Listener):
    """Fails in one of its methods, and counts how often it is called."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.calls: list[str] = []

    def on_run(self, run_id: str) -> None:
        self._called("on_run")

    def on_event(self, event: Event) -> None:
        self._called("on_event")

    def on_output(self, step: str, text: str) -> None:
        self._called("on_output")

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method == self._method:
            raise ZeroDivisionError(method)


@pytest.mark.parametrize("method", ["on_run", "on_event", "on_output"])
def test_a_listener_that_fails_is_told_nothing_more_and_the_run_goes_on_to_its_end(tmp_path: Path, method: str) -> None:
    faked = FakedWorkspace(tmp_path / "workspace")
    faked.dag({"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}, {"taskserv": {"name": "b"}}]})
    faked.hosts.on_start("a", Answer(output=b"whole\nhalf"))
    listener = Broken(method)

    with pytest.raises(ZeroDivisionError):
        faked.project().provision(Selection(everything=True), RunOptions(), listener, lambda _plan: None)

    assert listener.calls.count(method) == 1
    assert find_run(faked.folder, "last").summary.state is RunState.SUCCEEDED
    assert faked.states() == {"cp-0/a": "completed", "cp-0/b": "completed"}
