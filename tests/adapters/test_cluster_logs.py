"""Logs that workers elsewhere have written are found in the folder of whoever looks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from provisioning.adapters.logs import IN_FOLDER, FileLogs
from provisioning.adapters.memory import FakeClock
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Step, Workflow
from provisioning.core.ports import Commit

AT = datetime(2026, 1, 1, tzinfo=UTC)


def happened(kind: Kind, **data: object) -> Event:
    of_step = {} if kind in {Kind.RUN_CREATED, Kind.RUN_STARTED} else {"step": "s", "attempt": 1, "epoch": 1}
    return Event(run="r1", kind=kind, at=AT, data=data, **of_step)  # type: ignore[arg-type]


async def test_the_log_of_another_machine_is_in_the_folder_of_this_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "history.db", FakeClock())
    flow = Workflow(name="w", steps=(Step(id="s", action=Action(type="noop")),))
    events = [
        happened(Kind.RUN_CREATED, workflow=await store.put_workflow(flow), name="w", params={}, trigger="test"),
        happened(Kind.RUN_STARTED),
        happened(Kind.STEP_DISPATCHED, target=""),
        happened(Kind.STEP_STARTED, worker="far"),
        happened(Kind.STEP_SUCCEEDED, exit_code=0, log=f"{IN_FOLDER}r1/s-1.1.a.log"),
    ]
    await store.commit(Commit(run="r1", expected_seq=0, events=events))
    found = str(tmp_path / "logs" / "r1" / "s-1.1.a.log")
    try:
        assert (store.history.step("r1", "s").log, store.history.attempts("r1")[0].log) == (found, found)
    finally:
        store.close()


def test_while_an_attempt_goes_on_its_newest_log_is_found(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path)
    opened = logs.open("r1", "s", 1)
    stem = Path(opened.path).name.removesuffix(".log")
    opened.close()
    Path(opened.path).unlink()
    for mark in ("01a", "01b"):
        (tmp_path / "r1" / f"{stem}.{mark}.log").write_bytes(b"")
    assert Path(logs.find("r1", "s", 1)).name == f"{stem}.01b.log"
    assert logs.find("r1", "s", 2) == ""
