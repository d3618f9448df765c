"""Functions: commands that are registered under ids in `functions.toml`, for steps to name (S2's own extension)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One command: text for a shell, or a program and its arguments."""

    id: str
    command: str | None = None
    argv: tuple[str, ...] = ()
    working_dir: str = ""  # "": that of the step
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
