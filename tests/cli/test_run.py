"""`run`: the history of a workspace, its logs, and cancelling from another terminal."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.calls import Caller
from support.records import a_commit, a_step, a_workflow, created, event

from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.model import Source
from provisioning.core.ports import Request

LABELS = {"formula": "base", "server": "s-0", "taskserv": "redis"}


def write(folder: Path, run: str, events: Sequence[Event]) -> None:
    """Put a run with one step `base/redis` and these events into the history."""

    async def work() -> None:
        store = SqliteStore(folder / ".provisioning" / "history.db")
        try:
            flow = a_workflow(a_step("base/redis", labels=LABELS, kind="node"), name="main")
            seq = await created(store, replace(flow, source=Source(kind="formula")), run=run)
            await store.commit(a_commit(seq, *events, run=run))
        finally:
            store.close()

    (folder / ".provisioning").mkdir(exist_ok=True)
    asyncio.run(work())


def failed(folder: Path, run: str) -> None:
    """A run whose step failed, with a log that tries to repaint the terminal."""
    log = folder / f"{run}.log"
    log.write_bytes(b"one\n\x1b[2J\x1b]0;title\x07two\n\xff three\n")
    write(
        folder,
        run,
        [
            event(Kind.STEP_DISPATCHED, "base/redis", run=run, attempt=1, target=""),
            event(Kind.STEP_STARTED, "base/redis", run=run, attempt=1, worker="local"),
            event(
                Kind.STEP_FAILED,
                "base/redis",
                run=run,
                attempt=1,
                exit_code=7,
                error={"kind": "exit", "message": "exit code 7"},
                log=str(log),
            ),
            event(Kind.RUN_FINISHED, run=run, state="failed", reason="base/redis failed"),
        ],
    )


@pytest.fixture
def ran(sample: Path) -> Path:
    """Return a workspace with a run that failed and one that still goes on."""
    failed(sample, "0001-aaaa")
    write(sample, "0002-bbbb", [event(Kind.STEP_DISPATCHED, "base/redis", run="0002-bbbb", attempt=1, target="")])
    return sample


def test_list_shows_the_newest_first_and_can_be_narrowed(cli: Caller, ran: Path) -> None:
    runs = cli("-w", str(ran), "run", "list", "-o", "json").json["runs"]
    assert {run["run_id"]: run["status"] for run in runs} == {"0001-aaaa": "failed", "0002-bbbb": "running"}
    only = cli("-w", str(ran), "run", "list", "--status", "failed", "-o", "json").json["runs"]
    assert [(run["run_id"], run["exit_code"], run["reason"]) for run in only] == [("0001-aaaa", 1, "base/redis failed")]
    assert len(cli("-w", str(ran), "run", "list", "--limit", "1", "-o", "json").json["runs"]) == 1
    assert cli("-w", str(ran), "run", "list", "--status", "fialed").code == 2
    assert "0001-aaaa" in cli("-w", str(ran), "run", "list").out


def test_show_takes_an_id_or_its_beginning(cli: Caller, ran: Path) -> None:
    for ref in ("0001-aaaa", "0001"):
        document = cli("-w", str(ran), "run", "show", ref, "-o", "json").json
        assert (document["run_id"], document["status"], document["exit_code"]) == ("0001-aaaa", "failed", 1)
        step = document["steps"][0]
        assert (step["id"], step["formula"], step["server"], step["state"], step["exit_code"]) == (
            "base/redis",
            "base",
            "s-0",
            "failed",
            7,
        )
    assert "exit code 7" in cli("-w", str(ran), "run", "show", "0001").out


@pytest.mark.parametrize(
    "words", [("show", "0009"), ("logs", "0001", "base/rediss"), ("retry", "zzz"), ("cancel", "0009")], ids=" ".join
)
def test_what_is_not_there_is_exit_4(cli: Caller, ran: Path, words: tuple[str, ...]) -> None:
    assert cli("-w", str(ran), "run", *words).code == 4


def test_logs_are_plain_text(cli: Caller, ran: Path) -> None:
    answer = cli("-w", str(ran), "run", "logs", "0001", "base/redis")
    assert answer.out == "── base/redis, attempt 1, failed\none\ntwo\n\ufffd three\n"
    logs = cli("-w", str(ran), "run", "logs", "0001", "--tail", "1", "-o", "json").json["logs"]
    assert [(log["step"], log["attempt"], log["text"]) for log in logs] == [("base/redis", 1, "\ufffd three\n")]
    assert cli("-w", str(ran), "run", "logs", "0001", "--attempt", "2").out == "no logs\n"


def test_a_log_that_was_aged_out_is_said(cli: Caller, ran: Path) -> None:
    (ran / "0001-aaaa.log").unlink()
    answer = cli("-w", str(ran), "run", "logs", "0001")
    assert answer.code == 0
    assert "there is no log" in answer.out


def test_cancel_reaches_the_runner_of_another_process(cli: Caller, ran: Path) -> None:
    lock = WorkspaceLock(ran)
    lock.acquire_sync()
    try:
        assert cli("-w", str(ran), "run", "cancel", "0002", "-o", "json").json == {"run_id": "0002-bbbb", "requested": "cancel"}
    finally:
        lock.release_sync()
    asked = taken(ran, "0002-bbbb")
    assert [(one.run, one.kind) for one in asked] == [("0002-bbbb", "cancel")]
    assert "@" in asked[0].actor


def taken(folder: Path, run: str) -> list[Request]:
    async def work() -> list[Request]:
        store = SqliteStore(folder / ".provisioning" / "history.db")
        try:
            return await store.take_requests([run])
        finally:
            store.close()

    return asyncio.run(work())


def test_cancel_refuses_what_has_ended_or_has_no_runner(cli: Caller, ran: Path) -> None:
    ended = cli("-w", str(ran), "run", "cancel", "0001")
    assert ended.code == 2
    assert "has ended" in ended.err
    orphan = cli("-w", str(ran), "run", "cancel", "0002")
    assert orphan.code == 2
    assert "no runner" in orphan.err


def test_a_workspace_where_nothing_ran_has_an_empty_list(cli: Caller, sample: Path) -> None:
    assert cli("-w", str(sample), "run", "list", "-o", "json").json == {"runs": []}
    assert cli("-w", str(sample), "run", "show", "last").code == 4


def test_a_damaged_history_is_an_error_and_no_traceback(cli: Caller, sample: Path) -> None:
    (sample / ".provisioning").mkdir()
    (sample / ".provisioning" / "history.db").write_bytes(b"not a database" * 100)
    for words in itertools.product(("list", "show"), ("-o",), ("json",)):
        arguments = [words[0], *(["last"] if words[0] == "show" else []), *words[1:]]
        answer = cli("-w", str(sample), "run", *arguments)
        assert answer.code == 1
        assert answer.json["error"]["code"] == "store"
