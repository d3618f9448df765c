"""Requests for bundles, and what is in the archives that come back."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from provisioning.adapters.bundle import TarBundles
from provisioning.core.hosts import Bundle, BundleRequest
from provisioning.errors import ConfigError


class DictSecrets:
    """The port `Secrets` over a mapping of references."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = values or {}

    def resolve(self, reference: str) -> str:
        """Return the value. Raises ConfigError."""
        if reference not in self._values:
            raise ConfigError(f"secret '{reference}' is not set")
        return self._values[reference]


def request_for(profile: Path, **changes: object) -> BundleRequest:
    """Return a request for the profile in a folder, for a server named web-0."""
    fields: dict[str, object] = {
        "profile_path": str(profile),
        "taskserv": profile.parent.name,
        "profile": profile.name,
        "operation": "install",
        "formula": "web",
        "server": {"hostname": "web-0", "address": "10.0.0.1", "private_ip": "10.0.0.1", "public_ip": None},
        "params": {},
        "workspace": {"name": "demo"},
    }
    return BundleRequest(**{**fields, **changes})  # type: ignore[arg-type]


def build(
    request: BundleRequest, values: Mapping[str, str] | None = None, timeout_s: float = 10
) -> tuple[Bundle, Mapping[str, str]]:
    """Build a bundle, with secrets by reference."""
    return asyncio.run(TarBundles(DictSecrets(values), prepare_timeout_s=timeout_s).build(request))


def members(data: bytes) -> list[tarfile.TarInfo]:
    """Return what an archive lists."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return archive.getmembers()


def contents(data: bytes) -> dict[str, str]:
    """Return the files of an archive by name."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file}
