"""What all runs of one runner share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from provisioning.core.frozen import dataclass
from provisioning.core.placement import Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is shared by all runs. 0 is no limit.

    With `slots`, the number of tasks that the workers can have at once, only about as many are handed out as they can take, so
    that what becomes ready later can still go first. With a `roster` that is so for each target, and before it is told of a
    worker nothing is handed out.
    """

    slots: int = 0
    runs: int = 0  # at once; the others are queued
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # by name; one that is not here has one slot
    roster: Roster | None = None  # the workers, where they are on several machines: `Runner.see` says which


NO_LIMITS = Limits()
