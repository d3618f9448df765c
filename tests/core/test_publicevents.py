"""What other programs are told: everything that happens, once each, and nothing that anybody wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from provisioning.core.events import Event, Kind
from provisioning.core.publicevents import Origin, envelope, event_id

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORIGIN = Origin(workspace="prod", workflow="cluster")


def test_an_event_of_an_attempt_says_which() -> None:
    event = Event(run="r1", kind=Kind.STEP_SUCCEEDED, at=AT, seq=7, step="cp/etcd", attempt=2, epoch=3)
    assert envelope(event, ORIGIN) == {
        "specversion": "1.0",
        "id": "r1:7",
        "source": "/provisioning/prod",
        "type": "prov.workflow.step_succeeded",
        "subject": "r1/cp/etcd",
        "time": "2026-01-02T03:04:05+00:00",
        "datacontenttype": "application/json",
        "data": {
            "workspace": "prod",
            "workflow": "cluster",
            "run": "r1",
            "seq": 7,
            "step": "cp/etcd",
            "attempt": 2,
            "epoch": 3,
        },
    }


def test_the_end_of_a_run_says_how_it_ended() -> None:
    event = Event(run="r1", kind=Kind.RUN_FINISHED, at=AT, seq=9, data={"state": "failed", "reason": "no"})
    assert envelope(event, ORIGIN)["data"] == {
        "workspace": "prod",
        "workflow": "cluster",
        "run": "r1",
        "seq": 9,
        "state": "failed",
    }


def test_a_run_of_no_workspace_has_a_place_all_the_same() -> None:
    event = Event(run="r1", kind=Kind.RUN_STARTED, at=AT, seq=2)
    assert envelope(event, Origin(workspace="", workflow="w"))["source"] == "/provisioning/default"


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_that_anybody_wrote_is_told(kind: Kind) -> None:
    words = (
        "params",
        "output",
        "error",
        "reason",
        "stdout",
        "stderr",
        "log",
        "payload",
        "name",
        "actor",
        "data",
        "state",
        "spec",
    )
    data = {word: {"deep": "canary"} if word in {"params", "error", "data"} else "canary" for word in words}
    event = Event(run="r1", kind=kind, at=AT, seq=1, step="s", attempt=1, epoch=1, actor="canary", data=data)
    assert "canary" not in json.dumps(envelope(event, ORIGIN))


def test_ids_differ_for_every_event() -> None:
    events = [Event(run=run, kind=Kind.RUN_STARTED, at=AT, seq=seq) for run in ("r", "r1", "r11") for seq in (1, 11, 111)]
    assert len({event_id(event) for event in events}) == len(events)
