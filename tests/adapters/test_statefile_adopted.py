"""A state file takes the states of another keeper, serial and all, unless that would lose something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.adapters.sqlite.serials import StateSerials
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import Resource, ResourceBook, ResourceState
from provisioning.errors import StateFileError

DONE = Resource(state=ResourceState.COMPLETED)
BOOK = ResourceBook(lineage="ours", serial=7, servers={"s": {"redis": DONE}})


def state_file(folder: Path) -> StateFile:
    hidden = folder / ".provisioning"
    return StateFile(hidden / "state.json", serials=StateSerials(hidden / "history.db"))


def test_where_there_is_none_it_is_written_as_it_is(tmp_path: Path) -> None:
    assert state_file(tmp_path).adopt_sync(BOOK)
    assert state_file(tmp_path).load_sync() == BOOK


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    file = state_file(tmp_path)
    file.adopt_sync(BOOK)
    before = file.path.stat()
    assert not state_file(tmp_path).adopt_sync(BOOK)
    assert (file.path.stat().st_ino, file.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_newer_one_replaces_it_and_work_goes_on_from_there(tmp_path: Path) -> None:
    file = state_file(tmp_path)
    file.adopt_sync(BOOK)
    newer = replace(BOOK, serial=9).put({("s", "etcd"): DONE})
    assert file.adopt_sync(newer)
    assert file.save_sync(newer).serial == 10
    assert file.backup.exists()


REFUSED = [
    pytest.param(replace(BOOK, serial=6), "serial 7 is newer than 6", id="lower serial"),
    pytest.param(replace(BOOK, serial=8, lineage="theirs"), "lineage is ours, that of the other theirs", id="other lineage"),
    pytest.param(BOOK.put({("s", "etcd"): DONE}), "both are at serial 7", id="same serial, other states"),
]


@pytest.mark.parametrize(("other", "reason"), REFUSED)
def test_what_would_lose_something_is_refused_and_changes_nothing(tmp_path: Path, other: ResourceBook, reason: str) -> None:
    state_file(tmp_path).adopt_sync(BOOK)
    with pytest.raises(StateFileError, match=reason) as refusal:
        state_file(tmp_path).adopt_sync(other)
    assert "--force" in refusal.value.hint
    assert state_file(tmp_path).load_sync() == BOOK


@pytest.mark.parametrize(("other", "_reason"), REFUSED)
def test_by_force_it_is_taken_and_trusted_afterwards(tmp_path: Path, other: ResourceBook, _reason: str) -> None:
    state_file(tmp_path).adopt_sync(BOOK)
    assert state_file(tmp_path).adopt_sync(other, force=True)
    after = state_file(tmp_path)
    assert after.load_sync() == other
    assert StateFile(after.path.with_name("state.json.replaced")).load_sync() == BOOK
    assert after.save_sync(other).serial == other.serial + 1


def test_what_cannot_be_read_is_replaced_by_force_only(tmp_path: Path) -> None:
    file = state_file(tmp_path)
    file.adopt_sync(BOOK)
    file.path.write_bytes(b"{")
    with pytest.raises(StateFileError):
        state_file(tmp_path).adopt_sync(BOOK)
    assert state_file(tmp_path).adopt_sync(BOOK, force=True)
    assert state_file(tmp_path).load_sync() == BOOK
