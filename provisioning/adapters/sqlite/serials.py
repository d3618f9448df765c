"""How far the state file is known to have come: one with a lower serial is an old one that somebody put back.

Kept beside the journal and written after the state file, so a crash in between leaves it too low, never too high.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from provisioning.adapters.sqlite.database import ERRORS, connect, store_error

KEY = "state "  # and the lineage


class StateSerials:
    """By lineage, the highest serial of the state file that was written durably. `path` is that of the history."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self) -> Mapping[str, int]:
        """Return the serials; none where there is no history, or it cannot be read: whoever goes on to write is told of that.

        Writes nothing. To be asked before the state file is read: a runner may be writing both.
        """
        beside = self._path.with_name(self._path.name + "-wal")
        mode = "mode=ro" if beside.exists() else "mode=ro&immutable=1"  # without it, reading makes files beside
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self._path))}?{mode}", uri=True)) as connection:
                rows = connection.execute("SELECT substr(key, ?), value FROM meta WHERE key GLOB ?", (len(KEY) + 1, f"{KEY}*"))
                return {str(lineage): int(serial) for lineage, serial in rows}
        except (sqlite3.Error, ValueError, OverflowError):  # a damaged row may hold infinity
            return {}

    def note(self, lineage: str, serial: int, *, lower: bool = False) -> None:
        """Record that the state file has come so far, durably; with `lower` also that it went back. Raises StoreError."""
        value = "excluded.value" if lower else "max(value, excluded.value)"
        with closing(connect(self._path)) as connection:
            try:
                connection.execute(
                    f"INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = {value}",  # noqa: S608
                    (KEY + lineage, serial),
                )
            except ERRORS as error:
                raise store_error(self._path, error) from error
