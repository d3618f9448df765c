"""Who may use the server: users with passwords, sessions, tokens; and what they did."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from provisioning import wiring
from provisioning.adapters.sqlite.people import SqlitePeople
from provisioning.core.access import Role
from provisioning.core.accounts import SESSION_S, Account, AuditRecord, Key
from provisioning.core.suggest import nearest
from provisioning.errors import ExistsError, NotFoundError, ProvisioningError, UsageError

SECRET_BYTES = 32
USED_EVERY = timedelta(minutes=1)  # how exactly it is remembered when a key was used
TOKEN_MARK = "prv_"  # noqa: S105 -- how a token begins, so that scanners find those that leaked
AUDIT_KEPT = timedelta(days=90)
HASHES_AT_ONCE = 2  # each takes 64 MiB


class Passwords(Protocol):
    """Hashes passwords, slowly."""

    def hash(self, password: str) -> str:
        """Return a hash with a salt of its own."""
        ...

    def matches(self, stored: str, password: str) -> bool:
        """Whether it is this password."""
        ...


class Refused(ProvisioningError):
    """Who asks is not who it says."""

    code = "refused"


class People:
    """Over one store. Safe from any thread; every method raises StoreError."""

    def __init__(self, store: SqlitePeople, passwords: Passwords, now: Callable[[], datetime]) -> None:
        self._store, self._passwords, self._now = store, passwords, now
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._setup = ""
        self._nobodys = ""

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    # ------------------------------------------------------------ users

    def users(self) -> list[Account]:
        """Return who may log in, by name."""
        return self._store.users()

    def empty(self) -> bool:
        """Whether nobody is there yet."""
        return not self._store.users()

    def setup_token(self) -> str:
        """Return the token with which the first user may be made. Each process has its own; it is stored nowhere."""
        self._setup = self._setup or secrets.token_urlsafe(SECRET_BYTES)
        return self._setup

    def set_up(self, token: str, name: str, password: str) -> Account:
        """Make the first user, an admin. Raises Refused for a wrong token, ExistsError where somebody is there."""
        if not self.empty():
            raise ExistsError("the server has users already", hint="log in")
        if not self._setup or not hmac.compare_digest(token.encode(), self._setup.encode()):
            raise Refused("this is not the set-up token", hint="the server prints it when it starts")
        account = Account(name=name, role=Role.ADMIN, created_at=self._now())
        if not self._store.add(account, self._hash(password), first=True):
            raise ExistsError("the server has users already", hint="log in")
        self._setup = ""
        return account

    def add_user(self, name: str, password: str, role: Role) -> Account:
        """Add a user. Raises ExistsError."""
        account = Account(name=name, role=role, created_at=self._now())
        if not self._store.add(account, self._hash(password)):
            raise ExistsError(f"there is a user {name} already")
        return account

    def change_user(self, name: str, *, role: Role | None = None, password: str | None = None) -> Account:
        """Change a user's role or password, and end the sessions. Raises NotFoundError, UsageError for the last admin."""
        self._known(name)
        if not self._store.change(name, role=role, password=self._hash(password) if password is not None else None):
            raise UsageError(f"{name} is the last admin", hint="make another one first")
        self._store.drop_sessions(name)
        return self._known(name)

    def change_password(self, name: str, old: str, new: str, *, keep: str) -> None:
        """Change one's own password; all sessions but the one to `keep` end. Raises Refused."""
        self.check_password(name, old)
        self._store.change(name, role=None, password=self._hash(new))
        self._store.drop_sessions(name, but=keep)

    def remove_user(self, name: str) -> None:
        """Remove a user with sessions and tokens. Raises NotFoundError, UsageError for the last admin."""
        self._known(name)
        if not self._store.remove(name):
            raise UsageError(f"{name} is the last admin", hint="make another one first")

    def check_password(self, name: str, password: str, address: str = "") -> Account:
        """Return the user. Raises Refused, after the same time and in the same words whatever is wrong."""
        stored = self._store.password(name)
        with self._hashing:
            self._nobodys = self._nobodys or self._passwords.hash(secrets.token_urlsafe())
            matches = self._passwords.matches(stored or self._nobodys, password)
        if stored is None or not matches:
            known = name if stored is not None else ""  # some type their password where the name belongs
            self.record(AuditRecord(at=self._now(), actor=known, action="session.refuse", status=401, address=address))
            raise Refused("the name or the password is wrong")
        return self._known(name)

    # ------------------------------------------------------------ keys

    def open_session(self, user: str, address: str = "") -> str:
        """Return the secret of a new session."""
        now = self._now()
        self._store.drop_expired(now)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        role = self._known(user).role
        until = now + timedelta(seconds=SESSION_S)
        key = Key(id=_id(), kind="session", user=user, role=role, purpose=address, created_at=now, expires_at=until)
        self._store.add_key(key, _digest(secret))
        return secret

    def close_session(self, key: str) -> None:
        """End a session."""
        self._store.drop_key(key)

    def add_token(self, user: str, role: Role, *, purpose: str = "", days: float | None = None) -> tuple[Key, str]:
        """Return a new token and what it is. Raises NotFoundError, UsageError for a role above the user's."""
        if not self._known(user).role.may(role):
            raise UsageError(f"{user} is {self._known(user).role.value}: a token of the role {role.value} is more than that")
        now = self._now()
        until = now + timedelta(days=days) if days is not None else None
        secret = TOKEN_MARK + secrets.token_urlsafe(SECRET_BYTES)
        key = Key(id=_id(), kind="token", user=user, role=role, purpose=purpose, created_at=now, expires_at=until)
        self._store.add_key(key, _digest(secret))
        return key, secret

    def tokens(self, user: str | None = None) -> list[Key]:
        """Return the tokens of a user, or of all."""
        now = self._now()
        return [key for key in self._store.keys("token", user) if key.expires_at is None or key.expires_at > now]

    def revoke_token(self, key: str) -> None:
        """Make a token worthless. Raises NotFoundError."""
        known = [one.id for one in self.tokens()]
        if key not in known or not self._store.drop_key(key):
            raise NotFoundError(f"there is no token {key}", hint="`provisioning token list` shows them")

    def who(self, secret: str, kind: str) -> tuple[Key, Role] | None:
        """Return whose session or token it is and what it may do now; None for one that does not count."""
        key = self._store.key(_digest(secret))
        now = self._now()
        if key is None or key.kind != kind or (key.expires_at is not None and key.expires_at <= now):
            return None
        user = next((one for one in self._store.users() if one.name == key.user), None)
        if user is None:
            return None
        if key.used_at is None or now - key.used_at > USED_EVERY:
            self._store.used(key.id, now)
        return key, min(key.role, user.role, key=lambda role: role.rank)

    # ------------------------------------------------------------ audit

    def record(self, one: AuditRecord) -> None:
        """Append to the audit log."""
        self._store.record(one)

    def audit(self, limit: int, actor: str = "", action: str = "", before: int | None = None) -> list[AuditRecord]:
        """Return the newest records first."""
        return self._store.audit(limit, actor=actor, action=action, before=before)

    def tidy(self) -> None:
        """Forget audit records that are old, and keys that count no more."""
        self._store.drop_audit(self._now() - AUDIT_KEPT)
        self._store.drop_expired(self._now())

    # ------------------------------------------------------------ parts

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._passwords.hash(password)

    def _known(self, name: str) -> Account:
        users = self._store.users()
        found = next((one for one in users if one.name == name), None)
        if found is None:
            near = nearest(name, [one.name for one in users])
            raise NotFoundError(f"there is no user {name}", hint=f"did you mean {near}?" if near else "")
        return found


def open_people(people: SqlitePeople) -> People:
    """Return the people of a store. Raises UsageError where the extra `server` is not installed."""
    try:
        from provisioning.adapters.passwords import Argon2Passwords
    except ImportError as error:
        raise UsageError("the server is not installed", hint="pip install 'provisioning[server]'") from error
    return People(people, Argon2Passwords(), wiring.clock().now)


def _digest(secret: str) -> bytes:
    """Return what is stored of a secret: it has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _id() -> str:
    return secrets.token_hex(8)
