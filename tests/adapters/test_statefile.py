from __future__ import annotations

import json
import os
import random
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.crashing import crash_report
from support.disks import fill, no_file_grows_past, nobody_may_write, small_disk

from provisioning.adapters.files import short_lock
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import Resource, ResourceBook, ResourceState
from provisioning.errors import LockedError, StaleRevision, StateFileError, StoreError

DONE = Resource(state=ResourceState.COMPLETED, operation="install", ended_at="2026-01-01T12:00:00Z")
KEY = ("cp-0", "etcd")
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "state.json"


@pytest.fixture
def written(path: Path) -> Path:
    """Return the path of a file that was written twice."""
    file = StateFile(path)
    file.save_sync(file.save_sync(file.load_sync()).put({KEY: DONE}))
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------- what is written


def test_the_file_has_the_promised_shape(written: Path) -> None:
    document = json.loads(written.read_text())
    assert {"version", "lineage", "serial", "servers"} <= document.keys()
    assert (document["version"], document["serial"]) == (1, 2)
    resource = document["servers"]["cp-0"]["taskservs"]["etcd"]
    promised = {"state", "operation", "profile", "digest", "run_id", "started_at", "ended_at", "blocker", "actor", "log"}
    assert promised <= resource.keys()
    assert resource["state"] == "completed"
    assert resource["actor"] == {"identity": "", "source": ""}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        file = StateFile(path)
        file.save_sync(file.save_sync(file.load_sync()))
    finally:
        os.umask(before)
    assert sorted(each.name for each in path.parent.iterdir()) == ["state.json", "state.json.backup", "state.json.lock"]
    assert {mode(each) for each in path.parent.iterdir()} == {0o600}
    assert mode(path.parent) == 0o700


def test_the_file_before_is_kept_as_backup(written: Path) -> None:
    before = written.read_bytes()
    file = StateFile(written)
    file.save_sync(file.load_sync())
    backup = written.with_name("state.json.backup")
    assert backup.read_bytes() == before
    assert written.stat().st_ino != backup.stat().st_ino


def test_reading_changes_nothing(written: Path) -> None:
    before = {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in written.parent.iterdir()}
    StateFile(written).load_sync()
    assert {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in written.parent.iterdir()} == before


