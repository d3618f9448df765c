"""Passwords as Argon2id hashes. Needs the extra `server`."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Argon2Passwords:
    """The parameters of RFC 9106 for little memory: 64 MiB, three passes. They are written into every hash."""

    def __init__(self, *, passes: int = 3, memory_kib: int = 65_536) -> None:
        """Fewer passes and less memory are for tests only."""
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=4)

    def hash(self, password: str) -> str:
        """Return a hash with a salt of its own."""
        return self._hasher.hash(password)

    def matches(self, stored: str, password: str) -> bool:
        """Whether it is this password."""
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
