"""The names of the database's files are made durable once, and a folder that refuses that ends all writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.records import created

from provisioning.adapters.sqlite import writer
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".provisioning" / "history.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


async def test_a_folder_that_cannot_be_synced_fails_the_commit_and_all_after_it(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def fail(folder: Path) -> None:
        synced.append(folder)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(writer, "sync_folder", fail)
    for run in ("r1", "r2"):
        with pytest.raises(StoreError, match=r"syncing the folder of .*history\.db failed: input/output error"):
            await created(store, run=run)
    assert synced == [path.parent], "what failed once is not tried again"


async def test_a_folder_is_synced_once_for_many_commits(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(writer, "sync_folder", synced.append)
    for run in ("r1", "r2", "r3"):
        await created(store, run=run)
    assert len(synced) == 1
