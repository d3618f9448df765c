"""`state`: what is recorded, and edits that are recorded themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.calls import Answer, Caller

from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import LogEntry, Resource, ResourceBook, ResourceState


@pytest.fixture
def recorded(sample: Path) -> Path:
    """Return a workspace with two resources on one server and one on another."""
    done = Resource(state=ResourceState.COMPLETED, run_id="r1", log=(LogEntry(ts="2026-01-01T00:00:00Z", event="succeeded"),))
    failed = Resource(state=ResourceState.FAILED, blocker="exit code 1")
    servers = {"s-0": {"redis": done, "a-b.c ü": failed}, "s-1": {"redis": done}}
    StateFile(sample / ".provisioning" / "state.json").save_sync(ResourceBook(lineage="l", servers=servers))
    return sample


def states(cli: Caller, folder: Path) -> dict[tuple[str, str], str]:
    rows = cli("-w", str(folder), "state", "show", "-o", "json").json["resources"]
    return {(row["server"], row["taskserv"]): row["state"] for row in rows}


def edit(cli: Caller, folder: Path, *words: str) -> Answer:
    return cli("-w", str(folder), "state", *words, "-o", "json")


def test_show_lists_everything_or_a_part(cli: Caller, recorded: Path) -> None:
    assert len(states(cli, recorded)) == 3
    rows = edit(cli, recorded, "show", "s-0", "redis").json["resources"]
    assert [(row["server"], row["taskserv"], row["run_id"]) for row in rows] == [("s-0", "redis", "r1")]
    assert "exit code 1" in cli("-w", str(recorded), "state", "show", "s-0").out


def test_reset_makes_a_resource_pending_and_leaves_the_others(cli: Caller, recorded: Path) -> None:
    answer = edit(cli, recorded, "reset", "s-0", "redis")
    assert answer.json["resources"] == [{"server": "s-0", "taskserv": "redis"}]
    assert states(cli, recorded) == {("s-0", "redis"): "pending", ("s-0", "a-b.c ü"): "failed", ("s-1", "redis"): "completed"}


def test_forget_drops_a_whole_server(cli: Caller, recorded: Path) -> None:
    assert edit(cli, recorded, "forget", "s-0").code == 0
    assert states(cli, recorded) == {("s-1", "redis"): "completed"}


def test_every_edit_is_in_the_history_with_its_actor(cli: Caller, recorded: Path) -> None:
    edit(cli, recorded, "reset", "s-0", "redis")
    edit(cli, recorded, "forget", "s-0", "redis")
    events = edit(cli, recorded, "history").json["events"]
    assert [event["event"] for event in events if event["server"] == "s-1"] == ["succeeded"]
    mine = [event for event in events if event.get("actor")]
    assert [(event["event"], event["server"], event["taskserv"], event["source"]) for event in mine] == [
        ("reset", "s-0", "redis", "cli"),
        ("forget", "s-0", "redis", "cli"),
    ]
    assert all("@" in event["actor"] for event in mine)
    assert len(edit(cli, recorded, "history", "s-0", "redis").json["events"]) == 2


@pytest.mark.parametrize("words", [("reset", "s-0"), ("forget", "s-0"), ("import", "other.json")], ids=lambda words: words[0])
def test_edits_are_refused_while_a_runner_holds_the_workspace(cli: Caller, recorded: Path, words: tuple[str, ...]) -> None:
    Path("other.json").write_text('{"servers": {"s-9": {"taskservs": {"x": {"state": "completed"}}}}}')
    before = (recorded / ".provisioning/state.json").read_bytes()
    lock = WorkspaceLock(recorded)
    lock.acquire_sync()
    try:
        answer = edit(cli, recorded, *words)
        assert answer.json["error"]["code"] == "locked"
        assert answer.code == 6
        assert edit(cli, recorded, "unlock").code == 6
    finally:
        lock.release_sync()
    assert (recorded / ".provisioning/state.json").read_bytes() == before
    assert edit(cli, recorded, "unlock").json == {"locked": False}


@pytest.mark.parametrize("words", [("reset", "s-7"), ("forget", "s-0", "rediss"), ("show", "s-7")], ids=" ".join)
def test_an_unknown_name_is_exit_4_and_changes_nothing(cli: Caller, recorded: Path, words: tuple[str, ...]) -> None:
    before = (recorded / ".provisioning/state.json").read_bytes()
    answer = edit(cli, recorded, *words)
    assert answer.code == 4
    assert "did you mean" in answer.json["error"]["hint"]
    assert (recorded / ".provisioning/state.json").read_bytes() == before


def test_import_takes_an_older_tools_file(cli: Caller, sample: Path) -> None:
    foreign = {"servers": {"s-0": {"taskservs": {"os": {"state": "Completed", "actor": {"identity": "me", "source": "x"}}}}}}
    file = sample / "old.json"
    file.write_text(json.dumps(foreign))
    assert edit(cli, sample, "import", str(file)).json["resources"] == [{"server": "s-0", "taskserv": "os"}]
    assert states(cli, sample) == {("s-0", "os"): "completed"}
    again = edit(cli, sample, "import", str(file))
    assert (again.code, again.json["resources"]) == (0, [])


def test_import_does_not_overwrite_unless_told_to(cli: Caller, recorded: Path) -> None:
    file = recorded / "old.json"
    file.write_text('{"servers": {"s-0": {"taskservs": {"redis": {"state": "failed"}}}}}')
    answer = edit(cli, recorded, "import", str(file))
    assert answer.code == 2
    assert "redis on s-0" in answer.json["error"]["message"]
    assert edit(cli, recorded, "import", str(file), "--overwrite").code == 0
    assert states(cli, recorded)["s-0", "redis"] == "failed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 3),
        ("{", 3),
        ("[]", 3),
        ("{}", 3),
        ('{"servers": 1}', 3),
        ('{"servers": {"s": {"taskservs": {"x": {"state": "odd"}}}}}', 3),
    ],
)
def test_a_file_that_is_no_state_is_refused(cli: Caller, sample: Path, text: str, code: int) -> None:
    file = sample / "bad.json"
    file.write_text(text)
    assert edit(cli, sample, "import", str(file)).code == code
    assert not (sample / ".provisioning/state.json").exists()


def test_a_damaged_state_file_is_refused_everywhere_and_left_alone(cli: Caller, recorded: Path) -> None:
    path = recorded / ".provisioning/state.json"
    path.write_text('{"version": 1, "serv')
    for words in (("show",), ("reset", "s-0"), ("history",)):
        assert edit(cli, recorded, *words).code == 3
    assert path.read_text() == '{"version": 1, "serv'


def test_hostile_names_are_shown_without_their_controls(cli: Caller, sample: Path) -> None:
    hostile = {"s\x1b[2J\n": {"x\x07": Resource(state=ResourceState.FAILED, blocker="\x1b]0;title\x07")}}
    StateFile(sample / ".provisioning" / "state.json").save_sync(ResourceBook(lineage="l", servers=hostile))
    for answer in (cli("-w", str(sample), "state", "show"), edit(cli, sample, "show")):
        assert answer.code == 0
        assert not {char for char in answer.out if ord(char) < 32} - {"\n"}
    assert edit(cli, sample, "show").json["resources"][0]["server"] == "s\x1b[2J\n"
