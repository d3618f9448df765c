"""Requests to runs, the queue, reasons, dead letters: against a store that nobody drives, or somebody does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.calls import Caller
from support.flows import client, flow, play, stage

from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.builder import Workflow
from provisioning.core.events import Kind
from provisioning.core.ports import Request
from provisioning_cli.context import App
from provisioning_cli.main import call


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])


def left_open(folder: Path, wf: Workflow, *ended: str, run: str = "open-1") -> None:
    """Run a workflow until these steps have ended, and leave."""

    async def work() -> None:
        async with client(folder) as it:
            await it.submit(wf, run)
            for step in ended:
                await it.result(run, step)

    asyncio.run(work())


def ran(folder: Path, wf: Workflow, run: str = "done-1") -> None:
    async def work() -> None:
        async with client(folder) as it:
            await it.wait(await it.submit(wf, run))

    asyncio.run(work())


def two(**options: object) -> Workflow:
    """Return `a`, then `b`, which waits for a signal and at a breakpoint."""
    wf = flow("two")
    a = wf.step("a", play, "a", 1)
    wf.step("b", play, "b", a.ref(), signals=["go"], break_before=True, **options)  # type: ignore[arg-type]
    return wf


def asked(folder: Path, run: str) -> list[Request]:
    async def work() -> list[Request]:
        store = SqliteStore(folder / ".provisioning" / "history.db")
        try:
            return await store.take_requests([run])
        finally:
            store.close()

    return asyncio.run(work())


@contextmanager
def driven(folder: Path) -> Iterator[None]:
    """Hold the folder as a process that drives it does."""
    lock = WorkspaceLock(folder)
    lock.acquire_sync()
    try:
        yield
    finally:
        lock.release_sync()


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """Return a folder with a run that waits at `b`, and that nobody drives."""
    stage()
    folder = tmp_path / "runs"
    folder.mkdir()
    left_open(folder, two(), "a")
    return folder


@pytest.mark.parametrize(
    ("words", "kind", "data"),
    [
        (("pause", "open-1"), "pause", {}),
        (("cancel", "open-1"), "cancel", {}),
        (("signal", "last", "go"), "open_gate", {"kind": "signal", "name": "go", "payload": None}),
        (("approve", "open", "ship"), "open_gate", {"kind": "approval", "name": "ship", "payload": None}),
        (
            ("signal", "last", "go", "--payload", '{"a": [1]}'),
            "open_gate",
            {"kind": "signal", "name": "go", "payload": {"a": [1]}},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_request_waits_for_whoever_drives_the_run_next(
    cli: Caller, waiting: Path, words: tuple[str, ...], kind: str, data: dict[str, object]
) -> None:
    answer = cli("-w", str(waiting), "run", *words)

    assert answer.code == 0
    assert "no process drives run open-1 now" in answer.err
    assert [(one.run, one.kind, dict(one.data)) for one in asked(waiting, "open-1")] == [("open-1", kind, data)]


def test_who_drives_the_run_is_not_mentioned_when_somebody_does(cli: Caller, waiting: Path) -> None:
    with driven(waiting):
        answer = cli("-w", str(waiting), "run", "signal", "last", "go", "-o", "json")
    assert (answer.json, answer.err) == ({"run_id": "open-1", "requested": "signal"}, "")


def test_a_signal_that_no_step_waits_for_is_delivered_and_said(cli: Caller, waiting: Path) -> None:
    with driven(waiting):
        answer = cli("-w", str(waiting), "run", "signal", "last", "og")
    assert answer.code == 0
    assert answer.err == "no step of run open-1 waits for signal og yet; they wait for go\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resume", "last"), "is not paused: it is running"),
        (("continue", "last"), "is stopped at no breakpoint"),
        (("signal", "last", "go", "--payload", "text"), "--payload is not JSON"),
        (("delete", "last"), "has not ended: it is running"),
        (("retry", "last"), "has not ended, and no process drives it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_now_is_refused(cli: Caller, waiting: Path, words: tuple[str, ...], said: str) -> None:
    answer = cli("-w", str(waiting), "run", *words)
    assert (answer.code, said in answer.err) == (2, True)
    assert asked(waiting, "open-1") == []


@pytest.mark.parametrize("words", [("continue", "last", "--step", "c"), ("show", "last", "--why", "c"), ("watch", "nobody")])
def test_what_is_not_there_is_exit_4(cli: Caller, waiting: Path, words: tuple[str, ...]) -> None:
    assert cli("-w", str(waiting), "run", *words).code == 4


def test_what_has_ended_cannot_be_steered(cli: Caller, tmp_path: Path) -> None:
    stage()
    wf = flow()
    wf.step("a", play, "a")
    ran(tmp_path, wf)
    for words in (("pause", "last"), ("resume", "last"), ("cancel", "last"), ("signal", "last", "x"), ("continue", "last")):
        answer = cli("-w", str(tmp_path), "run", *words)
        assert (answer.code, "run done-1 has ended: succeeded" in answer.err) == (2, True), words


def test_why_names_every_reason_and_that_nobody_drives_the_run(cli: Caller, waiting: Path) -> None:
    why = cli("-w", str(waiting), "run", "show", "last", "--why", "b", "-o", "json").json
    assert (why["run_id"], why["step"], why["state"]) == ("open-1", "b", "pending")
    assert [(one["kind"], one["name"]) for one in why["blockers"]] == [
        ("runner", "open-1"),
        ("signal", "go"),
        ("breakpoint", "before:b"),
    ]
    text = cli("-w", str(waiting), "run", "show", "last", "--why", "b").out
    assert text.splitlines()[:2] == ["b is pending:", "  no process drives the run"]
    assert cli("-w", str(waiting), "run", "show", "last", "--why", "a").out == "a has ended: succeeded\n"


def test_the_path_of_a_run_measures_what_ended_and_expects_of_the_rest_what_it_took_before(cli: Caller, waiting: Path) -> None:
    wf = flow("two")
    wf.step("b", play, "b")
    ran(waiting, wf)
    found = cli("-w", str(waiting), "run", "show", "open-1", "--path", "-o", "json").json

    assert (found["run_id"], found["chain"]) == ("open-1", ["a", "b"])
    assert [(one["id"], one["basis"], one["critical"]) for one in found["steps"]] == [
        ("a", "measured", True),
        ("b", "history", True),
    ]
    assert found["total_s"] == sum(one["duration_s"] for one in found["steps"])
    assert "a → b" in cli("-w", str(waiting), "run", "show", "open-1", "--path").out
    assert cli("-w", str(waiting), "run", "show", "open-1", "--path", "--why", "b").code == 2


def test_a_folder_that_is_no_workspace_is_meant_by_name_or_by_standing_in_it(
    cli: Caller, waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("run", "list").code == 4
    assert cli("-w", str(waiting.parent), "run", "list").code == 4
    monkeypatch.chdir(waiting)
    for words in (("run", "list"), ("queue", "list"), ("deadletter", "list"), ("run", "show")):
        assert cli(*words).code == 0, words
    for words in (("dag", "plan"), ("state", "show"), ("server", "list"), ("workspace", "show")):
        assert cli(*words).code == 4, words


def test_what_was_late_is_shown_in_a_column_of_its_own_if_anything_was(cli: Caller, tmp_path: Path) -> None:
    on = stage()
    on.close("slow")
    wf = flow(sla_s=3600)
    wf.step("slow", play, "slow", sla_s=0.01)

    async def work() -> None:
        async with client(tmp_path) as it:
            run = await it.submit(wf, "late-1")
            async for event in it.watch(run):
                if event.kind is Kind.STEP_LATE:
                    on.open("slow")

    asyncio.run(work())
    shown = cli("-w", str(tmp_path), "run", "show")
    assert "late" in shown.out
    document = cli("-w", str(tmp_path), "run", "show", "-o", "json").json
    assert ("late_at" in document, "late_at" in document["steps"][0]) == (False, True)
    stage()
    early = flow()
    early.step("a", play, "a")
    ran(tmp_path, early, "early-1")
    assert "late" not in cli("-w", str(tmp_path), "run", "show").out


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b", "nothing"], ids=["long", "null", "none"])
def test_a_folder_that_cannot_be_is_not_found(cli: Caller, name: str) -> None:
    for words in (("run", "list"), ("queue", "list"), ("deadletter", "list")):
        assert cli("-w", name, *words).code == 4


def test_the_queue_has_what_is_ready_or_waits_for_a_retry_the_oldest_first(cli: Caller, tmp_path: Path) -> None:
    on = stage()
    on.close("holds")
    wf = flow("busy", max_parallel=1, max_runs=1)
    wf.step("holds", play, "holds")
    wf.step("next", play, "next")

    async def work() -> None:
        async with client(tmp_path) as it:
            await it.submit(wf, "first-1")
            await on.reached("holds")
            await it.submit(wf, "second-1")

    asyncio.run(work())
    found = cli("-w", str(tmp_path), "queue", "list", "-o", "json").json["queue"]
    assert [(one["run_id"], one.get("step"), one["state"]) for one in found] == [
        ("first-1", "next", "ready"),
        ("second-1", None, "queued"),
    ]
    assert found[0]["blockers"][0]["reason"] == "limit max_parallel is taken (1 of 1): first-1/holds"
    answer = cli("-w", str(tmp_path), "queue", "list")
    assert "limit max_parallel is taken" in answer.out
    assert "no process drives these runs now" in answer.err


def test_the_queue_has_what_waits_for_nothing_but_a_signal(cli: Caller, tmp_path: Path) -> None:
    stage()
    left_open(tmp_path, two(), "a")
    (found,) = cli("-w", str(tmp_path), "queue", "list", "-o", "json").json["queue"]
    assert (found["step"], found["state"]) == ("b", "pending")
    assert [one["kind"] for one in found["blockers"]] == ["signal", "breakpoint"]


def test_a_run_is_deleted_with_its_logs_and_an_open_one_only_by_force(cli: Caller, waiting: Path) -> None:
    logs = waiting / ".provisioning" / "logs" / "open-1"
    answer = cli("-w", str(waiting), "run", "delete", "last", "--force", "-o", "json")
    assert answer.json == {"run_id": "open-1", "deleted": True}
    assert not logs.exists()
    assert cli("-w", str(waiting), "run", "list", "-o", "json").json == {"runs": []}


@pytest.fixture
def buried(tmp_path: Path) -> Path:
    """Return a folder with three dead letters of one workflow and one of another."""
    on = stage()
    on.failures["a"] = 100
    for number, name in enumerate(["one", "one", "other", "one"]):
        wf = flow(name)
        wf.step("b", play, "b", wf.step("a", play, "a").ref())
        ran(tmp_path, wf, f"r-{number}")
    return tmp_path


def test_dead_letters_are_listed_in_pages_and_of_one_workflow(cli: Caller, buried: Path) -> None:
    def ids(*words: str) -> list[int]:
        return [one["id"] for one in cli("-w", str(buried), "deadletter", "list", *words, "-o", "json").json["dead_letters"]]

    assert ids() == [4, 3, 2, 1]
    assert ids("--limit", "2") == [4, 3]
    assert ids("--limit", "2", "--before", "3") == [2, 1]
    assert ids("--workflow", "other") == [3]
    assert cli("-w", str(buried), "deadletter", "list", "-o", "json").json["waiting"] == 4
    assert "a fails" in cli("-w", str(buried), "deadletter", "list").out


def test_one_dead_letter_is_shown_with_its_log(cli: Caller, buried: Path) -> None:
    one = cli("-w", str(buried), "deadletter", "show", "3", "-o", "json").json
    assert (one["run_id"], one["workflow"], one["step"], one["attempt"]) == ("r-2", "other", "a", 1)
    assert (one["error_kind"], one["error"]) == ("scripted", "a fails")
    assert Path(one["log"]).is_absolute()
    assert "TaskError" in Path(one["log"]).read_text()
    assert cli("-w", str(buried), "deadletter", "show", "9").code == 4


def test_a28_a_replay_runs_for_real_and_a_second_one_is_refused(cli: Caller, buried: Path) -> None:
    stage()
    answer = cli("-w", str(buried), "deadletter", "replay", "3", "-o", "json")
    assert (answer.code, answer.json["run_id"], answer.json["status"]) == (0, "r-2", "succeeded")
    again = cli("-w", str(buried), "deadletter", "replay", "3")
    assert (again.code, "was replayed as attempt 2" in again.err) == (2, True)
    every = cli("-w", str(buried), "deadletter", "list", "--all", "-o", "json").json["dead_letters"]
    assert {one["id"]: one["replayed_attempt"] for one in every} == {4: None, 3: 2, 2: None, 1: None}


def test_the_shell_completes_the_ids_of_what_waits(
    buried: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(buried)
    monkeypatch.setenv("_PROVISIONING_COMPLETE", "bash_complete")
    for words, expected in ((["deadletter", "show", ""], {"4", "3", "2", "1"}), (["run", "pause", "r-2"], {"r-2"})):
        monkeypatch.setenv("COMP_WORDS", " ".join(["provisioning", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        call([], App())
        assert {line.partition(",")[2] for line in capsys.readouterr().out.split()} == expected


def test_a_replay_that_fails_again_exits_as_the_run_does(cli: Caller, buried: Path) -> None:
    on = stage()
    on.failures["a"] = 1
    answer = cli("-w", str(buried), "deadletter", "replay", "3")
    assert (answer.code, "error: a failed (attempt 2): a fails" in answer.err) == (1, True)


def test_what_cannot_be_imported_is_said(cli: Caller, buried: Path) -> None:
    answer = cli("-w", str(buried), "deadletter", "replay", "3", "--import", "no_such_module")
    assert (answer.code, "module no_such_module cannot be imported" in answer.err) == (2, True)


def test_purging_keeps_what_waits_unless_all_is_meant(cli: Caller, buried: Path) -> None:
    stage()
    cli("-w", str(buried), "deadletter", "replay", "3")

    def purge(*words: str) -> object:
        return cli("-w", str(buried), "deadletter", "purge", *words, "-o", "json").json

    assert purge("--older-than", "1") == {"removed": 0, "waiting": 3}
    assert purge() == {"removed": 1, "waiting": 3}
    assert "--all removes them too" in cli("-w", str(buried), "deadletter", "purge").out
    assert purge("--all", "--older-than", "0") == {"removed": 3, "waiting": 0}


def test_where_nothing_ran_there_is_nothing(cli: Caller, sample: Path) -> None:
    at = ("-w", str(sample))
    assert cli(*at, "queue", "list", "-o", "json").json == {"queue": []}
    assert cli(*at, "deadletter", "list", "-o", "json").json == {"dead_letters": [], "waiting": 0}
    assert cli(*at, "deadletter", "purge", "-o", "json").json == {"removed": 0, "waiting": 0}
    assert cli(*at, "deadletter", "replay", "1").code == 4
    assert not (sample / ".provisioning").exists()