def test_reading_where_nothing_was_written_makes_no_folder(path: Path) -> None:
    assert StateFile(path).load_sync().serial == 0
    assert not path.parent.exists()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\0" * 4096, "nothing but blanks", id="zeros, as after a power cut"),
        pytest.param(b'{\n  "version": 1,\n  "serial', "line 3, column 10 (byte 27): ends in the middle", id="truncated"),
        pytest.param(b'{\n  "version": 1,\n  oops\n}', "line 3, column 3", id="not JSON"),
        pytest.param(b"\xff\xfe{}", "line 1, column 1", id="not text"),
        pytest.param(b"[]", "expected 'object', got 'array'", id="a list"),
        pytest.param(b"{}", "object missing required field 'version'", id="an empty map"),
        pytest.param(b'{"version": "1", "lineage": "x"}', "$.version: expected a number", id="version as text"),
        pytest.param(b'{"version": 2, "lineage": "x"}', "version 2 is newer than 1", id="newer version"),
        pytest.param(b'{"version": 0, "lineage": "x"}', "version 0 cannot be brought to 1", id="unknown old version"),
        pytest.param(b'{"servers": {}}', "missing required field 'version'", id="another tool's"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_and_left_as_it_is(written: Path, content: bytes, reason: str) -> None:
    written.write_bytes(content)
    for use in (StateFile(written).load_sync, lambda: StateFile(written).save_sync(ResourceBook(lineage="x"))):
        with pytest.raises(StateFileError) as refused:
            use()
        assert reason in refused.value.message
        assert str(written) in refused.value.message
        assert "state.json.backup" in refused.value.hint
    assert written.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda doc: doc.update(serial="2"), "$.serial: expected 'int', got 'str'", id="serial as text"),
        pytest.param(lambda doc: doc.update(serial=-1), "its serial -1 is negative", id="negative serial"),
        pytest.param(lambda doc: doc.update(lineage=""), "it has no lineage", id="no lineage"),
        pytest.param(lambda doc: doc.update(more=1), "$.more: unknown field 'more'", id="unknown field"),
        pytest.param(lambda doc: doc["servers"].update({"db-0": []}), "$.servers.db-0: expected", id="server as list"),
        pytest.param(
            lambda doc: doc["servers"]["cp-0"]["taskservs"]["etcd"].update(state="done"),
            "$.servers.cp-0.taskservs.etcd.state: invalid enum value 'done'",
            id="unknown state",
        ),
        pytest.param(
            lambda doc: doc["servers"]["cp-0"]["taskservs"]["etcd"].update(colour="red"),
            "$.servers.cp-0.taskservs.etcd.colour: unknown field",
            id="unknown field of a resource",
        ),
        pytest.param(
            lambda doc: doc["servers"]["cp-0"]["taskservs"]["etcd"].update(log=[{"ts": 1}]),
            "$.servers.cp-0.taskservs.etcd.log[0]",
            id="log entry",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_whole_path(written: Path, change: Change, reason: str) -> None:
    document = json.loads(written.read_text())
    change(document)
    written.write_text(json.dumps(document))
    with pytest.raises(StateFileError) as refused:
        StateFile(written).load_sync()
    assert reason in refused.value.message


def test_a_file_of_another_lineage_is_refused(written: Path) -> None:
    with pytest.raises(StateFileError, match="expected mine: it belongs to another workspace"):
        StateFile(written, lineage="mine").load_sync()


def test_a_file_that_went_back_in_time_is_refused(written: Path) -> None:
    file = StateFile(written)
    book = file.load_sync()
    written.write_bytes(written.with_name("state.json.backup").read_bytes())
    for use in (file.load_sync, lambda: file.save_sync(book)):
        with pytest.raises(StateFileError, match="serial 1 is older than 2"):
            use()


def test_a_file_that_somebody_else_wrote_meanwhile_is_not_overwritten(written: Path) -> None:
    mine, theirs = StateFile(written), StateFile(written)
    book = mine.load_sync()
    newer = theirs.save_sync(theirs.load_sync().put({("db-0", "postgres"): DONE}))
    with pytest.raises(StaleRevision, match="serial 3, the change is based on 2"):
        mine.save_sync(book)
    assert mine.load_sync() == newer


def test_no_mutation_of_the_bytes_gives_a_traceback_or_a_fresh_start(written: Path) -> None:
    good, dice = written.read_bytes(), random.Random(5)
    known = StateFile(written).load_sync()
    for _ in range(2_000):
        broken = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        written.write_bytes(broken[: dice.choice([len(broken), dice.randrange(len(broken))])])
        try:
            book = StateFile(written).load_sync()
        except StateFileError:
            continue
        assert len(book.servers) == len(known.servers)


def test_every_truncation_is_refused(written: Path) -> None:
    good = written.read_bytes().rstrip()
    for size in range(len(good)):
        written.write_bytes(good[:size])
        with pytest.raises(StateFileError):
            StateFile(written).load_sync()


def test_an_older_version_is_brought_up_step_by_step(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"version": -1, "lineage": "x", "number": 7, "servers": {}}')

    def rename(document: Mapping[str, object]) -> Mapping[str, object]:
        kept = {key: value for key, value in document.items() if key != "number"}
        return {**kept, "serial": document["number"], "version": 0}

    file = StateFile(path, migrations={-1: rename, 0: lambda document: {**document, "version": 1}})
    assert (file.load_sync().version, file.load_sync().serial) == (1, 7)


# ---------------------------------------------------------------- disks that refuse


def test_a_failed_fsync_is_fatal_to_the_write_and_the_state_is_kept_elsewhere(written: Path) -> None:
    before, calls = written.read_bytes(), []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(5, "Input/output error")

    file = StateFile(written, fsync=fail)
    book = file.load_sync()
    with pytest.raises(StoreError, match="input/output error") as failed:
        file.save_sync(book.put({("db-0", "postgres"): DONE}))
    errored = written.with_name("state.json.errored")
    assert len(calls) == 1
    assert str(errored) in failed.value.hint
    assert mode(errored) == 0o600
    assert json.loads(errored.read_text())["serial"] == 3
    assert written.read_bytes() == before
    assert StateFile(written).load_sync() == book


def test_a_failed_fsync_of_the_folder_is_an_error_too(path: Path) -> None:
    calls: list[int] = []

    def fail_on_folder(fd: int) -> None:
        calls.append(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")

    file = StateFile(path, fsync=fail_on_folder)
    with pytest.raises(StoreError, match="input/output error"):
        file.save_sync(file.load_sync())
    assert len(calls) == 2


def test_a_full_disk_leaves_the_old_file_and_keeps_the_new_state_in_another_place(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kb=64) as disk:
        path = disk / ".provisioning" / "state.json"
        file = StateFile(path)
        book = file.save_sync(file.load_sync().put({KEY: DONE}))
        before = path.read_bytes()
        filler = fill(disk)
        with pytest.raises(StoreError, match="no space left") as failed:
            file.save_sync(book)
        assert path.read_bytes() == before
        kept = Path(failed.value.hint.rpartition(" ")[2])
        assert StateFile(kept).load_sync().serial == book.serial + 1
        kept.unlink()
        filler.unlink()
        assert file.save_sync(book).serial == book.serial + 1


def test_a_file_that_may_not_grow_leaves_the_old_one(written: Path) -> None:
    file = StateFile(written)
    book = file.load_sync()
    big = book.put({("cp-0", f"t{number}"): DONE for number in range(50)})
    with no_file_grows_past(4096), pytest.raises(StoreError, match="too large"):
        file.save_sync(big)
    assert StateFile(written).load_sync() == book
    assert not written.with_name("state.json.tmp").exists()


def test_a_read_only_folder_is_named(written: Path) -> None:
    file = StateFile(written)
    book = file.load_sync()
    with nobody_may_write(written.parent), pytest.raises(StoreError, match="permission denied") as failed:
        file.save_sync(book)
    assert str(written.parent) in failed.value.message
    assert "owns" in failed.value.hint


def test_a_file_that_cannot_be_read_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StateFileError, match="it cannot be read: is a directory"):
        StateFile(path).load_sync()


def test_a_lock_that_nobody_gives_up_ends_in_an_error(written: Path) -> None:
    lock = written.with_name("state.json.lock")
    with short_lock(lock), pytest.raises(LockedError, match="keeps"), short_lock(lock, patience_s=0.02):
        pass


def test_fifty_kills_lose_nothing_that_was_acknowledged_and_leave_a_whole_file(tmp_path: Path) -> None:
    report = crash_report("statefile", tmp_path, kills=50)
    assert report["problems"] == []
    assert int(str(report["acknowledged"])) >= 50


# ---------------------------------------------------------------- size


def test_a_hundred_thousand_resources_are_read_in_two_seconds(path: Path) -> None:
    servers = {f"h{host}": {f"t{number}": DONE for number in range(100)} for host in range(1_000)}
    file = StateFile(path)
    file.save_sync(replace(file.load_sync(), servers=servers))
    began = time.process_time()
    book = StateFile(path).load_sync()
    assert time.process_time() - began < 2.0
    assert book.get("h999", "t99") == DONE
