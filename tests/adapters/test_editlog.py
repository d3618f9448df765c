"""The record of edits by hand: what was appended is there, whatever a power cut left of the one before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.disks import nobody_may_write

from provisioning.adapters.editlog import EditLog
from provisioning.errors import StoreError


def record(event: str) -> dict[str, object]:
    return {"ts": "2026-01-01T12:00:00Z", "server": "cp-0\n", "taskserv": "etcd", "event": event, "actor": "ana@work"}


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    return EditLog(tmp_path)


def test_records_come_back_in_order_from_a_private_file(log: EditLog) -> None:
    assert log.read() == []
    log.append([record("reset"), record("forget")])
    log.append([record("import")])
    assert log.read() == [record("reset"), record("forget"), record("import")]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("left", [b"", b"{", b'{"event": "res', b'{"event": "reset"}', b"[" * 100_000, b"\0" * 40, b"\xff\n"])
def test_a_line_that_was_half_written_does_not_swallow_the_next(log: EditLog, left: bytes) -> None:
    log.append([record("first")])
    with log.path.open("ab") as file:
        file.write(left)

    log.append([record("next")])

    assert log.read() == [record("first"), record("next")]


def test_a_new_file_has_its_name_synced_too(log: EditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(fd).st_mode))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    for _ in range(2):
        log.append([record("reset")])
    assert synced == [False, True, False]


def test_a_file_that_cannot_be_written_is_named(log: EditLog) -> None:
    log.append([record("reset")])
    log.path.chmod(0o400)
    with nobody_may_write(log.path.parent), pytest.raises(StoreError, match=r"state\.edits\.jsonl"):
        log.append([record("forget")])
