"""How many examples a property is tried on."""

from __future__ import annotations

from hypothesis import settings


def examples(times: float) -> settings:
    """Return settings with so many times the examples of the profile: few in `make test`, many with `--soak`."""
    return settings(max_examples=round(times * settings().max_examples))
