"""Open the database file: private, durable, in the newest schema; and say clearly when that does not work."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from provisioning.adapters.files import PRIVATE_FILE, private_folder
from provisioning.adapters.files import store_error as file_error
from provisioning.errors import StoreError

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_S = 10.0  # how long another process's transaction is waited for
ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the second when SQLite's own message has damaged text in it
DatabaseError: TypeAlias = sqlite3.Error | UnicodeDecodeError


def connect(path: Path, *, migrations: Path = MIGRATIONS, any_thread: bool = False) -> sqlite3.Connection:
    """Open the database, make it if need be, bring it to the newest schema. Raises StoreError.

    `synchronous=FULL`, because in WAL mode anything less loses acknowledged commits when the power fails.
    """
    private_folder(path.parent)
    _create(path)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=not any_thread)
    try:
        _prepare(connection, path, _numbered(migrations))
    except ERRORS as error:
        connection.close()
        raise store_error(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make the file with our mode, which SQLite gives the files beside it, too.

    One that is there is not opened: closing it would drop the locks that this process holds on it through other connections,
    and the next process to leave would take the write-ahead log away from under them.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
    except FileExistsError:
        return
    except OSError as error:
        raise file_error("opening the history", path, error) from error


def _prepare(connection: sqlite3.Connection, path: Path, migrations: Mapping[int, Path]) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    version, newest = _version(connection), max(migrations, default=0)
    if version > newest:
        raise StoreError(
            f"{path} was written by a newer version of this program: schema {version}, this one knows {newest}",
            hint="use the newer version, or another file",
        )
    _use_wal(connection)
    if version < newest:
        if version:
            _back_up(connection, path.with_name(f"{path.name}.schema{version}.backup"))
        _migrate(connection, migrations)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. The switch takes no busy timeout of its own, so another process that does the same is waited for here."""
    deadline_s = time.monotonic() + BUSY_S
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not _name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _numbered(folder: Path) -> dict[int, Path]:
    return {int(path.name.partition("_")[0]): path for path in sorted(folder.glob("*.sql"))}


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the database as it was before an upgrade."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE))
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()


def _migrate(connection: sqlite3.Connection, migrations: Mapping[int, Path]) -> None:
    """Apply the missing migrations in one transaction: a kill in the middle leaves the old schema."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # another process may have been faster
        for number in sorted(each for each in migrations if each > version):
            for statement in _statements(migrations[number].read_text()):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _name(error: DatabaseError) -> str:
    """Return SQLite's name of an error. Text that is not UTF-8 and tables that are not there have none that tells."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_DAMAGED):
        return "SQLITE_CORRUPT"
    return getattr(error, "sqlite_errorname", None) or ""


def store_error(path: Path, error: DatabaseError) -> StoreError:
    """Return what went wrong with the database, and what to do, in our words."""
    name = _name(error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        hint = f"move {path.name} and the files that begin with its name away and start again: the state file is kept apart"
        return StoreError(f"{path} is damaged: {error}", hint=hint)
    for prefix, (what, hint) in _REASONS.items():
        if name.startswith(prefix):
            return StoreError(f"{path} {what}", hint=hint)
    return StoreError(f"{path} could not be used: {error}")


def failed_for_good(error: DatabaseError) -> bool:
    """Whether the disk itself failed: after that, nothing that this process is told about the file can be believed."""
    return _name(error).startswith("SQLITE_IOERR")


_DAMAGED = ("Could not decode to UTF-8", "no such table", "no such column")
_REASONS: Mapping[str, tuple[str, str]] = {
    "SQLITE_FULL": ("could not be written: the disk is full", "make room and start again: nothing that was reported is lost"),
    "SQLITE_READONLY": ("is read-only", "check who owns it and its folder, and how the disk is mounted"),
    "SQLITE_CANTOPEN": ("cannot be opened", "check who owns it and its folder"),
    "SQLITE_PERM": ("cannot be opened", "check who owns it and its folder"),
    "SQLITE_BUSY": ("is kept locked by another process", "find it with `fuser` and that path"),
    "SQLITE_IOERR": ("could not be written: the disk reports errors", "check the disk and how full it is; then start again"),
}
