"""A disk that fills up in the middle of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.disks import fill, small_disk
from support.faked import FakedWorkspace, steps

from provisioning.adapters.memory.hosts import Answer
from provisioning.core.events import Event, Kind
from provisioning.core.plan import Selection
from provisioning.errors import StoreError
from provisioning.operations import Listener, RunOptions


class Filler(Listener):
    """Fills the disk once a step runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.filled: Path | None = None

    def on_event(self, event: Event) -> None:
        if event.kind is Kind.STEP_STARTED and self.filled is None:
            self.filled = fill(self._folder)


def test_what_runs_is_stopped_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kb=3000) as disk:
        faked = FakedWorkspace(disk / "workspace")
        faked.dag(
            {"id": "one", "server": "cp-0", "nodes": [{"taskserv": {"name": "a"}}, {"taskserv": {"name": "b"}}]},
            {"id": "two", "server": "web-0", "nodes": [{"taskserv": {"name": "c"}}]},
        )
        faked.hosts.on_start("a", Answer(seconds=0.2))
        faked.hosts.on_start("c", Answer(hang=True), Answer())
        filler = Filler(disk)

        with pytest.raises(StoreError) as full:
            faked.project().provision(Selection(everything=True), RunOptions(), filler, lambda _plan: None)
        assert "the disk is full" in f"{full.value.message} {full.value.hint}"
        assert "was stopped" in full.value.hint
        assert all(call.ended_s is not None for call in faked.hosts.calls)
        assert ("cp-0", "b") not in faked.hosts.started

        assert filler.filled is not None
        filler.filled.unlink()
        assert set(steps(faked.create("--all")).values()) == {"succeeded"}
