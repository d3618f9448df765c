"""The edits of the state file that people made, one JSON line each, append only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.adapters.files import PRIVATE_FILE, private_folder, store_error, sync_folder, write_all

_NEEDED = ("ts", "server", "taskserv", "event")  # of every record; who it was may be missing


class EditLog:
    """`<workspace>/.provisioning/state.edits.jsonl`, 0600."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".provisioning" / "state.edits.jsonl"

    def append(self, records: Iterable[Mapping[str, object]]) -> None:
        """Add records, durably. Raises StoreError."""
        data = "".join(f"{json.dumps(dict(record))}\n" for record in records).encode()
        private_folder(self.path.parent)
        try:
            new = not self.path.exists()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
            try:
                write_all(fd, _separator(fd) + data)
                os.fsync(fd)
            finally:
                os.close(fd)
            if new:
                sync_folder(self.path.parent, os.fsync)
        except OSError as error:
            raise store_error("writing the edits", self.path, error) from error

    def read(self) -> list[dict[str, object]]:
        """Return all records, oldest first. A line that is none, as a power cut leaves it, is skipped. Raises StoreError."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise store_error("reading the edits", self.path, error) from error
        return [record for line in lines if (record := _parsed(line)) is not None]


def _separator(fd: int) -> bytes:
    """Return what ends a line that a power cut left half written: without it the next record would be lost in it."""
    size = os.fstat(fd).st_size
    return b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""


def _parsed(line: str) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # the latter: brackets without end
        return None
    whole = isinstance(record, dict) and all(isinstance(record.get(field), str) for field in _NEEDED)
    return record if whole else None
