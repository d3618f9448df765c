"""Secrets from a dict, and bundles without content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from provisioning.codec import canonical
from provisioning.core.hosts import Bundle, BundleRequest
from provisioning.errors import ConfigError


class FakeSecrets:
    """Fulfils `ports.Secrets` from a dict of reference -> value."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self.asked: list[str] = []

    def resolve(self, reference: str) -> str:
        """Return the value. Raises ConfigError naming the reference."""
        self.asked.append(reference)
        if reference not in self.values:
            raise ConfigError(f"secret '{reference}' is not set")
        return self.values[reference]


class FakeBundles:
    """Fulfils `hosts.Bundles`: a bundle is its request as JSON, so equal requests have equal digests.

    `broken` names the taskservs that cannot be rendered.
    """

    def __init__(self, secrets: FakeSecrets | None = None, *, broken: tuple[str, ...] = ()) -> None:
        self.requests: list[BundleRequest] = []
        self._secrets = secrets or FakeSecrets()
        self._broken = broken

    async def build(self, request: BundleRequest) -> tuple[Bundle, Mapping[str, str]]:
        """Return the bundle and the secret values it used, by name. Raises ConfigError."""
        self.requests.append(request)
        if request.taskserv in self._broken:
            raise ConfigError(f"taskserv '{request.taskserv}' cannot be rendered")
        data = canonical(request)
        used = {name: self._secrets.resolve(reference) for name, reference in request.secrets.items()}
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        return Bundle(data=data, digest=digest, entry=f"install-{request.taskserv}.sh"), used
