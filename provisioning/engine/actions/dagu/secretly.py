"""Secrets of a Dagu file: their values, at the last moment."""

from __future__ import annotations

from collections.abc import Iterable

from provisioning.core.dagu.declared import Secret
from provisioning.core.ports import Secrets


def revealed(declared: Iterable[Secret], secrets: Secrets) -> dict[str, str]:
    """Return the values by name. Raises ConfigError naming the secret, never its value."""
    return {one.name: secrets.resolve(reference(one)) for one in declared}


def reference(secret: Secret) -> str:
    """Return a secret as the port knows it: `env:NAME`, `file:PATH`."""
    return secret.ref or f"{secret.provider}:{secret.key}"
