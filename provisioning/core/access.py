"""Who may do what: roles, and how long what proves them counts. Pure."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each may do all that the ones before it may."""

    VIEWER = "viewer"  # look at everything
    OPERATOR = "operator"  # start, stop, repair, provision
    ADMIN = "admin"  # users, tokens of others, removing

    @property
    def rank(self) -> int:
        """How much it may, from 0."""
        return list(Role).index(self)

    def may(self, needed: Role) -> bool:
        """Whether it is enough for what `needed` may do."""
        return self.rank >= needed.rank
