"""Users, what proves who they are, and what is written down of what they did."""

from __future__ import annotations

from datetime import datetime

from provisioning.core.access import Role
from provisioning.core.frozen import dataclass

SESSION_S = 12 * 3600.0
"""How long a session lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may log in."""

    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A session or a token. Neither is ever stored, only what it hashes to; `role` of a session is that of its user."""

    id: str
    kind: str  # session | token
    user: str
    role: Role
    purpose: str
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Something that somebody did, or tried."""

    at: datetime
    actor: str
    action: str
    status: int
    role: str = ""
    address: str = ""
    target: str = ""
    detail: str = ""
    id: int = 0  # counts up
