"""Users, sessions, tokens and the audit log of a server, in a database of their own: `server.db` beside the history.

Apart from the history, because that is read by every command, copied and thrown away by people who may not log in.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from provisioning.adapters.sqlite.database import ERRORS, connect, store_error
from provisioning.core.access import Role
from provisioning.core.accounts import Account, AuditRecord, Key

MIGRATIONS = Path(__file__).with_name("server")
_KEY = "SELECT keys.id, kind, user, coalesce(keys.role, users.role), purpose, keys.created_at, expires_at, used_at FROM keys"
_KEYS = f"{_KEY} JOIN users ON users.name = keys.user"  # a key of nobody counts for nothing
_AUDIT = "id, at, actor, role, address, action, target, status, detail"


class SqlitePeople:
    """Opens the file at the first question. Safe from any thread; every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._busy = threading.Lock()

    # ------------------------------------------------------------ users

    def users(self) -> list[Account]:
        """Return all users, by name."""
        rows = self._rows("SELECT name, role, created_at FROM users ORDER BY name")
        return [Account(name=str(name), role=Role(str(role)), created_at=_time(at)) for name, role, at in rows]

    def password(self, name: str) -> str | None:
        """Return the hash of a user's password; None for a user who is not there."""
        rows = self._rows("SELECT password FROM users WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def add(self, account: Account, password: str, *, first: bool = False) -> bool:
        """Add a user, if the name is free and, where it is to be the `first`, nobody is there; say whether it was."""
        free = "NOT EXISTS (SELECT 1 FROM users)" if first else "NOT EXISTS (SELECT 1 FROM users WHERE name = ?1)"
        sql = f"INSERT INTO users (name, role, password, created_at) SELECT ?1, ?2, ?3, ?4 WHERE {free}"
        return self._write(sql, account.name, account.role.value, password, account.created_at.isoformat()) == 1

    def change(self, name: str, *, role: Role | None, password: str | None) -> bool:
        """Change a user; say whether there is one. The last admin stays one."""
        sql = "UPDATE users SET role = coalesce(?2, role), password = coalesce(?3, password) WHERE name = ?1 AND " + _NOT_LAST  # noqa: S608 - our text
        return self._write(sql, name, role.value if role is not None else None, password) == 1

    def remove(self, name: str) -> bool:
        """Remove a user and the keys; say whether it was done. The last admin stays."""
        removed = self._write(f"DELETE FROM users WHERE name = ?1 AND {_NOT_LAST}", name, "") == 1  # noqa: S608 - our text
        if removed:
            self._write("DELETE FROM keys WHERE user = ?", name)
        return removed

    # ------------------------------------------------------------ keys

    def add_key(self, key: Key, digest: bytes) -> None:
        """Remember a session or token by its hash."""
        self._write(
            "INSERT INTO keys (id, kind, user, role, purpose, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            key.id,
            key.kind,
            key.user,
            key.role.value if key.kind == "token" else None,
            key.purpose,
            digest,
            key.created_at.isoformat(),
            key.expires_at.isoformat() if key.expires_at is not None else None,
        )

    def key(self, digest: bytes) -> Key | None:
        """Return the session or token that hashes to this."""
        rows = self._rows(f"{_KEYS} WHERE hash = ?", digest)
        return _key(rows[0]) if rows else None

    def keys(self, kind: str, user: str | None = None) -> list[Key]:
        """Return the sessions or tokens of a user, or of all; the oldest first."""
        rows = self._rows(f"{_KEYS} WHERE kind = ?1 AND (?2 IS NULL OR user = ?2) ORDER BY keys.created_at", kind, user)
        return [_key(row) for row in rows]

    def used(self, key: str, at: datetime) -> None:
        """Remember when a key was last used."""
        self._write("UPDATE keys SET used_at = ? WHERE id = ?", at.isoformat(), key)

    def drop_key(self, key: str) -> bool:
        """Make a key worthless; say whether there was one."""
        return self._write("DELETE FROM keys WHERE id = ?", key) == 1

    def drop_sessions(self, user: str, *, but: str = "") -> None:
        """End the sessions of a user, `but` one."""
        self._write("DELETE FROM keys WHERE user = ? AND kind = 'session' AND id <> ?", user, but)

    def drop_expired(self, now: datetime) -> None:
        """Forget what counts no more."""
        self._write("DELETE FROM keys WHERE expires_at < ?", now.isoformat())

    # ------------------------------------------------------------ audit

    def record(self, one: AuditRecord) -> None:
        """Append to the audit log."""
        values = (one.at.isoformat(), one.actor, one.role, one.address, one.action, one.target, one.status, one.detail)
        columns = _AUDIT.removeprefix("id, ")
        self._write(f"INSERT INTO audit ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *values)  # noqa: S608 - our columns

    def audit(self, limit: int, *, actor: str = "", action: str = "", before: int | None = None) -> list[AuditRecord]:
        """Return the newest records first; `action` may be its beginning, `before` continues a list."""
        filters = {"actor = ?": actor, "substr(action, 1, length(?)) = ?": action, "id < ?": before}
        used = {text: value for text, value in filters.items() if value not in {"", None}}
        where = f"WHERE {' AND '.join(used)}" if used else ""
        values = [value for text, value in used.items() for _mark in range(text.count("?"))]
        sql = f"SELECT {_AUDIT} FROM audit {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our columns
        return [_record(row) for row in self._rows(sql, *values, limit)]

    def drop_audit(self, before: datetime) -> int:
        """Forget records that are older; return how many."""
        return self._write("DELETE FROM audit WHERE at < ?", before.isoformat())

    def close(self) -> None:
        """Close the file. The next question opens it again."""
        with self._busy:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # ------------------------------------------------------------ parts

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path, migrations=MIGRATIONS, any_thread=True)
        return self._connection

    def _rows(self, sql: str, *values: object) -> list[Sequence[object]]:
        with self._busy:
            try:
                return list(self._open().execute(sql, values))
            except ERRORS as error:
                raise store_error(self.path, error) from error

    def _write(self, sql: str, *values: object) -> int:
        """Return how many rows it changed. One statement is one transaction."""
        with self._busy:
            try:
                return self._open().execute(sql, values).rowcount
            except ERRORS as error:
                raise store_error(self.path, error) from error


_NOT_LAST = (
    "(?2 = 'admin' OR (?2 IS NULL) OR role <> 'admin'"
    " OR EXISTS (SELECT 1 FROM users AS others WHERE others.role = 'admin' AND others.name <> users.name))"
)
"""Whether an admin is left when this user has the role ?2."""


def _time(value: object) -> datetime:
    return datetime.fromisoformat(str(value))


def _key(row: Sequence[object]) -> Key:
    id, kind, user, role, purpose, created_at, expires_at, used_at = row
    return Key(
        id=str(id),
        kind=str(kind),
        user=str(user),
        role=Role(str(role)),
        purpose=str(purpose),
        created_at=_time(created_at),
        expires_at=_time(expires_at) if expires_at is not None else None,
        used_at=_time(used_at) if used_at is not None else None,
    )


def _record(row: Sequence[object]) -> AuditRecord:
    id, at, actor, role, address, action, target, status, detail = row
    return AuditRecord(
        id=int(str(id)),
        at=_time(at),
        actor=str(actor),
        role=str(role),
        address=str(address),
        action=str(action),
        target=str(target),
        status=int(str(status)),
        detail=str(detail),
    )
