"""The colours of states, for drawings that have any."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Color:
    """A light fill that carries dark text, and a line that shows on light and dark ground."""

    fill: str
    line: str


COLORS: Mapping[str, Color] = MappingProxyType(
    {
        "completed": Color("#d7f5dd", "#2f9e44"),
        "changed": Color("#fff3bf", "#e08700"),
        "failed": Color("#ffd8d8", "#e03131"),
        "blocked": Color("#e9dcf9", "#9155d8"),
        "interrupted": Color("#ffe0c7", "#e8590c"),
        "running": Color("#d3e8ff", "#1c7ed6"),
        "pending": Color("#e9ecef", "#868e96"),
    }
)
