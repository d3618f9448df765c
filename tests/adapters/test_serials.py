"""How far the state file is known to have come, across processes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support.faked import tree

from provisioning.adapters.sqlite.database import connect
from provisioning.adapters.sqlite.serials import StateSerials
from provisioning.adapters.statefile import StateFile
from provisioning.errors import StateFileError, StoreError


@pytest.fixture
def serials(tmp_path: Path) -> StateSerials:
    return StateSerials(tmp_path / ".provisioning" / "history.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "state.json"


def test_they_only_grow_and_each_lineage_has_its_own(serials: StateSerials) -> None:
    for lineage, serial in (("a", 3), ("b b", 1), ("a", 2), ("a", 4)):
        serials.note(lineage, serial)
    assert serials.known() == {"a": 4, "b b": 1}


def test_asking_writes_nothing(serials: StateSerials, tmp_path: Path) -> None:
    assert serials.known() == {}
    assert tree(tmp_path) == {}
    serials.note("a", 1)
    before = tree(tmp_path)
    assert serials.known() == {"a": 1}
    assert tree(tmp_path) == before


def test_they_are_read_beside_a_process_that_has_the_history_open(serials: StateSerials, path: Path) -> None:
    writing = connect(path.with_name("history.db"))
    serials.note("a", 7)
    assert path.with_name("history.db-wal").exists()
    assert serials.known() == {"a": 7}
    writing.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_history_that_cannot_be_read_tells_none(serials: StateSerials, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.with_name("history.db").write_bytes(content)
    assert serials.known() == {}


def test_a_damaged_number_tells_none(serials: StateSerials, path: Path) -> None:
    serials.note("a", 1)
    with closing(connect(path.with_name("history.db"))) as connection:
        connection.execute("UPDATE meta SET value = 9e999")
    assert serials.known() == {}


def test_a_folder_that_looks_like_a_question_is_no_question(tmp_path: Path) -> None:
    serials = StateSerials(tmp_path / "a?mode=memory#%41" / "history.db")
    serials.note("a", 1)
    assert serials.known() == {"a": 1}


def test_another_process_refuses_the_file_before(path: Path, serials: StateSerials) -> None:
    file = StateFile(path, serials=serials)
    file.save_sync(file.save_sync(file.load_sync()))
    older = path.with_name("state.json.backup").read_bytes()
    path.write_bytes(older)
    book = StateFile(path).load_sync()
    for use in (StateFile(path, serials=serials).load_sync, lambda: StateFile(path, serials=serials).save_sync(book)):
        with pytest.raises(StateFileError, match="its serial 1 is older than 2, which was written before") as refused:
            use()
        assert "state import" in refused.value.hint
        assert "state.json.backup" in refused.value.hint
    assert path.read_bytes() == older


def test_a_file_that_was_written_and_not_noted_is_the_newest(path: Path, serials: StateSerials) -> None:
    noted = StateFile(path, serials=serials)
    book = noted.save_sync(noted.load_sync())
    killed_before_it_noted = StateFile(path)
    newest = killed_before_it_noted.save_sync(book)

    assert StateFile(path, serials=serials).load_sync() == newest


def test_a_new_file_counts_on_from_the_one_that_was_moved_away(path: Path, serials: StateSerials) -> None:
    file = StateFile(path, serials=serials)
    book = file.save_sync(file.save_sync(file.load_sync()))
    path.unlink()

    again = StateFile(path, serials=serials)
    assert again.load_sync().serial == book.serial
    assert again.save_sync(again.load_sync()).serial == book.serial + 1
    assert StateFile(path, serials=serials).load_sync().servers == {}


def test_what_cannot_be_noted_is_an_error_though_the_file_is_written(path: Path, serials: StateSerials) -> None:
    file = StateFile(path, serials=serials)
    history = path.with_name("history.db")
    book = file.load_sync()
    path.parent.mkdir()
    history.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"history\.db is damaged"):
        file.save_sync(book)
    assert StateFile(path).load_sync().serial == 1
